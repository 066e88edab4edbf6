//! Strict DER (X.690) over hostile bytes: definite shortest lengths, low tag numbers, nothing left over.

use crate::digest::UnixTime;
use crate::reader::{Cursor, Truncated};
use std::fmt;

/// Universal and context tags used by X.509.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    pub(crate) const CONTEXT_3: u8 = 0xa3;
}

/// Why bytes are not the DER they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerError {
    /// The input ends inside an element, or goes on after the last.
    Bounds(Truncated),
    /// A length is indefinite, not in its shortest form, or over 32 bits.
    Length,
    /// Another element stands here.
    Tag {
        /// The tag wanted.
        wanted: u8,
        /// The tag found.
        found: u8,
    },
    /// The content is not a value of its type, or not one this field allows.
    Value(&'static str),
}

impl From<Truncated> for DerError {
    fn from(truncated: Truncated) -> Self {
        Self::Bounds(truncated)
    }
}

impl fmt::Display for DerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounds(truncated) => truncated.fmt(f),
            Self::Length => f.write_str("a length that is not DER"),
            Self::Tag { wanted, found } => write!(f, "tag {found:#04x} instead of {wanted:#04x}"),
            Self::Value(what) => write!(f, "an unacceptable {what}"),
        }
    }
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Der<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes) }
    }

    /// Whether every element was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.cursor.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.cursor.peek()
    }

    /// Ends the reading; nothing may be left over.
    pub(crate) fn finish(&self) -> Result<(), DerError> {
        Ok(self.cursor.finish()?)
    }

    /// The content of the next element, which has this tag.
    pub(crate) fn element(&mut self, wanted: u8) -> Result<&'a [u8], DerError> {
        let found = self.peek().unwrap_or(0);
        if found != wanted {
            return Err(DerError::Tag { wanted, found });
        }
        self.any().map(|(_, content)| content)
    }

    /// The next element with its head, which has this tag.
    pub(crate) fn whole(&mut self, wanted: u8) -> Result<&'a [u8], DerError> {
        let start = self.cursor.position();
        self.element(wanted)?;
        Ok(self.cursor.since(start))
    }

    /// A reader over the content of the next element, which has this tag.
    pub(crate) fn inside(&mut self, wanted: u8) -> Result<Self, DerError> {
        self.element(wanted).map(Self::new)
    }

    /// Tag and content of the next element.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), DerError> {
        let tag = self.cursor.u8()?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::Value("tag number"));
        }
        let length = match self.cursor.u8()? {
            short @ 0..=0x7f => usize::from(short),
            0x81 => self.long_length(1)?,
            0x82 => self.long_length(2)?,
            0x83 => self.long_length(3)?,
            0x84 => self.long_length(4)?,
            _ => return Err(DerError::Length),
        };
        Ok((tag, self.cursor.take(length)?))
    }

    fn long_length(&mut self, bytes: usize) -> Result<usize, DerError> {
        let digits = self.cursor.take(bytes)?;
        let length = digits.iter().fold(0_u64, |length, digit| (length << 8) | u64::from(*digit));
        let shortest = digits.first().is_some_and(|first| *first != 0) && length > 0x7f;
        usize::try_from(length).ok().filter(|_| shortest).ok_or(DerError::Length)
    }

    /// The magnitude of a non-negative INTEGER, without leading zeros (empty for zero).
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], DerError> {
        match self.element(tag::INTEGER)? {
            [0] => Ok(&[]),
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
            all @ [1..=0x7f, ..] => Ok(all),
            _ => Err(DerError::Value("integer")),
        }
    }

    /// A non-negative INTEGER of at most one byte.
    pub(crate) fn byte(&mut self) -> Result<u8, DerError> {
        match self.unsigned()? {
            [] => Ok(0),
            [value] => Ok(*value),
            _ => Err(DerError::Value("integer")),
        }
    }

    /// A BOOLEAN.
    pub(crate) fn boolean(&mut self) -> Result<bool, DerError> {
        match self.element(tag::BOOLEAN)? {
            [0] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(DerError::Value("boolean")),
        }
    }

    /// The content of a BIT STRING of whole bytes.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], DerError> {
        match self.element(tag::BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(DerError::Value("bit string")),
        }
    }

    /// A `UTCTime` or `GeneralizedTime` in the forms of RFC 5280 section 4.1.2.5.
    pub(crate) fn time(&mut self) -> Result<UnixTime, DerError> {
        let (tag, content) = self.any()?;
        let wrong = DerError::Value("time");
        let (year, rest) = match tag {
            tag::UTC_TIME => {
                let (year, rest) = content.split_at_checked(2).ok_or(wrong)?;
                let year = decimal(year).ok_or(wrong)?;
                // RFC 5280: 50..=99 is 19xx, 00..=49 is 20xx
                (year.saturating_add(if year >= 50 { 1900 } else { 2000 }), rest)
            }
            tag::GENERALIZED_TIME => {
                let (year, rest) = content.split_at_checked(4).ok_or(wrong)?;
                (decimal(year).ok_or(wrong)?, rest)
            }
            _ => return Err(wrong),
        };
        let &[mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2, b'Z'] = rest else { return Err(wrong) };
        let pair = |high, low| decimal(&[high, low]).ok_or(wrong);
        UnixTime::from_civil(
            year,
            pair(mo1, mo2)?,
            pair(d1, d2)?,
            pair(h1, h2)?,
            pair(mi1, mi2)?,
            pair(s1, s2)?,
        )
        .ok_or(wrong)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_ber_but_not_der() {
        for (bytes, why) in [
            (&[0x02, 0x81, 0x01, 0x05][..], "long length"),
            (&[0x02, 0x82, 0x00, 0x80], "length with a zero"),
            (&[0x30, 0x80, 0x00, 0x00], "indefinite length"),
            (&[0x3f, 0x20, 0x00], "high tag number"),
            (&[0x02, 0x02, 0x05], "truncated"),
            (&[0x02, 0x85, 1, 0, 0, 0, 0], "length over 32 bits"),
        ] {
            assert!(Der::new(bytes).any().is_err(), "{why}");
        }
        for (bytes, why) in [
            (&[0x02, 0x00][..], "empty integer"),
            (&[0x02, 0x02, 0x00, 0x01], "integer with a zero"),
            (&[0x02, 0x01, 0x80], "negative integer"),
        ] {
            assert!(Der::new(bytes).unsigned().is_err(), "{why}");
        }
        assert_eq!(Der::new(&[0x02, 0x02, 0x00, 0xd9]).byte(), Ok(0xd9));
        assert_eq!(Der::new(&[0x02, 0x01, 0x00]).byte(), Ok(0));
        assert!(Der::new(&[0x01, 0x01, 0x01]).boolean().is_err());
        assert!(Der::new(&[0x03, 0x02, 0x01, 0x80]).bits().is_err());
    }

    #[test]
    fn times_follow_rfc_5280() {
        let time = |tag: u8, text: &str| {
            let bytes = [&[tag, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
            Der::new(&bytes).time().map(|time| time.to_string())
        };
        assert_eq!(time(0x17, "491231235959Z"), Ok("2049-12-31T23:59:59Z".to_owned()));
        assert_eq!(time(0x17, "700101000000Z"), Ok("1970-01-01T00:00:00Z".to_owned()));
        assert_eq!(time(0x18, "20500101000000Z"), Ok("2050-01-01T00:00:00Z".to_owned()));
        for bad in ["4912312359Z", "491231235959", "491231235959+0000", "491331235959Z", "49123123595aZ"] {
            assert!(time(0x17, bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut der = Der::new(&bytes);
            while let Ok((_, content)) = der.any() {
                prop_assert!(content.len() < bytes.len());
            }
            prop_assert!(Der::new(&bytes).time().is_err() || bytes.len() >= 15);
        }
    }
}
