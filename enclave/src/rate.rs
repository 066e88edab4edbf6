//! A token bucket: so many a second on average, twice that in a burst.

use std::sync::{Mutex, PoisonError};

use attestation::digest::UnixTime;

/// See the module documentation.
#[derive(Debug)]
pub struct RateLimit {
    per_second: u32,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: u64,
    filled: UnixTime,
}

impl RateLimit {
    /// At most `per_second` on average.
    pub fn new(per_second: u32) -> Self {
        let tokens = u64::from(per_second).saturating_mul(2);
        Self { per_second, bucket: Mutex::new(Bucket { tokens, filled: UnixTime::from_seconds(0) }) }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// Seconds to wait when there is none.
    pub fn take(&self, now: UnixTime) -> Result<(), u32> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = u64::from(self.per_second);
        let passed = now.seconds().saturating_sub(bucket.filled.seconds());
        if passed > 0 {
            bucket.tokens =
                bucket.tokens.saturating_add(passed.saturating_mul(rate)).min(rate.saturating_mul(2));
            bucket.filled = now;
        }
        bucket.tokens = bucket.tokens.checked_sub(1).ok_or(1_u32)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let limit = RateLimit::new(3);
        let at = |seconds| limit.take(UnixTime::from_seconds(seconds)).is_ok();
        assert_eq!((0..8).filter(|_| at(1000)).count(), 6);
        assert_eq!((0..8).filter(|_| at(1001)).count(), 3);
        assert_eq!((0..8).filter(|_| at(9000)).count(), 6);
        assert!(!at(100), "a clock that runs back refills nothing");
    }
}
