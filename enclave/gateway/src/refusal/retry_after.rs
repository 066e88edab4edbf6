//! When an upstream says to come back, in the many ways in which vendors say it.
//!
//! Advice is a hint from outside: what cannot be read is no advice, never an error. Times in the past mean now.

use crate::clock::Now;
use crate::scan::{Fields, Kind, elements};

/// Headers that may hold advice; the shell copies these from answers.
pub const HEADERS: &[&str] = &[
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];

/// Pairs of what remains and when it is filled again; a pair counts only if nothing remains.
const WINDOWS: &[(&str, &str)] = &[
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
];

/// Milliseconds to wait, if the upstream says so: its headers first, then Google's `RetryInfo` in the body, then the
/// windows of limits that are used up.
pub fn retry_after_ms(headers: &[(String, Vec<u8>)], body: &[u8], now: Now) -> Option<u64> {
    let text = |wanted: &str| -> Option<&str> {
        let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(std::str::from_utf8(value).ok()?.trim())
    };
    let milliseconds = |name| text(name).and_then(|text| text.parse::<u64>().ok());
    milliseconds("retry-after-ms")
        .or_else(|| milliseconds("x-ms-retry-after-ms"))
        .or_else(|| {
            text("retry-after").and_then(|text| decimal_seconds(text).or_else(|| http_date(text, now)))
        })
        .or_else(|| retry_info(body))
        .or_else(|| {
            let used_up = |remaining| text(remaining).and_then(|text| text.parse::<i64>().ok()) == Some(0);
            let waits = WINDOWS.iter().filter(|(remaining, _)| used_up(remaining));
            waits.filter_map(|(_, reset)| text(reset).and_then(|text| window_end(text, now))).max()
        })
}

/// A reset as a duration (`6m0s`, `12ms`), as seconds, or as a time (RFC 3339). `-1` and the like say nothing.
fn window_end(text: &str, now: Now) -> Option<u64> {
    decimal_seconds(text).or_else(|| duration(text)).or_else(|| rfc_3339(text, now))
}

/// `12` or `1.5`, in milliseconds, rounded up.
fn decimal_seconds(text: &str) -> Option<u64> {
    scaled(text, 1000)
}

/// A decimal number times `scale`, rounded up; at most nine decimals count.
fn scaled(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // So many digits are a number larger than any wait.
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let billionths: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let part = billionths.saturating_mul(scale).div_ceil(1_000_000_000);
    Some(whole.saturating_mul(scale).saturating_add(part))
}

/// Go's notation, as `OpenAI` sends it: `1h2m3.5s`, `12ms`.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?;
        let (number, after) = rest.split_at(end);
        let units: [(&str, u64); 6] =
            [("ms", 1), ("us", 0), ("ns", 0), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let (unit, scale) = units.iter().find(|(unit, _)| after.starts_with(unit))?;
        total = total.saturating_add(scaled(number, *scale)?);
        rest = after.get(unit.len()..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// `error.details[].retryDelay` of `google.rpc.RetryInfo`: `34.5s`.
fn retry_info(body: &[u8]) -> Option<u64> {
    let body = body.trim_ascii();
    let body = body.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(body);
    let mut fields = Fields::new();
    fields.scan(body).ok()?;
    let error = fields.find(body, "error").filter(|field| field.kind == Kind::Object)?.value(body);
    fields.scan_utf8(error).ok()?;
    let details = fields.find(error, "details").filter(|field| field.kind == Kind::Array)?.value(error);
    let mut delay = None;
    let mut inner = Fields::new();
    elements(details, |element, kind| {
        if kind == Kind::Object && inner.scan_utf8(element).is_ok() {
            let text = inner.find(element, "retryDelay").and_then(|own| own.raw_string(element));
            delay = delay.or_else(|| duration(std::str::from_utf8(text?).ok()?));
        }
    })
    .ok()?;
    delay
}

/// RFC 9110 section 5.6.7, the preferred form: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str, now: Now) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let [day, month, year, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?.checked_add(1)?;
    let day = days(year.parse().ok()?, month, day.parse().ok()?)?;
    until(day, seconds_of_day(time)?, now)
}

/// RFC 3339 in UTC: `2026-01-31T23:59:59Z`, with or without decimals.
fn rfc_3339(text: &str, now: Now) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?.split_once('T')?;
    let [year, month, day] = date.split('-').collect::<Vec<_>>()[..] else { return None };
    let day = days(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    until(day, seconds_of_day(time)?, now)
}

fn seconds_of_day(text: &str) -> Option<u64> {
    let [hours, minutes, seconds] = text.split(':').collect::<Vec<_>>()[..] else { return None };
    let part = |text: &str, most: u64| text.parse::<u64>().ok().filter(|part| *part <= most);
    let (hours, minutes) = (part(hours, 23)?, part(minutes, 59)?);
    hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(part(seconds, 60)?)
}

/// Days since 1970 of a date in the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March end with the leap day.
    let (year, month) =
        if month > 2 { (year, month.checked_sub(3)?) } else { (year.checked_sub(1)?, month.checked_add(9)?) };
    let leap_days = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let before_month = month.checked_mul(153)?.checked_add(2)? / 5;
    let since_zero =
        year.checked_mul(365)?.checked_add(leap_days)?.checked_add(before_month)?.checked_add(day)?;
    // Up to 1970-01-01, counted the same way.
    since_zero.checked_sub(719_469)
}

fn until(days: u64, seconds: u64, now: Now) -> Option<u64> {
    let then = days.checked_mul(86_400)?.checked_add(seconds)?.checked_mul(1000)?;
    Some(then.saturating_sub(now.unix_ms))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T12:00:00Z.
    const NOW: Now = Now { unix_ms: 1_795_262_400_000, monotonic: std::time::Duration::ZERO };

    fn wait(headers: &[(&str, &str)]) -> Option<u64> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        assert!(headers.iter().all(|(name, _)| HEADERS.contains(&name.to_ascii_lowercase().as_str())));
        retry_after_ms(&headers, b"", NOW)
    }

    #[test]
    fn reads_every_form_of_the_header() {
        for (value, wanted) in [
            ("7", Some(7000)),
            ("1.5", Some(1500)),
            ("0.0001", Some(1)),
            ("Sat, 21 Nov 2026 12:00:30 GMT", Some(30_000)),
            ("Tue, 29 Feb 2028 12:00:00 GMT", Some(465 * 86_400_000)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("", None),
            ("soon", None),
            ("Sat, 21 Foo 2026 12:00:30 GMT", None),
            ("Sat, 21 Nov 2026 25:00:30 GMT", None),
        ] {
            assert_eq!(wait(&[("Retry-After", value)]), wanted, "{value}");
        }
        assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "9")]), Some(250));
        assert_eq!(wait(&[("x-ms-retry-after-ms", "300"), ("retry-after", "9")]), Some(300));
    }

    #[test]
    fn a_window_counts_only_when_it_is_used_up() {
        let openai = |remaining, reset| {
            wait(&[("x-ratelimit-remaining-tokens", remaining), ("x-ratelimit-reset-tokens", reset)])
        };
        for (reset, wanted) in [
            ("6m0s", Some(360_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("12ms", Some(12)),
            ("1s", Some(1000)),
            // Azure.
            ("17", Some(17_000)),
            ("-1", None),
            ("1x", None),
            ("s", None),
        ] {
            assert_eq!(openai("0", reset), wanted, "{reset}");
        }
        assert_eq!(openai("1", "6m0s"), None);
        assert_eq!(openai("-1", "6m0s"), None);
        let anthropic = wait(&[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:10Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-21T12:01:00.5Z"),
        ]);
        assert_eq!(anthropic, Some(60_000), "the last of the windows has to open");
    }

    #[test]
    fn reads_the_retry_info_of_google() {
        let body = br#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.Help"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.074824224s"}]}}"#;
        assert_eq!(retry_after_ms(&[], body, NOW), Some(34_075));
        assert_eq!(retry_after_ms(&[], &[b"[", &body[..], b"]"].concat(), NOW), Some(34_075));
        assert_eq!(retry_after_ms(&[], b"{\"error\":{\"details\":[1]}}", NOW), None);
    }
}
