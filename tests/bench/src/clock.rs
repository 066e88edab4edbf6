//! One clock for all processes of a run: `CLOCK_MONOTONIC`, in nanoseconds, is the same number in every process of a
//! machine, so a time written into a chunk by the mock can be compared by the load generator.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A duration in nanoseconds; a run never lasts the 584 years that would overflow it.
pub fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
