//! Clients to enclave: accept, count, dial, copy. What passes is TLS that ends inside the enclave.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep, timeout},
};

use crate::{
    address::Address,
    config,
    limits::{Sources, Ticket, Total, Visit},
    log::{Event, Leg, Log, Reason},
    relay::{InFlight, relay},
    socket::{Listener, Peer, Stream},
};

/// What every worker's ingress shares.
#[derive(Debug)]
pub struct Ingress {
    enclave: Address,
    total: Arc<Total>,
    sources: Arc<Sources>,
    first_byte: Duration,
    connect: Duration,
    idle: Duration,
    in_flight: InFlight,
    log: Arc<Log>,
}

impl Ingress {
    /// From the configuration.
    #[must_use]
    pub fn new(config: &config::Ingress, in_flight: InFlight, log: Arc<Log>) -> Self {
        Self {
            enclave: config.enclave.clone(),
            total: Total::new(config.max_connections),
            sources: Sources::new(
                config.max_connections_per_source,
                config.new_connections_per_second_per_source,
            ),
            first_byte: Duration::from_secs(config.first_byte_seconds),
            connect: Duration::from_secs(config.connect_seconds),
            idle: Duration::from_secs(config.idle_seconds),
            in_flight,
            log,
        }
    }

    /// Client connections open now.
    pub fn open(&self) -> usize {
        self.total.open()
    }

    /// Accepts until the task is aborted.
    pub async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => accept_failed(&self.log, Leg::Ingress, &error).await,
            }
        }
    }

    fn admit(self: &Arc<Self>, client: Stream, peer: Peer) {
        let Peer::Tcp(peer) = peer else { return };
        let admitted = match self.total.enter() {
            Some(ticket) => {
                self.sources.enter(peer.ip(), std::time::Instant::now()).map(|visit| (ticket, visit))
            }
            None => Err(Reason::ConnectionLimit),
        };
        match admitted {
            Ok(places) => {
                // The task ends by itself; nobody waits for it.
                drop(tokio::spawn(Arc::clone(self).serve(client, places)));
            }
            Err(reason) => {
                client.abort_on_close();
                self.log.turned_away(Leg::Ingress, reason);
            }
        }
    }

    async fn serve(self: Arc<Self>, mut client: Stream, places: (Ticket, Visit)) {
        let started = Instant::now();
        // TLS clients speak first: who does not, never costs the enclave a connection.
        let mut early = Vec::with_capacity(FIRST_BYTES);
        match timeout(self.first_byte, client.read_buf(&mut early)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return,
            Err(_) => return self.log.turned_away(Leg::Ingress, Reason::NoFirstByte),
        }
        let Ok(Ok(mut enclave)) = timeout(self.connect, Stream::connect(&self.enclave)).await else {
            client.abort_on_close();
            self.log.turned_away(Leg::Ingress, Reason::EnclaveUnreachable);
            return;
        };
        let outcome = relay(&mut client, &mut enclave, early, self.idle, &self.in_flight).await;
        if outcome.reason != Reason::Complete {
            client.abort_on_close();
            enclave.abort_on_close();
        }
        self.log.event(Event::Closed {
            leg: Leg::Ingress,
            connection: connection_number(),
            reason: outcome.reason,
            bytes_up: outcome.up,
            bytes_down: outcome.down,
            duration_ms: milliseconds(started.elapsed()),
        });
        drop(places);
    }
}

/// Counts a failed accept, and pauses when the cause is on this side: it will not pass by itself at once.
pub(crate) async fn accept_failed(log: &Log, leg: Leg, error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        log.turned_away(leg, Reason::AcceptFailed);
        sleep(ACCEPT_PAUSE).await;
    }
}

/// The next connection number of this process.
pub(crate) fn connection_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whole milliseconds, as the log wants them.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Room for a hello with a post-quantum key share, so that it goes on in one piece.
const FIRST_BYTES: usize = 2048;

/// Pause after running out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
