//! Puts the parts on one single-threaded runtime per core, and takes them down in order.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
};

use crate::{
    address::Address,
    config::Config,
    egress::Egress,
    endorsements::{Endorsements, EndorsementsError},
    ingress::Ingress,
    log::{Event, Log},
    relay::InFlight,
    socket::Bound,
};

/// The running relay.
#[derive(Debug)]
pub struct Host {
    ingress: Vec<SocketAddr>,
    egress: Option<Address>,
    parts: Parts,
    in_flight: InFlight,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<()>>,
    drain: Duration,
    log: Arc<Log>,
}

/// What every worker serves.
#[derive(Clone, Debug)]
struct Parts {
    ingress: Option<Arc<Ingress>>,
    egress: Option<Arc<Egress>>,
}

/// Where the relay is in its life; only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// No new clients. The enclave still gets its connections: it has requests to finish.
    Draining,
    Stopped,
}

impl Host {
    /// Binds everything and starts the workers; when it returns, clients can connect.
    ///
    /// # Errors
    /// One line: code, place, what to do.
    pub fn start(config: &Config, log: Arc<Log>) -> Result<Self, HostError> {
        let workers = match config.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let in_flight = InFlight::default();
        let endorsements = match &config.endorsements {
            Some(endorsements) => Some(Arc::new(
                Endorsements::new(endorsements, Arc::clone(&log)).map_err(HostError::Endorsements)?,
            )),
            None => None,
        };
        let parts = Parts {
            ingress: config
                .ingress
                .as_ref()
                .map(|ingress| Arc::new(Ingress::new(ingress, in_flight.clone(), Arc::clone(&log)))),
            egress: config.egress.as_ref().map(|egress| {
                Arc::new(Egress::new(egress, endorsements, in_flight.clone(), Arc::clone(&log)))
            }),
        };
        let bound = Listening::bind(config)?;
        let (phase, watcher) = watch::channel(Phase::Serving);
        let mut host = Self {
            ingress: bound.ingress_addresses(),
            egress: bound.egress.as_ref().map(|egress| egress.address().clone()),
            parts,
            in_flight,
            phase,
            workers: Vec::with_capacity(workers),
            drain: config.drain(),
            log,
        };
        if let Some(Address::Tcp(address)) = &host.egress
            && !address.ip().is_loopback()
        {
            host.log.event(Event::EgressExposed);
        }
        let file_descriptors = raise_file_descriptors(config, &host.log);
        for listening in bound.for_workers(workers)? {
            host.workers.push(start_worker(listening, &host.parts, watcher.clone())?);
        }
        host.log.event(Event::Started { workers, file_descriptors });
        Ok(host)
    }

    /// Where clients connect, with the real ports.
    pub fn ingress(&self) -> &[SocketAddr] {
        &self.ingress
    }

    /// Where the enclave connects.
    pub fn egress(&self) -> Option<&Address> {
        self.egress.as_ref()
    }

    /// Client connections open now.
    pub fn clients(&self) -> usize {
        self.parts.ingress.as_ref().map_or(0, |ingress| ingress.open())
    }

    /// Bytes read and not yet written, over all connections.
    pub fn bytes_in_flight(&self) -> usize {
        self.in_flight.bytes()
    }

    /// Stops accepting clients, waits for those present (at most `drain_seconds`, or until `hurry` says so),
    /// then ends. Says how many clients were cut off.
    pub fn drain(mut self, mut hurry: impl FnMut() -> bool) -> usize {
        self.log.event(Event::Draining { connections: self.clients() });
        self.phase.send_replace(Phase::Draining);
        let deadline = Instant::now() + self.drain;
        while self.clients() > 0 && Instant::now() < deadline && !hurry() {
            thread::sleep(POLL);
        }
        let connections = self.clients();
        self.stop();
        self.log.flush_tally();
        self.log.event(Event::Stopped { connections });
        connections
    }

    fn stop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing left to stop.
            drop(worker.join());
        }
        if let Some(path) = self.egress.as_ref().and_then(Address::socket_file) {
            // Somebody else may have tidied up.
            drop(fs::remove_file(path));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.stop();
        }
    }
}

/// Bound sockets for one worker, or the first of each for all.
struct Listening {
    ingress: Vec<Bound>,
    egress: Option<Bound>,
}

impl Listening {
    fn bind(config: &Config) -> Result<Self, HostError> {
        let bind = |address: &Address, field: &'static str| {
            Bound::new(address).map_err(|error| HostError::Bind {
                field,
                address: address.to_string(),
                kind: error.kind(),
            })
        };
        let listen = config.ingress.iter().flat_map(|ingress| &ingress.listen);
        let ingress = listen.map(|&address| bind(&Address::Tcp(address), "ingress.listen"));
        let ingress = ingress.collect::<Result<_, _>>()?;
        let egress = match &config.egress {
            Some(egress) => Some(bind(&egress.listen, "egress.listen")?),
            None => None,
        };
        Ok(Self { ingress, egress })
    }

    fn ingress_addresses(&self) -> Vec<SocketAddr> {
        let tcp = |bound: &Bound| match bound.address() {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) | Address::Vsock { .. } | Address::Hvsock { .. } => None,
        };
        self.ingress.iter().filter_map(tcp).collect()
    }

    fn for_workers(self, workers: usize) -> Result<Vec<Self>, HostError> {
        let mut all = Vec::with_capacity(workers);
        for _ in 1..workers {
            let ingress = self.ingress.iter().map(Bound::another).collect::<Result<_, _>>();
            let egress = self.egress.as_ref().map(Bound::another).transpose();
            let (ingress, egress) = ingress
                .and_then(|ingress| egress.map(|egress| (ingress, egress)))
                .map_err(|error| HostError::Worker { kind: error.kind() })?;
            all.push(Self { ingress, egress });
        }
        all.push(self);
        Ok(all)
    }
}

fn start_worker(
    listening: Listening,
    parts: &Parts,
    phase: watch::Receiver<Phase>,
) -> Result<JoinHandle<()>, HostError> {
    let failed = |error: io::Error| HostError::Worker { kind: error.kind() };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(failed)?;
    let (ingress, egress) = adopt(listening, parts, &runtime).map_err(failed)?;
    thread::Builder::new()
        .name("relay".to_owned())
        .spawn(move || work(runtime, ingress, egress, phase))
        .map_err(failed)
}

/// Starts accepting on the worker's runtime.
fn adopt(listening: Listening, parts: &Parts, runtime: &Runtime) -> io::Result<(JoinSet<()>, JoinSet<()>)> {
    let _inside = runtime.enter();
    let (mut ingress, mut egress) = (JoinSet::new(), JoinSet::new());
    if let Some(serves) = &parts.ingress {
        for bound in listening.ingress {
            ingress.spawn(Arc::clone(serves).accept(bound.into_listener()?));
        }
    }
    if let (Some(serves), Some(bound)) = (&parts.egress, listening.egress) {
        egress.spawn(Arc::clone(serves).accept(bound.into_listener()?));
    }
    Ok((ingress, egress))
}

fn work(runtime: Runtime, mut ingress: JoinSet<()>, egress: JoinSet<()>, mut phase: watch::Receiver<Phase>) {
    runtime.block_on(async {
        // An error means that the sender is gone, which is as good as a stop.
        drop(phase.wait_for(|phase| *phase >= Phase::Draining).await);
        ingress.shutdown().await;
        drop(phase.wait_for(|phase| *phase >= Phase::Stopped).await);
        drop(egress);
    });
    // Cuts off what is left; a name look-up that hangs is not waited for.
    runtime.shutdown_background();
}

/// Allows as many file descriptors as may be, and says so when that is fewer than the limits can need.
fn raise_file_descriptors(config: &Config, log: &Log) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the present limit, which is what gets reported.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let ingress = config.ingress.as_ref().map_or(0, |ingress| ingress.max_connections);
    let egress = config.egress.as_ref().map_or(0, |egress| egress.max_connections);
    let wanted = u64::try_from(ingress.saturating_add(egress).saturating_mul(2)).unwrap_or(u64::MAX);
    if wanted > limit {
        log.event(Event::FewFileDescriptors { limit, wanted });
    }
    limit
}

/// Why the relay did not start, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// A listener could not be bound.
    Bind {
        /// Field of the configuration.
        field: &'static str,
        /// The address.
        address: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The cache or a base URL.
    Endorsements(EndorsementsError),
    /// A thread or its runtime could not be started.
    Worker {
        /// What the system said.
        kind: io::ErrorKind,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { field, address, kind } => {
                #[expect(clippy::wildcard_enum_match_arm, reason = "the system has dozens more")]
                let hint = match kind {
                    io::ErrorKind::AddrInUse => "stop the other program or choose another address",
                    io::ErrorKind::AlreadyExists => "a file that is no socket is there; choose another path",
                    io::ErrorKind::PermissionDenied => "choose a port above 1023, or a folder you may write",
                    io::ErrorKind::NotFound => "make the folder first",
                    _ => "check the address",
                };
                write!(f, "HOST_BIND: {field}: cannot listen on {address}: {kind}; {hint}")
            }
            Self::Endorsements(EndorsementsError::Cache(folder, kind)) => write!(
                f,
                "HOST_CACHE: endorsements.cache: cannot write {folder}: {kind}; name a folder this user may write"
            ),
            Self::Endorsements(EndorsementsError::Url(field)) => {
                write!(f, "HOST_URL: {field}: not a base URL; write it as in \"https://kdsintf.amd.com\"")
            }
            Self::Worker { kind } => {
                write!(f, "HOST_WORKER: cannot start a worker: {kind}; lower `workers` or raise the limits")
            }
        }
    }
}

impl std::error::Error for HostError {}

/// Threads of one worker for name look-ups and the cache.
const BLOCKING_THREADS: usize = 8;

/// How often a drain looks whether it is done.
const POLL: Duration = Duration::from_millis(10);
