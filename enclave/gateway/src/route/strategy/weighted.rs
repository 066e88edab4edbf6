//! Shares of traffic by weight.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::tree::Question;
use crate::route::turns::Turns;

/// Makes [`Weighted`].
pub struct WeightedKind;

/// Largest weight of a member.
pub const MAX_WEIGHT: u32 = 1_000_000;

impl StrategyKind for WeightedKind {
    fn name(&self) -> &'static str {
        "weighted"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["weight"]
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        let weights: Vec<u32> = settings.members.iter().map(|member| member.weight.unwrap_or(1)).collect();
        if let Some(place) = weights.iter().position(|weight| *weight > MAX_WEIGHT) {
            let expected = format!("0 to {MAX_WEIGHT}");
            return Err(Wrong { member: Some(place), key: "weight", expected });
        }
        if weights.iter().all(|weight| *weight == 0) {
            let expected = "a weight above 0 for one member at least".to_owned();
            return Err(Wrong { member: Some(0), key: "weight", expected });
        }
        Ok(Box::new(Weighted { turns: Turns::new(weights) }))
    }
}

/// Gives each member its share; weight 0 gets nothing new, not even as a fallback.
pub struct Weighted {
    turns: Turns,
}

impl Strategy for Weighted {
    fn any_will_do(&self) -> bool {
        true
    }

    fn order(&self, _: &Question<'_>, candidates: &mut Vec<Candidate>) {
        self.turns.order(candidates);
    }
}
