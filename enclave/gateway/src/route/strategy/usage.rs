//! The member with most left of its limits per minute.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong, best, sort_by_score};
use crate::route::tree::Question;

/// Makes [`Usage`].
pub struct UsageKind;

impl StrategyKind for UsageKind {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn configure(&self, _: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        Ok(Box::new(Usage))
    }
}

/// Compares what is left of `limits.requests_per_minute` and `limits.tokens_per_minute`; unlimited ones come first.
pub struct Usage;

impl Strategy for Usage {
    fn any_will_do(&self) -> bool {
        true
    }

    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        let start = question.dice.below(candidates.len());
        candidates.rotate_left(start);
        sort_by_score(candidates, |own| {
            best(question, own, |leaf| Some(-leaf.health.remaining(question.now)))
        });
    }
}
