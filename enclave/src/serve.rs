//! Worker threads, and the orderly end of the process.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::active::ReloadError;
use crate::admin::serve::{self as serve_admin, LateApi};
use crate::boot::Attested;
use crate::clock::{ProcessClock, deadline};
use crate::config::{Drain, KeyExchange};
use crate::host_link::HostLink;
use crate::ingress::{accept_loop, metrics};
use crate::kept::AtWork;
use crate::probe::keep_probing;
use crate::telemetry::{Event, emit};
use crate::tls::Acceptors;
use crate::transport::{Address, Listener, Listening};
use crate::upstream::Upstreams;
use crate::webhook;
use crate::wipe::wipe_stack;
use crate::worker::{Phase, Shared, Worker};

/// Worker threads that accept connections.
pub struct Serving {
    shared: Arc<Shared>,
    drain: Drain,
    threads: Vec<JoinHandle<()>>,
    admin: Option<Address>,
}

impl Serving {
    /// Starts the workers; all are accepting when this returns.
    ///
    /// # Errors
    /// What the kernel says when a thread or its runtime cannot be made.
    pub fn start(attested: Attested) -> std::io::Result<Self> {
        let Attested { shared, listening, metrics, admin } = attested;
        let active = shared.in_force.now();
        let config = &active.config;
        let workers = config.listen.workers.map_or_else(std::thread::available_parallelism, |workers| {
            std::num::NonZeroUsize::new(workers).ok_or_else(|| std::io::ErrorKind::InvalidInput.into())
        })?;
        let listening = Arc::new(listening);
        let mut metrics = metrics;
        let mut threads = Vec::new();
        let mut ready = Vec::new();
        for index in 0..workers.get() {
            let (accepting, is_accepting) = oneshot::channel();
            let seat = Seat {
                index,
                shared: Arc::clone(&shared),
                listening: Arc::clone(&listening),
                key_exchange: config.listen.key_exchange,
                host: config.host.egress.clone().map(HostLink::new),
                metrics: metrics.take(),
                accepting,
            };
            let name = format!("worker-{index}");
            threads.push(
                std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || seat.run())?,
            );
            ready.push(is_accepting);
        }
        for is_accepting in ready {
            is_accepting.blocking_recv().map_err(|_| std::io::Error::from(std::io::ErrorKind::Other))??;
        }
        emit(Event::Serving { workers: workers.get() });
        let (secrets, root_key) = (active.missing.len(), active.awaits_root_key());
        if secrets > 0 || root_key {
            emit(Event::AwaitsProvisioning { secrets, root_key });
        }
        let (admin, governing) = govern(&shared, admin)?;
        threads.extend(governing);
        Ok(Self { shared, drain: config.drain, threads, admin })
    }

    /// Where administrators are served, if they are.
    pub const fn admin_address(&self) -> Option<&Address> {
        self.admin.as_ref()
    }

    /// Reads the configuration again and puts it in force, or says why the one in force stays.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub fn reload(&self, path: &Path) -> Result<(), ReloadError> {
        self.shared.in_force.reload(path, &self.shared.provisioned.given())
    }

    /// Drains: says not ready, stops accepting, lets requests in flight finish, then cuts what is left.
    pub async fn stop(self) {
        let connections = || self.shared.connections.load(Ordering::Relaxed);
        self.shared.phase.send_replace(Phase::Leaving);
        sleep(Duration::from_secs(self.drain.delay_seconds)).await;
        emit(Event::Draining);
        self.shared.phase.send_replace(Phase::Draining);
        let limit = deadline(Duration::from_secs(self.drain.limit_seconds));
        while connections() > 0 && Instant::now() < limit {
            sleep(STEP).await;
        }
        let cut = connections();
        self.shared.phase.send_replace(Phase::Cutting);
        for thread in self.threads {
            // Not joined yet: a connection to the store may live on this runtime, and the last words to it go through there.
            while !thread.is_finished() {
                sleep(STEP).await;
            }
            // A worker that panicked has nothing left to wait for.
            drop(thread.join());
        }
        if let Some(state) = self.shared.keeping.at_work() {
            // Every worker is gone, so everything they settled is in the journal.
            state.finish().await;
        }
        emit(Event::Stopped { cut });
    }
}

/// Starts the thread that keeps the sealed store and the counters in step, and serves administrators.
fn govern(
    shared: &Arc<Shared>,
    listening: Option<Listening>,
) -> std::io::Result<(Option<Address>, Option<JoinHandle<()>>)> {
    let active = shared.in_force.now();
    let config = &active.config;
    if config.state.is_none() {
        return Ok((None, None));
    }
    let (mut admin, mut address) = (None, None);
    if let (Some(own), Some(listening)) = (&config.admin, listening) {
        address = Some(listening.local_address(&own.address));
        let api = LateApi::new(own.clone()).map_err(std::io::Error::other)?;
        admin = Some((listening, Arc::new(api)));
    }
    let (shared, key_exchange) = (Arc::clone(shared), config.listen.key_exchange);
    let run = move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().max_blocking_threads(2).build() else {
            return;
        };
        serve_admin::block_on(&runtime, governing(shared, admin, key_exchange));
    };
    let thread = std::thread::Builder::new().name("governor".into()).stack_size(STACK_BYTES).spawn(run)?;
    Ok((address, Some(thread)))
}

async fn governing(shared: Arc<Shared>, admin: Option<(Listening, Arc<LateApi>)>, key_exchange: KeyExchange) {
    let api = admin.as_ref().map(|(_, api)| Arc::clone(api));
    if let Some((listening, api)) = admin {
        let worker = Rc::new(Worker {
            shared: Arc::clone(&shared),
            upstreams: Upstreams::new(None),
            acceptors: Acceptors::new(key_exchange),
        });
        if let Ok(Some(listener)) = listening.on_worker(0) {
            drop(listening);
            tokio::task::spawn_local(serve_admin::serve(listener, api, worker));
        }
    }
    let mut phase = shared.phase.subscribe();
    let ended = async { drop(phase.wait_for(|phase| *phase == Phase::Cutting).await) };
    tokio::pin!(ended);
    let governed = tokio::select! {
        state = shared.keeping.once_open() => state.and_then(AtWork::governed),
        () = &mut ended => return,
    };
    let Some(governed) = governed else { return };
    let (governor, cursor) = (Arc::clone(&governed.governor), governed.cursor);
    let host = shared.in_force.now().config.host.egress.clone().map(HostLink::new);
    let upstreams = Rc::new(Upstreams::new(host));
    if let Some(api) = api.and_then(|api| api.open(&governor, shared.agent.log())) {
        api.follow_keys(&upstreams);
        tokio::task::spawn_local(async move { api.sweep().await });
    }
    let (teller, told) = (Arc::clone(&governor), Arc::clone(&shared));
    let crossings = move || teller.governance().take_crossings();
    tokio::task::spawn_local(webhook::deliver(crossings, move || told.in_force.now(), upstreams));
    let follower = Arc::clone(&governor);
    tokio::task::spawn_local(async move { follower.follow(cursor).await });
    let lessor = Arc::clone(&governor);
    tokio::task::spawn_local(async move { lessor.lease().await });
    ended.await;
    // What requests in flight took is told, and what is left of slices is given back.
    governor.release().await;
}

/// What one worker thread is made from; crosses into the thread, after which nothing is shared but `shared`.
struct Seat {
    index: usize,
    shared: Arc<Shared>,
    listening: Arc<Listening>,
    key_exchange: KeyExchange,
    host: Option<HostLink>,
    /// For the first worker only.
    metrics: Option<Listening>,
    accepting: oneshot::Sender<std::io::Result<()>>,
}

impl Seat {
    fn run(self) {
        let runtime = match Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(8)
            .thread_stack_size(STACK_BYTES)
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return drop(self.accepting.send(Err(error))),
        };
        LocalSet::new().block_on(&runtime, self.serve());
    }

    async fn serve(self) {
        let listener = match self.listening.on_worker(self.index) {
            Ok(listener) => listener,
            Err(error) => return drop(self.accepting.send(Err(error))),
        };
        // The last copy closes the socket, and a drain begins with closing it: the kernel would go on accepting.
        drop(self.listening);
        let worker = Rc::new(Worker {
            shared: Arc::clone(&self.shared),
            upstreams: Upstreams::new(self.host),
            acceptors: Acceptors::new(self.key_exchange),
        });
        tokio::task::spawn_local(sweep(Rc::clone(&worker)));
        tokio::task::spawn_local(shadow(Rc::clone(&worker)));
        if self.index == 0 {
            tokio::task::spawn_local(keep_probing(Rc::clone(&worker)));
        }
        match self.metrics.map(|listening| listening.on_worker(0)).transpose() {
            Ok(listener) => spawn_metrics(listener.flatten(), &worker),
            Err(error) => return drop(self.accepting.send(Err(error))),
        }
        drop(self.accepting.send(Ok(())));
        if let Some(listener) = listener {
            accept_loop(listener, worker).await;
        }
        let mut phase = self.shared.phase.subscribe();
        drop(phase.wait_for(|phase| *phase == Phase::Cutting).await);
        let limit = deadline(CUT_TIME);
        while self.shared.connections.load(Ordering::Relaxed) > 0 && Instant::now() < limit {
            sleep(STEP).await;
        }
    }
}

/// Makes the calls to deployments on trial, while the process serves. They are in nobody's way: each is a task of its own,
/// and the gateway makes no more of them than the configuration says.
async fn shadow(worker: Rc<Worker>) {
    // Where secrets are still to be given there is no gateway, and so nothing to copy.
    let shadows = loop {
        if let Some(gateway) = &worker.shared.in_force.now().gateway {
            break Arc::clone(gateway.shadows());
        }
        sleep(SWEEP).await;
    };
    while worker.shared.phase() < Phase::Draining {
        let call = shadows.next().await;
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            let active = worker.shared.in_force.now();
            let clock = ProcessClock::shared();
            if let Some(gateway) = &active.gateway {
                gateway::pipeline::shadow(call, gateway, &worker.upstreams, clock).await;
            }
            wipe_stack();
        });
    }
}

fn spawn_metrics(listener: Option<Listener>, worker: &Rc<Worker>) {
    let interval = worker.shared.in_force.now().config.metrics.as_ref().map(|own| own.interval_seconds);
    if let (Some(listener), Some(seconds)) = (listener, interval) {
        let interval = Duration::from_secs(seconds);
        tokio::task::spawn_local(metrics::serve(listener, interval, Rc::clone(worker)));
    }
}

/// Closes idle upstream connections, wipes the stack, and gives freed memory back when the last client has gone.
async fn sweep(worker: Rc<Worker>) {
    let mut was_quiet = true;
    loop {
        sleep(SWEEP).await;
        worker.upstreams.sweep();
        // Connections that stay open have finished requests too.
        wipe_stack();
        let is_quiet = worker.shared.connections.load(Ordering::Relaxed) == 0;
        if is_quiet && !was_quiet {
            postern_alloc::give_back();
        }
        was_quiet = is_quiet;
    }
}

/// Stack of each thread, in bytes. Stated, because the default can be set through the environment, which is the
/// host's.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// How often the end of the last connection is looked for.
const STEP: Duration = Duration::from_millis(10);
/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// How long cut streams may take to say why.
const CUT_TIME: Duration = Duration::from_secs(1);
