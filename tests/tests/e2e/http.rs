//! HTTP/1.1 as the enclave understands it, and what it refuses to guess.

use std::time::Duration;

use postern_tests::enclave::{Enclave, KEY};
use postern_tests::http1::{Http1, chat, post, post_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn plain_text_on_the_tls_port_gets_no_http() {
    let enclave = Enclave::start();
    let mut plain = TcpStream::connect(enclave.address).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _end = tokio::time::timeout(Duration::from_secs(8), plain.read_to_end(&mut said))
        .await
        .expect("it is closed");
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
    assert!(said.len() <= 7, "nothing but a TLS alert: {said:?}");
}

#[tokio::test]
async fn framing_that_two_readers_could_read_in_two_ways_is_refused() {
    let enclave = Enclave::start();
    let body = chat("fake", false).to_string();
    let length = body.len();
    let good = format!("content-length: {length}\r\n");
    let variants = [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: 0\r\n"),
        format!("content-length: {length}, {length}\r\n"),
        format!("content-length: +{length}\r\n"),
        format!("content-length: 0x{length:x}\r\n"),
        format!("content-length : {length}\r\n"),
        format!("content-length: {length} 0\r\n"),
        format!("content-length: 1{length}000000000000000000000\r\n"),
        "content-length: -1\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "transfer-encoding: chunked, chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: identity\r\n".to_owned(),
        "transfer-encoding:\u{b}chunked\r\n".to_owned(),
        " transfer-encoding: chunked\r\n".to_owned(),
        format!("x: a\r\n content-length: {length}\r\n"),
        format!("content-length: {length}\r\nx\0y: z\r\n"),
        format!("content-length: {length}\r\nx: a\rb\r\n"),
        format!("content-length: {length}\r\nhost: second\r\n"),
    ];
    let send = async |fields: &str| {
        let mut client = Http1::connect(enclave.address).await;
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n{fields}\r\n{body}"
        );
        client.send(request.as_bytes()).await.unwrap();
        let answer = client.answer().await;
        (answer, client.ends_within(Duration::from_secs(3)).await)
    };
    for fields in &variants {
        let (answer, closed) = send(fields).await;
        let status = answer.as_ref().map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 501)), "{fields:?}: {status:?}");
        assert!(closed, "{fields:?}: the connection goes on");
    }
    assert_eq!(enclave.upstream.received().len(), 0, "a refused request went upstream");
    let (answer, _) = send(&good).await;
    assert_eq!(answer.unwrap().status, 200, "the same request with plain framing is served");
    assert_eq!(enclave.upstream.received().len(), 1);
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let enclave = Enclave::start();
    let body = chat("builtin", false).to_string();
    let send = async |chunks: String| {
        let mut client = Http1::connect(enclave.address).await;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        client.send(format!("{head}{chunks}").as_bytes()).await.unwrap();
        client.answer().await.map(|answer| answer.status)
    };
    let size = body.len();
    for chunks in [
        format!("-{size:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("0x{size:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("{size:x}\n{body}\n0\n\n"),
        format!("{size:x}\r\n{body}xx0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        format!(" {size:x}\r\n{body}\r\n0\r\n\r\n"),
    ] {
        assert!(matches!(send(chunks.clone()).await, Some(400 | 413)), "{chunks:?}");
    }
    assert_eq!(send(format!("{size:x}\r\n{body}\r\n0\r\n\r\n")).await, Some(200));
}

#[tokio::test]
async fn other_versions_and_targets_are_refused() {
    let enclave = Enclave::start();
    for (request, status) in [
        ("GET /livez HTTP/1.0\r\nhost: a\r\n\r\n", 505),
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET http://other/livez HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT other:443 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\u{7f}ELF\r\n\r\n", 400),
    ] {
        let mut client = Http1::connect(enclave.address).await;
        client.send(request.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(status), "{request:?}");
        assert!(client.ends_within(Duration::from_secs(3)).await);
    }
}

#[tokio::test]
async fn fixed_paths() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/.well-known/postern/config", 200),
        ("/.well-known/postern/evidence", 405),
        ("/.well-known/postern/nothing", 404),
        ("/v1/nothing", 404),
        ("/v1/chat/completions", 405),
        ("/v1/models/absent", 404),
        ("/v1/models/builtin", 200),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.complete);
    }
    let config = client.get("/.well-known/postern/config").await.json();
    assert_eq!((&config["content_logging"], &config["debug"]), (&false.into(), &false.into()));
}

#[tokio::test]
async fn requests_share_a_connection_even_when_sent_at_once() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let body = chat("builtin", false).to_string();
    let two = [post("/v1/chat/completions", &body), post("/v1/chat/completions", &body)].concat();
    client.send(&two).await.unwrap();
    let (first, second) = (client.answer().await.unwrap(), client.answer().await.unwrap());
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.json()["choices"], second.json()["choices"]);
    client.send(&post_with("/v1/chat/completions", "connection: close\r\n", "{}")).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 401);
    assert!(client.ends_within(Duration::from_secs(3)).await);
}

#[tokio::test]
async fn a_client_that_waits_for_continue_gets_it() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let body = chat("builtin", false).to_string();
    let fields = format!("authorization: Bearer {KEY}\r\nexpect: 100-continue\r\n");
    let request = post_with("/v1/chat/completions", &fields, &body);
    let (head, rest) = request.split_at(request.len() - body.len());
    client.send(head).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.send(rest).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    // without a good key there is nothing to go on with
    let mut client = Http1::connect(enclave.address).await;
    let request = post_with("/v1/chat/completions", "expect: 100-continue\r\n", &body);
    client.send(&request[..request.len() - body.len()]).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 401);
}
