//! Clients that want to be in the way, all at once, and the one who wants an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestation::Nonce;
use attestation::binding::ChallengeRequest;
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::memory::resident;
use postern_tests::tls::{self, Offer};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Connections of each kind of nuisance.
const EACH: usize = 40;
/// When the enclave gives up on a connection that says no more.
const CUT_OFF: Duration = Duration::from_secs(3);
/// What one connection may cost the enclave, in bytes: its buffers, its TLS session, the largest head.
const PER_CONNECTION: usize = 96 * 1024;
/// What the process may use besides, in bytes, over what it used when nobody was there.
const BESIDES: usize = 48 << 20;

async fn connected(enclave: &Enclave) -> Http1<TlsStream<TcpStream>> {
    Http1::new(tls::connect(enclave.address, Offer::http1().config()).await.unwrap())
}

/// Connections that say nothing, that stop in the middle of a head, of a long head, and of a body.
async fn nuisances(enclave: &Enclave) -> (Vec<TcpStream>, Vec<Http1<TlsStream<TcpStream>>>) {
    let (mut silent, mut begun) = (Vec::new(), Vec::new());
    let long = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nx-long: {}", "x".repeat(15 * 1024));
    let body = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: 1000000\r\n\r\n{{\"model\""
    );
    for _ in 0..EACH {
        silent.push(TcpStream::connect(enclave.address).await.unwrap());
        for start in ["GET /v1/mod", long.as_str(), body.as_str()] {
            let mut client = connected(enclave).await;
            client.send(start.as_bytes()).await.unwrap();
            begun.push(client);
        }
    }
    (silent, begun)
}

/// Asks for evidence without end, until told to stop.
async fn flood(address: std::net::SocketAddr, stop: Arc<AtomicBool>) {
    let body = ChallengeRequest { nonce: Nonce::new([7; 32]) }.encode();
    let head = format!(
        "POST /.well-known/postern/evidence HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let mut client = Http1::connect(address).await;
    while !stop.load(Ordering::SeqCst) {
        if client.send(&request).await.is_err() || client.answer().await.is_none() {
            client = Http1::connect(address).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nuisances_cost_a_bounded_amount_and_others_are_served() {
    let seconds = CUT_OFF.as_secs();
    let limits = format!(
        "connections = 1000\nheader_seconds = {seconds}\nbody_idle_seconds = {seconds}\nidle_seconds = {seconds}"
    );
    let enclave = Enclave::with(&Setup { limits, evidence_per_second: Some(20), ..Setup::default() });
    let alone = resident(enclave.process.id()).unwrap();
    let (silent, begun) = nuisances(&enclave).await;
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..4).map(|_| tokio::spawn(flood(enclave.address, Arc::clone(&stop)))).collect();
    let (mut slowest, mut most) = (Duration::ZERO, 0);
    for round in 0..20 {
        let started = Instant::now();
        let mut client = connected(&enclave).await;
        let answer = client.post("/v1/chat/completions", &chat("fake", round % 2 == 0)).await;
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
        slowest = slowest.max(started.elapsed());
        most = most.max(resident(enclave.process.id()).unwrap());
    }
    stop.store(true, Ordering::SeqCst);
    for flood in floods {
        flood.await.unwrap();
    }
    let connections = silent.len() + begun.len() + 5;
    let bound = alone + BESIDES + connections * PER_CONNECTION;
    assert!(
        most < bound,
        "{most} bytes resident with {connections} connections, {alone} alone, bound {bound}"
    );
    // Whoever was behind one of them would have waited until it was cut off, and there are many.
    assert!(slowest < CUT_OFF * 10, "an honest client waited {slowest:?}");
    // control: they really were in the way, and are cut off in time
    assert!(most > alone, "the nuisances cost nothing, so they were not there");
    let mut left = 0;
    for mut client in begun {
        left += usize::from(!client.ends_within(CUT_OFF * 10).await);
    }
    assert_eq!(left, 0, "nuisances that were never cut off");
}
