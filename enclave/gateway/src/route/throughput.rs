//! How fast a stream has to begin so that its deployment keeps it. Pure; the answer is held back meanwhile.

use std::time::Duration;

/// The least pace of a model's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThroughputSettings {
    /// Tokens a second, as far as they can be guessed from events and bytes.
    pub tokens_per_second: u32,
    /// So long after the first content at the latest it is judged.
    pub within: Duration,
}

/// So many tokens are enough to judge by, however soon they came.
const ENOUGH_TOKENS: u64 = 64;

impl ThroughputSettings {
    /// Whether a stream is fast enough of which so many tokens came in so long after the first; nothing while that cannot
    /// be told yet.
    pub fn judge(self, tokens: u64, after: Duration) -> Option<bool> {
        if tokens < ENOUGH_TOKENS && after < self.within {
            return None;
        }
        let wanted = u128::from(self.tokens_per_second).saturating_mul(after.as_millis());
        Some(u128::from(tokens).saturating_mul(1000) >= wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_judged_by_enough_of_it_or_when_time_is_up() {
        let settings = ThroughputSettings { tokens_per_second: 10, within: Duration::from_secs(5) };
        let judge = |tokens, ms| settings.judge(tokens, Duration::from_millis(ms));
        assert_eq!(judge(63, 0), None);
        assert_eq!(judge(64, 0), Some(true));
        assert_eq!(judge(64, 6400), Some(true));
        assert_eq!(judge(64, 6401), Some(false));
        assert_eq!(judge(0, 4999), None);
        assert_eq!(judge(49, 5000), Some(false));
        assert_eq!(judge(50, 5000), Some(true));
    }
}
