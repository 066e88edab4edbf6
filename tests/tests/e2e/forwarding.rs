//! What the provider sees of a request, and the client of an answer.

use postern_tests::enclave::{Enclave, KEY, OTHER_KEY};
use postern_tests::http1::{Answer, Http1, chat, post, post_with};
use postern_tests::upstream::{self, Step};
use serde_json::{Value, json};

/// A body that any reformatting would change.
const ODD: &str = "{ \"model\" :\t\"real-model\",\r\n \"x_unknown\": [1.0, 1e400, 18446744073709551616, \"\\u00e9\\/\"],\"messages\":[{\"role\":\"user\",\"content\":\"\u{1F980} caf\\u00e9\",\"x\":null}], \"temperature\":0.10 }";

async fn ask(enclave: &Enclave, body: &str) -> Answer {
    let mut client = Http1::connect(enclave.address).await;
    client.send(&post("/v1/chat/completions", body)).await.unwrap();
    client.answer().await.unwrap()
}

fn events(answer: &Answer) -> Vec<String> {
    let text = answer.text();
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_request_in_the_providers_format_arrives_byte_for_byte() {
    let enclave = Enclave::start();
    assert_eq!(ask(&enclave, ODD).await.status, 200);
    let received = enclave.upstream.last();
    assert_eq!(received.line, "POST /v1/chat/completions");
    assert_eq!(received.without_padding(), ODD.as_bytes());
    // with an alias only the name changes
    let alias = ODD.replace("real-model", "fake");
    assert_eq!(ask(&enclave, &alias).await.status, 200);
    assert_eq!(enclave.upstream.last().without_padding(), ODD.as_bytes());
}

#[tokio::test]
async fn the_users_key_and_headers_stay_in_the_enclave() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let fields = format!(
        "authorization: Bearer {KEY}\r\nx-canary: canary-7d1f\r\ncookie: canary-7d1f\r\nuser-agent: canary-7d1f\r\n"
    );
    client.send(&post_with("/v1/chat/completions", &fields, ODD)).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    let received = enclave.upstream.last();
    assert!(!received.headers.is_empty());
    for (name, value) in &received.headers {
        assert!(!value.contains("canary") && !value.contains(KEY), "{name}: {value}");
    }
}

#[tokio::test]
async fn an_answer_keeps_what_the_vendor_said() {
    let enclave = Enclave::start();
    let answer = ask(&enclave, ODD).await;
    assert_eq!(answer.json()["x_vendor"], json!({"kept": true}));
    assert_eq!(answer.json()["usage"]["total_tokens"], 5);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello!");
}

#[tokio::test]
async fn usage_is_always_asked_for_and_shown_to_those_who_asked() {
    let enclave = Enclave::start();
    for (options, asked) in [
        (Value::Null, false),
        (json!({"include_usage": false}), false),
        (json!({"include_usage": true}), true),
    ] {
        let mut body = chat("real-model", true);
        if !options.is_null() {
            body["stream_options"] = options;
        }
        let answer = ask(&enclave, &body.to_string()).await;
        assert!(answer.complete);
        assert_eq!(enclave.upstream.last().json()["stream_options"]["include_usage"], true, "{body}");
        let events = events(&answer);
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        let with_usage = events.iter().filter(|event| event.contains("\"usage\":{")).count();
        assert_eq!(with_usage, usize::from(asked), "{body}");
        let text: String = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(text, "Hello!");
    }
}

#[tokio::test]
async fn every_shape_of_usage_is_survived() {
    let enclave = Enclave::start();
    let with = |usage: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
               "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}], "usage": usage})
    };
    for usage in [
        Value::Null,
        json!({}),
        json!({"prompt_tokens": 1}),
        json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}),
    ] {
        let event = upstream::data(&with(usage.clone()));
        enclave.upstream.plan(move |_| {
            let mut steps = vec![Step::Send(upstream::stream_head()), Step::Send(upstream::chunk(&event))];
            for end in [upstream::finish_event(), upstream::usage_event(), upstream::done()] {
                steps.push(Step::Send(upstream::chunk(&end)));
            }
            steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
            steps
        });
        let answer = ask(&enclave, &chat("real-model", true).to_string()).await;
        assert!(answer.complete, "{usage}");
        assert_eq!(events(&answer).last().map(String::as_str), Some("[DONE]"), "{usage}");
    }
}

#[tokio::test]
async fn embeddings_are_forwarded() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let body = "{\"input\": [\"a\", \"b\"],  \"model\":\"real-model\", \"x\": 1.50}";
    client.send(&post("/v1/embeddings", body)).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.json()["data"][0]["embedding"], json!([0.25, -0.5]));
    assert_eq!(enclave.upstream.last().line, "POST /v1/embeddings");
    assert_eq!(enclave.upstream.last().without_padding(), body.as_bytes());
}

#[tokio::test]
async fn a_key_sees_and_uses_only_its_models() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let models = answer.json()["data"].as_array().unwrap().clone();
        models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids(&client.get("/v1/models").await).contains(&"fake".to_owned()));
    let fields = format!("authorization: Bearer {OTHER_KEY}\r\n");
    let get = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    client.send(get.as_bytes()).await.unwrap();
    assert_eq!(ids(&client.answer().await.unwrap()), ["builtin"]);
    client.send(&post_with("/v1/chat/completions", &fields, &chat("fake", false).to_string())).await.unwrap();
    let refused = client.answer().await.unwrap();
    assert!(matches!(refused.status, 403 | 404), "{}", refused.status);
    assert_eq!(enclave.upstream.received().len(), 0);
}

#[tokio::test]
async fn an_address_outside_the_hosts_list_is_an_upstream_error() {
    let gateway = "[gateway.deployments.away]\nprovider = \"openai_compatible\"\nmodel = \"m\"\nbase_url = \"http://127.0.0.1:9/v1\"\n[gateway.models.away]\ndeployments = [\"away\"]".to_owned();
    let enclave = Enclave::with(&postern_tests::enclave::Setup { gateway, ..Default::default() });
    let answer = ask(&enclave, &chat("away", false).to_string()).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
}
