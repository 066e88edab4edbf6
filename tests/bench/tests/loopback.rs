//! The harness measured by itself: what it counts is what happened, and what fails voids the run.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use postern_bench::load::{Arrival, Connections, Exchange, Limit, Load, Target};
use postern_bench::mock::{self, Listeners};
use postern_bench::prompt::{self, Shape};
use postern_bench::tls::{self, Alpn, Group};
use postern_bench::{peer, relay};

struct Bench {
    plain: SocketAddr,
    tls: SocketAddr,
    relay: SocketAddr,
    _state: tempfile::TempDir,
}

fn start() -> Bench {
    let state = tempfile::tempdir().unwrap();
    let (certificate, key) = (state.path().join("c.pem"), state.path().join("k.pem"));
    tls::write_certificate(&certificate, &key).unwrap();
    let config = tls::server(&certificate, &key).unwrap();
    let [plain, secure, relayed] = std::array::from_fn(|_| peer::free_address().unwrap());
    let listeners = Listeners { plain: Some(plain), tls: Some((secure, Arc::clone(&config))), egress: None };
    thread::spawn(move || mock::serve(&listeners).unwrap());
    thread::spawn(move || relay::serve(relayed, plain, Some(config)).unwrap());
    for address in [plain, secure, relayed] {
        while std::net::TcpStream::connect(address).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Bench { plain, tls: secure, relay: relayed, _state: state }
}

fn target(address: SocketAddr, group: Option<Group>) -> Target {
    Target { address, tls: group.map(|group| tls::client(group, Alpn::Http11).unwrap()) }
}

fn exchange(shape: Shape, size: usize, chunks: Option<u32>) -> Exchange {
    closing(shape, size, chunks, Connections::Kept)
}

fn closing(shape: Shape, size: usize, chunks: Option<u32>, connections: Connections) -> Exchange {
    let body = prompt::body("mock", shape, size);
    Exchange { message: prompt::message(&body, "", connections == Connections::New).into(), chunks }
}

#[test]
fn counts_agree_at_mock_and_load() {
    let bench = start();
    let stream = Shape::Stream { chunks: 7, pace: Duration::from_millis(1) };
    let targets = [
        target(bench.plain, None),
        target(bench.tls, Some(Group::X25519mlkem768)),
        target(bench.relay, Some(Group::P256)),
    ];
    for target in targets {
        for connections in [Connections::Kept, Connections::New] {
            for (shape, size, chunks) in
                [(Shape::Whole, 300, None), (Shape::Whole, 1 << 20, None), (stream, 300, Some(7))]
            {
                let before = peer::mock_stats(bench.plain).unwrap();
                let job = vec![closing(shape, size, chunks, connections)];
                let mut load = Load::new(target.clone(), job, 3, connections).unwrap();
                let outcome = load.run(Arrival::Closed, Limit::Jobs(20)).unwrap();
                let after = peer::mock_stats(bench.plain).unwrap();
                assert_eq!((outcome.jobs, after.requests - before.requests), (20, 20));
                assert_eq!(outcome.chunks, after.chunks - before.chunks);
                assert_eq!(outcome.chunks, chunks.map_or(0, |chunks| u64::from(chunks) * 20));
                assert_eq!(outcome.connections, if connections == Connections::New { 20 } else { 3 });
                assert_eq!(outcome.first_token.len(), if chunks.is_some() { 20 } else { 0 });
                let long = if chunks.is_some() { 6_000_000 } else { 1 };
                assert!(outcome.latency.min() >= long, "a paced stream cannot be faster than its pace");
            }
        }
    }
}

#[test]
fn a_missing_event_voids_the_run() {
    let bench = start();
    let stream = Shape::Stream { chunks: 7, pace: Duration::ZERO };
    let run = |chunks| {
        Load::new(target(bench.plain, None), vec![exchange(stream, 300, Some(chunks))], 1, Connections::Kept)
            .unwrap()
            .run(Arrival::Closed, Limit::Jobs(3))
    };
    run(7).unwrap();
    let error = format!("{:#}", run(8).unwrap_err());
    assert!(error.contains("7 of 8 events came"), "{error}");
}

#[test]
fn an_error_status_voids_the_run() {
    let address = answer_with(Duration::ZERO, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let mut load =
        Load::new(target(address, None), vec![exchange(Shape::Whole, 300, None)], 1, Connections::Kept)
            .unwrap();
    let error = format!("{:#}", load.run(Arrival::Closed, Limit::Jobs(3)).unwrap_err());
    assert!(error.contains("status 503") && error.contains("busy"), "{error}");
}

#[test]
fn a_timetable_counts_the_time_that_a_request_had_to_wait() {
    let address = answer_with(Duration::from_millis(60), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut load =
        Load::new(target(address, None), vec![exchange(Shape::Whole, 300, None)], 1, Connections::Kept)
            .unwrap();
    let outcome = load.run(Arrival::Timetable(1000.0), Limit::Jobs(20)).unwrap();
    // The first answer takes 60 ms; the other 19 wait for it from their own times on, 1 ms apart.
    assert_eq!(outcome.jobs, 20);
    assert!(
        outcome.latency.value_at_quantile(0.5) > 40_000_000,
        "{}",
        outcome.latency.value_at_quantile(0.5)
    );
}

#[test]
fn loads_and_relays_stay_on_loopback() {
    let far: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let near = peer::free_address().unwrap();
    assert!(
        Load::new(target(far, None), vec![exchange(Shape::Whole, 1, None)], 1, Connections::New).is_err()
    );
    assert!(relay::serve(near, far, None).is_err());
    assert!(mock::serve(&Listeners { plain: Some(far), ..Listeners::default() }).is_err());
}

/// A server of one connection whose first answer comes late.
fn answer_with(late: Duration, answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let mut first = true;
        while socket.read(&mut buffer).is_ok_and(|count| count > 0) {
            if std::mem::take(&mut first) {
                thread::sleep(late);
            }
            socket.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}
