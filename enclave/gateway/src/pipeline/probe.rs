//! Looks into the health of deployments besides the calls of clients: asks for a list of models, which costs nothing. The
//! shell says when. A deployment that a probe finds ill is taken out like one whose breaker is open.

use std::collections::BTreeMap;

use crate::clock::Clock;
use crate::config::Gateway;
use crate::deployment::Probe;
use crate::plaintext::Plaintext;
use crate::provider;
use crate::race::{Won, race};
use crate::route::tree::Leaf;
use crate::upstream::{Progress, Upstream, UpstreamBody, UpstreamResponse};

/// Most bytes of a list of models that are read, so that its connection can be used again.
const MAX_LISTING: usize = 256 * 1024;

/// Deployments that are to be probed and how often, each once.
pub fn probed(gateway: &Gateway) -> Vec<(&Leaf, Probe)> {
    let leaves = gateway.models().iter().flat_map(|model| &model.leaves);
    let by_name: BTreeMap<&str, &Leaf> = leaves.map(|leaf| (&*leaf.deployment.name, leaf)).collect();
    by_name.into_values().filter_map(|leaf| Some((leaf, leaf.deployment.probe?))).collect()
}

/// Probes one of them. Takes no longer than its head may take, nor than until the next probe.
pub async fn probe<U: Upstream>(leaf: &Leaf, probe: Probe, upstream: &U, clock: &impl Clock) {
    let at = &leaf.deployment;
    let Some(call) = provider::listing(at) else { return };
    let asking = async {
        let Ok(response) = upstream.send(call).await else { return Some(false) };
        let verdict = verdict(response.status);
        read(response).await;
        verdict
    };
    let verdict = match race(asking, clock.sleep(at.timeouts.response_head.min(probe.interval))).await {
        Won::First(verdict) => verdict,
        Won::Second(()) => Some(false),
    };
    if let Some(is_well) = verdict {
        leaf.health.probed(is_well, probe.counts, clock.now());
    }
}

/// Whether a deployment is well that answers like this; nothing if that says nothing: to be asked too often is no illness.
const fn verdict(status: u16) -> Option<bool> {
    match status {
        408 | 429 => None,
        // It has no list of models, and is there to say so.
        501 => Some(true),
        // With the first of these calls would be refused in the same way.
        401..=403 | 500.. => Some(false),
        _ => Some(true),
    }
}

/// Reads what came to its end, which nobody looks at.
async fn read<B: UpstreamBody>(mut response: UpstreamResponse<B>) {
    let mut ignored = Plaintext::new(Vec::new());
    let mut length = 0_usize;
    while length < MAX_LISTING {
        match response.body.read(ignored.expose_mut()).await {
            Ok(Progress::Data) => {
                length = length.saturating_add(ignored.expose().len());
                ignored.expose_mut().clear();
            }
            Ok(Progress::End) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn only_what_speaks_of_health_counts() {
        for (status, wanted) in [
            (200, Some(true)),
            (404, Some(true)),
            (429, None),
            (408, None),
            (401, Some(false)),
            (503, Some(false)),
        ] {
            assert_eq!(verdict(status), wanted, "{status}");
        }
    }
}
