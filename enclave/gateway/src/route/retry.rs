//! What follows from a failed attempt: another one, where, after what time; and what it says about the deployment.
//!
//! Everything here is decided before the commit point. After it, nothing is tried again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Now;
use crate::error::{Error, Reason, Retry};

/// How often and how fast a model's requests are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts for one request, all deployments together.
    pub max_attempts: u32,
    /// Further attempts at a deployment that failed.
    pub per_deployment: u32,
    /// Wait before the first further attempt at the same deployment; doubles each time.
    pub base: Duration,
    /// Longest such wait.
    pub longest: Duration,
    /// Longest wait that a provider's advice can cause.
    pub longest_advised: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            per_deployment: 1,
            base: Duration::from_millis(500),
            longest: Duration::from_secs(5),
            longest_advised: Duration::from_secs(10),
        }
    }
}

/// Waits of one request together.
pub const LONGEST_WAITING: Duration = Duration::from_mins(1);
/// How long a deployment is left alone whose credential or account was refused. Nobody but the operator can mend it, so
/// this is only how often it is looked at again.
pub const DEAD_CREDENTIAL: Duration = Duration::from_mins(5);

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The same deployment may do better in a moment.
    pub same: bool,
    /// Another deployment may do better.
    pub next: bool,
    /// It speaks against the deployment: the breaker counts it.
    pub counts: bool,
    /// The deployment is to be left alone, for this time or, if there is none, as long as a backoff.
    pub pause: Option<Option<Duration>>,
    /// The provider has surely not acted on the request.
    pub not_carried_out: bool,
    /// It has more calls than it bears.
    pub crowded: bool,
}

impl Meaning {
    /// Of an error.
    pub fn of(error: &Error) -> Self {
        let retry = error.retry();
        let mut meaning = Self {
            same: retry == Retry::SameDeployment,
            next: retry != Retry::Never,
            counts: false,
            pause: None,
            not_carried_out: false,
            crowded: matches!(error, Error::UpstreamTimeout),
        };
        if let Error::UpstreamStatus { reason, retry_after_ms, .. } = error {
            meaning.counts = matches!(reason, Reason::Overloaded | Reason::Server | Reason::Timeout);
            meaning.not_carried_out = !matches!(reason, Reason::Server | Reason::Timeout);
            meaning.crowded = matches!(reason, Reason::Overloaded | Reason::RateLimit);
            if *reason == Reason::RateLimit {
                meaning.pause = Some(retry_after_ms.map(Duration::from_millis));
            }
        }
        meaning.counts |= matches!(
            error,
            Error::UpstreamConnection
                | Error::UpstreamFailed
                | Error::UpstreamMalformed
                | Error::UpstreamTimeout
                | Error::UpstreamTruncated
        );
        if matches!(error, Error::UpstreamCredential) {
            meaning.pause = Some(Some(DEAD_CREDENTIAL));
        }
        meaning.not_carried_out |= matches!(error, Error::UpstreamAttestation | Error::UpstreamCredential);
        meaning
    }
}

impl RetrySettings {
    /// The wait before the attempt after `failures` of them; `chance` is from 0 to 1 and spreads it by a fifth to
    /// either side.
    pub fn backoff(&self, failures: u32, chance: f64) -> Duration {
        let doubled =
            self.base.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(1));
        doubled.min(self.longest).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
    }
}

/// Bounds further attempts of all requests of a model together, so that a failing provider is not hit twice as hard:
/// a tenth of the requests, and a few each second for models that are seldom asked.
#[derive(Debug, Default)]
pub struct RetryBudget {
    state: Mutex<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Thousandths of an attempt.
    level: u64,
    at: Duration,
    begun: bool,
}

/// An attempt, in the bucket's unit.
const ATTEMPT: u64 = 1000;
/// What each request pays in.
const PER_REQUEST: u64 = ATTEMPT / 10;
/// What each second pays in.
const PER_SECOND: u64 = 3 * ATTEMPT;
/// The most that is saved up.
const FULL: u64 = 30 * ATTEMPT;

impl RetryBudget {
    /// A request has come.
    pub fn earn(&self, now: Now) {
        self.with(now, |bucket| bucket.level = bucket.level.saturating_add(PER_REQUEST).min(FULL));
    }

    /// Takes one further attempt, if there is one.
    pub fn spend(&self, now: Now) -> bool {
        self.with(now, |bucket| match bucket.level.checked_sub(ATTEMPT) {
            Some(rest) => {
                bucket.level = rest;
                true
            }
            None => false,
        })
    }

    fn with<T>(&self, now: Now, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut bucket = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut bucket.begun, true) {
            *bucket = Bucket { level: FULL, at: now.monotonic, begun: true };
        }
        let passed = now.monotonic.saturating_sub(bucket.at);
        let earned = u64::try_from(passed.as_millis()).unwrap_or(FULL).saturating_mul(PER_SECOND) / 1000;
        if earned > 0 {
            bucket.level = bucket.level.saturating_add(earned).min(FULL);
            bucket.at = now.monotonic;
        }
        act(&mut bucket)
    }
}

#[cfg(test)]
mod tests;
