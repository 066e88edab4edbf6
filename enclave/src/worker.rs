//! What one worker thread needs to serve connections, and what all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::active::InForce;
use crate::agent::Agent;
use crate::config::Limits;
use crate::kept::Keeping;
use crate::provisioning::Provisioned;
use crate::tls::Acceptors;
use crate::upstream::Upstreams;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Taking connections.
    Serving,
    /// `readyz` says no; the listener is still open.
    Leaving,
    /// No new connections; requests in flight finish.
    Draining,
    /// Time is up: whatever is left is cut.
    Cutting,
}

/// Shared by all workers.
pub struct Shared {
    /// The attestation agent.
    pub agent: Agent,
    /// The configuration in force.
    pub in_force: InForce,
    /// What operators have given.
    pub provisioned: Provisioned,
    /// What outlives the process.
    pub keeping: Keeping,
    /// What one client may use.
    pub limits: Limits,
    /// Written by the signal handler.
    pub phase: watch::Sender<Phase>,
    /// Connections open now.
    pub connections: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// A place for one more connection, if there is one.
    pub fn admit_connection(self: &Arc<Self>) -> Option<ConnectionPlace> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = ConnectionPlace(Arc::clone(self));
        (before < self.limits.connections).then_some(place)
    }
}

/// Counts one open connection until it is dropped.
#[derive(Debug)]
pub struct ConnectionPlace(Arc<Shared>);

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker thread.
#[derive(Debug)]
pub struct Worker {
    /// Shared by all workers.
    pub shared: Arc<Shared>,
    /// This worker's upstream connections.
    pub upstreams: Upstreams,
    /// TLS acceptors.
    pub acceptors: Acceptors,
}
