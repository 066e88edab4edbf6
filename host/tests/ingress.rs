//! Clients to enclave, over real sockets.

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
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use support::{Running, ask, echo, enclave, eventually, ingress, is_closed, patient, start};

#[test]
fn bytes_pass_unchanged_over_tcp() {
    let (address, _) = enclave(echo);
    let running = start(&ingress(""), &address);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let client = running.client();
    let mut writer = client.try_clone().unwrap();
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    patient(client).read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent);
    assert!(eventually(|| running.host.clients() == 0));
    assert_eq!(running.host.bytes_in_flight(), 0);
}

#[test]
fn bytes_pass_unchanged_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enclave.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
    });
    let running = start(&ingress(""), &format!("unix:{}", path.display()));
    assert_eq!(ask(&mut running.client(), b"hello"), b"hello");
}

#[test]
fn a_client_may_end_its_side_first() {
    let (address, _) = enclave(|mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(&[&question[..], b"!"].concat()).unwrap();
    });
    let running = start(&ingress(""), &address);
    let mut client = running.client();
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"all of it!");
}

#[test]
fn the_enclave_may_end_its_side_first() {
    let (heard, said) = mpsc::channel();
    let (address, _) = enclave(move |mut stream| {
        let mut first = [0; 2];
        stream.read_exact(&mut first).unwrap();
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        heard.send(rest).unwrap();
    });
    let running = start(&ingress(""), &address);
    let mut client = running.client();
    client.write_all(b"hi").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"bye");
    client.write_all(b"one more thing").unwrap();
    drop(client);
    assert_eq!(said.recv_timeout(support::PATIENCE).unwrap(), b"one more thing");
}

#[test]
fn a_reset_passes_through_as_a_reset() {
    let (address, _) = enclave(|mut stream| {
        stream.read_exact(&mut [0; 2]).unwrap();
        stream.write_all(b"half an ans").unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let running = start(&ingress(""), &address);
    let mut client = running.client();
    client.write_all(b"hi").unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "a broken answer must not look finished");
}

#[test]
fn a_client_that_goes_away_is_noticed_by_the_enclave() {
    let (gone, noticed) = mpsc::channel();
    let (address, _) = enclave(move |mut stream| {
        while stream.write_all(&[0; 1000]).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
        gone.send(()).unwrap();
    });
    let running = start(&ingress(""), &address);
    let mut client = running.client();
    client.write_all(b"hi").unwrap();
    client.read_exact(&mut [0; 3000]).unwrap();
    drop(client);
    noticed.recv_timeout(support::PATIENCE).unwrap();
    assert!(eventually(|| running.host.clients() == 0));
}

#[test]
fn a_slow_reader_holds_at_most_one_buffer_and_stops_the_enclave() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let (address, _) = enclave(move |mut stream| {
        stream.read_exact(&mut [0; 2]).unwrap();
        let piece = vec![7; 65536];
        while let Ok(written) = stream.write(&piece) {
            counter.fetch_add(written, Ordering::SeqCst);
        }
    });
    let running = start(&ingress(""), &address);
    let mut client = running.client();
    client.write_all(b"hi").unwrap();
    let mut before = 0;
    let stopped = eventually(|| {
        thread::sleep(Duration::from_millis(100));
        let now = sent.load(Ordering::SeqCst);
        let same = now == before && now > 0;
        before = now;
        same
    });
    assert!(stopped, "the enclave could write for ever");
    let held = running.host.bytes_in_flight();
    assert!((1..=256 * 1024).contains(&held), "{held} bytes held");
    // What the kernel's own buffers for two loopback sockets may take.
    assert!(before < 32 << 20, "{before} bytes taken in");
    client.read_exact(&mut vec![0; before]).unwrap();
    assert!(eventually(|| sent.load(Ordering::SeqCst) > before), "control: reading lets it go on");
}

#[test]
fn silence_ends_a_connection_and_talk_does_not() {
    let (address, _) = enclave(echo);
    let running = start(&ingress("idle_seconds = 1"), &address);
    let mut client = running.client();
    for _ in 0..8 {
        assert_eq!(ask(&mut client, b"."), b".");
        thread::sleep(Duration::from_millis(250));
    }
    let before = Instant::now();
    assert!(is_closed(&client));
    let silence = before.elapsed();
    assert!((500..2000).contains(&silence.as_millis()), "{silence:?}");
}

#[test]
fn who_says_nothing_never_reaches_the_enclave() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reached);
    let (address, _) = enclave(move |stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        echo(stream);
    });
    let running = start(&ingress("first_byte_seconds = 1"), &address);
    assert!(is_closed(running.client()));
    assert_eq!(reached.load(Ordering::SeqCst), 0);
    assert_eq!(ask(&mut running.client(), b"hi"), b"hi");
    assert_eq!(reached.load(Ordering::SeqCst), 1, "control");
}

#[test]
fn an_enclave_that_is_not_there_costs_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&ingress(""), &format!("unix:{}/none.sock", folder.path().display()));
    let mut client = running.client();
    client.write_all(b"hi").unwrap();
    assert!(is_closed(client));
    assert!(eventually(|| running.host.clients() == 0));
}

fn from(running: &Running, source: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&running.host.ingress()[0].into()).unwrap();
    patient(socket.into())
}

fn is_served(stream: &mut TcpStream) -> bool {
    drop(stream.write_all(b"x"));
    matches!(stream.read(&mut [0]), Ok(1))
}

#[test]
fn one_source_cannot_take_all_connections() {
    let (address, _) = enclave(echo);
    let running = start(&ingress("max_connections_per_source = 2"), &address);
    let mut open: Vec<_> = (0..2).map(|_| from(&running, "127.0.0.2")).collect();
    assert!(open.iter_mut().all(is_served));
    assert!(!is_served(&mut from(&running, "127.0.0.2")));
    assert!(is_served(&mut from(&running, "127.0.0.3")), "others are served");
    drop(open);
    assert!(eventually(|| is_served(&mut from(&running, "127.0.0.2"))), "places come back");
}

#[test]
fn one_source_cannot_open_connections_without_end() {
    let (address, _) = enclave(echo);
    let running = start(&ingress("new_connections_per_second_per_source = 5"), &address);
    let served = (0..20).filter(|_| is_served(&mut from(&running, "127.0.0.2"))).count();
    assert!((5..10).contains(&served), "{served}");
    assert!(is_served(&mut from(&running, "127.0.0.3")), "others are served");
}

#[test]
fn the_total_is_limited() {
    let (address, _) = enclave(echo);
    let running = start(&ingress("max_connections = 2"), &address);
    let mut open: Vec<_> = (2..4).map(|last| from(&running, &format!("127.0.0.{last}"))).collect();
    assert!(open.iter_mut().all(is_served));
    assert!(!is_served(&mut from(&running, "127.0.0.9")));
    assert_eq!(running.host.clients(), 2);
}

#[test]
fn a_drain_lets_clients_finish_and_takes_no_new_ones() {
    let (address, _) = enclave(echo);
    let running = start(&ingress("").replace("drain_seconds = 1", "drain_seconds = 20"), &address);
    let (listen, mut client) = (running.host.ingress()[0], running.client());
    assert_eq!(ask(&mut client, b"before"), b"before");
    let draining = thread::spawn(move || running.host.drain(|| false));
    assert!(eventually(|| TcpStream::connect(listen).is_err()));
    assert_eq!(ask(&mut client, b"during"), b"during");
    assert!(!draining.is_finished());
    drop(client);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_drain_ends_in_time_even_so() {
    let (address, _) = enclave(echo);
    let running = start(&ingress(""), &address);
    let mut client = running.client();
    assert_eq!(ask(&mut client, b"before"), b"before");
    let before = Instant::now();
    assert_eq!(running.host.drain(|| false), 1, "one client is cut off");
    assert!((900..3000).contains(&before.elapsed().as_millis()));
    assert!(is_closed(client));
}

#[test]
fn a_second_signal_ends_a_drain() {
    let (address, _) = enclave(echo);
    let running = start(&ingress("").replace("drain_seconds = 1", "drain_seconds = 60"), &address);
    let mut client = running.client();
    assert_eq!(ask(&mut client, b"before"), b"before");
    let before = Instant::now();
    assert_eq!(running.host.drain(|| true), 1);
    assert!(before.elapsed() < Duration::from_secs(5));
}
