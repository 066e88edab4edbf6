//! Copies of some requests for a deployment on trial. Nobody gets its answers; only numbers are kept. A copy is bound by
//! the same policy as the request, exposes no more than the answer did, and is left out where it would have to wait.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::health::minute::{Amount, SlidingMinute};
use super::tree::{Dice, FeaturesOnce, Leaf, Question};
use super::{Models, Routed, features, filter};
use crate::clock::Now;
use crate::deployment::Deployment;

/// How many copies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowSettings {
    /// Share of requests.
    pub percent: u32,
    /// Most copies at the same time.
    pub max_in_flight: u32,
    /// Most copies in a minute.
    pub requests_per_minute: u64,
}

/// A deployment on trial.
pub struct Shadow {
    /// The deployment.
    pub leaf: Leaf,
    settings: ShadowSettings,
    in_flight: AtomicU32,
    minute: Mutex<SlidingMinute>,
}

/// Leave for one copy; given back when dropped.
pub struct Permit {
    shadow: Arc<Shadow>,
}

impl Shadow {
    /// No copies made yet.
    pub fn new(leaf: Leaf, settings: ShadowSettings) -> Self {
        Self { leaf, settings, in_flight: AtomicU32::new(0), minute: Mutex::default() }
    }

    /// Copies under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn admit(self: &Arc<Self>, now: Now) -> Option<Permit> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit { shadow: Arc::clone(self) };
        if before >= self.settings.max_in_flight {
            return None;
        }
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.used(now.monotonic).requests >= self.settings.requests_per_minute {
            return None;
        }
        minute.add(Amount { requests: 1, tokens: 0 }, now.monotonic);
        Some(permit)
    }
}

impl Permit {
    /// Who is on trial.
    pub fn leaf(&self) -> &Leaf {
        &self.shadow.leaf
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shadow.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Leave to copy a request that `served` answers, if its model has a deployment on trial, the dice say so and nothing
/// speaks against it.
pub fn permit(routed: &Routed, served: &Deployment, models: &Models, draw: u64, now: Now) -> Option<Permit> {
    let shadow = routed.model().shadow.as_ref()?;
    let dice = Dice::new(draw);
    let chosen = dice.below(100) < usize::try_from(shadow.settings.percent).unwrap_or(100);
    let admitted = routed.missed().screened().admitted();
    let request = admitted.request();
    if !chosen || shadow.leaf.deployment.exposure > served.exposure || !features::may_be_doubled(request) {
        return None;
    }
    let question = Question {
        request,
        key: admitted.key(),
        wishes: routed.wishes(),
        labels: routed.missed().screened().labels(),
        now,
        dice: &dice,
        leaves: std::slice::from_ref(&shadow.leaf),
        features: &FeaturesOnce::new(request),
    };
    let allowed = filter::policy(&question, models.ceilings(), &mut |_, _| {}).ok()?;
    let eligible = filter::condition(&question, allowed, &mut |_, _| {}).ok()?;
    if eligible.relaxed { None } else { shadow.admit(now) }
}
