//! What a request holds of every budget above it, from before it is sent until it has ended, however it ends.
//!
//! Taken all at once or not at all, under the locks of all scopes concerned. Settled exactly once: with what it took, or,
//! when nobody says so, by being dropped.

use std::sync::{Arc, Mutex, PoisonError};

use super::meters::{Amounts, Circumstances, Meters, Settlement, Stop};
use super::rate;
use super::registry::Governance;
use super::scope::{LiveKey, Scope};
use crate::clock::Now;
use crate::price::Price;

/// What a request may take at most.
#[derive(Clone, Debug, Default)]
pub struct Estimate {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Longest answer, in tokens.
    pub output_tokens: u64,
    /// How many answers of that length one call gives; none counts as one.
    pub answers: u64,
    /// Calls at the same time for this one request.
    pub calls: u64,
    /// Prices of everybody who may serve it.
    pub prices: Vec<Arc<Price>>,
    /// Somebody who may serve it has no price.
    pub unpriced: bool,
}

impl Estimate {
    /// With answers of so many tokens each: the dearest of everybody who may serve it, as often as it is called.
    pub fn amounts(&self, output_tokens: u64) -> Amounts {
        let output_tokens = output_tokens.saturating_mul(self.answers.max(1));
        let dearest =
            self.prices.iter().map(|price| price.estimate(self.input_tokens, output_tokens).0).max();
        Amounts {
            nano_usd: dearest.unwrap_or(0).saturating_mul(self.calls.max(1)),
            input_tokens: self.input_tokens,
            output_tokens,
        }
    }
}

/// What a request took in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Money.
    pub nano_usd: u64,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether it counts as a request.
    pub counts: bool,
}

/// Why a request may not begin, or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A budget is used up.
    Budget,
    /// Too many requests in flight.
    Parallel,
    /// A budget of money, and nobody knows the price.
    PriceUnknown,
    /// A rate limit; come back after so many milliseconds.
    Rate {
        /// The wait.
        retry_after_ms: u64,
    },
    /// The store is being asked for more of a budget; try again in a moment.
    Slice,
}

/// Shortest answer for which an elastic budget still lets a request through, in tokens.
pub const USEFUL_OUTPUT: u64 = 16;

/// A hold on every budget above a key.
pub struct Reservation {
    governance: Arc<Governance>,
    key: Arc<LiveKey>,
    chain: Arc<Vec<Arc<Scope>>>,
    model: String,
    /// Longest answer that was reserved for.
    output_tokens: u64,
    /// Whether the answer has to be shorter than the request allowed.
    shortened: bool,
    first: Amounts,
    state: Mutex<State>,
}

struct State {
    held: Amounts,
    /// Budgets taken from, with the place of their scope.
    serials: Vec<(usize, u64)>,
    now: Now,
    settled: bool,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reservation").field("first", &self.first).finish_non_exhaustive()
    }
}

impl Reservation {
    /// Takes what a request may need of everything above its key, or nothing.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn take(
        governance: &Arc<Governance>,
        key: &Arc<LiveKey>,
        model: &str,
        estimate: &Estimate,
        now: Now,
    ) -> Result<Self, Refusal> {
        let chain = Arc::clone(&key.chain());
        let at = governance.circumstances(model, now);
        let mut locks: Vec<_> = chain.iter().map(|scope| scope.meters()).collect();
        if estimate.unpriced && locks.iter().any(|meters| wants_price(meters, model)) {
            return Err(Refusal::PriceUnknown);
        }
        let full = estimate.output_tokens;
        let mut amounts = estimate.amounts(full);
        let mut output_tokens = full;
        loop {
            let stop = chain.iter().zip(&mut locks).find_map(|(scope, meters)| {
                meters.may_take(scope.rules().policy.max_parallel, &amounts, &at).err()
            });
            match stop {
                None => break,
                Some(Stop::Budget { .. }) if may_shorten(&locks, model) && output_tokens > USEFUL_OUTPUT => {
                    // Halving finds a length within a factor of two in a few steps, and the bound on steps is small.
                    output_tokens = output_tokens.wrapping_div(2).max(USEFUL_OUTPUT);
                    amounts = estimate.amounts(output_tokens);
                }
                Some(stop) => return Err(stop.into()),
            }
        }
        let mut serials = Vec::with_capacity(4);
        for (place, meters) in locks.iter_mut().enumerate() {
            meters.take(&amounts, &at, |serial| serials.push((place, serial)));
        }
        drop(locks);
        Ok(Self {
            governance: Arc::clone(governance),
            key: Arc::clone(key),
            chain,
            model: model.to_owned(),
            output_tokens,
            shortened: output_tokens < full,
            first: amounts,
            state: Mutex::new(State { held: amounts, serials, now, settled: false }),
        })
    }

    /// The longest answer that budgets leave room for, if that is shorter than what was asked for.
    pub fn shortened_to(&self) -> Option<u64> {
        self.shortened.then_some(self.output_tokens)
    }

    /// What is held now.
    pub fn held(&self) -> Amounts {
        self.state().held
    }

    /// Whether a request that has come so far may go on: its key is still good, and what it has taken so far is held.
    ///
    /// # Errors
    /// [`Refusal::Budget`]: it must be cut. Nothing else stops what has begun.
    pub fn goes_on(&self, taken: Amounts, now: Now) -> Result<(), Refusal> {
        let mut state = self.state();
        state.now = now;
        let more = Amounts {
            nano_usd: taken.nano_usd.saturating_sub(state.held.nano_usd),
            input_tokens: 0,
            output_tokens: taken.output_tokens.saturating_sub(state.held.output_tokens),
        };
        if more == Amounts::default() || state.settled {
            return Ok(());
        }
        let at = self.governance.circumstances(&self.model, now);
        let mut locks: Vec<_> = self.chain.iter().map(|scope| scope.meters()).collect();
        for (place, serial) in &state.serials {
            let Some(meters) = locks.get_mut(*place) else { continue };
            // Sliced too thin is no reason to cut: the slice is on its way, and the budget has room.
            match meters.may_take_more(*serial, &more, now, at.store_down) {
                Ok(()) | Err(Stop::Slice) => {}
                Err(_) => return Err(Refusal::Budget),
            }
        }
        for (place, serial) in &state.serials {
            if let Some(meters) = locks.get_mut(*place) {
                meters.take_more(*serial, &more);
            }
        }
        state.held.nano_usd = state.held.nano_usd.saturating_add(more.nano_usd);
        state.held.output_tokens = state.held.output_tokens.saturating_add(more.output_tokens);
        Ok(())
    }

    /// Whose it is.
    pub const fn key(&self) -> &Arc<LiveKey> {
        &self.key
    }

    /// Whether its key has been blocked, revoked or has expired since.
    pub fn is_revoked(&self, now: Now) -> bool {
        !self.key.is_good(now)
    }

    /// Ends it. Only the first call counts.
    pub fn settle(&self, actual: Actual, now: Now) {
        let mut state = self.state();
        if std::mem::replace(&mut state.settled, true) {
            return;
        }
        let at = self.governance.circumstances(&self.model, now);
        let took = Amounts {
            nano_usd: actual.nano_usd,
            input_tokens: actual.input_tokens,
            output_tokens: actual.output_tokens,
        };
        // In the order of the chain, as they were taken.
        let mut left = &state.serials[..];
        for (place, scope) in self.chain.iter().enumerate() {
            let own = left.iter().take_while(|(of, _)| *of == place).count();
            let (serials, rest) = left.split_at_checked(own).unwrap_or_default();
            left = rest;
            let end = Settlement {
                first: self.first,
                held: state.held,
                actual: took,
                counts: actual.counts,
                serials,
            };
            scope.meters().settle(&end, &at, |meter, percent| {
                self.governance.crossed(scope, meter, percent, now);
            });
        }
    }

    /// Where the tightest rate limit stands: of requests, and of tokens.
    pub fn standings(&self, now: Now) -> [Option<rate::Standing>; 2] {
        let at = self.governance.circumstances(&self.model, now);
        let tightest = |tokens| {
            let own = self.chain.iter().filter_map(|scope| scope.meters().tightest(tokens, &at));
            own.min_by_key(|own| own.remaining)
        };
        [tightest(false), tightest(true)]
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let now = self.state().now;
        self.settle(Actual::default(), now);
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Budget { .. } => Self::Budget,
            Stop::Parallel => Self::Parallel,
            Stop::Rate { wait_ns } => Self::Rate { retry_after_ms: wait_ns.div_ceil(1_000_000) },
            Stop::Slice => Self::Slice,
        }
    }
}

fn wants_price(meters: &Meters, model: &str) -> bool {
    use super::budget::{Unit, UnknownPrice};
    meters.budgets.iter().any(|own| {
        own.budget.unit == Unit::NanoUsd
            && own.budget.unknown_price == UnknownPrice::Reject
            && own.budget.counts(model)
    })
}

/// Whether every budget concerned agrees to a shorter answer.
fn may_shorten(locks: &[std::sync::MutexGuard<'_, Meters>], model: &str) -> bool {
    use super::budget::Fit;
    let concerned = || locks.iter().flat_map(|meters| &meters.budgets).filter(|own| own.budget.counts(model));
    concerned().all(|own| own.budget.fit == Fit::Elastic)
}

/// What circumstances are made of; see [`Governance::circumstances`].
pub(super) const fn circumstances(
    model: &str,
    now: Now,
    store_down: bool,
    replicas: u32,
) -> Circumstances<'_> {
    Circumstances { model, now, store_down, replicas }
}
