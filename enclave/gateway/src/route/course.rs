//! The course of one request's attempts: whom to try next and after what wait. Pure; the pipeline does the trying.

use std::time::Duration;

use super::retry::{LONGEST_WAITING, Meaning};
use super::tree::MAX_LEAVES;
use super::{Leaf, Routed};
use crate::clock::Now;
use crate::error::Error;

/// The attempts of one request so far.
pub struct Course<'r> {
    routed: &'r Routed,
    attempts: u32,
    most: u32,
    tries: Vec<Tries>,
    cursor: usize,
    again: Option<Next>,
    waited: Duration,
    over: bool,
    first_error: Option<Error>,
    advice_ms: Option<u64>,
}

/// Advice to a request that no breaker gave leave, in milliseconds: how long a breaker's few trial calls usually take.
const NO_LEAVE_MS: u64 = 1000;

/// What is known of one turn's deployment.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    begun: bool,
    failures: u32,
    /// It would take the request later.
    later: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Whom to try: the place in the plan's order.
    pub turn: usize,
    /// After what wait.
    pub after: Duration,
}

impl<'r> Course<'r> {
    /// Nothing tried yet; `attempts` were made before, with another model. There is one for this model in any case, unless
    /// the client wants fewer.
    pub fn new(routed: &'r Routed, attempts: u32) -> Self {
        let settings = routed.model().settings.retry;
        let wish = routed.wishes().retries.map_or(u32::MAX, |retries| retries.saturating_add(1));
        Self {
            routed,
            attempts,
            most: settings.max_attempts.max(attempts.saturating_add(1)).min(wish),
            tries: Vec::new(),
            cursor: 0,
            again: None,
            waited: Duration::ZERO,
            over: false,
            first_error: None,
            advice_ms: None,
        }
    }

    /// Whom to try now; nothing if it is over. `left` is the time until the request's deadline.
    pub fn next(&mut self, left: Duration, now: Now) -> Option<Next> {
        if self.over || self.attempts >= self.most || left.is_zero() {
            return None;
        }
        let next = self.again.take().or_else(|| self.fresh()).or_else(|| self.later(now))?;
        let waited = self.waited.saturating_add(next.after);
        if next.after >= left || waited > LONGEST_WAITING {
            return None;
        }
        self.waited = waited;
        Some(next)
    }

    /// Whether a second call may be made at this turn while the first is under way.
    pub fn may_hedge(&self, turn: usize) -> bool {
        let fresh = self.tries.get(turn).is_none_or(|own| !own.begun);
        fresh && self.attempts < self.most && !self.routed.wishes().no_fallback
    }

    /// Whether another deployment could be tried if the one under way failed.
    pub fn has_another(&self) -> bool {
        let fresh = |turn: usize| self.tries.get(turn).is_none_or(|own| !own.begun);
        let another =
            (self.cursor..MAX_LEAVES).take_while(|turn| self.routed.leaf(*turn).is_some()).any(fresh);
        let may = self.attempts < self.most && !self.routed.wishes().no_fallback;
        another && may && !self.must_run_once()
    }

    /// A second call begins; it has a budget of its own.
    pub fn hedged(&mut self, turn: usize) {
        self.with_tries(turn, |own| own.begun = true);
        self.attempts = self.attempts.saturating_add(1);
    }

    /// An attempt begins. Not, if it is a further one and the model's budget for those is spent.
    pub fn begin(&mut self, turn: usize, now: Now) -> bool {
        let first = self.attempts == 0;
        self.with_tries(turn, |own| own.begun = true);
        self.attempts = self.attempts.saturating_add(1);
        first || self.routed.model().budget.spend(now)
    }

    /// The deployment's breaker gives no leave at this turn. It is not waited for: it may give none for long.
    pub fn no_leave(&mut self, turn: usize) {
        self.with_tries(turn, |own| own.later = false);
    }

    /// Attempts so far, with earlier models.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// An attempt failed; `chance` spreads the wait. Returns what it means, for the deployment's health.
    pub fn failed(&mut self, turn: usize, error: Error, chance: f64) -> Meaning {
        let settings = self.routed.model().settings.retry;
        let meaning = Meaning::of(&error);
        let later = matches!(error, Error::UpstreamStatus { .. }) && meaning.pause.is_some();
        let failures = self.with_tries(turn, |own| {
            own.failures = own.failures.saturating_add(1);
            own.later = later;
            own.failures
        });
        let failures = failures.unwrap_or(1);
        // Whether the provider carried it out is not known, and it must not be carried out twice.
        self.over = !meaning.next || (!meaning.not_carried_out && self.must_run_once());
        if meaning.same && failures <= settings.per_deployment {
            self.again = Some(Next { turn, after: settings.backoff(failures, chance) });
        }
        if let Error::UpstreamStatus { retry_after_ms: Some(advice), .. } = &error {
            self.advice_ms = Some(self.advice_ms.map_or(*advice, |other| other.min(*advice)));
        }
        self.first_error.get_or_insert(error);
        meaning
    }

    /// The primary's error, with the shortest advice when to come back.
    pub fn into_error(self) -> Error {
        // Nothing was tried: every breaker that was half open has its few calls already.
        let mut error = self.first_error.unwrap_or(Error::Overloaded { retry_after_ms: NO_LEAVE_MS });
        if let Error::UpstreamStatus { retry_after_ms: Some(own), .. } = &mut error {
            *own = self.advice_ms.map_or(*own, |other| other.min(*own));
        }
        error
    }

    fn must_run_once(&self) -> bool {
        super::features::must_run_once(self.routed.missed().screened().admitted().request())
    }

    fn with_tries<T>(&mut self, turn: usize, act: impl FnOnce(&mut Tries) -> T) -> Option<T> {
        if self.tries.len() <= turn {
            self.tries.resize(turn.saturating_add(1), Tries::default());
        }
        self.tries.get_mut(turn).map(act)
    }

    /// The next of the plan that is not known to lack the model.
    fn fresh(&mut self) -> Option<Next> {
        loop {
            let turn = self.cursor;
            let leaf = self.routed.leaf(turn)?;
            self.cursor = turn.saturating_add(1);
            if turn > 0 && self.routed.wishes().no_fallback {
                return None;
            }
            let begun = self.tries.get(turn).is_some_and(|own| own.begun);
            if !begun && !self.lacks_model(leaf, turn) {
                return Some(Next { turn, after: Duration::ZERO });
            }
        }
    }

    /// After "no such model", only another model makes a difference.
    fn lacks_model(&self, leaf: &Leaf, turn: usize) -> bool {
        let missing = matches!(
            &self.first_error,
            Some(Error::UpstreamStatus { reason: crate::error::Reason::ModelMissing, .. })
        );
        let before = turn.checked_sub(1).and_then(|turn| self.routed.leaf(turn));
        missing
            && before.is_some_and(|before| {
                before.deployment.provider == leaf.deployment.provider
                    && before.deployment.model == leaf.deployment.model
            })
    }

    /// One that asked for patience, if that is short.
    fn later(&self, now: Now) -> Option<Next> {
        let longest = self.routed.model().settings.retry.longest_advised;
        let patient = self.tries.iter().enumerate().filter(|(_, own)| own.later).filter_map(|(turn, _)| {
            let after = self.routed.leaf(turn)?.health.wait(now);
            (after <= longest).then_some(Next { turn, after })
        });
        patient.min_by_key(|next| next.after)
    }
}
