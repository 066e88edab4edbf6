//! What one client may use, and what happens beyond.

use std::time::Duration;

use attestation::Nonce;
use attestation::binding::ChallengeRequest;
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Http1, chat, post_with};
use postern_tests::tls::{self, Offer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn limited(lines: &str) -> Enclave {
    Enclave::with(&Setup { limits: lines.to_owned(), ..Setup::default() })
}

#[tokio::test]
async fn a_long_head_is_refused() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let padding = "x".repeat(17 * 1024);
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nx-padding: {padding}\r\n\r\n");
    let _may_be_cut = client.send(head.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 431);
    assert!(client.ends_within(Duration::from_secs(5)).await);
    // a head just below the limit is served
    let mut client = Http1::connect(enclave.address).await;
    let padding = "x".repeat(15 * 1024);
    let head = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-padding: {padding}\r\n\r\n");
    client.send(head.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let enclave = limited("header_seconds = 1");
    let mut client = Http1::connect(enclave.address).await;
    client.send(b"GET /livez HTTP/1.1\r\nhost:").await.unwrap();
    let dripping = async {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if client.send(b" ").await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(dripping.await, "a head that trickles in was waited for");
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off() {
    let enclave = limited("header_seconds = 1");
    let mut silent = TcpStream::connect(enclave.address).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(4), silent.read(&mut [0; 16])).await;
    assert_eq!(read.expect("it is cut off").unwrap_or(0), 0);
}

#[tokio::test]
async fn a_body_without_progress_is_cut_off() {
    let enclave = limited("body_idle_seconds = 1");
    let mut client = Http1::connect(enclave.address).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: 100\r\n\r\n{{"
    );
    client.send(head.as_bytes()).await.unwrap();
    let answer =
        tokio::time::timeout(Duration::from_secs(4), client.answer()).await.expect("it is cut off").unwrap();
    assert_eq!(answer.status, 408);
    assert!(client.ends_within(Duration::from_secs(3)).await);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let enclave = limited("idle_seconds = 1");
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.get("/livez").await.status, 200);
    assert!(!client.ends_within(Duration::from_millis(400)).await, "not at once");
    assert!(client.ends_within(Duration::from_secs(4)).await);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let enclave = limited("connections = 3");
    let config = Offer::http1().config();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(tls::connect(enclave.address, config.clone()).await.expect("within the limit"));
    }
    tls::connect(enclave.address, config.clone()).await.expect_err("beyond the limit");
    drop(held);
    let room_again = async { while tls::connect(enclave.address, config.clone()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(5), room_again).await.expect("room again");
}

#[tokio::test]
async fn a_long_body_is_refused_before_it_is_read() {
    let gateway = "[gateway.limits]\nrequest_body_bytes = 1000".to_owned();
    let enclave = Enclave::with(&Setup { gateway, ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: 1001\r\n\r\n"
    );
    client.send(head.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
    assert!(client.ends_within(Duration::from_secs(3)).await);
    // in chunks, where nothing is announced
    let mut client = Http1::connect(enclave.address).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    client.send(head.as_bytes()).await.unwrap();
    let chunk = format!("200\r\n{}\r\n", " ".repeat(0x200));
    for _ in 0..3 {
        let _may_be_cut = client.send(chunk.as_bytes()).await;
    }
    assert_eq!(client.answer().await.unwrap().status, 413);
    // below the limit it works
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.post("/v1/chat/completions", &chat("builtin", false)).await.status, 200);
}

#[tokio::test]
async fn a_stranger_gets_no_body_read() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let request = post_with("/v1/chat/completions", "authorization: Bearer sk-wrong\r\n", "{");
    let head = &request[..request.len() - 1];
    client.send(head).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let enclave = limited("body_idle_seconds = 1");
    let huge: String = "word ".repeat(2_000_000);
    enclave.upstream.plan(move |_| {
        let mut body = postern_tests::upstream::completion();
        body["choices"][0]["message"]["content"] = huge.clone().into();
        vec![postern_tests::upstream::Step::Send(postern_tests::upstream::whole(200, &body))]
    });
    let mut stream = tls::connect(enclave.address, Offer::http1().config()).await.unwrap();
    let body = chat("fake", false).to_string();
    stream
        .write_all(&post_with("/v1/chat/completions", &format!("authorization: Bearer {KEY}\r\n"), &body))
        .await
        .unwrap();
    // A busy machine takes its time over ten megabytes: the clock runs from when the answer waits to be taken.
    let mut looked_at = vec![0; 32_768];
    let waiting = async {
        while stream.get_ref().0.peek(&mut looked_at).await.unwrap() < 32_768 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("an answer");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut taken = Vec::new();
    let _cut = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut taken)).await;
    assert!(taken.len() < 10_000_000, "the whole answer came although nothing was taken for seconds");
}

#[tokio::test]
async fn a_flood_of_evidence_requests_is_turned_away_with_advice() {
    let enclave = Enclave::with(&Setup { evidence_per_second: Some(1), ..Setup::default() });
    let ask = async || {
        let mut client = Http1::connect(enclave.address).await;
        let mut answers = Vec::new();
        for number in 0..40 {
            let body = ChallengeRequest { nonce: Nonce::new([number; 32]) }.encode();
            let head = format!(
                "POST /.well-known/postern/evidence HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            client.send(&[head.as_bytes(), &body].concat()).await.unwrap();
            answers.push(client.answer().await.unwrap());
        }
        answers
    };
    let answers = ask().await;
    assert_eq!(answers[0].status, 200);
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(refused.len() > 20, "{} of {} were refused", refused.len(), answers.len());
    assert!(refused.iter().all(|answer| answer.header("retry-after").is_some()));
    // everything else goes on
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.post("/v1/chat/completions", &chat("builtin", false)).await.status, 200);
}
