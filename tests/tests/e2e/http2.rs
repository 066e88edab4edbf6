//! HTTP/2 straight to the enclave, with a client that is not ours.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::chat;
use postern_tests::tls::{self, Offer};
use postern_tests::upstream::{self, Step, chunk};
use serde_json::Value;

async fn connect(enclave: &Enclave) -> SendRequest<Full<Bytes>> {
    let stream = tls::connect(enclave.address, Offer::http2().config()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn post(path: &str, body: &Value) -> http::Request<Full<Bytes>> {
    http::Request::post(format!("https://localhost{path}"))
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn requests_run_side_by_side_on_one_connection() {
    let enclave = Enclave::start();
    let sender = connect(&enclave).await;
    let ask = |stream: bool| {
        let mut sender = sender.clone();
        async move {
            sender.ready().await.unwrap();
            let answer =
                sender.send_request(post("/v1/chat/completions", &chat("fake", stream))).await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.into_body().collect().await.unwrap().to_bytes()
        }
    };
    let (a, b, c) = tokio::join!(ask(false), ask(true), ask(true));
    assert!(serde_json::from_slice::<Value>(&a).unwrap()["choices"].is_array());
    assert!(b.ends_with(b"data: [DONE]\n\n") && b == c);
}

#[tokio::test]
async fn fixed_paths_work_too() {
    let enclave = Enclave::start();
    let mut sender = connect(&enclave).await;
    for (path, status) in [("/livez", 200), ("/.well-known/postern/config", 200), ("/v1/nothing", 401)] {
        let request = http::Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert!(
            answer.status() == status || (path == "/v1/nothing" && answer.status() == 404),
            "{path}: {}",
            answer.status()
        );
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_reset_not_ended() {
    let enclave = Enclave::start();
    enclave.upstream.plan(|_| {
        vec![
            Step::Send(upstream::stream_head()),
            Step::Send(chunk(&upstream::event("Hel"))),
            Step::Wait(std::time::Duration::from_millis(50)),
            Step::Reset,
        ]
    });
    let mut sender = connect(&enclave).await;
    let answer = sender.send_request(post("/v1/chat/completions", &chat("fake", true))).await.unwrap();
    let mut body = answer.into_body();
    let (mut text, mut failed) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            failed = true;
            break;
        };
        text.extend_from_slice(frame.data_ref().unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    assert!(failed, "the stream ended normally: {text}");
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_long_head_is_refused() {
    let enclave = Enclave::start();
    let mut sender = connect(&enclave).await;
    let mut request = post("/v1/chat/completions", &chat("fake", false));
    request.headers_mut().insert("x-padding", "x".repeat(20 * 1024).parse().unwrap());
    // refused with an answer, or with the stream
    if let Ok(answer) = sender.send_request(request).await {
        assert_eq!(answer.status(), 431);
    }
    assert_eq!(enclave.upstream.received().len(), 0);
}

#[tokio::test]
async fn a_long_body_is_refused() {
    let gateway = "[gateway.limits]\nrequest_body_bytes = 1000".to_owned();
    let enclave = Enclave::with(&Setup { gateway, ..Setup::default() });
    let mut sender = connect(&enclave).await;
    let mut body = chat("builtin", false);
    body["padding"] = "x".repeat(2000).into();
    let answer = sender.send_request(post("/v1/chat/completions", &body)).await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_upstream() {
    let enclave = Enclave::start();
    enclave.upstream.plan(|_| {
        vec![Step::Send(upstream::stream_head()), Step::Send(chunk(&upstream::event("Hel"))), Step::Hold]
    });
    let mut sender = connect(&enclave).await;
    let answer = sender.send_request(post("/v1/chat/completions", &chat("fake", true))).await.unwrap();
    // only this stream is given up; the connection stays
    drop(answer);
    assert!(enclave.upstream.wait_for_cancellations(1, std::time::Duration::from_secs(3)).await);
    enclave.upstream.plan(upstream::well);
    sender.ready().await.unwrap();
    let answer = sender.send_request(post("/v1/chat/completions", &chat("fake", false))).await.unwrap();
    assert_eq!(answer.status(), 200);
}
