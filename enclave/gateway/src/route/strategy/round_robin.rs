//! Everyone in turn.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::tree::Question;
use crate::route::turns::Turns;

/// Makes [`RoundRobin`].
pub struct RoundRobinKind;

impl StrategyKind for RoundRobinKind {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        Ok(Box::new(RoundRobin { turns: Turns::new(vec![1; settings.members.len()]) }))
    }
}

/// Gives each member the same share.
pub struct RoundRobin {
    turns: Turns,
}

impl Strategy for RoundRobin {
    fn any_will_do(&self) -> bool {
        true
    }

    fn order(&self, _: &Question<'_>, candidates: &mut Vec<Candidate>) {
        self.turns.order(candidates);
    }
}
