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

/// A moment in the civil calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// From 1970.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
}

impl Civil {
    /// From seconds since 1970, as in Howard Hinnant's `civil_from_days`.
    pub fn at(unix_seconds: u64) -> Self {
        let (days, rest) = (unix_seconds.wrapping_div(86_400), unix_seconds.wrapping_rem(86_400));
        let shifted = days.saturating_add(719_468);
        let (era, of_era) = (shifted.wrapping_div(146_097), shifted.wrapping_rem(146_097));
        let leap_days = of_era.wrapping_div(1460).wrapping_add(of_era.wrapping_div(146_096));
        let year_of_era =
            of_era.wrapping_sub(leap_days).wrapping_add(of_era.wrapping_div(36_524)).wrapping_div(365);
        let before = year_of_era
            .wrapping_mul(365)
            .wrapping_add(year_of_era.wrapping_div(4))
            .wrapping_sub(year_of_era.wrapping_div(100));
        let of_year = of_era.wrapping_sub(before);
        // Months from March.
        let shifted = of_year.wrapping_mul(5).wrapping_add(2).wrapping_div(153);
        let first = shifted.wrapping_mul(153).wrapping_add(2).wrapping_div(5);
        let month = if shifted < 10 { shifted.wrapping_add(3) } else { shifted.wrapping_sub(9) };
        let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(u64::from(month <= 2));
        Self {
            year,
            month,
            day: of_year.wrapping_sub(first).wrapping_add(1),
            hour: rest.wrapping_div(3600),
            minute: rest.wrapping_div(60).wrapping_rem(60),
            second: rest.wrapping_rem(60),
        }
    }
}

/// As RFC 3339 has it: `2026-01-31T23:59:59Z`.
impl std::fmt::Display for Civil {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Where the time comes from: the shell's trusted clock, or a simulated one in tests.
pub trait Clock {
    /// Reads both clocks.
    fn now(&self) -> Now;
    /// Ends after so long. Dropping it stops the waiting.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

#[cfg(test)]
mod tests {
    use super::Civil;

    #[test]
    fn moments_are_written_as_calendars_have_them() {
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_262_400, "2026-11-21T12:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Civil::at(seconds).to_string(), wanted);
        }
    }
}
