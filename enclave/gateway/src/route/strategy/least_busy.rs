//! The member with the smallest part of its capacity in use.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong, best, sort_by_score};
use crate::route::tree::Question;

/// Makes [`LeastBusy`].
pub struct LeastBusyKind;

impl StrategyKind for LeastBusyKind {
    fn name(&self) -> &'static str {
        "least_busy"
    }

    fn configure(&self, _: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        Ok(Box::new(LeastBusy))
    }
}

/// Compares calls under way with `limits.max_in_flight`.
pub struct LeastBusy;

impl Strategy for LeastBusy {
    fn any_will_do(&self) -> bool {
        true
    }

    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        // Begins anywhere, so that equally idle members take turns.
        let start = question.dice.below(candidates.len());
        candidates.rotate_left(start);
        sort_by_score(candidates, |own| best(question, own, |leaf| Some(leaf.health.load())));
    }
}
