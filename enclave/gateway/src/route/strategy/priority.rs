//! The configuration's order: the first that works. Members may be branches, so each can be a tier of its own.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::tree::Question;

/// Makes [`Priority`].
pub struct PriorityKind;

impl StrategyKind for PriorityKind {
    fn name(&self) -> &'static str {
        "priority"
    }

    fn configure(&self, _: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        Ok(Box::new(Priority))
    }
}

/// Keeps the order as configured.
pub struct Priority;

impl Strategy for Priority {
    fn order(&self, _: &Question<'_>, _: &mut Vec<Candidate>) {}
}
