//! The one attempt loop: tries deployments as the plan and the retry rules say, until one has committed.

use std::sync::Arc;
use std::time::Duration;

use super::Means;
use crate::answer::{self, Awaited, Received};
use crate::audit::RequestId;
use crate::clock::{Clock, Now};
use crate::deployment::{Deployment, Timeouts};
use crate::error::Error;
use crate::provider::{self, Encoded};
use crate::race::{Won, race};
use crate::route::course::{Course, Next};
use crate::route::features::rough_tokens;
use crate::route::health::Flight;
use crate::route::retry::Meaning;
use crate::route::tree::{Dice, Leaf};
use crate::route::{ModelTimeouts, Routed};
use crate::settle::Exchange;
use crate::upstream::Upstream;

/// An answer that has reached its commit point, and who gives it.
pub(super) struct Committed<B> {
    pub(super) received: Received<B>,
    pub(super) at: Arc<Deployment>,
}

/// Tries until one has committed, it makes no more sense, or time is up. The error is the primary's.
pub(super) async fn attempt<U: Upstream, C: Clock>(
    routed: &Routed,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Committed<U::Body>, Error> {
    let clock = means.clock;
    let began = clock.now();
    let by = began.monotonic.saturating_add(whole_time(routed));
    let mut course = Course::new(routed, exchange.attempts());
    let dice = Dice::new(means.gateway.draw());
    routed.model().budget.earn(began);
    loop {
        let left = by.saturating_sub(clock.now().monotonic);
        let Some(Next { turn, after }) = course.next(left, clock.now()) else { break };
        if !after.is_zero() {
            clock.sleep(after).await;
        }
        let Some(leaf) = routed.leaf(turn) else { break };
        let now = clock.now();
        let tokens = rough_tokens(routed.missed().screened().admitted().request());
        // Half-open breakers let a few calls through and no more.
        let Some(mut flight) = leaf.health.begin(tokens, routed.relaxed(), now) else { continue };
        if !course.begin(now) {
            break;
        }
        exchange.attempt(&leaf.deployment);
        let left = by.saturating_sub(now.monotonic);
        match once(routed, leaf, exchange.id(), left, means).await {
            Ok(received) => {
                land(&mut flight, &received, clock.now().since(now), clock.now());
                exchange.fly(flight);
                return Ok(Committed { received, at: Arc::clone(&leaf.deployment) });
            }
            Err(error) => {
                exchange.attempt_failed(error.code());
                let chance = dice.fraction();
                let meaning = course.failed(turn, error, chance);
                let backoff = routed.model().settings.retry.backoff(1, chance);
                blame(flight, meaning, backoff, limits(routed, leaf, left).first_content, clock.now());
            }
        }
    }
    Err(course.into_error())
}

/// One attempt, from sending to the commit point.
async fn once<U: Upstream, C: Clock>(
    routed: &Routed,
    leaf: &Leaf,
    id: &RequestId,
    left: Duration,
    means: &Means<'_, U, C>,
) -> Result<Received<U::Body>, Error> {
    let Means { gateway, upstream, clock } = *means;
    let at = &leaf.deployment;
    let Encoded { mut call, reading } = provider::encode(routed, at, clock.now())?;
    call.timeouts = limits(routed, leaf, left);
    let stream = routed.missed().screened().admitted().request().stream;
    let limit = if stream { call.timeouts.first_content } else { call.timeouts.total };
    let awaited = Awaited { routed, at, reading, id, sent: clock.now() };
    let answering = async {
        let response = upstream.send(call).await?;
        answer::receive(response, awaited, gateway.max_answer_bytes(), clock).await
    };
    match race(answering, clock.sleep(limit)).await {
        Won::First(outcome) => outcome,
        Won::Second(()) => Err(Error::UpstreamTimeout),
    }
}

/// Tells the deployment's health that the call went well.
fn land<B>(flight: &mut Flight, received: &Received<B>, took: Duration, now: Now) {
    flight.reached(took, now);
    if let Received::Whole { usage: Some(usage), .. } = received {
        flight.answered(usage.output_tokens, took, now);
    }
}

/// Tells the deployment's health what went wrong. A failure that counts is taken for the slowest answer there can be.
fn blame(flight: Flight, meaning: Meaning, backoff: Duration, slowest: Duration, now: Now) {
    if let Some(advice) = meaning.pause {
        flight.health().pause(advice.unwrap_or(backoff), now);
    }
    if meaning.counts {
        flight.failed(slowest, now);
    }
}

/// How long all attempts may take together.
fn whole_time(routed: &Routed) -> Duration {
    let own = routed.leaf(0).map(|leaf| leaf.deployment.timeouts).unwrap_or_default().total;
    let model = routed.model().settings.timeouts.total;
    shortest(own, [model, routed.wishes().timeout])
}

/// How long one attempt may take: the shortest of what deployment, model and request say, and what is left.
fn limits(routed: &Routed, leaf: &Leaf, left: Duration) -> Timeouts {
    let own = leaf.deployment.timeouts;
    let ModelTimeouts { first_content, stall, total } = routed.model().settings.timeouts;
    let wishes = routed.wishes();
    Timeouts {
        connect: own.connect.min(left),
        response_head: own.response_head.min(left),
        first_content: shortest(own.first_content, [first_content, wishes.first_content]).min(left),
        stall: shortest(own.stall, [stall, None]),
        total: shortest(own.total, [total, wishes.timeout]).min(left),
    }
}

fn shortest(own: Duration, others: [Option<Duration>; 2]) -> Duration {
    others.into_iter().flatten().fold(own, Duration::min)
}
