//! How answers end when the provider, the client or the network does not behave.

use std::time::Duration;

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Answer, Http1, chat, post};
use postern_tests::upstream::{self, Step, chunk};
use serde_json::json;

const CANARY: &str = "canary-93ab51c7";

async fn ask(enclave: &Enclave, stream: bool) -> Option<Answer> {
    let mut client = Http1::connect(enclave.address).await;
    client.send(&post("/v1/chat/completions", &chat("fake", stream).to_string())).await.unwrap();
    client.answer().await
}

/// An enclave that gives its provider little time.
fn impatient() -> Enclave {
    let gateway =
        "[gateway.deployments.fake.timeouts]\nresponse_head_ms = 500\nfirst_content_ms = 500\nstall_ms = 500"
            .to_owned();
    Enclave::with(&Setup { gateway, ..Setup::default() })
}

/// The head and one event.
fn begun() -> Vec<Step> {
    vec![Step::Send(upstream::stream_head()), Step::Send(chunk(&upstream::event("Hel")))]
}

fn then(mut steps: Vec<Step>, more: Vec<Step>) -> Vec<Step> {
    steps.extend(more);
    steps
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_never_ends_normally() {
    let enclave = impatient();
    let whole = || then(begun(), vec![Step::Send(chunk(&upstream::finish_event()))]);
    let last = || Step::Send(b"0\r\n\r\n".to_vec());
    let cases: Vec<(&str, Vec<Step>)> = vec![
        ("closed", then(begun(), vec![Step::Wait(Duration::from_millis(50)), Step::Close])),
        ("reset", then(begun(), vec![Step::Wait(Duration::from_millis(50)), Step::Reset])),
        ("stalled", then(begun(), vec![Step::Hold])),
        ("ended without finish or [DONE]", then(begun(), vec![last()])),
        (
            "cut inside an event",
            then(begun(), vec![Step::Send(b"20\r\ndata: {\"id\":".to_vec()), Step::Close]),
        ),
        ("not JSON", then(begun(), vec![Step::Send(chunk(b"data: {oops\n\n")), last()])),
        (
            "not chunks",
            then(
                begun(),
                vec![
                    Step::Wait(Duration::from_millis(50)),
                    Step::Send(b"zz\r\nhello".to_vec()),
                    Step::Wait(Duration::from_secs(1)),
                ],
            ),
        ),
        ("closed after finish", then(whole(), vec![Step::Wait(Duration::from_millis(50)), Step::Reset])),
    ];
    for (name, steps) in cases {
        enclave.upstream.plan(move |_| steps.clone());
        let answer = tokio::time::timeout(Duration::from_secs(10), ask(&enclave, true))
            .await
            .expect(name)
            .expect(name);
        assert_eq!(answer.status, 200, "{name}");
        let text = answer.text();
        assert!(text.contains("Hel"), "{name}: {text}");
        assert!(!answer.complete, "{name}: the answer ended normally: {text}");
        assert!(!text.contains("[DONE]"), "{name}: {text}");
        assert!(text.contains("\"error\":{"), "{name}: no error in band: {text}");
    }
    // the positive control: the same reader calls a good stream complete
    enclave.upstream.plan(|_| upstream::stream(&["a", "b"]));
    let answer = ask(&enclave, true).await.unwrap();
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_provider_that_fails_before_content_is_an_ordinary_error() {
    let enclave = impatient();
    let short = upstream::whole_bytes(200, b"{\"id\":");
    let cases: Vec<(&str, Vec<Step>, &[u16])> = vec![
        ("closed at once", vec![Step::Close], &[502]),
        ("reset at once", vec![Step::Reset], &[502]),
        ("silent", vec![Step::Hold], &[504]),
        ("not HTTP", vec![Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec())], &[502]),
        ("not JSON", vec![Step::Send(short)], &[502]),
        (
            "head only",
            vec![Step::Send(upstream::stream_head()), Step::Wait(Duration::from_millis(20)), Step::Close],
            &[502],
        ),
        ("silent stream", vec![Step::Send(upstream::stream_head()), Step::Hold], &[504]),
    ];
    for stream in [false, true] {
        for (name, steps, statuses) in cases.clone() {
            enclave.upstream.plan(move |_| steps.clone());
            let answer = tokio::time::timeout(Duration::from_secs(10), ask(&enclave, stream))
                .await
                .expect(name)
                .expect(name);
            assert!(
                statuses.contains(&answer.status),
                "{name}, stream {stream}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(answer.json()["error"]["type"].is_string(), "{name}");
            assert!(answer.complete, "{name}");
        }
    }
}

#[tokio::test]
async fn statuses_of_the_provider_become_the_clients() {
    let enclave = Enclave::start();
    let refusal = json!({"error": {"message": "bad thing", "type": "invalid_request_error", "param": "x", "code": "c"}});
    for (theirs, ours) in
        [(400, 400), (401, 502), (403, 502), (404, 404), (422, 422), (429, 429), (500, 500), (503, 503)]
    {
        let body = refusal.clone();
        enclave.upstream.plan(move |_| vec![Step::Send(upstream::whole(theirs, &body))]);
        for stream in [false, true] {
            let answer = ask(&enclave, stream).await.unwrap();
            assert_eq!(answer.status, ours, "provider said {theirs}: {}", answer.text());
            assert!(answer.json()["error"]["message"].is_string());
        }
    }
}

#[tokio::test]
async fn comments_and_odd_line_ends_in_a_stream_are_no_trouble() {
    let enclave = Enclave::start();
    enclave.upstream.plan(|_| {
        let piece = [b": ping\n\n".to_vec(), upstream::event("Hel"), b":\r\n\r\n: x\n\n".to_vec()].concat();
        let crlf = String::from_utf8(upstream::event("lo")).unwrap().replace('\n', "\r\n").into_bytes();
        let end = [upstream::finish_event(), upstream::usage_event(), upstream::done()].concat();
        let mut steps = vec![Step::Send(upstream::stream_head())];
        // one byte per chunk, to cut everything everywhere
        steps.extend([piece, crlf, end].concat().into_iter().map(|byte| Step::Send(chunk(&[byte]))));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    });
    let answer = ask(&enclave, true).await.unwrap();
    assert!(answer.complete, "{}", answer.text());
    let text = answer.text();
    assert!(
        text.contains("\"Hel\"") && text.contains("\"lo\"") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_upstream() {
    let enclave = Enclave::start();
    for (count, stream) in [(1, true), (2, false)] {
        enclave
            .upstream
            .plan(move |_| if stream { then(begun(), vec![Step::Hold]) } else { vec![Step::Hold] });
        let mut client = Http1::connect(enclave.address).await;
        client.send(&post("/v1/chat/completions", &chat("fake", stream).to_string())).await.unwrap();
        let under_way = async {
            while enclave.upstream.received().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), under_way).await.expect("the request goes upstream");
        assert!(
            !enclave.upstream.wait_for_cancellations(count, Duration::from_millis(100)).await,
            "nobody left yet"
        );
        drop(client);
        assert!(
            enclave.upstream.wait_for_cancellations(count, Duration::from_secs(3)).await,
            "stream {stream}"
        );
    }
}

#[tokio::test]
async fn errors_quote_nothing() {
    let enclave = Enclave::start();
    let bodies = [
        format!("{{\"model\": \"{CANARY}\", \"messages\": []}}"),
        format!("{{\"model\": \"builtin\", \"messages\": \"{CANARY}\"}}"),
        format!("{{\"model\": \"builtin\", \"{CANARY}\": tru"),
        format!("{{\"{CANARY}\""),
        format!("\"{CANARY}\""),
        CANARY.to_owned(),
        format!("{{\"model\": \"builtin\", \"stream\": \"{CANARY}\", \"messages\": []}}"),
        format!("{{\"model\": \"builtin\", \"messages\": [], \"messages\": \"{CANARY}\"}}"),
        format!("\u{feff}{{\"model\": \"{CANARY}\"}}"),
        format!("{{\"model\": {{\"{CANARY}\": 1}}, \"messages\": []}}"),
    ];
    for body in &bodies {
        for path in ["/v1/chat/completions", "/v1/embeddings"] {
            let mut client = Http1::connect(enclave.address).await;
            client.send(&post(path, body)).await.unwrap();
            let answer = client.answer().await.unwrap();
            assert!(answer.status >= 400, "{path} {body}");
            assert!(!answer.text().contains(CANARY), "{path} {body}: {}", answer.text());
        }
    }
    // paths, queries, headers and credentials too
    let mut client = Http1::connect(enclave.address).await;
    let answer = client.get(&format!("/v1/{CANARY}?key={CANARY}")).await;
    assert!(!answer.text().contains(CANARY));
    // and an upstream's own words stay out of the log, though its client may read them
    enclave.upstream.plan(|_| vec![Step::Send(upstream::whole(500, &json!({"error": {"message": CANARY}})))]);
    let _answer = ask(&enclave, false).await.unwrap();
    enclave.upstream.plan(|_| {
        then(begun(), vec![Step::Send(chunk(format!("data: {CANARY}\n\n").as_bytes())), Step::Close])
    });
    let _answer = ask(&enclave, true).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!enclave.process.stderr().contains(CANARY), "{}", enclave.process.stderr());
    assert!(!enclave.process.stderr().is_empty(), "something is logged, or this would show nothing");
}

#[tokio::test]
async fn the_process_survives_all_of_it() {
    let mut enclave = Enclave::start();
    for garbage in [&b"\x16\x03\x01\xff\xff"[..], b"", b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(enclave.address).await.unwrap();
        let _sent = tokio::io::AsyncWriteExt::write_all(&mut stream, garbage).await;
    }
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.get("/readyz").await.status, 200);
    assert!(enclave.process.is_running());
}
