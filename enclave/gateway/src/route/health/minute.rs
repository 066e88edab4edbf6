//! Requests and tokens of the last minute, against a provider's limits per minute.

use std::time::Duration;

const MINUTE: u64 = 60;

/// A sliding minute, from two counters: the minute now, and the one before, weighted by how much of it still counts.
#[derive(Debug, Default)]
pub struct SlidingMinute {
    number: u64,
    now: Amount,
    before: Amount,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

impl SlidingMinute {
    /// Adds to this minute.
    pub fn add(&mut self, amount: Amount, now: Duration) {
        self.turn(now);
        self.now.requests = self.now.requests.saturating_add(amount.requests);
        self.now.tokens = self.now.tokens.saturating_add(amount.tokens);
    }

    /// Takes back what was reserved and not used.
    pub fn give_back(&mut self, tokens: u64, now: Duration) {
        self.turn(now);
        self.now.tokens = self.now.tokens.saturating_sub(tokens);
    }

    /// What the last minute used.
    pub fn used(&mut self, now: Duration) -> Amount {
        self.turn(now);
        let left = MINUTE.saturating_sub(now.as_secs().wrapping_rem(MINUTE));
        let share = |before: u64| before.saturating_mul(left).wrapping_div(MINUTE);
        Amount {
            requests: self.now.requests.saturating_add(share(self.before.requests)),
            tokens: self.now.tokens.saturating_add(share(self.before.tokens)),
        }
    }

    /// How long it takes until `fits` what the last minute has used by then, if nothing is added: at most two minutes,
    /// after which nothing counts any more.
    pub fn until(&mut self, now: Duration, fits: impl Fn(Amount) -> bool) -> Duration {
        self.turn(now);
        let mut probe = Self { number: self.number, now: self.now, before: self.before };
        let second = Duration::from_secs(1);
        let mut at = now;
        for _ in 0..2 * MINUTE {
            if fits(probe.used(at)) {
                break;
            }
            at = Duration::from_secs(at.as_secs()).saturating_add(second);
        }
        at.saturating_sub(now)
    }

    fn turn(&mut self, now: Duration) {
        let number = now.as_secs().wrapping_div(MINUTE);
        if number == self.number {
            return;
        }
        let next = number == self.number.saturating_add(1);
        self.before = if next { self.now } else { Amount::default() };
        self.now = Amount::default();
        self.number = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minute_before_counts_less_and_less() {
        let mut minute = SlidingMinute::default();
        let at = Duration::from_secs;
        minute.add(Amount { requests: 60, tokens: 600 }, at(10));
        assert_eq!(minute.used(at(59)), Amount { requests: 60, tokens: 600 });
        assert_eq!(minute.used(at(60)), Amount { requests: 60, tokens: 600 });
        assert_eq!(minute.used(at(90)), Amount { requests: 30, tokens: 300 });
        minute.add(Amount { requests: 1, tokens: 5 }, at(90));
        minute.give_back(7, at(90));
        assert_eq!(minute.used(at(90)), Amount { requests: 31, tokens: 300 });
        assert_eq!(minute.used(at(240)), Amount::default());
    }

    #[test]
    fn says_when_there_is_room_again() {
        let mut minute = SlidingMinute::default();
        let at = Duration::from_secs;
        minute.add(Amount { requests: 60, tokens: 0 }, at(30));
        let below = |most: u64| move |used: Amount| used.requests < most;
        assert_eq!(minute.until(at(30), below(61)), at(0));
        assert_eq!(
            minute.until(at(30), below(60)),
            at(31),
            "a sixtieth of the minute before no longer counts"
        );
        assert_eq!(minute.until(at(30), below(30)), at(61));
        assert_eq!(minute.until(at(30), below(1)), at(90));
        assert_eq!(minute.until(at(30), |_| false), at(120), "never longer");
    }
}
