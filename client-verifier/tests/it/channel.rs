//! The channel: what a good gateway gets through, and what each lie is answered with.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use postern_client::error::Truncation;
use postern_client::{Error, Outcome, Verifier, empty_body, full_body};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake_gateway::{FakeGateway, Lies};

fn verifier(gateway: &FakeGateway) -> Verifier {
    Verifier::new(gateway.target(), gateway.policy(|text| text)).unwrap()
}

/// The code with which a gateway that lies so is refused. Nothing may have reached its application.
async fn refused(lies: Lies) -> Error {
    refused_under(lies, |text| text).await
}

async fn refused_under(lies: Lies, edit: impl FnOnce(String) -> String) -> Error {
    let gateway = FakeGateway::start(lies).await;
    let verifier = Verifier::new(gateway.target(), gateway.policy(edit)).unwrap();
    let error = verifier.connect().await.expect_err("refused");
    assert_eq!(gateway.seen.requests.load(Ordering::SeqCst), 0);
    error
}

#[tokio::test]
async fn an_honest_gateway_is_verified_and_answers() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let verifier = verifier(&gateway);
    let mut channel = verifier.connect().await.unwrap();
    assert!(channel.verified().simulated());
    let request = Request::post("/echo").body(full_body("the prompt")).unwrap();
    let answer = channel.send(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.starts_with("POST /echo HTTP/1.1\r\n") && text.ends_with("the prompt"), "{text}");
    assert!(text.contains(&format!("host: localhost:{}\r\n", gateway.address.port())), "{text}");

    channel.ready().await.unwrap();
    let request = Request::get("/v1/models").body(empty_body()).unwrap();
    assert_eq!(channel.send(request).await.unwrap().status(), 200);
    // A second channel is bound for itself, with the same evidence.
    drop(verifier.connect().await.unwrap());
    assert_eq!(gateway.seen.evidence.load(Ordering::SeqCst), 1);
    assert_eq!(gateway.seen.binds.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn hardware_binding_asks_the_hardware_for_every_connection() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let hardware = |text: String| text.replace("binding = \"session\"", "binding = \"hardware\"");
    let verifier = Verifier::new(gateway.target(), gateway.policy(hardware)).unwrap();
    let channel = verifier.connect().await.unwrap();
    assert!(matches!(channel.verified().claims().kind, attestation::Kind::Session { .. }));
    let lies = Lies { other_connection: true, ..Lies::default() };
    assert_eq!(refused_under(lies, hardware).await.code(), "BIND_SESSION");
    // Asked for hardware, a signature of the session key is not enough, good as it is.
    let lies = Lies { signs_instead: true, ..Lies::default() };
    assert_eq!(refused_under(lies, hardware).await.code(), "BIND_SESSION");
}

#[tokio::test]
async fn a_relayed_evidence_of_another_key_is_refused() {
    let error = refused(Lies { other_spki: true, ..Lies::default() }).await;
    assert_eq!((error.code(), error.outcome()), ("BIND_SPKI", Outcome::Rejected));
    assert_eq!(refused(Lies { other_name: true, ..Lies::default() }).await.code(), "BIND_SPKI");
}

#[tokio::test]
async fn a_leaked_tls_key_is_not_enough() {
    let error = refused(Lies { other_sbk: true, ..Lies::default() }).await;
    assert_eq!((error.code(), error.outcome()), ("BIND_SESSION", Outcome::Rejected));
}

#[tokio::test]
async fn a_forwarded_bind_of_another_connection_is_refused() {
    assert_eq!(refused(Lies { other_connection: true, ..Lies::default() }).await.code(), "BIND_SESSION");
    assert_eq!(refused(Lies { bind_status: Some(404), ..Lies::default() }).await.code(), "BIND_SESSION");
    let busy = refused(Lies { bind_status: Some(503), ..Lies::default() }).await;
    assert_eq!((busy.code(), busy.outcome()), ("EVIDENCE_UNAVAILABLE", Outcome::Undecided));
}

#[tokio::test]
async fn replayed_evidence_is_refused() {
    assert_eq!(refused(Lies { stale_nonce: true, ..Lies::default() }).await.code(), "ATT_NONCE");
}

#[tokio::test]
async fn other_code_other_configuration_other_hardware_are_refused() {
    let other = Lies { measurement: [9; 48], ..Lies::default() };
    assert_eq!(refused(other).await.code(), "ATT_MEASUREMENT");
    let logging = Lies {
        config: r#"{"content_logging":true,"debug":false,"stream_shape":"bucketed"}"#,
        ..Lies::default()
    };
    assert_eq!(refused(logging).await.code(), "CFG_RULE");
    assert_eq!(refused(Lies { config_swapped: true, ..Lies::default() }).await.code(), "ATT_CONFIG");
    let other_chip = |text: String| {
        let ours =
            text.lines().find(|line| line.starts_with("    \"") && line.len() > 120).unwrap().to_owned();
        let digit = if ours.as_bytes()[5] == b'0' { "1" } else { "0" };
        text.replace(&ours, &format!("    \"{digit}{}", &ours[6..]))
    };
    assert_eq!(refused_under(Lies::default(), other_chip).await.code(), "ATT_HARDWARE_ID");
    let pinned = |text: String| text.replace("\"unpinned\"", &format!("\"{}\"", "ab".repeat(32)));
    assert_eq!(refused_under(Lies::default(), pinned).await.code(), "ATT_DEPLOYMENT");
    let real = |text: String| text.replace("[\"ark.der\"]", "[]");
    assert_eq!(refused_under(Lies::default(), real).await.code(), "ATT_UNTRUSTED_ROOT");
    assert_eq!(
        refused(Lies { keyset_seconds: 3 * 3600, ..Lies::default() }).await.code(),
        "ATT_KEYSET_EXPIRED"
    );
}

#[tokio::test]
async fn anything_but_evidence_is_no_evidence() {
    for (status, media_type, body) in [
        (200, "text/html", b"<html>Welcome</html>".to_vec()),
        (404, "text/html", b"<html>Not found</html>".to_vec()),
        (302, "text/html", Vec::new()),
        (200, "application/json", b"{}".to_vec()),
    ] {
        let error =
            refused(Lies { evidence_answer: Some((status, media_type, body)), ..Lies::default() }).await;
        assert_eq!(
            (error.code(), error.outcome()),
            ("ATT_MISSING", Outcome::Rejected),
            "{status} {media_type}"
        );
    }
    for body in [Vec::new(), b"<html>".to_vec(), vec![0xa0], vec![0x9f; 100_000]] {
        let answer = Some((200, "application/cmw+cbor", body));
        assert_eq!(
            refused(Lies { evidence_answer: answer, ..Lies::default() }).await.code(),
            "ATT_MALFORMED"
        );
    }
    let long = Some((200, "application/cmw+cbor", vec![0; 256 * 1024 + 1]));
    assert_eq!(refused(Lies { evidence_answer: long, ..Lies::default() }).await.code(), "CHAN_MALFORMED");
    for status in [429, 500, 503] {
        let answer = Some((status, "application/problem+cbor", vec![0xa0]));
        let error = refused(Lies { evidence_answer: answer, ..Lies::default() }).await;
        assert_eq!((error.code(), error.outcome()), ("EVIDENCE_UNAVAILABLE", Outcome::Undecided));
    }
}

#[tokio::test]
async fn weaker_tls_is_refused() {
    assert_eq!(refused(Lies { tls12: true, ..Lies::default() }).await.code(), "PROTO_TLS");
    assert_eq!(refused(Lies { no_alpn: true, ..Lies::default() }).await.code(), "PROTO_TLS");
    assert_eq!(refused(Lies { plaintext: true, ..Lies::default() }).await.code(), "PROTO_TLS");
    let classical = refused(Lies { classical: true, ..Lies::default() }).await;
    assert_eq!((classical.code(), classical.outcome()), ("PROTO_PQ", Outcome::Rejected));
}

#[tokio::test]
async fn a_policy_may_allow_x25519_by_name() {
    let gateway = FakeGateway::start(Lies { classical: true, ..Lies::default() }).await;
    let policy =
        gateway.policy(|text| text.replace("post_quantum = \"strict\"", "post_quantum = \"compat\""));
    assert!(policy.waivers().iter().any(|waiver| waiver.rule == "channel.post_quantum"));
    Verifier::new(gateway.target(), policy).unwrap().connect().await.unwrap();
}

#[tokio::test]
async fn tickets_are_ignored() {
    let gateway = FakeGateway::start(Lies { tickets: true, ..Lies::default() }).await;
    let verifier = verifier(&gateway);
    for _ in 0..3 {
        let mut channel = verifier.connect().await.unwrap();
        let request = Request::get("/v1/models").body(empty_body()).unwrap();
        let answer = channel.send(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(gateway.seen.connections.load(Ordering::SeqCst), 3);
    assert_eq!(gateway.seen.resumed.load(Ordering::SeqCst), 0);
    // The control: a client with the library's own settings does resume here.
    resuming_client(&gateway).await;
    assert_eq!(gateway.seen.resumed.load(Ordering::SeqCst), 1);
}

async fn resuming_client(gateway: &FakeGateway) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(gateway.certificate_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for _ in 0..2 {
        let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        tls.write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        assert!(tls.read(&mut answer).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_public_certificate_is_an_additional_requirement() {
    let required = |text: String| text.replace("\"not-required\"", "\"required\"");
    let error = refused_under(Lies::default(), required).await;
    assert_eq!((error.code(), error.outcome()), ("PROTO_WEBPKI", Outcome::Rejected));

    // With the certificate as a root the chain holds, and evidence still decides.
    let with_roots = |text: String| {
        text.replace("webpki = \"not-required\"", "webpki = \"required\"\nwebpki_roots = [\"roots.pem\"]")
    };
    for (lies, code) in [
        (Lies::default(), None),
        (Lies { other_spki: true, ..Lies::default() }, Some("BIND_SPKI")),
        (Lies { other_sbk: true, ..Lies::default() }, Some("BIND_SESSION")),
    ] {
        let gateway = FakeGateway::start(lies).await;
        std::fs::write(gateway.path("roots.pem"), &gateway.certificate_pem).unwrap();
        let verifier = Verifier::new(gateway.target(), gateway.policy(with_roots)).unwrap();
        assert_eq!(verifier.connect().await.err().as_ref().map(Error::code), code);
    }
}

#[tokio::test]
async fn a_restarted_instance_is_asked_again() {
    let gateway = FakeGateway::start(Lies { forgets_once: true, ..Lies::default() }).await;
    verifier(&gateway).connect().await.unwrap();
    assert_eq!(gateway.seen.evidence.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn evidence_that_has_ended_carries_no_request() {
    let gateway = FakeGateway::start(Lies { keyset_seconds: 2, ..Lies::default() }).await;
    let verifier = verifier(&gateway);
    let mut channel = verifier.connect().await.unwrap();
    tokio::time::sleep(Duration::from_millis(3100)).await;
    let request = Request::get("/v1/models").body(empty_body()).unwrap();
    let failure = channel.send(request).await.unwrap_err();
    assert_eq!((failure.error.code(), failure.unsent.is_some()), ("ATT_STALE", true));
    assert_eq!(gateway.seen.requests.load(Ordering::SeqCst), 0);
    // New connections get new evidence.
    verifier.connect().await.unwrap();
    assert_eq!(gateway.seen.evidence.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn many_connections_share_one_appraisal() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let verifier = verifier(&gateway);
    let (a, b, c, d) =
        tokio::join!(verifier.connect(), verifier.connect(), verifier.connect(), verifier.connect());
    for channel in [a, b, c, d] {
        channel.unwrap();
    }
    assert_eq!(gateway.seen.evidence.load(Ordering::SeqCst), 1);
    assert_eq!(gateway.seen.binds.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_complete() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let verifier = verifier(&gateway);
    for path in [
        "/cut/length",
        "/cut/chunks",
        "/cut/unframed",
        "/cut/events",
        "/cut/mid-events",
        "/cut/events-with-length",
    ] {
        let mut channel = verifier.connect().await.unwrap();
        let request = Request::get(path).body(empty_body()).unwrap();
        let error = match channel.send(request).await {
            Ok(answer) => answer.into_body().collect().await.map(|_| ()).expect_err(path),
            Err(failure) => failure.error,
        };
        assert_eq!(error.code(), "CHAN_TRUNCATED", "{path}");
    }
    // The control: the same with a proper end is complete.
    let mut channel = verifier.connect().await.unwrap();
    let request = Request::get("/v1/chat/completions").body(empty_body()).unwrap();
    let body = channel.send(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn an_answer_does_not_outlive_its_evidence_by_more_than_half_an_hour() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let mut channel = verifier(&gateway).connect().await.unwrap();
    let request = Request::get("/forever").body(empty_body()).unwrap();
    let mut body = channel.send(request).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(29)).await;
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(Duration::from_mins(2)).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Truncated(Truncation::HardLimit)), "{error}");
    assert!(body.frame().await.is_none() && !body.is_complete());
}

#[tokio::test]
async fn nobody_there_is_undecided() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = FakeGateway::start(Lies::default()).await;
    let target = gateway.target().with_connect(&address.to_string());
    let error = Verifier::new(target, gateway.policy(|text| text)).unwrap().connect().await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), ("NET_UNREACHABLE", Outcome::Undecided));
    let target = gateway.target().with_connect("no-such-host.invalid:1");
    let error = Verifier::new(target, gateway.policy(|text| text)).unwrap().connect().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Undecided);
}
