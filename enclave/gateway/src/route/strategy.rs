//! How candidates are ordered. A strategy is one file in `strategy/` and one line in [`STRATEGIES`].

use std::sync::Arc;

use crate::deployment::Deployment;

pub mod priority;

/// Every strategy, by the name the configuration uses.
pub const STRATEGIES: &[&dyn Strategy] = &[&priority::Priority];

/// A deployment that policy allows for this request.
pub struct Candidate {
    /// The deployment.
    pub deployment: Arc<Deployment>,
}

/// Orders candidates, best first. Never adds one.
pub trait Strategy: Sync {
    /// The name in the configuration.
    fn name(&self) -> &'static str;
    /// Orders; `draw` is a number to use as a die.
    fn order(&self, candidates: &mut [Candidate], draw: u64);
}

/// The strategy of that name.
pub fn find(name: &str) -> Option<&'static dyn Strategy> {
    STRATEGIES.iter().find(|strategy| strategy.name() == name).copied()
}
