//! Probes deployments whose configuration asks for it, while the process serves: one task, on the first worker.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway::pipeline::{probe, probed};
use tokio::time::{Instant, sleep};

use crate::clock::{ProcessClock, deadline};
use crate::worker::{Phase, Worker};

/// How often it is looked whose turn it is.
const STEP: Duration = Duration::from_millis(250);

/// Probes each deployment in its turn; a probe that takes its time keeps no other waiting.
pub async fn keep_probing(worker: Rc<Worker>) {
    let mut due: BTreeMap<Arc<str>, Instant> = BTreeMap::new();
    while worker.shared.phase() < Phase::Draining {
        let active = worker.shared.in_force.now();
        let now = Instant::now();
        // Where secrets are still to be given there is no gateway yet.
        for (leaf, how) in active.gateway.iter().flat_map(|gateway| probed(gateway)) {
            let name = &leaf.deployment.name;
            if due.get(name).is_some_and(|due| *due > now) {
                continue;
            }
            due.insert(Arc::clone(name), deadline(how.interval));
            let (worker, leaf) = (Rc::clone(&worker), leaf.clone());
            tokio::task::spawn_local(async move {
                probe(&leaf, how, &worker.upstreams, ProcessClock::shared()).await;
            });
        }
        due.retain(|_, due| *due > now);
        drop(active);
        sleep(STEP).await;
    }
}
