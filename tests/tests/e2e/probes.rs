//! Deployments that are looked into besides the calls of clients.

use std::time::Duration;

use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::upstream::{Received, Step, whole};
use serde_json::json;

const GATEWAY: &str = r#"
[gateway.deployments.watched]
provider = "openai_compatible"
model = "watched-model"
base_url = "http://UPSTREAM/v1"
probe = { interval_ms = 1000 }
[gateway.deployments.other]
provider = "openai_compatible"
model = "other-model"
base_url = "http://UPSTREAM/v1"
[gateway.models]
mine = { deployments = ["watched", "other"] }
"#;

/// Who serves a request now.
async fn served(enclave: &Enclave) -> String {
    let mut client = Http1::connect(enclave.address).await;
    let answer = client.post_as(KEY, "/v1/chat/completions", &chat("mine", false)).await;
    assert_eq!(answer.status, 200);
    answer.header("postern-deployment").unwrap().to_owned()
}

async fn until(enclave: &Enclave, wanted: &str) {
    for _ in 0..100 {
        if served(enclave).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("'{wanted}' never served");
}

fn is_probe(request: &Received) -> bool {
    request.line.starts_with("GET /v1/models")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_does_not_list_its_models_is_left_alone_until_it_does() {
    let enclave = Enclave::with(&Setup { gateway: GATEWAY.to_owned(), ..Setup::default() });
    assert_eq!(served(&enclave).await, "watched");
    let answer = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]});
    let well = answer.clone();
    enclave.upstream.plan(move |request| {
        vec![Step::Send(if is_probe(request) { whole(503, &json!({})) } else { whole(200, &answer) })]
    });
    until(&enclave, "other").await;
    enclave.upstream.plan(move |request| {
        vec![Step::Send(whole(200, &if is_probe(request) { json!({"data": []}) } else { well.clone() }))]
    });
    until(&enclave, "watched").await;
    let probes = enclave.upstream.received().into_iter().filter(is_probe);
    for probe in probes {
        assert!(probe.body.is_empty(), "nothing is asked");
    }
}
