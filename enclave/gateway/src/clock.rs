//! Time as a value: the shell says what time it is, this crate never looks.

use std::future::Future;
use std::time::Duration;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since 1970-01-01T00:00:00Z. A hint: the host can lie about it.
    pub unix_ms: u64,
    /// Time since an arbitrary start that never goes backwards; for durations.
    pub monotonic: Duration,
}

impl Now {
    /// Wall clock in whole seconds.
    pub const fn unix_seconds(self) -> u64 {
        self.unix_ms.wrapping_div(1000)
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }
}

/// Where the time comes from: the shell's trusted clock, or a simulated one in tests.
pub trait Clock {
    /// Reads both clocks.
    fn now(&self) -> Now;
    /// Ends after so long. Dropping it stops the waiting.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}
