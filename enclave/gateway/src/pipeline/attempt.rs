//! The one attempt loop: tries deployments as the plan and the retry rules say, until one has committed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::Means;
use super::hedged::{Fight, Outcome};
use crate::answer::{self, Awaited, Received};
use crate::audit::RequestId;
use crate::clock::{Clock, Now};
use crate::deployment::{Deployment, Timeouts};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::provider::{self, Encoded};
use crate::race::{Won, race};
use crate::route::course::{Course, Next};
use crate::route::features::rough_tokens;
use crate::route::health::Flight;
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
    if let Some(hedge) = routed.model().settings.hedge {
        routed.model().hedges.earn(hedge.budget_percent);
    }
    loop {
        let left = by.saturating_sub(clock.now().monotonic);
        let Some(Next { turn, after }) = course.next(left, clock.now()) else { break };
        if !after.is_zero() {
            clock.sleep(after).await;
        }
        let Some(leaf) = routed.leaf(turn) else { break };
        let now = clock.now();
        // Half-open breakers let a few calls through and no more.
        let Some(mut one) = Try::begin(routed, turn, now) else {
            course.no_leave(turn);
            continue;
        };
        if !course.begin(turn, now) {
            break;
        }
        one.entry = exchange.attempt(&leaf.deployment);
        let id = exchange.id().clone();
        let fight = Fight { routed, id: &id, by, paced: course.has_another(), means };
        let ended = fight.run(one, &mut course, exchange).await;
        let mut won = None;
        for (own, outcome) in ended {
            match outcome {
                Outcome::Answered(received) => won = Some((own, received)),
                Outcome::Failed(error) => {
                    exchange.attempt_failed(own.entry, error.code());
                    own.blame(routed, &mut course, error, dice.fraction(), clock.now());
                }
                Outcome::Cancelled => exchange.attempt_lost(own.entry, &own.leaf.deployment, own.tokens),
            }
        }
        if let Some((own, received)) = won {
            let at = Arc::clone(&own.leaf.deployment);
            exchange.serves(&at);
            exchange.fly(own.land(&received, clock.now()));
            return Ok(Committed { received, at });
        }
    }
    Err(course.into_error())
}

/// One attempt under way.
pub(super) struct Try<'r> {
    /// The deployment.
    pub(super) leaf: &'r Leaf,
    /// Its place in the plan.
    pub(super) turn: usize,
    /// Its place in the exchange's list of attempts.
    pub(super) entry: usize,
    flight: Flight,
    tokens: u64,
    began: Now,
}

impl<'r> Try<'r> {
    /// Begins at that place of the plan, if the deployment's breaker gives leave.
    pub(super) fn begin(routed: &'r Routed, turn: usize, now: Now) -> Option<Self> {
        let leaf = routed.leaf(turn)?;
        let tokens = rough_tokens(routed.missed().screened().admitted().request());
        let flight = leaf.health.begin(tokens, routed.relaxed(), now)?;
        Some(Self { leaf, turn, entry: 0, flight, tokens, began: now })
    }

    /// Tells the deployment's health that the call went well; the call goes on.
    fn land<B>(mut self, received: &Received<B>, now: Now) -> Flight {
        let took = now.since(self.began);
        let first = if let Received::Stream { reached, .. } = received { *reached } else { now };
        self.flight.reached(first.since(self.began), now);
        if let Received::Whole { usage: Some(usage), .. } = received {
            self.flight.answered(usage.output_tokens, took, now);
        }
        self.flight
    }

    /// Tells the deployment's health and the course what went wrong. A failure that counts is taken for the slowest
    /// answer there can be.
    fn blame(self, routed: &Routed, course: &mut Course<'_>, error: Error, chance: f64, now: Now) {
        let meaning = course.failed(self.turn, error, chance);
        if let Some(advice) = meaning.pause {
            let backoff = routed.model().settings.retry.backoff(1, chance);
            self.flight.health().pause(advice.unwrap_or(backoff), now);
        }
        if meaning.crowded {
            self.flight.health().crowded(now);
        }
        if meaning.counts {
            self.flight.failed(limits(routed, self.leaf, Duration::MAX).first_content, now);
        }
    }
}

/// What bounds one attempt.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// Time until the request's deadline.
    pub(super) left: Duration,
    /// Its stream has to begin as fast as the model says, since another deployment could be tried.
    pub(super) paced: bool,
}

/// One attempt, from sending to the commit point.
pub(super) async fn once<U: Upstream, C: Clock>(
    routed: &Routed,
    leaf: &Leaf,
    id: &RequestId,
    limit: Limit,
    means: &Means<'_, U, C>,
) -> Result<Received<U::Body>, Error> {
    let Limit { left, paced } = limit;
    let Means { gateway, upstream, clock } = *means;
    let at = &leaf.deployment;
    let timeouts = limits(routed, leaf, left);
    let stream = routed.missed().screened().admitted().request().stream;
    let limit = if stream { timeouts.first_content } else { timeouts.total };
    let answering = pin!(async {
        provider::grant::ready(at, upstream, clock).await?;
        let Encoded { mut call, reading } = provider::encode(routed, at, clock.now())?;
        call.timeouts = timeouts;
        let via = routed.wishes().hops.via().as_bytes().to_vec();
        call.passed_on.push(("via".to_owned(), Plaintext::new(via)));
        let awaited = Awaited { routed, at, reading, id, sent: clock.now() };
        let response = upstream.send(call).await?;
        answer::receive(response, awaited, gateway.max_answer_bytes(), clock).await
    });
    let key = routed.missed().screened().admitted().key().issued();
    let revoked = async {
        match key {
            Some(key) => key.ends(clock).await,
            None => std::future::pending().await,
        }
    };
    let given_up = pin!(race(clock.sleep(limit), revoked));
    let mut received = match race(answering, given_up).await {
        Won::First(outcome) => outcome?,
        Won::Second(Won::First(())) => return Err(Error::UpstreamTimeout),
        Won::Second(Won::Second(())) => return Err(Error::CredentialUnknown),
    };
    if let Some(pace) = routed.model().settings.throughput.filter(|_| paced) {
        answer::keeps_pace(&mut received, pace, clock).await?;
    }
    Ok(received)
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
