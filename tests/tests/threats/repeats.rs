//! Row 25: the host breaks connections to have calls carried out twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::upstream::{self, Step};

/// An enclave with models that are tried so often.
fn tried(attempts: usize) -> Enclave {
    let gateway = format!(
        "[gateway.models.tried]\ndeployments = [\"fake\"]\nretry = {{ max_attempts = {attempts}, base_ms = 10 }}"
    );
    Enclave::with(&Setup { gateway, ..Setup::default() })
}

/// Answers the first call well and keeps the connection; breaks every later one after it has taken the whole call.
fn breaks_later(enclave: &Enclave) {
    let calls = Arc::new(AtomicUsize::new(0));
    enclave.upstream.plan(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => upstream::well(request),
        number if number % 2 == 0 => vec![Step::Close],
        _ => vec![Step::Reset],
    });
}

#[tokio::test]
async fn row_25_a_call_that_was_taken_whole_is_repeated_only_as_configured() {
    for attempts in [1, 2, 3] {
        let enclave = tried(attempts);
        breaks_later(&enclave);
        let mut client = Http1::connect(enclave.address).await;
        assert_eq!(client.post("/v1/chat/completions", &chat("tried", false)).await.status, 200);
        for stream in [false, true] {
            let before = enclave.upstream.received().len();
            let answer = client.post("/v1/chat/completions", &chat("tried", stream)).await;
            assert_eq!(answer.status, 502, "{}", answer.text());
            // one deployment gets one further attempt, however many the model has
            let carried_out = enclave.upstream.received().len() - before;
            assert_eq!(carried_out, attempts.min(2), "{attempts} attempts");
            // the next round begins on a kept connection again
            breaks_later(&enclave);
            assert_eq!(client.post("/v1/chat/completions", &chat("tried", false)).await.status, 200);
        }
    }
}

#[tokio::test]
async fn row_25_what_leaves_traces_is_never_repeated() {
    let enclave = tried(3);
    for extra in [r#"{"store":true}"#, r#"{"tools":[{"type":"mcp","server_label":"a"}]}"#] {
        breaks_later(&enclave);
        let mut client = Http1::connect(enclave.address).await;
        assert_eq!(client.post("/v1/chat/completions", &chat("tried", false)).await.status, 200);
        let before = enclave.upstream.received().len();
        let mut body = chat("tried", false);
        let extra: serde_json::Value = serde_json::from_str(extra).unwrap();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = client.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert_eq!(enclave.upstream.received().len() - before, 1, "{body}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_costs_nobody_an_answer() {
    let enclave = tried(1);
    enclave.upstream.plan(|request| [upstream::well(request), vec![Step::Close]].concat());
    let mut client = Http1::connect(enclave.address).await;
    for round in 0..10 {
        let answer = client.post("/v1/chat/completions", &chat("tried", round % 2 == 0)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(enclave.upstream.received().len(), 10);
}
