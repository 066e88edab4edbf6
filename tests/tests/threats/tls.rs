//! Row 18: TLS made weaker, from either end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use postern_client::policy_file;
use postern_tests::enclave::Enclave;
use postern_tests::http1::Http1;
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;
use postern_tests::tls::{self, Offer};
use postern_tests::toy_enclave::{Conduct, ToyEnclave};
use rustls::crypto::aws_lc_rs::kx_group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::refusal;

#[tokio::test]
async fn row_18_the_client_refuses_weaker_tls() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = || policies::of_processor(&processor, folder.path());
    let toy = |conduct| ToyEnclave::behaving(Arc::clone(&processor.processor), conduct);

    let classical = toy(Conduct { groups: Some(vec![kx_group::X25519]), ..Conduct::default() }).await;
    assert_eq!(refusal(&policies::verifier(classical.address, policy())).await, "PROTO_PQ");
    // control: a policy that says so takes it
    let text = policies::template(&processor, folder.path()).render();
    let weak = text.replace("post_quantum = \"strict\"", "post_quantum = \"compat\"");
    let weak = policy_file::parse(&weak, folder.path()).unwrap();
    policies::verifier(classical.address, weak).connect().await.unwrap();

    for alpn in [vec![], vec![b"h2".to_vec()]] {
        let toy = toy(Conduct { alpn: Some(alpn), ..Conduct::default() }).await;
        assert_eq!(refusal(&policies::verifier(toy.address, policy())).await, "PROTO_TLS");
    }

    // tickets are ignored: every connection is a full handshake, although the server would resume
    let generous = toy(Conduct { tickets: 4, ..Conduct::default() }).await;
    let verifier = policies::verifier(generous.address, policy());
    for _ in 0..3 {
        verifier.connect().await.unwrap();
    }
    assert_eq!(generous.seen.resumed.load(Ordering::SeqCst), 0);
    let resuming = Offer { resume: true, ..Offer::http1() }.config();
    for _ in 0..2 {
        let mut client = Http1::new(tls::connect(generous.address, resuming.clone()).await.unwrap());
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert_eq!(generous.seen.resumed.load(Ordering::SeqCst), 1, "control: a client that resumes is resumed");
    assert_eq!(refusal(&policies::verifier(tls_1_2_server().await, policy())).await, "PROTO_TLS");
}

#[tokio::test]
async fn row_18_the_enclave_refuses_weaker_tls() {
    let enclave = Enclave::start();
    // TLS 1.2, as its hello looks on the wire
    let answer = first_answer(&enclave, &client_hello_1_2()).await;
    assert_eq!((answer[0], answer.last()), (21, Some(&70)), "an alert, protocol_version: {answer:?}");
    let classical = Offer { groups: vec![kx_group::X25519, kx_group::SECP256R1], ..Offer::http1() };
    tls::connect(enclave.address, classical.config()).await.expect_err("no post-quantum group");
    // early data and resumption are not on offer
    let resuming = Offer { resume: true, ..Offer::http1() }.config();
    for _ in 0..2 {
        let stream = tls::connect(enclave.address, resuming.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert!(!stream.get_ref().1.is_early_data_accepted());
        let mut client = Http1::new(stream);
        assert_eq!(client.get("/livez").await.status, 200);
        assert_eq!(client.stream().get_ref().1.tls13_tickets_received(), 0);
    }
    let offer = Offer { alpn: vec![], ..Offer::http1() };
    if let Ok(stream) = tls::connect(enclave.address, offer.config()).await {
        let mut client = Http1::new(stream);
        let _may_be_closed = client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.answer().await.is_none(), "served without ALPN");
    }
}

async fn first_answer(enclave: &Enclave, hello: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(enclave.address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer).await;
    answer
}

/// A server that knows nothing newer than TLS 1.2.
async fn tls_1_2_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _hello = stream.read(&mut [0; 4096]).await;
                let body = [&[3, 3][..], &[7; 32], &[0], &[0xc0, 0x2b], &[0]].concat();
                let hello = [&[2, 0, 0, body.len() as u8][..], &body].concat();
                let record = [&[22, 3, 3, 0, hello.len() as u8][..], &hello].concat();
                let _sent = stream.write_all(&record).await;
                let _rest = stream.read(&mut [0; 4096]).await;
            });
        }
    });
    address
}

/// What a client sends that knows nothing newer than TLS 1.2.
fn client_hello_1_2() -> Vec<u8> {
    let groups = [0, 10, 0, 4, 0, 2, 0, 29];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let alpn = [&[0, 16, 0, 11, 0, 9, 8][..], b"http/1.1"].concat();
    let extensions = [&groups[..], &signatures, &alpn].concat();
    let suites = [0, 2, 0xc0, 0x2b];
    let mut body = [&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0]].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let hello = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, hello.len() as u8][..], &hello].concat()
}
