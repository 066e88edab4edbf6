//! The quickest member: the better of two chosen at random, by peak EWMA and calls under way.
//!
//! Two random choices instead of always the best keep a fleet of gateways from all running to the same one
//! (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong, best};
use crate::route::health::float;
use crate::route::tree::{Leaf, Question};

/// Makes [`LeastLatency`].
pub struct LeastLatencyKind;

/// Output tokens of a buffered answer where the client sets no limit.
const USUAL_OUTPUT: u64 = 500;

impl StrategyKind for LeastLatencyKind {
    fn name(&self) -> &'static str {
        "least_latency"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["buffer_percent"]
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        let buffer = settings.buffer_percent.unwrap_or(0);
        if buffer > 100 {
            return Err(Wrong { member: None, key: "buffer_percent", expected: "0 to 100".to_owned() });
        }
        Ok(Box::new(LeastLatency { tolerance: 1.0 + f64::from(buffer) / 100.0 }))
    }
}

/// Compares the expected time to the first content of a stream, or to the end of a buffered answer. Members of which
/// nothing is known count as average, so they are tried. Two within the buffer are equals, and chance decides.
pub struct LeastLatency {
    tolerance: f64,
}

/// Without a buffer.
pub const QUICKEST: LeastLatency = LeastLatency { tolerance: 1.0 };

impl Strategy for LeastLatency {
    fn any_will_do(&self) -> bool {
        true
    }

    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        let mut scored: Vec<(f64, Candidate)> = candidates
            .iter()
            .map(|own| (best(question, own, |leaf| expected(leaf, question)), *own))
            .collect();
        scored.sort_by(|one, other| one.0.total_cmp(&other.0));
        let known = scored.iter().filter(|(score, _)| score.is_finite()).count();
        let median =
            known.checked_sub(1).and_then(|last| scored.get(last.wrapping_div(2))).map_or(1.0, |own| own.0);
        for (score, _) in &mut scored {
            if !score.is_finite() {
                *score = median;
            }
        }
        scored.sort_by(|one, other| one.0.total_cmp(&other.0));
        if let Some(winner) = self.better_of_two(question, &scored) {
            scored.get_mut(..=winner).unwrap_or_default().rotate_right(1);
        }
        candidates.clear();
        candidates.extend(scored.into_iter().map(|(_, own)| own));
    }
}

impl LeastLatency {
    /// The place of the winner in a list sorted by score.
    fn better_of_two(&self, question: &Question<'_>, scored: &[(f64, Candidate)]) -> Option<usize> {
        let one = question.dice.below(scored.len());
        let other = question.dice.below(scored.len().saturating_sub(1));
        // A second one that differs from the first.
        let other = if other >= one { other.saturating_add(1) } else { other };
        let (first, second) = (scored.get(one)?.0, scored.get(other).map_or(f64::INFINITY, |own| own.0));
        let equals = first.max(second) <= first.min(second) * self.tolerance;
        Some(if equals { one } else { one.min(other) })
    }
}

/// Microseconds until the client has what it waits for, times the calls that wait already.
fn expected(leaf: &Leaf, question: &Question<'_>) -> Option<f64> {
    let health = &leaf.health;
    let buffered = || {
        let tokens = question.features.get().max_output_tokens.unwrap_or(USUAL_OUTPUT).min(USUAL_OUTPUT);
        Some(health.per_token(question.now)? * float(tokens))
    };
    let time = if question.request.stream { None } else { buffered() };
    let time = time.or_else(|| health.first_content(question.now))?;
    Some(time * (f64::from(health.in_flight()) + 1.0))
}
