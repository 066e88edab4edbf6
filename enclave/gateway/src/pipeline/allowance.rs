//! What a request takes of budgets and limits before anything else happens to it.

use std::sync::Arc;
use std::time::Duration;

use super::Means;
use crate::admission::{self, Authenticated, Reserved, output_limit};
use crate::clock::Clock;
use crate::error::Error;
use crate::governance::Estimate;
use crate::price::Price;
use crate::prompt::Prompted;
use crate::route::features::Features;
use crate::settle::Exchange;
use crate::upstream::Upstream;
use crate::wire::{OperationName, Request};

/// What is reserved for an answer whose length the request leaves open, in tokens. If it grows longer, more is taken on
/// the way.
const USUAL_OUTPUT: u64 = 4096;
/// How often a reservation is tried again while more of a budget is being leased.
const TRIES: u32 = 40;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// Takes it, or says why the request may not go on. The request comes back with a shorter longest answer if its key, or
/// what is left of a budget, demands it.
pub(super) async fn take<U: Upstream, C: Clock>(
    prompted: Prompted,
    who: &Authenticated,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<(Request, Reserved), Error> {
    let request = prompted.into_request();
    admission::permit(&request, who)?;
    let Some(key) = who.key().issued() else {
        let reserved = reserve(&request, who, &Estimate::default(), means)?;
        return Ok((request, reserved));
    };
    let (usual, most) = key.output_bounds();
    let asked = Features::of(&request);
    let stated = asked.max_output_tokens;
    let bounded = match (stated.or(usual), most) {
        (Some(own), Some(most)) => Some(own.min(most)),
        (own, most) => own.or(most),
    };
    let estimate = estimate(&request, who, &asked, bounded, means);
    let mut tries = 0;
    let reserved = loop {
        match reserve(&request, who, &estimate, means) {
            Err(Error::Overloaded { .. }) if tries < TRIES => {
                tries = tries.saturating_add(1);
                means.clock.sleep(PAUSE).await;
            }
            other => break other?,
        }
    };
    if let Some(reservation) = reserved.reservation() {
        exchange.holds(reservation, estimate.input_tokens);
    }
    let shortened = reserved.reservation().and_then(|own| own.shortened_to());
    let wanted = shortened.or(bounded);
    match wanted.filter(|_| wanted != stated) {
        Some(most) => Ok((output_limit::lower(request, most)?, reserved)),
        None => Ok((request, reserved)),
    }
}

fn reserve<U, C: Clock>(
    request: &Request,
    who: &Authenticated,
    estimate: &Estimate,
    means: &Means<'_, U, C>,
) -> Result<Reserved, Error> {
    admission::reserve(request, who, estimate, means.gateway.governance(), means.clock.now())
}

/// The most that it can take: the dearest of all that may serve it.
fn estimate<U, C>(
    request: &Request,
    who: &Authenticated,
    asked: &Features,
    bounded: Option<u64>,
    means: &Means<'_, U, C>,
) -> Estimate {
    let (input_tokens, answers) = (asked.input_tokens, asked.answers);
    let mut estimate = Estimate { input_tokens, answers, calls: 1, ..Estimate::default() };
    let mut longest: Option<u64> = None;
    if let Some(model) = means.gateway.models().find(&request.model) {
        for at in model.deployments().filter(|at| who.key().may_be_served_by(at)) {
            match &at.price {
                Some(price) if !estimate.prices.iter().any(|own: &Arc<Price>| Arc::ptr_eq(own, price)) => {
                    estimate.prices.push(Arc::clone(price));
                }
                Some(_) => {}
                None => estimate.unpriced = true,
            }
            longest = longest.max(at.max_output_tokens);
        }
        if model.settings.hedge.is_some() {
            estimate.calls = 2;
        }
    }
    let answers = matches!(request.wire.operation(), OperationName::Chat | OperationName::TextCompletion);
    let open = longest.map_or(USUAL_OUTPUT, |longest| longest.min(USUAL_OUTPUT));
    estimate.output_tokens = if answers { bounded.unwrap_or(open) } else { 0 };
    estimate
}
