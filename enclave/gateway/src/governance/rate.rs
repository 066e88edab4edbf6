//! How fast: the generic cell rate algorithm (ITU-T I.371). One number says it all: when the bucket will be full again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::Flaw;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateUnit {
    /// Tokens of prompts.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
    /// Requests.
    Requests,
    /// Both kinds of tokens.
    Tokens,
}

/// At most so many in so long, refilled continuously.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// What it counts.
    pub unit: RateUnit,
    /// How many.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub limit: u64,
    /// In how many seconds; 60 unless stated, at most a day.
    #[serde(default = "minute")]
    #[schemars(range(min = 1, max = 86_400))]
    pub seconds: u32,
}

const fn minute() -> u32 {
    60
}

impl RateLimit {
    /// Whether it is bounded.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Flaw> {
        let sound = (1..=1_000_000_000_000).contains(&self.limit) && (1..=86_400).contains(&self.seconds);
        let expected = "a limit of 1 to 1000000000000 in 1 to 86400 seconds";
        if sound { Ok(()) } else { Err(Flaw { field: "rate_limits", expected }) }
    }

    /// Whether it says more than `outer` does of the same thing.
    pub fn exceeds(&self, outer: &Self) -> bool {
        let pace = |limit: u64, seconds: u32| u128::from(limit).saturating_mul(u128::from(seconds));
        self.unit == outer.unit && pace(self.limit, outer.seconds) > pace(outer.limit, self.seconds)
    }

    fn window(&self) -> u64 {
        u64::from(self.seconds).saturating_mul(NANOS)
    }

    /// How long so many take to be refilled, in nanoseconds.
    fn refill(&self, many: u64) -> u64 {
        // Asked for by every limit of every request, several times; a division of 128 bits is dear.
        if let Some(time) = many.checked_mul(self.window()) {
            return time.div_ceil(self.limit.max(1));
        }
        let time = u128::from(many).saturating_mul(u128::from(self.window()));
        u64::try_from(time.div_ceil(u128::from(self.limit.max(1)))).unwrap_or(u64::MAX)
    }
}

const NANOS: u64 = 1_000_000_000;

/// What a limit has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it will be full again, on the monotonic clock in nanoseconds.
    full_at: u64,
}

/// Where a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: u64,
    /// What is left.
    pub remaining: u64,
    /// Until it is full again, in milliseconds.
    pub reset_ms: u64,
}

impl Bucket {
    /// Takes so many, or says how long to wait for them, in nanoseconds. More than the limit itself can be had of a full
    /// bucket only, and then leaves it empty for as much longer.
    ///
    /// # Errors
    /// The wait.
    pub fn take(&mut self, many: u64, rule: &RateLimit, now: u64) -> Result<(), u64> {
        let taken = self.would_take(many, rule, now)?;
        self.full_at = taken;
        Ok(())
    }

    /// What [`Self::take`] would leave.
    ///
    /// # Errors
    /// The wait.
    pub fn would_take(&self, many: u64, rule: &RateLimit, now: u64) -> Result<u64, u64> {
        let from = self.full_at.max(now);
        let after = from.saturating_add(rule.refill(many));
        let room = now.saturating_add(rule.window());
        if after > room && from > now {
            // A request larger than the limit waits for a full bucket, and no longer.
            return Err(after.saturating_sub(room).min(from.saturating_sub(now)));
        }
        Ok(after)
    }

    /// Corrects an estimate once the truth is known.
    pub fn correct(&mut self, estimated: u64, actual: u64, rule: &RateLimit) {
        let (estimated, actual) = (rule.refill(estimated), rule.refill(actual));
        self.full_at = self.full_at.saturating_add(actual).saturating_sub(estimated);
    }

    /// Where it stands.
    pub fn standing(&self, rule: &RateLimit, now: u64) -> Standing {
        let owed = self.full_at.saturating_sub(now);
        let free = u128::from(rule.window().saturating_sub(owed)).saturating_mul(u128::from(rule.limit));
        let remaining = free.checked_div(u128::from(rule.window())).unwrap_or(0);
        Standing {
            limit: rule.limit,
            remaining: u64::try_from(remaining).unwrap_or(u64::MAX),
            reset_ms: owed.div_ceil(1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN: RateLimit = RateLimit { unit: RateUnit::Requests, limit: 10, seconds: 60 };

    #[test]
    fn ten_in_a_minute_are_ten_at_once_and_then_one_each_six_seconds() {
        let mut bucket = Bucket::default();
        for taken in 0..10 {
            assert_eq!(bucket.standing(&TEN, 5).remaining, 10 - taken);
            assert_eq!(bucket.take(1, &TEN, 5), Ok(()));
        }
        assert_eq!(bucket.take(1, &TEN, 5), Err(6 * NANOS));
        assert_eq!(bucket.take(1, &TEN, 5 + 6 * NANOS - 1), Err(1));
        assert_eq!(bucket.take(1, &TEN, 5 + 6 * NANOS), Ok(()));
        assert_eq!(bucket.standing(&TEN, 5 + 6 * NANOS).reset_ms, 60_000);
    }

    #[test]
    fn an_estimate_that_was_too_high_is_given_back() {
        let rule = RateLimit { unit: RateUnit::Tokens, limit: 1000, seconds: 60 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(1000, &rule, 0), Ok(()));
        assert!(bucket.take(1, &rule, 0).is_err());
        bucket.correct(1000, 100, &rule);
        assert_eq!(bucket.standing(&rule, 0).remaining, 900);
        assert_eq!(bucket.take(900, &rule, 0), Ok(()));
    }

    #[test]
    fn more_than_the_limit_waits_for_a_full_bucket_and_no_longer() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(1, &TEN, 0), Ok(()));
        assert_eq!(bucket.take(30, &TEN, 0), Err(6 * NANOS));
        assert_eq!(bucket.take(30, &TEN, 6 * NANOS), Ok(()));
        assert!(bucket.take(1, &TEN, 60 * NANOS).is_err(), "paid off later");
    }

    proptest! {
        #[test]
        fn refilling_takes_as_long_whatever_the_width_of_the_numbers(
            many in proptest::num::u64::ANY,
            limit in 1_u64..=1_000_000_000_000,
            seconds in 1_u32..=86_400,
        ) {
            let rule = RateLimit { unit: RateUnit::Tokens, limit, seconds };
            for many in [many, many >> 32, many >> 44] {
                let exact = (u128::from(many) * u128::from(seconds) * u128::from(NANOS)).div_ceil(limit.into());
                prop_assert_eq!(u128::from(rule.refill(many)), exact.min(u64::MAX.into()));
            }
        }

        /// In any stretch of time no more is taken than what a full bucket holds and what flows in meanwhile.
        #[test]
        fn never_more_than_a_full_bucket_and_what_flows_in(
            steps in proptest::collection::vec((0_u64..20_000_000_000, 1_u64..=10), 1..200),
        ) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, 0_u64);
            for (wait, many) in steps {
                now += wait;
                if bucket.take(many, &TEN, now).is_ok() {
                    taken += many;
                }
            }
            prop_assert!(u128::from(taken) <= 10 + u128::from(now) * 10 / u128::from(60 * NANOS) + 1);
        }
    }
}
