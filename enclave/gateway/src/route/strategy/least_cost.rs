//! The cheapest member for this request, by the prices of the catalogue or the configuration.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong, best, sort_by_score};
use crate::route::health::float;
use crate::route::tree::Question;

/// Makes [`LeastCost`].
pub struct LeastCostKind;

/// Output tokens expected where the client sets no limit.
const USUAL_OUTPUT: u64 = 500;

impl StrategyKind for LeastCostKind {
    fn name(&self) -> &'static str {
        "least_cost"
    }

    fn configure(&self, _: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        Ok(Box::new(LeastCost))
    }
}

/// Compares input tokens times their price plus expected output times its price. A member whose price is unknown comes
/// last: unknown is never cheap.
pub struct LeastCost;

impl Strategy for LeastCost {
    fn any_will_do(&self) -> bool {
        true
    }

    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        let features = question.features.get();
        let input = features.input_tokens;
        let output = features.max_output_tokens.unwrap_or(USUAL_OUTPUT).min(USUAL_OUTPUT);
        sort_by_score(candidates, |own| {
            best(question, own, |leaf| Some(float(leaf.deployment.price.as_ref()?.estimate(input, output).0)))
        });
    }
}
