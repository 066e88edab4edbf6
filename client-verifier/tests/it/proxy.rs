//! The local proxy, spoken to over a plain socket: what arrives is looked at byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postern_client::Verifier;
use postern_client::local_proxy::{GatewayKey, LocalProxy, ProxySettings, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_gateway::{FakeGateway, Lies};

struct Proxy {
    address: SocketAddr,
    token: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

async fn proxy(gateway: &FakeGateway, gateway_key: Option<&str>) -> Proxy {
    let verifier = Verifier::new(gateway.target(), gateway.policy(|text| text)).unwrap();
    let settings = ProxySettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        allow_non_loopback: false,
        allow_hosts: Vec::new(),
        token: Token::generate().unwrap(),
        gateway_key: gateway_key.and_then(GatewayKey::new),
    };
    let proxy = LocalProxy::bind(verifier, settings).await.unwrap();
    let (address, token) = (proxy.address(), proxy.token().reveal().to_owned());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let served = tokio::spawn(proxy.serve(async move { drop(stopped.await) }));
    Proxy { address, token, stop: Some(stop), served }
}

impl Proxy {
    /// Everything the proxy sends until it closes the connection.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        drop(read.expect("the proxy answers in time"));
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        let host = self.address;
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n"))
            .await
    }

    async fn get_with_token(&self, path: &str) -> String {
        self.get(path, &format!("authorization: Bearer {}\r\n", self.token)).await
    }
}

#[tokio::test]
async fn an_ordinary_client_gets_its_answer() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, Some("sk-gateway")).await;
    let answer = proxy.get_with_token("/v1/models").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with(r#"{"object":"list","data":[{"id":"fake-model","object":"model"}]}"#),
        "{answer}"
    );

    let answer = proxy.get_with_token("/v1/chat/completions").await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    assert!(answer.contains("data: [DONE]\n\n\r\n0\r\n\r\n"), "{answer}");
    assert!(proxy.get_with_token("/nothing").await.starts_with("HTTP/1.1 204 "));
    // One connection served them all.
    assert_eq!(gateway.seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_gateways_key_replaces_the_local_token() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, Some("sk-gateway")).await;
    let head =
        proxy.get("/echo", &format!("x-api-key: {}\r\nauthorization: Bearer other\r\n", proxy.token)).await;
    assert!(head.contains("authorization: Bearer sk-gateway\r\n"), "{head}");
    assert!(!head.contains("other") && !head.contains("x-api-key") && !head.contains(&proxy.token), "{head}");
}

#[tokio::test]
async fn a_callers_own_key_passes_through_and_the_token_does_not() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, None).await;
    let echoed = proxy.get(&format!("/t/{}/echo?q=1", proxy.token), "authorization: Bearer mine\r\n").await;
    assert!(echoed.contains("GET /echo?q=1 HTTP/1.1\r\n"), "{echoed}");
    assert!(echoed.contains("authorization: Bearer mine\r\n") && !echoed.contains(&proxy.token), "{echoed}");
    let echoed = proxy.get_with_token("/echo").await;
    assert!(!echoed.contains("authorization") && !echoed.contains(&proxy.token), "{echoed}");
}

#[tokio::test]
async fn a_body_of_any_framing_arrives_whole() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, None).await;
    let head =
        format!("POST /t/{}/echo HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", proxy.token, proxy.address);
    let answer = proxy.exchange(&format!("{head}content-length: 10\r\n\r\nthe prompt")).await;
    assert!(answer.contains("content-length: 10\r\n") && answer.ends_with("the prompt"), "{answer}");
    let chunked = "transfer-encoding: chunked\r\n\r\n4\r\nthe \r\n6\r\nprompt\r\n0\r\n\r\n";
    let answer = proxy.exchange(&format!("{head}{chunked}")).await;
    assert!(answer.contains("4\r\nthe \r\n") && answer.contains("6\r\nprompt\r\n"), "{answer}");
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, Some("sk-gateway")).await;
    let with_token = format!("authorization: Bearer {}\r\n", proxy.token);
    for (request, status) in [
        ("GET /v1/models HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", 401),
        ("GET /t/0000/v1/models HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", 401),
        ("GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nTOKENconnection: close\r\n\r\n", 421),
        (
            "GET /v1/models HTTP/1.1\r\nhost: HOST\r\norigin: https://evil.example\r\nTOKENconnection: close\r\n\r\n",
            421,
        ),
        (
            "OPTIONS /v1/models HTTP/1.1\r\nhost: HOST\r\norigin: http://evil.example\r\nconnection: close\r\n\r\n",
            421,
        ),
        ("GET http://evil.example/ HTTP/1.1\r\nhost: HOST\r\nTOKENconnection: close\r\n\r\n", 421),
        ("GET /.well-known/postern/config HTTP/1.1\r\nhost: HOST\r\nTOKENconnection: close\r\n\r\n", 404),
        ("GET /v1/models HTTP/1.0\r\nhost: HOST\r\nTOKEN\r\n", 505),
    ] {
        let text = request.replace("HOST", &proxy.address.to_string()).replace("TOKEN", &with_token);
        let answer = proxy.exchange(&text).await;
        assert!(answer.split(' ').nth(1) == Some(&status.to_string()), "{request} {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
        assert!(answer.contains(r#""error":{"#), "{answer}");
    }
    assert_eq!(gateway.seen.connections.load(Ordering::SeqCst), 0, "nothing was even dialled");
    assert!(proxy.get_with_token("/cors").await.starts_with("HTTP/1.1 200"));
    assert!(
        !proxy.get_with_token("/cors").await.contains("access-control"),
        "the gateway cannot open it either"
    );
}

#[tokio::test]
async fn without_a_verified_gateway_there_is_no_answer() {
    let evidence_answer = |status| Some((status, "application/problem+cbor", vec![0xa0]));
    for (lies, status, code) in [
        (Lies { measurement: [1; 48], ..Lies::default() }, "502", "ATT_MEASUREMENT"),
        (Lies { other_sbk: true, ..Lies::default() }, "502", "BIND_SESSION"),
        (Lies { classical: true, ..Lies::default() }, "502", "PROTO_PQ"),
        (Lies { tls12: true, ..Lies::default() }, "502", "PROTO_TLS"),
        (Lies { evidence_answer: evidence_answer(429), ..Lies::default() }, "503", "EVIDENCE_UNAVAILABLE"),
        (Lies { stale_nonce: true, ..Lies::default() }, "503", "ATT_NONCE"),
    ] {
        let gateway = FakeGateway::start(lies).await;
        let proxy = proxy(&gateway, None).await;
        let host = proxy.address;
        let answer = proxy
            .exchange(&format!(
                "POST /t/{}/v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
                 content-length: 10\r\n\r\nthe prompt",
                proxy.token
            ))
            .await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["error"]["type"], "attestation_error");
        assert_eq!(body["error"]["code"], code);
        assert_eq!(answer.contains("retry-after: "), status == "503", "{answer}");
        assert!(!answer.contains("the prompt"));
        assert_eq!(gateway.seen.requests.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_cut_answer_never_ends_normally() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, None).await;
    for path in ["/cut/chunks", "/cut/events", "/cut/mid-events", "/cut/events-with-length"] {
        let answer = proxy.get_with_token(path).await;
        // What is known to be broken before the first byte is out may also end without any.
        let begun = answer.starts_with("HTTP/1.1 200 ") && answer.contains("transfer-encoding: chunked");
        assert!(begun || answer.is_empty(), "{path} {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{path} {answer}");
    }
    let answer = proxy.get_with_token("/cut/length").await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    assert!(answer.contains("content-length: 100\r\n") && body.len() < 100, "{answer}");
    let answer = proxy.get_with_token("/cut/unframed").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("CHAN_TRUNCATED"), "{answer}");
    // The control: a proper end is passed on as one.
    assert!(proxy.get_with_token("/v1/chat/completions").await.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn pieces_are_passed_on_as_they_come() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, None).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let request = format!("GET /t/{}/forever HTTP/1.1\r\nhost: {}\r\n\r\n", proxy.token, proxy.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while text.matches("tick").count() < 3 {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece)).await;
        text.push_str(std::str::from_utf8(&piece[..read.unwrap().unwrap()]).unwrap());
    }
    // The caller leaves: so does the proxy, and the gateway sees it.
    drop(stream);
    for _ in 0..200 {
        if gateway.seen.cancelled.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the stream was not cancelled");
}

#[tokio::test]
async fn a_dead_idle_connection_is_replaced_without_the_caller_noticing() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, None).await;
    assert!(proxy.get_with_token("/v1/models").await.starts_with("HTTP/1.1 200 "));
    assert!(proxy.get_with_token("/cut/length").await.starts_with("HTTP/1.1 200 "));
    assert!(proxy.get_with_token("/v1/models").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(gateway.seen.connections.load(Ordering::SeqCst), 2);
    tokio::time::sleep(Duration::from_millis(5200)).await;
    assert!(proxy.get_with_token("/v1/models").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(gateway.seen.connections.load(Ordering::SeqCst), 3, "an idle one was closed in time");
    assert_eq!(gateway.seen.evidence.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn evidence_that_ages_is_renewed_and_streams_in_flight_finish() {
    let gateway = FakeGateway::start(Lies { keyset_seconds: 2, ..Lies::default() }).await;
    let proxy = proxy(&gateway, None).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let request = format!("GET /t/{}/forever HTTP/1.1\r\nhost: {}\r\n\r\n", proxy.token, proxy.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3300)).await;
    let mut drained = vec![0; 1 << 20];
    let before = stream.read(&mut drained).await.unwrap();
    assert!(before > 0);
    assert!(proxy.get_with_token("/v1/models").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(gateway.seen.evidence.load(Ordering::SeqCst), 2);
    assert!(stream.read(&mut drained).await.unwrap() > 0, "the stream goes on");
}

#[tokio::test]
async fn a_caller_may_speak_http2() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let proxy = proxy(&gateway, None).await;
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (authority, path, complete) in [
        (proxy.address.to_string(), "/v1/chat/completions", true),
        (proxy.address.to_string(), "/cut/mid-events", false),
        ("evil.example".to_owned(), "/v1/models", true),
    ] {
        let request = Request::get(format!("http://{authority}{path}"))
            .header("x-api-key", &proxy.token)
            .body(postern_client::empty_body())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let expected = if authority == "evil.example" { 421 } else { 200 };
        assert_eq!(answer.status(), expected, "{path}");
        assert_eq!(answer.into_body().collect().await.is_ok(), complete, "{path}");
    }
}

#[tokio::test]
async fn it_listens_on_loopback_unless_told_otherwise() {
    let gateway = FakeGateway::start(Lies::default()).await;
    for (allow, expected) in [(false, false), (true, true)] {
        let verifier = Verifier::new(gateway.target(), gateway.policy(|text| text)).unwrap();
        let settings = ProxySettings {
            listen: "0.0.0.0:0".parse().unwrap(),
            allow_non_loopback: allow,
            allow_hosts: Vec::new(),
            token: Token::generate().unwrap(),
            gateway_key: None,
        };
        assert_eq!(LocalProxy::bind(verifier, settings).await.is_ok(), expected);
    }
}

#[tokio::test]
async fn a_drain_lets_answers_finish() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let mut proxy = proxy(&gateway, None).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let request =
        format!("GET /t/{}/v1/chat/completions HTTP/1.1\r\nhost: {}\r\n\r\n", proxy.token, proxy.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 4096];
    assert!(stream.read(&mut first).await.unwrap() > 0);
    proxy.stop.take().unwrap().send(()).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"));
    tokio::time::timeout(Duration::from_secs(5), proxy.served).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(proxy.address).await.is_err());
}
