//! Just enough DER to write X.509: tag, length, value.
//!
//! Written out here rather than taken from a library so that a test can also write what a correct
//! encoder would refuse (a duplicate extension, an odd time, a wrong order).

/// SEQUENCE
pub const SEQUENCE: u8 = 0x30;
/// SET
pub const SET: u8 = 0x31;
/// OCTET STRING
pub const OCTET_STRING: u8 = 0x04;
/// `UTF8String`
pub const UTF8_STRING: u8 = 0x0c;
/// `PrintableString`
pub const PRINTABLE_STRING: u8 = 0x13;
/// `IA5String`
pub const IA5_STRING: u8 = 0x16;

/// One element: tag, definite length, contents.
pub fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = contents.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(&bytes);
    }
    out.extend_from_slice(contents);
    out
}

/// A constructed element whose contents are the given elements in order.
pub fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A SEQUENCE of the given elements.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

/// An explicit context tag, `[number] { inner }`.
pub fn explicit(number: u8, inner: &[u8]) -> Vec<u8> {
    element(0xa0 | number, inner)
}

/// A non-negative INTEGER from big-endian bytes; leading zeros are dropped, a sign byte is added.
pub fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = big_endian.iter().copied().skip_while(|byte| *byte == 0).collect();
    if bytes.first().is_none_or(|byte| byte & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    element(0x02, &bytes)
}

/// BOOLEAN TRUE.
pub fn boolean_true() -> Vec<u8> {
    vec![0x01, 0x01, 0xff]
}

/// NULL.
pub fn null() -> Vec<u8> {
    vec![0x05, 0x00]
}

/// A BIT STRING without unused bits.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    let mut contents = vec![0];
    contents.extend_from_slice(bytes);
    element(0x03, &contents)
}

/// An OBJECT IDENTIFIER from its arcs (at least two).
pub fn object_identifier(arcs: &[u32]) -> Vec<u8> {
    let mut contents = Vec::new();
    let first = arcs.first().copied().unwrap_or_default() * 40 + arcs.get(1).copied().unwrap_or_default();
    for arc in std::iter::once(first).chain(arcs.iter().skip(2).copied()) {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        groups.reverse();
        contents.extend_from_slice(&groups);
    }
    element(0x06, &contents)
}

/// A time in X.509 form: `UTCTime` through 2049, `GeneralizedTime` after. `unix` is in seconds.
pub fn time(unix: u64) -> Vec<u8> {
    let (year, month, day) = civil_date(unix / 86_400);
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    if year < 2050 {
        let text = format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z", year % 100);
        element(0x17, text.as_bytes())
    } else {
        let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
        element(0x18, text.as_bytes())
    }
}

/// Days since 1970-01-01 to (year, month, day); Howard Hinnant's `civil_from_days`.
pub(crate) fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_short_and_the_long_form() {
        assert_eq!(element(4, &[1, 2])[..2], [4, 2]);
        assert_eq!(element(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn integers_are_minimal_and_never_negative() {
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 1, 0]), [2, 2, 1, 0]);
    }

    #[test]
    fn object_identifiers_match_known_encodings() {
        // id-RSASSA-PSS and AMD's structure version, as they stand in AMD's certificates.
        assert_eq!(
            object_identifier(&[1, 2, 840, 113_549, 1, 1, 10]),
            [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10]
        );
        assert_eq!(
            object_identifier(&[1, 3, 6, 1, 4, 1, 3704, 1, 1]),
            [6, 9, 0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1, 1]
        );
    }

    #[test]
    fn times_change_form_in_2050() {
        assert_eq!(&time(0)[2..], b"700101000000Z");
        assert_eq!(&time(951_827_696)[2..], b"000229123456Z");
        assert_eq!(&time(2_524_607_999)[2..], b"491231235959Z");
        assert_eq!(&time(2_524_608_000)[..], b"\x18\x0f20500101000000Z");
    }
}
