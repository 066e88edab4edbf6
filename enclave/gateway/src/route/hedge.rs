//! Asking a second deployment while the first is slow, for models that are configured so. The first content wins; the
//! other call is cancelled and still counted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::health::breaker::Phase;
use super::{Leaf, Model, Routed, features};

/// When a second deployment is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeSettings {
    /// When it starts.
    pub start: Start,
    /// Most hedges as a percentage of the model's requests.
    pub budget_percent: u32,
    /// For streams.
    pub streams: bool,
    /// For buffered answers.
    pub buffered: bool,
}

/// When the second call starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Together with the first.
    AtOnce,
    /// After this time.
    After(Duration),
    /// After the time within which nineteen of twenty of the first deployment's calls have their first content; not, as
    /// long as it has had fewer than [`super::health::ENOUGH_SAMPLES`].
    Percentile95,
}

/// Bounds the hedges of a model.
#[derive(Debug, Default)]
pub struct HedgeBudget {
    /// Hundredths of a hedge.
    level: Mutex<u64>,
}

/// A hedge, in the budget's unit.
const HEDGE: u64 = 100;
/// Most that is saved up.
const FULL: u64 = 5 * HEDGE;

impl HedgeBudget {
    /// A request has come.
    pub fn earn(&self, percent: u32) {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        *level = level.saturating_add(u64::from(percent)).min(FULL);
    }

    /// Takes one hedge, if there is one.
    pub fn spend(&self) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = level.checked_sub(HEDGE);
        *level = rest.unwrap_or(*level);
        rest.is_some()
    }
}

/// After what time a second call may start, if at all.
pub fn delay(routed: &Routed, first: &Leaf) -> Option<Duration> {
    let settings = routed.model().settings.hedge?;
    let request = routed.missed().screened().admitted().request();
    let in_scope = if request.stream { settings.streams } else { settings.buffered };
    if !in_scope || !features::may_be_doubled(request) || is_strained(routed.model()) {
        return None;
    }
    match settings.start {
        Start::AtOnce => Some(Duration::ZERO),
        Start::After(time) => Some(time),
        Start::Percentile95 => first.health.first_content_95(),
    }
}

/// Whom to ask besides `first`: the next of the plan elsewhere that exposes no more.
pub fn second(routed: &Routed, turn: usize) -> Option<usize> {
    let first = &routed.leaf(turn)?.deployment;
    let after = turn.saturating_add(1);
    (after..super::tree::MAX_LEAVES).map_while(|turn| Some((turn, routed.leaf(turn)?))).find_map(
        |(turn, leaf)| {
            let own = &leaf.deployment;
            let elsewhere = own.provider != first.provider
                || own.region != first.region
                || own.endpoint != first.endpoint;
            (elsewhere && own.exposure <= first.exposure).then_some(turn)
        },
    )
}

/// Whether the model has trouble enough without more calls.
fn is_strained(model: &Model) -> bool {
    let probing = |leaf: &Leaf| matches!(leaf.health.phase(), Phase::HalfOpen { .. });
    !model.queue.is_empty() || model.leaves.iter().any(probing)
}
