//! One attempt, or two that run against each other where the model is configured so.

use std::pin::pin;
use std::time::Duration;

use super::Means;
use super::attempt::{Limit, Try, once};
use crate::answer::Received;
use crate::audit::RequestId;
use crate::clock::Clock;
use crate::error::Error;
use crate::race::{Won, race};
use crate::route::course::Course;
use crate::route::tree::Leaf;
use crate::route::{Routed, hedge};
use crate::settle::Exchange;
use crate::upstream::Upstream;

/// How an attempt ended.
#[expect(clippy::large_enum_variant, reason = "moved once per request")]
pub(super) enum Outcome<B> {
    /// At its commit point.
    Answered(Received<B>),
    /// The other one was quicker.
    Cancelled,
    /// It failed.
    Failed(Error),
}

impl<B> From<Result<Received<B>, Error>> for Outcome<B> {
    fn from(result: Result<Received<B>, Error>) -> Self {
        match result {
            Ok(received) => Self::Answered(received),
            Err(error) => Self::Failed(error),
        }
    }
}

/// Attempts, each with its end.
type Ended<'r, B> = Vec<(Try<'r>, Outcome<B>)>;

/// What attempts have in common.
pub(super) struct Fight<'f, 'r, U, C> {
    pub(super) routed: &'r Routed,
    pub(super) id: &'f RequestId,
    pub(super) by: Duration,
    /// Another deployment could be tried besides.
    pub(super) paced: bool,
    pub(super) means: &'f Means<'f, U, C>,
}

impl<'r, U: Upstream, C: Clock> Fight<'_, 'r, U, C> {
    /// Runs `one`; if it is slow and the model allows, another besides. An error never wins while the other still runs.
    pub(super) async fn run(
        &self,
        one: Try<'r>,
        course: &mut Course<'_>,
        exchange: &mut Exchange,
    ) -> Ended<'r, U::Body> {
        match hedge::delay(self.routed, one.leaf) {
            None => {
                let outcome = self.answer(one.leaf).await.into();
                vec![(one, outcome)]
            }
            // Apart, so that the usual request does not carry the room that two take.
            Some(delay) => Box::pin(self.run_two(one, delay, course, exchange)).await,
        }
    }

    async fn run_two(
        &self,
        one: Try<'r>,
        delay: Duration,
        course: &mut Course<'_>,
        exchange: &mut Exchange,
    ) -> Ended<'r, U::Body> {
        let clock = self.means.clock;
        let mut first = pin!(self.answer(one.leaf));
        // Without a delay the first is not even begun before the second.
        if !delay.is_zero()
            && let Won::First(outcome) = race(first.as_mut(), clock.sleep(delay)).await
        {
            return vec![(one, outcome.into())];
        }
        let Some(other) = self.second(&one, course, exchange) else {
            let outcome = first.await.into();
            return vec![(one, outcome)];
        };
        let mut second = pin!(self.answer(other.leaf));
        match race(first.as_mut(), second.as_mut()).await {
            Won::First(Ok(received)) => {
                vec![(other, Outcome::Cancelled), (one, Outcome::Answered(received))]
            }
            Won::Second(Ok(received)) => {
                vec![(one, Outcome::Cancelled), (other, Outcome::Answered(received))]
            }
            Won::First(Err(error)) => {
                let outcome = second.await.into();
                vec![(one, Outcome::Failed(error)), (other, outcome)]
            }
            Won::Second(Err(error)) => {
                let outcome = first.await.into();
                vec![(other, Outcome::Failed(error)), (one, outcome)]
            }
        }
    }

    fn second(&self, one: &Try<'r>, course: &mut Course<'_>, exchange: &mut Exchange) -> Option<Try<'r>> {
        let turn = hedge::second(self.routed, one.turn).filter(|turn| course.may_hedge(*turn))?;
        if !self.routed.model().hedges.spend() {
            return None;
        }
        let mut other = Try::begin(self.routed, turn, self.means.clock.now())?;
        course.hedged(turn);
        other.entry = exchange.attempt(&other.leaf.deployment);
        Some(other)
    }

    async fn answer(&self, leaf: &Leaf) -> Result<Received<U::Body>, Error> {
        let left = self.by.saturating_sub(self.means.clock.now().monotonic);
        once(self.routed, leaf, self.id, Limit { left, paced: self.paced }, self.means).await
    }
}
