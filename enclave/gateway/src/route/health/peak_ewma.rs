//! A moving average of durations that believes bad news at once and good news slowly (peak EWMA, as in Finagle's load
//! balancer): a sample above the average replaces it, one below draws it down with time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How fast the past is forgotten.
const DECAY: Duration = Duration::from_secs(10);

/// The average. Shared without a lock: two samples at the same instant may lose one of them, which an average bears.
#[derive(Debug, Default)]
pub struct PeakEwma {
    /// Microseconds as the bits of a float; zero bits: no sample yet.
    micros: AtomicU64,
    /// When the last sample came, microseconds of the monotonic clock.
    at: AtomicU64,
}

impl PeakEwma {
    /// Takes a sample.
    pub fn observe(&self, sample: Duration, now: Duration) {
        let sample = (sample.as_secs_f64() * 1e6).max(1.0);
        let old = f64::from_bits(self.micros.load(Ordering::Relaxed));
        let new = if old == 0.0 || sample >= old { sample } else { sample + (old - sample) * self.kept(now) };
        self.micros.store(new.to_bits(), Ordering::Relaxed);
        self.at.store(micros(now), Ordering::Relaxed);
    }

    /// The average in microseconds, fading while no sample comes so that a slow deployment is tried again some day.
    /// Nothing before the first sample.
    pub fn micros(&self, now: Duration) -> Option<f64> {
        let value = f64::from_bits(self.micros.load(Ordering::Relaxed));
        (value > 0.0).then(|| value * self.kept(now))
    }

    /// The weight of what was known before, now.
    fn kept(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(Duration::from_micros(self.at.load(Ordering::Relaxed)));
        (-passed.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

/// Whole microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn believes_bad_news_at_once_and_good_news_slowly() {
        let ewma = PeakEwma::default();
        assert_eq!(ewma.micros(seconds(0)), None);
        ewma.observe(Duration::from_millis(100), seconds(1));
        assert_eq!(ewma.micros(seconds(1)), Some(100_000.0));
        ewma.observe(seconds(2), seconds(1));
        assert_eq!(ewma.micros(seconds(1)), Some(2_000_000.0));
        ewma.observe(Duration::from_millis(100), seconds(2));
        let after = ewma.micros(seconds(2)).unwrap();
        assert!((1_700_000.0..1_900_000.0).contains(&after), "{after}");
        assert!(ewma.micros(seconds(62)).unwrap() < after / 100.0, "fades when nobody asks");
    }
}
