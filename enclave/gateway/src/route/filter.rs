//! Which leaves may serve a request at all. In this order: whom the key may use, how far the content may be exposed,
//! what the request needs, how the deployments are doing, what room they have.
//!
//! Each filter that leaves nothing is an error of its own. Policy never relaxes. Only health does: where every
//! deployment is ejected, trying one is better than refusing.

use std::time::Duration;

use super::health::Standing;
use super::tree::{Ceilings, Leaf, LeafSet, Question};
use crate::deployment::{Capability, Exposure};
use crate::error::Error;
use crate::wire::OperationName;

/// What is left after the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eligible {
    /// The leaves.
    pub leaves: LeafSet,
    /// Health was overruled, because it left nothing.
    pub relaxed: bool,
}

/// Which filter a deployment did not pass, for the decision trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The key may not use the provider.
    Provider,
    /// It would expose the content further than allowed.
    Exposure,
    /// It lacks something that the request needs.
    Capability,
    /// The request does not fit its context.
    Context,
    /// Its breaker is open, or its provider asked to be left alone.
    Health,
    /// Its limits are used up.
    Headroom,
}

/// Applies policy: everything that never relaxes. `report` hears of each leaf that is taken out.
pub fn policy(
    question: &Question<'_>,
    ceilings: &Ceilings,
    report: &mut dyn FnMut(&Leaf, Filter),
) -> Result<LeafSet, Error> {
    let all = question.leaves_where(|_| true);
    let mut take = |from: LeafSet, filter: Filter, keep: &dyn Fn(&Leaf) -> bool| {
        let left = from & question.leaves_where(keep);
        question.in_set(from & !left).for_each(|leaf| report(leaf, filter));
        left
    };
    let providers = question.key.rules.providers.as_deref();
    let left = take(all, Filter::Provider, &|leaf| {
        providers.is_none_or(|names| names.iter().any(|name| name == leaf.deployment.provider))
            && question.key.may_be_served_by(&leaf.deployment)
    });
    if left == 0 {
        return Err(Error::ProviderNotAllowed);
    }
    let most = exposure(question, ceilings);
    let left = take(left, Filter::Exposure, &|leaf| leaf.deployment.exposure <= most);
    if left == 0 {
        return Err(Error::NoCompliantDeployment);
    }
    let left = take(left, Filter::Capability, &|leaf| lacks(leaf, question).is_none());
    if left == 0 {
        let missing = question.leaves.iter().find_map(|leaf| lacks(leaf, question));
        let capability = missing.map_or("all of this", Capability::described);
        return Err(Error::NoCapableDeployment { capability });
    }
    let left = take(left, Filter::Context, &|leaf| fits(leaf, question));
    if left == 0 { Err(Error::ContextTooLong) } else { Ok(left) }
}

/// Takes out what is not well or has no room.
pub fn condition(
    question: &Question<'_>,
    allowed: LeafSet,
    report: &mut dyn FnMut(&Leaf, Filter),
) -> Result<Eligible, Error> {
    let now = question.now;
    let well = allowed & question.leaves_where(|leaf| leaf.health.standing(now) == Standing::Ready);
    question.in_set(allowed & !well).for_each(|leaf| report(leaf, Filter::Health));
    let relaxed = well == 0;
    let left = if relaxed { allowed } else { well };
    let tokens = super::features::rough_tokens(question.request);
    let roomy = left & question.leaves_where(|leaf| leaf.health.has_room(tokens, now));
    question.in_set(left & !roomy).for_each(|leaf| report(leaf, Filter::Headroom));
    if roomy == 0 {
        let after = question.in_set(left).map(|leaf| leaf.health.room_after(tokens, now)).min();
        return Err(overloaded(after.unwrap_or_default()));
    }
    Ok(Eligible { leaves: roomy, relaxed })
}

/// The error of one who finds no room and may find some after that time. Advice is never zero and never longer than
/// two minutes.
pub fn overloaded(after: Duration) -> Error {
    let ms = after.min(LONGEST_ADVICE).as_millis();
    Error::Overloaded { retry_after_ms: u64::try_from(ms).unwrap_or(u64::MAX).max(1) }
}

/// What is known of limits does not reach further.
const LONGEST_ADVICE: Duration = Duration::from_mins(2);

/// How far this content may be exposed: the narrowest of what key, request and labels say.
pub fn exposure(question: &Question<'_>, ceilings: &Ceilings) -> Exposure {
    let mut most = question.key.rules.exposure_max;
    for other in [question.wishes.exposure_max, question.ceiling(ceilings)].into_iter().flatten() {
        most = most.min(other);
    }
    most
}

/// What the request needs and the deployment has not.
fn lacks(leaf: &Leaf, question: &Question<'_>) -> Option<Capability> {
    let able = leaf.deployment.capabilities.as_ref()?;
    question.features.get().needs().find(|need| !able.contains(need))
}

fn fits(leaf: &Leaf, question: &Question<'_>) -> bool {
    let Some(most) = leaf.deployment.context_tokens else { return true };
    // A list of inputs is not one context.
    if question.request.wire.operation() == OperationName::Embeddings {
        return true;
    }
    let needs = question.features.get();
    needs.input_tokens.saturating_add(needs.max_output_tokens.unwrap_or(0)) <= most
}
