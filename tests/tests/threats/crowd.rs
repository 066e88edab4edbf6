//! Row 26: ten thousand connections that want nothing but to be there, and one client who wants an answer.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestation::Nonce;
use attestation::binding::ChallengeRequest;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Http1, chat, post};
use postern_tests::memory::resident;
use postern_tests::programs::lasting_folder;
use postern_tests::tls::{self, Offer};
use postern_tests::{upstream, workspace};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

/// Connections that say nothing at all.
const SILENT: usize = 8200;
/// Connections of each kind that shakes hands first.
const EACH: usize = 450;
/// HTTP/2 connections that ask for a long answer and take one byte of it.
const TINY_WINDOWS: usize = 100;
/// Connections that ask for evidence as fast as they can.
const FLOODING: u8 = 32;
/// Descriptors that one process needs for that.
const DESCRIPTORS: usize = 12_000;
/// How long the enclave waits for connections that have begun something.
const LEAVING: Duration = Duration::from_mins(10);
/// What a connection may cost that says nothing, in bytes.
const PER_SILENT: usize = 24 << 10;
/// What a connection may cost that has shaken hands, in bytes: its buffers, its TLS session, the largest head.
const PER_TLS: usize = 96 << 10;
/// What an HTTP/2 connection may cost whose answer waits, in bytes.
const PER_TINY_WINDOW: usize = 768 << 10;
/// What the process may use besides, in bytes.
const BESIDES: usize = 64 << 20;

type Client = Http1<TlsStream<TcpStream>>;

/// Lets this process have that many descriptors; the enclave raises its own limit.
fn many_descriptors() -> bool {
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &own, &limit]).output();
    raised.is_ok_and(|output| output.status.success())
}

/// What one step of the crowd's coming cost the enclave.
struct Cost {
    what: &'static str,
    connections: usize,
    bytes: usize,
    bound: usize,
}

/// Takes down what each kind of connection costs.
struct Scales<'e> {
    enclave: &'e Enclave,
    before: usize,
    costs: Vec<Cost>,
}

impl Scales<'_> {
    fn weigh(&mut self, what: &'static str, connections: usize, bound: usize) {
        let now = resident(self.enclave.process.id()).unwrap();
        let bytes = now.saturating_sub(self.before);
        self.costs.push(Cost { what, connections, bytes, bound: connections * bound });
        self.before = now;
    }
}

async fn silent(enclave: &Enclave) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..SILENT {
        held.push(TcpStream::connect(enclave.address).await.unwrap());
    }
    held
}

/// Connections that have shaken hands and sent this.
async fn having_sent(enclave: &Enclave, bytes: &[u8]) -> Vec<Client> {
    let mut held = Vec::new();
    for _ in 0..EACH {
        let mut client = Http1::connect(enclave.address).await;
        client.send(bytes).await.unwrap();
        held.push(client);
    }
    held
}

/// HTTP/2 connections that ask for a long answer through a window of one byte.
async fn tiny_windows(enclave: &Enclave) -> Vec<tokio::task::JoinHandle<()>> {
    let mut held = Vec::new();
    for _ in 0..TINY_WINDOWS {
        let stream = tls::connect(enclave.address, Offer::http2().config()).await.unwrap();
        let mut settings = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        settings.initial_stream_window_size(1);
        let (mut sender, connection) = settings.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        held.push(tokio::spawn(async move {
            let request = http::Request::post("https://localhost/v1/chat/completions")
                .header("authorization", format!("Bearer {KEY}"))
                .body(Full::<Bytes>::from(chat("fake", true).to_string()))
                .unwrap();
            let answer = sender.send_request(request).await;
            // The head has come; of the body nothing is ever read.
            tokio::time::sleep(Duration::from_mins(10)).await;
            drop(answer);
        }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    held
}

/// Asks for evidence over and over, each on a connection of its own, until told to stop. Each gives back how many documents
/// came, and how many refusals with advice.
fn evidence_flood(address: SocketAddr, stop: &Arc<AtomicBool>) -> JoinSet<(usize, usize)> {
    let asking = |number: u8, stop: Arc<AtomicBool>| async move {
        let body = ChallengeRequest { nonce: Nonce::new([number; 32]) }.encode();
        let head = format!(
            "POST /.well-known/postern/evidence HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut client = Http1::connect(address).await;
        let (mut made, mut refused) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            client.send(&[head.as_bytes(), &body].concat()).await.unwrap();
            let answer = client.answer().await.unwrap();
            match answer.status {
                200 => made += 1,
                429 if answer.header("retry-after").is_some() => refused += 1,
                status => panic!("{status}"),
            }
        }
        (made, refused)
    };
    (0..FLOODING).map(|number| asking(number, Arc::clone(stop))).collect()
}

/// The longest that one of some requests took.
async fn served(enclave: &Enclave) -> Duration {
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let started = Instant::now();
        let mut client = Http1::connect(enclave.address).await;
        let answer = client.post("/v1/chat/completions", &chat("builtin", round % 2 == 0)).await;
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
        slowest = slowest.max(started.elapsed());
    }
    slowest
}

/// The same while others want nothing but evidence; and how many documents and refusals these got.
async fn served_in_a_flood(enclave: &Enclave) -> (Duration, usize, usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let flood = evidence_flood(enclave.address, &stop);
    let slowest = served(enclave).await;
    stop.store(true, Ordering::Relaxed);
    let counts = flood.join_all().await;
    let (made, refused) = counts.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    (slowest, made, refused)
}

/// Connections in all the ways to have begun and not go on.
async fn begun(enclave: &Enclave, scales: &mut Scales<'_>) -> Vec<Client> {
    let long_head = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nx-long: {}", "x".repeat(15 * 1024));
    let cut = post("/v1/chat/completions", &chat("builtin", true).to_string());
    let mut begun = Vec::new();
    for (what, bytes) in [
        ("that have shaken hands", &b""[..]),
        ("in the middle of a head", b"GET /v1/mod"),
        ("in the middle of a head of 15 KiB", long_head.as_bytes()),
        ("in the middle of a body", &cut[..cut.len() - 5]),
    ] {
        begun.extend(having_sent(enclave, bytes).await);
        scales.weigh(what, EACH, PER_TLS);
    }
    begun
}

fn report(costs: &[Cost], alone: usize, most: usize, before: Duration, among: Duration) -> String {
    let mut out = format!(
        "# A crowd\n\nThe run of {}.\n\nWritten by `cargo test -p postern-tests --test threats row_26` with `POSTERN_CROWD_REPORT=write`; the same run is part of every `cargo test`, unoptimised and on a\n\
busy machine. Resident memory of `postern-enclave` as the connections come, and stay.\n\n\
| connections | how many | KiB each | at most |\n|---|---|---|---|\n",
        workspace::today()
    );
    for cost in costs {
        let each = |bytes: usize| bytes / cost.connections / 1024;
        let _infallible = writeln!(
            out,
            "| {} | {} | {} | {} |",
            cost.what,
            cost.connections,
            each(cost.bytes),
            each(cost.bound)
        );
    }
    let _infallible = writeln!(
        out,
        "\n{} MiB resident before anybody came, {} MiB with all of them. The slowest of ten requests took {} ms before and {} ms among them.",
        alone >> 20,
        most >> 20,
        before.as_millis(),
        among.as_millis()
    );
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_26_ten_thousand_connections_leave_room_for_a_client() {
    if !many_descriptors() {
        println!("skipped: this process may not open {DESCRIPTORS} files");
        assert!(std::env::var_os("CI").is_none(), "continuous integration has to be able to");
        return;
    }
    let enclave = Enclave::with(&Setup {
        limits: format!(
            "connections = 11000\nheader_seconds = {0}\nbody_idle_seconds = {0}\nidle_seconds = 60",
            LEAVING.as_secs()
        ),
        before: format!("ulimit -n {DESCRIPTORS}"),
        evidence_per_second: Some(5),
        ..Setup::default()
    });
    let long = "word ".repeat(400);
    enclave.upstream.plan(move |_| upstream::stream(&[long.as_str(); 600]));
    let alone = resident(enclave.process.id()).unwrap();
    let unhindered = served(&enclave).await;
    let mut scales = Scales { enclave: &enclave, before: alone, costs: Vec::new() };
    let silent = silent(&enclave).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    scales.weigh("that say nothing", SILENT, PER_SILENT);
    let begun = begun(&enclave, &mut scales).await;
    let stuck = tiny_windows(&enclave).await;
    scales.weigh("of HTTP/2 that ask for a megabyte and take a byte", TINY_WINDOWS, PER_TINY_WINDOW);
    let all = silent.len() + begun.len() + stuck.len();
    let among = served(&enclave).await;
    let (flooded, made, refused) = served_in_a_flood(&enclave).await;
    let most = resident(enclave.process.id()).unwrap();
    let mut text = report(&scales.costs, alone, most, unhindered, among);
    let _infallible = writeln!(
        text,
        "With {FLOODING} of them asking for evidence as fast as they could, {} ms; they got {made} documents and {refused} refusals with advice.",
        flooded.as_millis()
    );
    let place = if std::env::var_os("POSTERN_CROWD_REPORT").is_some() {
        workspace::root().join("tests/crowd/REPORT.md")
    } else {
        lasting_folder().join("crowd.md")
    };
    std::fs::write(place, &text).unwrap();
    assert!(all >= 10_000, "{all} connections are no crowd");
    for cost in &scales.costs {
        assert!(cost.bytes < cost.bound + BESIDES, "{}\n{text}", cost.what);
    }
    let bound = alone + BESIDES + scales.costs.iter().map(|cost| cost.bound).sum::<usize>();
    assert!(most < bound, "{most} bytes, bound {bound}\n{text}");
    // The others stay for ten minutes and say nothing more: whoever waited for one of them would wait that long.
    assert!(among < LEAVING / 10, "an honest client waited {among:?}\n{text}");
    assert!(made > 0 && refused > made, "control: a flood that is served in full is none\n{text}");
    assert!(flooded < LEAVING / 10, "an honest client waited {flooded:?} in the flood\n{text}");
    // control: they are all still there, and cost something
    assert!(most > alone + 10 * 1024 * all / 10, "{text}");
    drop((silent, begun));
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
}
