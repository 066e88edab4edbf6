//! Fixed-size values that must never be mixed up: digests, measurements, nonces, report data, times.
//! They carry no authority of their own; whoever makes one says where its bytes came from.

use std::fmt;
use std::time::Duration;

/// Why a text or slice is not one of this module's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestError {
    /// The number of bytes is wrong.
    Length {
        /// Smallest number of bytes accepted.
        min: usize,
        /// Largest number of bytes accepted.
        max: usize,
        /// Number of bytes (for text: of characters, halved) found.
        found: usize,
    },
    /// A character is not a lower-case hexadecimal digit.
    NotHex,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min, max, found } if min == max => {
                write!(f, "expected {min} bytes, found {found}")
            }
            Self::Length { min, max, found } => write!(f, "expected {min} to {max} bytes, found {found}"),
            Self::NotHex => f.write_str("expected lower-case hexadecimal digits"),
        }
    }
}

impl std::error::Error for DigestError {}

/// Lower-case hexadecimal of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
    }
    text
}

/// The bytes of lower-case hexadecimal `text`, at most `max` of them.
///
/// # Errors
/// Odd length, more than `max` bytes, or any character but `0-9a-f`.
pub fn from_hex(text: &str, max: usize) -> Result<Vec<u8>, DigestError> {
    let found = text.len().div_ceil(2);
    if found > max {
        return Err(DigestError::Length { min: 0, max, found });
    }
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(DigestError::NotHex);
    }
    pairs
        .map(|pair| match pair {
            [high, low] => Ok((nibble(*high)? << 4) | nibble(*low)?),
            _ => Err(DigestError::NotHex),
        })
        .collect()
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => Err(DigestError::NotHex),
    }
}

macro_rules! fixed_size {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $size]);

        impl $name {
            /// Number of bytes.
            pub const SIZE: usize = $size;

            /// Wraps exactly these bytes.
            pub const fn new(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            /// Lower-case hexadecimal.
            pub fn to_hex(&self) -> String {
                to_hex(&self.0)
            }

            /// Parses lower-case hexadecimal.
            ///
            /// # Errors
            /// Wrong length, or a character outside `0-9a-f`.
            pub fn from_hex(text: &str) -> Result<Self, DigestError> {
                Self::try_from(from_hex(text, $size)?.as_slice())
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = DigestError;

            fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
                let exact = <[u8; $size]>::try_from(bytes);
                exact.map(Self).map_err(|_| DigestError::Length { min: $size, max: $size, found: bytes.len() })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_hex())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

fixed_size!(
    /// A SHA-256 digest.
    Sha256, 32
);
fixed_size!(
    /// A SHA-384 digest.
    Sha384, 48
);
fixed_size!(
    /// The 64 bytes a guest puts into its hardware report.
    ReportData, 64
);
fixed_size!(
    /// A verifier's 32 random bytes.
    Nonce, 32
);
fixed_size!(
    /// A launch measurement (SEV-SNP `MEASUREMENT`, TDX `MRTD` and `RTMR`).
    Measurement, 48
);

impl Sha256 {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Self(out)
    }
}

impl Sha384 {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 48];
        out.copy_from_slice(ring::digest::digest(&ring::digest::SHA384, bytes).as_ref());
        Self(out)
    }
}

/// Identity of one physical processor: AMD `CHIP_ID` (64 bytes, on Turin the 8 significant ones), Intel PPID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareId(Vec<u8>);

impl HardwareId {
    /// Fewest bytes of an identity.
    pub const MIN: usize = 8;
    /// Most bytes of an identity.
    pub const MAX: usize = 64;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Parses lower-case hexadecimal of 8 to 64 bytes.
    ///
    /// # Errors
    /// Wrong length, or a character outside `0-9a-f`.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        Self::try_from(from_hex(text, Self::MAX)?.as_slice())
    }
}

impl TryFrom<&[u8]> for HardwareId {
    type Error = DigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
        if (Self::MIN..=Self::MAX).contains(&bytes.len()) {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(DigestError::Length { min: Self::MIN, max: Self::MAX, found: bytes.len() })
        }
    }
}

impl fmt::Debug for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HardwareId({})", self.to_hex())
    }
}

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted. The caller says what time it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// This many seconds after the epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds after the epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This time plus the whole seconds of `duration`; stops at the end of time.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// Builds a time from a civil UTC date, for example from a certificate.
    ///
    /// None before 1970, after 9999, or when a part is out of its range.
    pub fn from_civil(year: u64, month: u64, day: u64, hour: u64, minute: u64, second: u64) -> Option<Self> {
        let leap = is_leap(year);
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(month, leap)).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 59;
        if !in_range {
            return None;
        }
        let before = year.checked_sub(1)?;
        // days from 0001-01-01 to the first of January of `year`, less those to 1970-01-01
        let leap_days = before
            .checked_div(4)?
            .checked_sub(before.checked_div(100)?)?
            .checked_add(before.checked_div(400)?)?;
        let mut days = before.checked_mul(365)?.checked_add(leap_days)?.checked_sub(719_162)?;
        for earlier in 1..month {
            days = days.checked_add(days_in_month(earlier, leap))?;
        }
        days = days.checked_add(day.checked_sub(1)?)?;
        let hours = days.checked_mul(24)?.checked_add(hour)?;
        let minutes = hours.checked_mul(60)?.checked_add(minute)?;
        Some(Self(minutes.checked_mul(60)?.checked_add(second)?))
    }

    /// Parses `YYYY-MM-DDTHH:MM:SSZ`, the only form of RFC 3339 used here.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let shape = text.len() == 20
            && text.char_indices().all(|(at, c)| match at {
                4 | 7 => c == '-',
                10 => c == 'T',
                13 | 16 => c == ':',
                19 => c == 'Z',
                _ => c.is_ascii_digit(),
            });
        let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
        if !shape {
            return None;
        }
        Self::from_civil(part(0..4)?, part(5..7)?, part(8..10)?, part(11..13)?, part(14..16)?, part(17..19)?)
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixTime({self})")
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`, or the bare number past the year 9999.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [days, of_day] = [self.0.wrapping_div(86_400), self.0.wrapping_rem(86_400)];
        let mut year = 1970_u64;
        let mut left = days;
        while left >= days_in_year(year) {
            left = left.saturating_sub(days_in_year(year));
            year = year.saturating_add(1);
            if year > 9999 {
                return write!(f, "{}", self.0);
            }
        }
        let mut month = 1_u64;
        while left >= days_in_month(month, is_leap(year)) {
            left = left.saturating_sub(days_in_month(month, is_leap(year)));
            month = month.saturating_add(1);
        }
        let [hour, minute, second] =
            [of_day.wrapping_div(3600), of_day.wrapping_div(60).wrapping_rem(60), of_day.wrapping_rem(60)];
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", left.saturating_add(1))
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_in_month(month: u64, leap: bool) -> u64 {
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_other_spellings() {
        let nonce = Nonce::new([0xa5; 32]);
        assert_eq!(Nonce::from_hex(&nonce.to_hex()), Ok(nonce));
        assert_eq!(Nonce::from_hex(&nonce.to_hex().to_uppercase()), Err(DigestError::NotHex));
        assert_eq!(Nonce::from_hex("00"), Err(DigestError::Length { min: 32, max: 32, found: 1 }));
        assert_eq!(Nonce::from_hex(&"0".repeat(63)), Err(DigestError::NotHex));
        assert!(HardwareId::from_hex(&"ab".repeat(7)).is_err());
        assert!(HardwareId::from_hex(&"ab".repeat(8)).is_ok());
        assert!(HardwareId::from_hex(&"ab".repeat(65)).is_err());
    }

    #[test]
    fn civil_time_matches_known_instants() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-21T01:38:30Z", 1_795_225_110),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let time = UnixTime::from_rfc3339(text).expect(text);
            assert_eq!(time.seconds(), seconds, "{text}");
            assert_eq!(time.to_string(), text);
        }
        for bad in [
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00+",
            "२०२४",
        ] {
            assert_eq!(UnixTime::from_rfc3339(bad), None, "{bad}");
        }
        assert_eq!(UnixTime::from_seconds(u64::MAX).to_string(), u64::MAX.to_string());
    }
}
