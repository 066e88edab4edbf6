//! Time inside the enclave. The host owns both clocks, so neither is trusted further than a hint.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use attestation::digest::UnixTime;
use gateway::{Clock, Now};

/// The process clock: wall time that never runs backwards, and a monotonic count since start.
#[derive(Debug)]
pub struct ProcessClock {
    started: Instant,
    started_unix: Duration,
}

impl ProcessClock {
    /// The one clock of this process.
    pub fn shared() -> &'static Self {
        static CLOCK: OnceLock<ProcessClock> = OnceLock::new();
        CLOCK.get_or_init(Self::start)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the host's clocks")]
    fn start() -> Self {
        let claimed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix: not_before_release(claimed) }
    }

    /// Seconds since 1970. Read once at start and carried on by the monotonic clock, so that a host that
    /// sets the wall clock back later moves nothing.
    pub fn unix(&self) -> UnixTime {
        UnixTime::from_seconds(self.started_unix.saturating_add(self.elapsed()).as_secs())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// It cannot be earlier than this code was released: a lower bound that no host can move.
fn not_before_release(claimed: Duration) -> Duration {
    claimed.max(RELEASED)
}

/// 2026-11-01, since 1970. Moved forward with each release.
const RELEASED: Duration = Duration::from_hours(498_192);

/// The instant `after` from now; a century away where the sum would not fit.
pub fn deadline(after: Duration) -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    now.checked_add(after.min(CENTURY)).unwrap_or(now)
}

const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);

impl Clock for ProcessClock {
    fn now(&self) -> Now {
        let elapsed = self.elapsed();
        let unix = self.started_unix.saturating_add(elapsed);
        Now { unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX), monotonic: elapsed }
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time.min(CENTURY)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_beyond_the_release_is_not_believed() {
        assert_eq!(not_before_release(Duration::ZERO), RELEASED);
        let later = RELEASED.saturating_add(Duration::from_secs(1));
        assert_eq!(not_before_release(later), later);
    }
}
