//! The host as an adversary: a relay that replaces `postern-host` and does to each connection what its plan says.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use link::{Refusal, Reply, Request};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

pub use faults::{Action, End, Fault, Faults, Place};
use faults::{Moment, Stop};

mod faults;

/// What becomes of one connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Where it really goes; the usual enclave unless stated.
    pub enclave: Option<SocketAddr>,
    /// What happens to the bytes of the client; on the way out of an enclave, to those of the provider.
    pub to_enclave: Vec<Fault>,
    /// What happens to the bytes of the enclave, whoever they are for.
    pub to_client: Vec<Fault>,
    /// Answers the client's first bytes with these instead of relaying, and closes.
    pub answer: Option<Vec<u8>>,
}

/// Decides the plan of a connection from its number.
pub type Plans = Box<dyn Fn(usize) -> Plan + Send + Sync>;

/// What the relay saw, all connections together.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: AtomicUsize,
    /// Bytes from clients.
    pub from_clients: AtomicUsize,
    /// Bytes from enclaves, before any fault.
    pub from_enclaves: AtomicUsize,
    /// TLS records from enclaves.
    pub records: AtomicUsize,
}

/// A relay. It ends when dropped.
pub struct EvilHost {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What it saw.
    pub seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

impl EvilHost {
    /// A relay to the enclave at `enclave` that does nothing evil.
    pub async fn honest(enclave: SocketAddr) -> Self {
        Self::start(enclave, |_| Plan::default()).await
    }

    /// A relay with a plan for each connection, numbered from 0.
    pub async fn start(enclave: SocketAddr, plans: impl Fn(usize) -> Plan + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let plan = plans(number);
                tokio::spawn(relay(client, plan, enclave, Arc::clone(&shared)));
            }
        });
        Self { address, seen, accepting }
    }

    /// A relay with the plans of this script: JSON, a list of plans in the order of connections, the last of which holds for all
    /// later ones too.
    pub async fn scripted(enclave: SocketAddr, script: &str) -> Self {
        let plans: Vec<Plan> = serde_json::from_str(script).expect("a list of plans");
        Self::start(enclave, move |number| {
            plans.get(number).or_else(|| plans.last()).cloned().unwrap_or_default()
        })
        .await
    }

    /// Where clients connect, as text.
    pub fn dial(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for EvilHost {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(mut client: TcpStream, plan: Plan, usual: SocketAddr, seen: Arc<Seen>) {
    if let Some(answer) = plan.answer {
        let mut first = [0; 4096];
        let _ignored = client.read(&mut first).await;
        let _sent = client.write_all(&answer).await;
        let _closed = client.shutdown().await;
        // Leave the client time to read: closing with unread bytes would reset.
        let _rest = tokio::time::timeout(
            Duration::from_secs(2),
            tokio::io::copy(&mut client, &mut tokio::io::sink()),
        )
        .await;
        return;
    }
    let Ok(enclave) = TcpStream::connect(plan.enclave.unwrap_or(usual)).await else { return };
    let _set = (client.set_nodelay(true), enclave.set_nodelay(true));
    between(client.into_split(), enclave.into_split(), plan.to_enclave, plan.to_client, &seen).await;
}

/// Relays between the two ends, and does to either direction what is planned.
async fn between<N: AsFd, F: AsFd>(
    (near_in, near_out): (impl AsyncRead + Unpin, impl AsyncWrite + AsRef<N> + Unpin),
    (far_in, far_out): (impl AsyncRead + Unpin, impl AsyncWrite + AsRef<F> + Unpin),
    to_far: Vec<Fault>,
    to_near: Vec<Fault>,
    seen: &Seen,
) {
    let talk = Talk { began: Instant::now(), last: AtomicUsize::new(0) };
    let up = pump(near_in, far_out, Faults::new(to_far), talk.side(1), |count, _| {
        seen.from_clients.fetch_add(count, Ordering::SeqCst);
    });
    let down = pump(far_in, near_out, Faults::new(to_near), talk.side(2), |count, records| {
        seen.from_enclaves.fetch_add(count, Ordering::SeqCst);
        seen.records.fetch_add(records, Ordering::SeqCst);
    });
    let (up, down) = (std::pin::pin!(up), std::pin::pin!(down));
    // A direction that was cut by its plan takes the connection with it; an ordinary end is only half of one.
    match both(up, down).await {
        Finished::Cut => {}
        Finished::Ordinary => tokio::time::sleep(Duration::from_millis(1)).await,
    }
}

/// Who has the word on a connection, and how long it has lasted.
struct Talk {
    began: Instant,
    /// The side that spoke last; 0 before anybody has.
    last: AtomicUsize,
}

impl Talk {
    /// What tells this side when its bytes come.
    fn side(&self, own: usize) -> impl Fn() -> Moment + '_ {
        move || Moment {
            begins_message: self.last.swap(own, Ordering::SeqCst) != own,
            elapsed: self.began.elapsed(),
        }
    }
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    /// By its plan.
    Cut,
    /// The sender was done.
    Ordinary,
}

/// Waits for both directions, or for the first that was cut.
async fn both(
    mut up: std::pin::Pin<&mut impl Future<Output = Finished>>,
    mut down: std::pin::Pin<&mut impl Future<Output = Finished>>,
) -> Finished {
    let other = tokio::select! {
        finished = &mut up => (finished, true),
        finished = &mut down => (finished, false),
    };
    match other {
        (Finished::Cut, _) => Finished::Cut,
        (Finished::Ordinary, true) => down.await,
        (Finished::Ordinary, false) => up.await,
    }
}

async fn pump<S: AsFd>(
    mut from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + AsRef<S> + Unpin,
    mut faults: Faults,
    now: impl Fn() -> Moment,
    count: impl Fn(usize, usize),
) -> Finished {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // Once bytes are missing, both ends may wait for ever; the relay does not.
        let patience = if faults.has_struck() { PATIENCE } else { Duration::from_mins(10) };
        let read = match tokio::time::timeout(patience, from.read(&mut buffer)).await {
            Err(_) => {
                let _flushed = into.write_all(&faults.flush()).await;
                return Finished::Cut;
            }
            Ok(Err(_)) => return Finished::Cut,
            Ok(Ok(0)) => {
                let _flushed = into.write_all(&faults.flush()).await;
                let _half_closed = into.shutdown().await;
                return Finished::Ordinary;
            }
            Ok(Ok(read)) => read,
        };
        let before = faults.records();
        let end = pass_on(&buffer[..read], &mut into, &mut faults, now()).await;
        count(read, faults.records() - before);
        match end {
            Ok(None) => {}
            Err(_) => return Finished::Cut,
            Ok(Some(End::Fin)) => {
                let _closed = into.shutdown().await;
                // Let the other end read what came before.
                tokio::time::sleep(PATIENCE).await;
                return Finished::Cut;
            }
            Ok(Some(End::Reset)) => {
                // Reset only after the bytes before it are out, or they would be lost with it.
                tokio::time::sleep(Duration::from_millis(2)).await;
                let _set = socket2::SockRef::from(into.as_ref()).set_linger(Some(Duration::ZERO));
                return Finished::Cut;
            }
        }
    }
}

/// Sends what becomes of a piece, and waits where it is held back; says whether the direction ends with it.
async fn pass_on(
    piece: &[u8],
    into: &mut (impl AsyncWrite + Unpin),
    faults: &mut Faults,
    mut moment: Moment,
) -> std::io::Result<Option<End>> {
    let mut rest = piece;
    loop {
        let mut out = Vec::new();
        let stop = faults.apply(rest, moment, &mut out);
        into.write_all(&out).await?;
        match stop {
            None => return Ok(None),
            Some(Stop::End(end)) => return Ok(Some(end)),
            Some(Stop::Delay(taken, time)) => {
                tokio::time::sleep(time).await;
                rest = &rest[taken..];
                moment = Moment { begins_message: false, elapsed: moment.elapsed + time };
            }
        }
    }
}

/// Where the enclave's connection to a host and port really goes.
pub type Route = Arc<dyn Fn(&str, u16) -> Option<SocketAddr> + Send + Sync>;

/// The way out of an enclave, on a thread of its own: answers connect requests and relays to wherever `route` says, each
/// connection by its plan, in the order in which they come. Later ones are honest.
pub fn egress(socket: &Path, route: Route, plans: Vec<Plan>) {
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("a socket in a new folder");
    listener.set_nonblocking(true).expect("a socket can be set up");
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async move {
            let listener = UnixListener::from_std(listener).expect("inside a runtime");
            let mut plans = plans.into_iter();
            while let Ok((enclave, _)) = listener.accept().await {
                let plan = plans.next().unwrap_or_default();
                tokio::spawn(way_out(enclave, Arc::clone(&route), plan));
            }
        });
    });
}

async fn way_out(mut enclave: UnixStream, route: Route, plan: Plan) {
    let Some(Request::Connect { host, port }) = read_request(&mut enclave).await else {
        let refused = Reply::Refused { reason: Refusal::NotAllowed };
        let _told = enclave.write_all(&refused.encode()).await;
        return;
    };
    let connected = match route(host.as_str(), port) {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut upstream) = connected else {
        let _told = enclave.write_all(&Reply::Refused { reason: Refusal::NotAllowed }.encode()).await;
        return;
    };
    let _set = upstream.set_nodelay(true);
    if enclave.write_all(&Reply::Connected.encode()).await.is_ok() {
        if plan.to_enclave.is_empty() && plan.to_client.is_empty() {
            let _relayed = copy_bidirectional(&mut enclave, &mut upstream).await;
            return;
        }
        let seen = Seen::default();
        between(upstream.into_split(), enclave.into_split(), plan.to_enclave, plan.to_client, &seen).await;
    }
}

async fn read_request(from: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some((request, _)) = Request::decode(&bytes).ok()? {
            return Some(request);
        }
        let mut one = [0; 1];
        from.read_exact(&mut one).await.ok()?;
        bytes.push(one[0]);
    }
}

/// How long the relay waits for more bytes after a fault, before it ends the connection.
const PATIENCE: Duration = Duration::from_millis(15);
