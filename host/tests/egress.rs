//! The enclave's way out, with the enclave played by a Unix socket.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, too, fail by panicking"
)]

#[path = "support/neighbours.rs"]
mod support;

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use link::{
    AmdProduct, EndorsementDocument, EndorsementQuery, HostName, Refusal, Reply, Request, Unavailability,
};
use support::{Running, ask, echo, egress, enclave, ingress, is_closed, start};

fn connect(host: &str, port: u16) -> Vec<u8> {
    Request::Connect { host: HostName::new(host).unwrap(), port }.encode()
}

fn reply(stream: &mut UnixStream) -> Reply {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
        if let Some((reply, _)) = Reply::decode(&bytes).unwrap() {
            return reply;
        }
    }
}

fn answer(running: &Running, request: &[u8]) -> (Reply, UnixStream) {
    let mut stream = running.egress();
    stream.write_all(request).unwrap();
    (reply(&mut stream), stream)
}

/// An egress that reaches an echoing upstream under the name `up.example`.
fn reaching_an_upstream(extra: &str) -> Running {
    let (_, address) = enclave(echo);
    let allow = "allow = [\"up.example:443\", \"closed.example:443\", \"missing.invalid:443\"]";
    let resolve = format!(
        "resolve = {{ \"up.example:443\" = \"{address}\", \"closed.example:443\" = \"127.0.0.1:1\" }}"
    );
    start(&egress(&format!("{allow}\n{resolve}\n{extra}")), "")
}

#[test]
fn an_allowed_destination_is_reached_byte_for_byte() {
    let running = reaching_an_upstream("");
    let (reply, mut stream) = answer(&running, &connect("up.example", 443));
    assert_eq!(reply, Reply::Connected);
    assert_eq!(ask(&mut stream, b"client hello"), b"client hello");
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(stream), "the upstream's end comes back");
}

#[test]
fn bytes_sent_with_the_request_are_not_lost() {
    let running = reaching_an_upstream("");
    let request = [&connect("up.example", 443)[..], b"early"].concat();
    let (reply, mut stream) = answer(&running, &request);
    assert_eq!(reply, Reply::Connected);
    let mut early = [0; 5];
    stream.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
}

#[test]
fn a_request_may_arrive_in_pieces() {
    let running = reaching_an_upstream("");
    let mut stream = running.egress();
    for byte in connect("up.example", 443) {
        stream.write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(reply(&mut stream), Reply::Connected);
}

#[test]
fn refusals_say_why_and_close() {
    let running = reaching_an_upstream("connect_seconds = 8");
    let cases = [
        (connect("other.example", 443), Refusal::NotAllowed),
        (connect("up.example", 444), Refusal::NotAllowed),
        (connect("sub.up.example", 443), Refusal::NotAllowed),
        (connect("127.0.0.1", 443), Refusal::NotAllowed),
        (connect("closed.example", 443), Refusal::Unreachable),
        (connect("missing.invalid", 443), Refusal::Resolve),
        (vec![2], Refusal::Malformed),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Refusal::Malformed),
        (Reply::Connected.encode(), Refusal::Malformed),
    ];
    for (request, reason) in cases {
        let (reply, stream) = answer(&running, &request);
        assert_eq!(reply, Reply::Refused { reason }, "{request:?}");
        assert!(is_closed(stream));
    }
}

#[test]
fn an_upstream_that_does_not_answer_costs_the_time_limit() {
    // A listener whose queue of one is full: further connections hang.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _fill: Vec<_> = (0..4)
        .filter_map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok())
        .collect();
    let running = start(
        &egress(&format!(
            "allow = [\"slow.example:1\"]\nresolve = {{ \"slow.example:1\" = \"{address}\" }}\nconnect_seconds = 1"
        )),
        "",
    );
    let (reply, _) = answer(&running, &connect("slow.example", 1));
    assert_eq!(reply, Reply::Refused { reason: Refusal::TimedOut });
}

#[test]
fn beyond_the_limit_the_enclave_is_told() {
    let running = reaching_an_upstream("max_connections = 1");
    let (first, held) = answer(&running, &connect("up.example", 443));
    assert_eq!(first, Reply::Connected);
    let (second, _) = answer(&running, &connect("up.example", 443));
    assert_eq!(second, Reply::Refused { reason: Refusal::Busy });
    drop(held);
    let again = support::eventually(|| answer(&running, &connect("up.example", 443)).0 == Reply::Connected);
    assert!(again, "places come back");
}

#[test]
fn an_idle_upstream_connection_ends() {
    let running = reaching_an_upstream("idle_seconds = 1");
    let (reply, stream) = answer(&running, &connect("up.example", 443));
    assert_eq!(reply, Reply::Connected);
    assert!(is_closed(stream));
}

#[test]
fn endorsements_are_handed_over_whole() {
    let (_, vendor) = enclave(|mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let body = vec![b'c'; 100_000];
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").unwrap();
        stream.write_all(&body).unwrap();
    });
    let running = start(
        &egress(&format!("[endorsements]\ncache = \"FOLDER/cache\"\namd_kds = \"http://{vendor}\"")),
        "",
    );
    let request = Request::Endorsements(EndorsementQuery::AmdChain { product: AmdProduct::Genoa }).encode();
    for _ in 0..2 {
        let (reply, mut stream) = answer(&running, &request);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(reply, Reply::Endorsements { length: u32::try_from(rest.len()).unwrap() });
        let document = EndorsementDocument::decode(&rest).unwrap();
        assert_eq!((document.issuer_chain.len(), document.body), (0, &vec![b'c'; 100_000][..]));
    }
    assert_eq!(std::fs::read_dir(running.folder.path().join("cache")).unwrap().count(), 1);
}

#[test]
fn without_a_fetcher_endorsements_are_unavailable() {
    let running = reaching_an_upstream("");
    let (reply, stream) = answer(&running, &Request::Endorsements(EndorsementQuery::IntelRootCrl).encode());
    assert_eq!(reply, Reply::Unavailable { reason: Unavailability::NotConfigured });
    assert!(is_closed(stream));
}

/// A request in flight may need an upstream after the drain began.
#[test]
fn the_way_out_stays_open_during_a_drain() {
    let (address, upstream) = enclave(echo);
    let text = ingress("").replace("drain_seconds = 1", "drain_seconds = 20")
        + &egress(&format!("allow = [\"up.example:1\"]\nresolve = {{ \"up.example:1\" = \"{upstream}\" }}"));
    let Running { host, folder } = start(&text, &address);
    let mut client = std::net::TcpStream::connect(host.ingress()[0]).unwrap();
    assert_eq!(ask(&mut client, b"x"), b"x");
    let listen = host.ingress()[0];
    let draining = thread::spawn(move || host.drain(|| false));
    assert!(support::eventually(|| std::net::TcpStream::connect(listen).is_err()));
    let mut stream = UnixStream::connect(folder.path().join("egress.sock")).unwrap();
    stream.write_all(&connect("up.example", 1)).unwrap();
    assert_eq!(reply(&mut stream), Reply::Connected);
    drop(client);
    assert_eq!(draining.join().unwrap(), 0);
    assert!(!folder.path().join("egress.sock").exists(), "the socket file is gone");
}
