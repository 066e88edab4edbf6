//! Bound channels between requests. Each carries one request at a time and is used again only after an answer that
//! ended properly, while its evidence is fresh and the connection has not idled long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::channel::VerifiedChannel;
use crate::error::{Error, NetworkFault, Step};
use crate::evidence_source::Verifier;

/// Channels to one gateway.
pub(super) struct Pool {
    verifier: Verifier,
    idle: Mutex<Vec<Idle>>,
    slots: Arc<Semaphore>,
}

struct Idle {
    channel: VerifiedChannel,
    since: Instant,
}

/// A channel in use. Dropping it closes the connection, which cancels what is in flight.
pub(super) struct Lease {
    pub(super) channel: VerifiedChannel,
    pool: Arc<Pool>,
    slot: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(verifier: Verifier) -> Arc<Self> {
        Arc::new(Self {
            verifier,
            idle: Mutex::new(Vec::new()),
            slots: Arc::new(Semaphore::new(MOST_CHANNELS)),
        })
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// An idle channel that is fit for use, or a new one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let waited = tokio::time::timeout(WAIT_TIME, Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = waited else {
            return Err(Error::Network { step: Step::Wait, fault: NetworkFault::TimedOut });
        };
        let channel = match self.take_idle() {
            Some(channel) => channel,
            None => self.verifier.connect().await?,
        };
        Ok(Lease { channel, pool: Arc::clone(self), slot })
    }

    /// Closes idle connections in time, until the pool is dropped.
    pub(super) fn spawn_reaper(self: &Arc<Self>) {
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REAP_EVERY).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.idle().retain(Idle::is_fit);
            }
        });
    }

    fn take_idle(&self) -> Option<VerifiedChannel> {
        let mut idle = self.idle();
        while let Some(candidate) = idle.pop() {
            if candidate.is_fit() && candidate.channel.is_ready() {
                return Some(candidate.channel);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_fit(&self) -> bool {
        self.since.elapsed() < self.channel.idle_limit()
            && !self.channel.is_expired()
            && !self.channel.is_closed()
    }
}

impl Lease {
    /// Returns the channel for another request, once the connection has settled.
    pub(super) fn give_back(self) {
        let Self { mut channel, pool, slot } = self;
        drop(slot);
        if channel.is_expired() || channel.is_closed() {
            return;
        }
        if channel.is_ready() {
            pool.idle().push(Idle { channel, since: Instant::now() });
            return;
        }
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE_TIME, channel.ready()).await {
                pool.idle().push(Idle { channel, since: Instant::now() });
            }
        });
    }
}

/// Connections to the gateway at once; further requests wait.
const MOST_CHANNELS: usize = 1024;
const REAP_EVERY: Duration = Duration::from_secs(1);
const SETTLE_TIME: Duration = Duration::from_secs(1);
const WAIT_TIME: Duration = Duration::from_secs(30);
