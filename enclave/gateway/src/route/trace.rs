//! How a decision was made, for people: what was asked, who was taken out by which filter, who is tried in which order.
//! Names, numbers and codes only; never content.

use serde::Serialize;

use super::filter::{self, Filter};
use super::health::Standing;
use super::tree::{Ceilings, Leaf, Question};
use super::{Decided, Model, decide};
use crate::error::Error;

/// The decision on one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The model.
    pub model: String,
    /// How far the content may be exposed.
    pub exposure_max: &'static str,
    /// Estimated tokens of the prompt.
    pub input_tokens: u64,
    /// Who was taken out, and by which filter.
    pub excluded: Vec<Excluded>,
    /// Who is tried, best first.
    pub order: Vec<Chosen>,
    /// All were ejected, so health was overruled.
    pub health_overruled: bool,
    /// Why nobody is tried.
    pub error: Option<&'static str>,
}

/// A deployment that was taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excluded {
    /// Its name.
    pub deployment: String,
    /// The filter.
    pub by: Filter,
}

/// A deployment that is tried, and what strategies saw of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// Its name.
    pub deployment: String,
    /// Whether its breaker is open or it is paused, in spite of which it is tried.
    pub ill: bool,
    /// Calls under way.
    pub in_flight: u32,
    /// Expected milliseconds to the first content.
    pub first_content_ms: Option<f64>,
    /// What is left of its limits per minute, from 0 to 1.
    pub quota_left: f64,
    /// What this request is expected to cost there, in dollars.
    pub cost_usd: Option<String>,
}

/// Decides, and says how.
pub fn explain(
    question: &Question<'_>,
    model: &Model,
    ceilings: &Ceilings,
) -> (Result<Decided, Error>, Trace) {
    let mut excluded = Vec::new();
    let mut report = |leaf: &Leaf, by| {
        excluded.push(Excluded { deployment: leaf.deployment.name.to_string(), by });
    };
    let decided = decide(question, model, ceilings, &mut report);
    let places = decided.as_ref().map(|decided| decided.order.places()).unwrap_or_default();
    let order = places.iter().filter_map(|place| model.leaves.get(*place));
    let trace = Trace {
        model: model.name.to_string(),
        exposure_max: filter::exposure(question, ceilings).as_str(),
        input_tokens: question.features.get().input_tokens,
        excluded,
        order: order.map(|leaf| chosen(leaf, question)).collect(),
        health_overruled: decided.as_ref().is_ok_and(|decided| decided.relaxed),
        error: decided.as_ref().err().map(Error::code),
    };
    (decided, trace)
}

fn chosen(leaf: &Leaf, question: &Question<'_>) -> Chosen {
    let features = question.features.get();
    let cost = leaf.deployment.price.as_ref();
    let cost =
        cost.map(|price| price.estimate(features.input_tokens, features.max_output_tokens.unwrap_or(0)));
    Chosen {
        deployment: leaf.deployment.name.to_string(),
        ill: leaf.health.standing(question.now) != Standing::Ready,
        in_flight: leaf.health.in_flight(),
        first_content_ms: leaf
            .health
            .first_content(question.now)
            .map(|micros| (micros / 100.0).round() / 10.0),
        quota_left: leaf.health.remaining(question.now),
        cost_usd: cost.map(|cost| cost.to_string()),
    }
}
