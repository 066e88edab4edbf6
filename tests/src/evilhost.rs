//! The host as an adversary: a relay that replaces `postern-host` and does to each connection what its plan says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use link::{Refusal, Reply, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

pub use faults::{End, Fault, Faults};

mod faults;

/// What becomes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where it really goes; the usual enclave unless stated.
    pub enclave: Option<SocketAddr>,
    /// What happens to the bytes of the client.
    pub to_enclave: Vec<Fault>,
    /// What happens to the bytes of the enclave.
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
    let (client_in, client_out) = client.into_split();
    let (enclave_in, enclave_out) = enclave.into_split();
    let up = pump(client_in, enclave_out, Faults::new(plan.to_enclave), |count, _| {
        seen.from_clients.fetch_add(count, Ordering::SeqCst);
    });
    let down = pump(enclave_in, client_out, Faults::new(plan.to_client), |count, records| {
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

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut into: tokio::net::tcp::OwnedWriteHalf,
    mut faults: Faults,
    count: impl Fn(usize, usize),
) -> Finished {
    let mut buffer = vec![0; 64 * 1024];
    let mut out = Vec::new();
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
        out.clear();
        let before = faults.records();
        let end = faults.apply(&buffer[..read], &mut out);
        count(read, faults.records() - before);
        if into.write_all(&out).await.is_err() {
            return Finished::Cut;
        }
        match end {
            None => {}
            Some(End::Fin) => {
                let _closed = into.shutdown().await;
                // Let the other end read what came before.
                tokio::time::sleep(PATIENCE).await;
                return Finished::Cut;
            }
            Some(End::Reset) => {
                // Reset only after the bytes before it are out, or they would be lost with it.
                tokio::time::sleep(Duration::from_millis(2)).await;
                let _set = socket2::SockRef::from(into.as_ref()).set_linger(Some(Duration::ZERO));
                return Finished::Cut;
            }
        }
    }
}

/// Where the enclave's connection to a host and port really goes.
pub type Route = Arc<dyn Fn(&str, u16) -> Option<SocketAddr> + Send + Sync>;

/// The way out of an enclave, on a thread of its own: answers connect requests and relays to wherever `route` says.
pub fn egress(socket: &Path, route: Route) {
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("a socket in a new folder");
    listener.set_nonblocking(true).expect("a socket can be set up");
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async move {
            let listener = UnixListener::from_std(listener).expect("inside a runtime");
            while let Ok((enclave, _)) = listener.accept().await {
                tokio::spawn(way_out(enclave, Arc::clone(&route)));
            }
        });
    });
}

async fn way_out(mut enclave: UnixStream, route: Route) {
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
        let _relayed = copy_bidirectional(&mut enclave, &mut upstream).await;
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
