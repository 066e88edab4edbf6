//! The TLS settings of the enclave, seen from outside by two other implementations' clients.

use std::io::Write;
use std::process::{Command, Stdio};

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::Http1;
use postern_tests::tls::{self, Offer};
use rustls::HandshakeKind;
use rustls::crypto::aws_lc_rs::kx_group;

#[tokio::test]
async fn the_post_quantum_group_is_required_by_default_and_always_taken_when_preferred() {
    let strict = Enclave::start();
    let compatible =
        Enclave::with(&Setup { listen: "key_exchange = \"compatible\"".to_owned(), ..Setup::default() });
    let classical = Offer { groups: vec![kx_group::X25519], ..Offer::http1() };
    let both = Offer { groups: vec![kx_group::X25519MLKEM768, kx_group::X25519], ..Offer::http1() };
    tls::connect(strict.address, classical.config()).await.expect_err("X25519 alone is not enough");
    tls::connect(compatible.address, classical.config()).await.expect("unless the operator says so");
    for enclave in [&strict, &compatible] {
        let stream = tls::connect(enclave.address, both.config()).await.unwrap();
        let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), kx_group::X25519MLKEM768.name());
    }
}

#[tokio::test]
async fn nothing_is_resumed_and_no_ticket_is_given() {
    let enclave = Enclave::start();
    let config = Offer { resume: true, ..Offer::http1() }.config();
    for _ in 0..3 {
        let stream = tls::connect(enclave.address, config.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let mut client = Http1::new(stream);
        assert_eq!(client.get("/livez").await.status, 200);
        assert_eq!(client.stream().get_ref().1.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn a_connection_without_alpn_is_closed() {
    let enclave = Enclave::start();
    for alpn in [vec![], vec![b"spdy/3".as_slice()]] {
        let offer = Offer { alpn: alpn.clone(), ..Offer::http1() };
        let Ok(stream) = tls::connect(enclave.address, offer.config()).await else { continue };
        let mut client = Http1::new(stream);
        let _may_be_closed = client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.answer().await.is_none(), "{alpn:?}");
    }
    // only the missing name was wrong
    assert_eq!(Http1::connect(enclave.address).await.get("/livez").await.status, 200);
}

/// `openssl s_client` with these arguments; nothing if it is not installed.
fn s_client(enclave: &Enclave, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &enclave.address.to_string(), "-alpn", "http/1.1"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(_) if std::env::var_os("CI").is_none() => {
            println!("skipped: openssl is not installed");
            return None;
        }
        Err(error) => panic!("openssl: {error}"),
    };
    let _closed = child.stdin.take().map(|mut stdin| stdin.write_all(b"Q\n"));
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn openssl_cannot_get_less_than_tls_1_3() {
    let compatible =
        Enclave::with(&Setup { listen: "key_exchange = \"compatible\"".to_owned(), ..Setup::default() });
    for version in ["-tls1_2", "-tls1_1", "-tls1"] {
        let Some((_, said)) = s_client(&compatible, &[version]) else { return };
        assert!(!said.contains("Cipher is TLS") && !said.contains("Cipher is ECDHE"), "{version}: {said}");
    }
    let Some((connected, said)) = s_client(&compatible, &["-tls1_3"]) else { return };
    assert!(connected && said.contains("TLSv1.3"), "the same client gets in with 1.3: {said}");
    assert!(!said.contains("Post-Handshake New Session Ticket"), "{said}");
    let strict = Enclave::start();
    let Some((_, said)) = s_client(&strict, &["-tls1_3", "-groups", "X25519"]) else { return };
    assert!(!said.contains("Cipher is TLS"), "X25519 alone: {said}");
}
