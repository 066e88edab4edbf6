//! Periods of time, numbered: a counter belongs to the window in which it was written, and a new window begins by being
//! looked at. Nothing is reset by a job.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAY: i64 = 86_400;

/// Over which time a budget is counted. Windows are anchored at 1970-01-01, never at the first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "every", deny_unknown_fields)]
pub enum Window {
    /// For ever.
    Lifetime {},
    /// One after another, each this long.
    Seconds {
        /// 1 to 31,536,000.
        #[schemars(range(min = 1, max = 31_536_000))]
        seconds: u32,
    },
    /// A day of the calendar.
    Day {
        /// Minutes that local time is ahead of UTC; -840 to 840.
        #[serde(default)]
        #[schemars(range(min = -840, max = 840))]
        utc_offset_minutes: i32,
    },
    /// A week from Monday.
    Week {
        /// See [`Self::Day`].
        #[serde(default)]
        #[schemars(range(min = -840, max = 840))]
        utc_offset_minutes: i32,
    },
    /// A month of the calendar.
    Month {
        /// See [`Self::Day`].
        #[serde(default)]
        #[schemars(range(min = -840, max = 840))]
        utc_offset_minutes: i32,
        /// The day on which it begins; 1 to 28.
        #[serde(default = "first_day")]
        #[schemars(range(min = 1, max = 28))]
        anchor_day: u32,
    },
    /// Three months of the calendar.
    Quarter {
        /// See [`Self::Day`].
        #[serde(default)]
        #[schemars(range(min = -840, max = 840))]
        utc_offset_minutes: i32,
    },
    /// A year of the calendar.
    Year {
        /// See [`Self::Day`].
        #[serde(default)]
        #[schemars(range(min = -840, max = 840))]
        utc_offset_minutes: i32,
    },
}

const fn first_day() -> u32 {
    1
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its number; later windows have larger ones.
    pub id: i64,
    /// When the next begins, in seconds since 1970; nothing if never.
    pub ends: Option<i64>,
}

impl Window {
    /// Whether its numbers are within bounds.
    pub fn is_sound(self) -> bool {
        match self {
            Self::Lifetime {} => true,
            Self::Seconds { seconds } => (1..=31_536_000).contains(&seconds),
            Self::Month { utc_offset_minutes, anchor_day } => {
                (1..=28).contains(&anchor_day) && (-840..=840).contains(&utc_offset_minutes)
            }
            Self::Day { utc_offset_minutes }
            | Self::Week { utc_offset_minutes }
            | Self::Quarter { utc_offset_minutes }
            | Self::Year { utc_offset_minutes } => (-840..=840).contains(&utc_offset_minutes),
        }
    }

    /// The window at a time in seconds since 1970.
    pub fn at(self, unix_seconds: u64) -> Period {
        let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX / 2);
        let (offset, of, start): (i32, _, _) = match self {
            Self::Lifetime {} => return Period { id: 0, ends: None },
            Self::Seconds { seconds } => {
                let length = i64::from(seconds.max(1));
                let id = now.div_euclid(length);
                return Period { id, ends: Some(id.saturating_add(1).saturating_mul(length)) };
            }
            Self::Day { utc_offset_minutes } => (utc_offset_minutes, Calendar::Days(1, 0), 0),
            // 1970-01-01 was a Thursday: three days after a Monday.
            Self::Week { utc_offset_minutes } => (utc_offset_minutes, Calendar::Days(7, 3), 0),
            Self::Month { utc_offset_minutes, anchor_day } => {
                (utc_offset_minutes, Calendar::Months(1), i64::from(anchor_day).saturating_sub(1))
            }
            Self::Quarter { utc_offset_minutes } => (utc_offset_minutes, Calendar::Months(3), 0),
            Self::Year { utc_offset_minutes } => (utc_offset_minutes, Calendar::Months(12), 0),
        };
        let ahead = i64::from(offset).saturating_mul(60);
        let day = now.saturating_add(ahead).div_euclid(DAY);
        let (id, next_day) = match of {
            Calendar::Days(length, shift) => {
                let id = day.saturating_add(shift).div_euclid(length);
                (id, id.saturating_add(1).saturating_mul(length).saturating_sub(shift))
            }
            Calendar::Months(length) => {
                let month = month_of(day.saturating_sub(start));
                let id = month.div_euclid(length);
                let next = first_of(id.saturating_add(1).saturating_mul(length));
                (id, next.saturating_add(start))
            }
        };
        Period { id, ends: Some(next_day.saturating_mul(DAY).saturating_sub(ahead)) }
    }
}

enum Calendar {
    /// So many days, shifted by so many.
    Days(i64, i64),
    /// So many months.
    Months(i64),
}

/// The month of a day, both counted from 1970-01. Works in years that begin in March, so that leap days come last.
fn month_of(day: i64) -> i64 {
    let shifted = day.saturating_add(719_468);
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let leap = of_era
        .saturating_sub(of_era / 1_460)
        .saturating_add(of_era / 36_524)
        .saturating_sub(of_era / 146_096);
    let year = leap / 365;
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let of_year = of_era.saturating_sub(before);
    let march_month = of_year.saturating_mul(5).saturating_add(2) / 153;
    let years = era.saturating_mul(400).saturating_add(year).saturating_sub(1970);
    years.saturating_mul(12).saturating_add(march_month).saturating_add(2)
}

/// The first day of a month, both counted from 1970-01.
fn first_of(month: i64) -> i64 {
    let march = month.saturating_sub(2);
    let (year, of_year) = (march.div_euclid(12).saturating_add(1970), march.rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = of_year.saturating_mul(153).saturating_add(2) / 5;
    let days = of_era
        .saturating_mul(365)
        .saturating_add(of_era / 4)
        .saturating_sub(of_era / 100)
        .saturating_add(day_of_year);
    era.saturating_mul(146_097).saturating_add(days).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MONTH: Window = Window::Month { utc_offset_minutes: 0, anchor_day: 1 };

    #[test]
    fn months_end_where_the_calendar_says() {
        // date -u -d 2024-02-29T12:00 +%s, and so on.
        for (at, ends) in [
            (0, 2_678_400),                 // 1970-01
            (1_709_208_000, 1_709_251_200), // 2024-02-29 -> 2024-03-01
            (1_709_251_199, 1_709_251_200),
            (1_709_251_200, 1_711_929_600), // 2024-03-01 -> 2024-04-01
            (1_735_689_599, 1_735_689_600), // the last second of 2024
            (4_107_542_400, 4_110_220_800), // 2100-03-01, after a February of 28 days -> 04-01
        ] {
            assert_eq!(MONTH.at(at).ends, Some(ends), "{at}");
        }
        let anchored = Window::Month { utc_offset_minutes: 0, anchor_day: 15 };
        assert_eq!(anchored.at(1_709_208_000).ends, Some(1_710_460_800), "2024-03-15");
        assert_eq!(Window::Week { utc_offset_minutes: 0 }.at(0).ends, Some(4 * 86_400), "Monday 1970-01-05");
        assert_eq!(Window::Year { utc_offset_minutes: 0 }.at(1_709_208_000).ends, Some(1_735_689_600));
        let east = Window::Day { utc_offset_minutes: 120 };
        assert_eq!(east.at(0).ends, Some(79_200), "midnight two hours east of Greenwich");
    }

    proptest! {
        #[test]
        fn every_moment_is_in_one_window_and_windows_follow_each_other(
            at in 0_u64..8_000_000_000,
            offset in -840_i32..=840,
            day in 1_u32..=28,
            seconds in 1_u32..=31_536_000,
        ) {
            for window in [
                Window::Seconds { seconds },
                Window::Day { utc_offset_minutes: offset },
                Window::Week { utc_offset_minutes: offset },
                Window::Month { utc_offset_minutes: offset, anchor_day: day },
                Window::Quarter { utc_offset_minutes: offset },
                Window::Year { utc_offset_minutes: offset },
            ] {
                let period = window.at(at);
                let ends = u64::try_from(period.ends.expect("ends")).expect("later than 1970");
                prop_assert!(ends > at);
                prop_assert_eq!(window.at(ends - 1).id, period.id);
                prop_assert_eq!(window.at(ends).id, period.id + 1);
            }
        }
    }
}
