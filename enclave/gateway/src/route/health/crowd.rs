//! How many calls a deployment bears at the same time, found out by trying: fewer by a fifth when it refuses one or is
//! slow to begin, one more for each round of calls that it answers (additive increase, multiplicative decrease, as TCP
//! has it).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::peak_ewma::micros;

/// A bound on calls in flight that moves between one and what is configured.
#[derive(Debug)]
pub struct Crowd {
    adapts: bool,
    /// [`UNIT`]s of a call; zero: as configured.
    most: AtomicU32,
    /// When it shrank last, microseconds of the monotonic clock.
    shrunk: AtomicU64,
}

/// Parts of a call.
const UNIT: u32 = 256;
/// Refusals so close together come from one crowd and count once.
const ONCE: Duration = Duration::from_secs(1);

impl Crowd {
    /// As configured until something happens; always, unless it adapts.
    pub const fn new(adapts: bool) -> Self {
        Self { adapts, most: AtomicU32::new(0), shrunk: AtomicU64::new(0) }
    }

    /// Most calls at the same time, of `configured` at most.
    pub fn most(&self, configured: u32) -> u32 {
        match self.most.load(Ordering::Relaxed) {
            0 => configured,
            most => most.wrapping_div(UNIT).clamp(1, configured.max(1)),
        }
    }

    /// It was too many: `busy` of them.
    pub fn shrink(&self, configured: u32, busy: u32, now: Duration) {
        let (now, before) = (micros(now).max(1), self.shrunk.load(Ordering::Relaxed));
        if !self.adapts || (before != 0 && now.saturating_sub(before) < micros(ONCE)) {
            return;
        }
        self.shrunk.store(now, Ordering::Relaxed);
        let most = self.most(configured).min(busy.max(1)).saturating_mul(UNIT);
        self.most.store(most.saturating_sub(most.wrapping_div(5)).max(UNIT), Ordering::Relaxed);
    }

    /// It has answered one.
    pub fn grow(&self, configured: u32) {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return;
        }
        let step = UNIT.checked_div(most.wrapping_div(UNIT)).unwrap_or(UNIT).max(1);
        let full = configured.saturating_mul(UNIT);
        let more = most.saturating_add(step);
        self.most.store(if more >= full { 0 } else { more }, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinks_by_a_fifth_and_grows_by_one_in_a_round() {
        let (crowd, seconds) = (Crowd::new(true), Duration::from_secs);
        assert_eq!(crowd.most(100), 100);
        crowd.shrink(100, 50, seconds(1));
        assert_eq!(crowd.most(100), 40, "what it had was too many, whatever is allowed");
        crowd.shrink(100, 50, Duration::from_millis(1500));
        assert_eq!(crowd.most(100), 40, "the same crowd");
        crowd.shrink(100, 40, seconds(3));
        assert_eq!(crowd.most(100), 32);
        (0..36).for_each(|_| crowd.grow(100));
        assert_eq!(crowd.most(100), 33);
        (0..100_000).for_each(|_| crowd.grow(100));
        assert_eq!(crowd.most(100), 100);
        (0..60).for_each(|round| crowd.shrink(100, 1, seconds(10 + 2 * round)));
        assert_eq!(crowd.most(100), 1, "never none");
        let fixed = Crowd::new(false);
        fixed.shrink(100, 100, seconds(1));
        assert_eq!(fixed.most(100), 100);
    }
}
