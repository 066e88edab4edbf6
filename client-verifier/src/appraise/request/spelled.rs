//! Values that JSON writes as texts: base64, hexadecimal, PEM, times, and the word `any`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use attestation::claims::tdx::{Fmspc, Xfam};
use attestation::digest::from_hex;
use attestation::{HardwareId, Measurement, ReportData, Sha256, UnixTime};
use base64::Engine;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::AnyOr;

/// A value with one spelling.
pub(in crate::appraise) trait Spell: Sized {
    /// The spelling in words.
    const FORM: &'static str;

    /// Reads it.
    fn read(text: &str) -> Option<Self>;
}

/// A value read from its spelling.
#[derive(Clone, Debug)]
pub(in crate::appraise) struct Spelled<T>(pub(in crate::appraise) T);

impl<'de, T: Spell> Deserialize<'de> for Spelled<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData)).map(Self)
    }
}

struct Text<T>(PhantomData<T>);

impl<T: Spell> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).ok_or_else(|| E::invalid_value(Unexpected::Other("another text"), &self))
    }
}

/// Bytes in base64.
#[derive(Clone, Debug)]
pub(in crate::appraise) struct Base64(pub(in crate::appraise) Vec<u8>);

impl Spell for Base64 {
    const FORM: &'static str = "base64 (RFC 4648 section 4, padded)";

    fn read(text: &str) -> Option<Self> {
        base64::engine::general_purpose::STANDARD.decode(text).ok().map(Self)
    }
}

/// Certificates out of one PEM text.
#[derive(Clone, Debug)]
pub(in crate::appraise) struct Pem(pub(in crate::appraise) Vec<Vec<u8>>);

impl Spell for Pem {
    const FORM: &'static str = "PEM with at least one certificate";

    fn read(text: &str) -> Option<Self> {
        let read = CertificateDer::pem_slice_iter(text.as_bytes()).map(|item| Some(item.ok()?.to_vec()));
        let certificates: Vec<Vec<u8>> = read.collect::<Option<_>>()?;
        (!certificates.is_empty()).then_some(Self(certificates))
    }
}

/// Up to 64 bytes in hexadecimal.
#[derive(Clone, Debug)]
pub(in crate::appraise) struct HexBytes(pub(in crate::appraise) Vec<u8>);

impl Spell for HexBytes {
    const FORM: &'static str = "2 to 128 lower-case hexadecimal digits";

    fn read(text: &str) -> Option<Self> {
        from_hex(text, 64).ok().filter(|bytes| !bytes.is_empty()).map(Self)
    }
}

/// 16, 32 or 48 bytes in hexadecimal.
impl<const N: usize> Spell for [u8; N] {
    const FORM: &'static str = match N {
        16 => "32 lower-case hexadecimal digits",
        32 => "64 lower-case hexadecimal digits",
        _ => "96 lower-case hexadecimal digits",
    };

    fn read(text: &str) -> Option<Self> {
        from_hex(text, N).ok()?.try_into().ok()
    }
}

impl Spell for Measurement {
    const FORM: &'static str = "a measurement: 96 lower-case hexadecimal digits";

    fn read(text: &str) -> Option<Self> {
        Self::from_hex(text).ok()
    }
}

impl Spell for ReportData {
    const FORM: &'static str = "report data: 128 lower-case hexadecimal digits, or \"any\"";

    fn read(text: &str) -> Option<Self> {
        Self::from_hex(text).ok()
    }
}

impl Spell for HardwareId {
    const FORM: &'static str = "a processor's id: 16 to 128 lower-case hexadecimal digits";

    fn read(text: &str) -> Option<Self> {
        Self::from_hex(text).ok()
    }
}

impl Spell for Fmspc {
    const FORM: &'static str = "an FMSPC: 12 lower-case hexadecimal digits";

    fn read(text: &str) -> Option<Self> {
        from_hex(text, 6).ok()?.try_into().ok().map(Self)
    }
}

impl Spell for Xfam {
    const FORM: &'static str = "an XFAM, for example \"0xe7\"";

    fn read(text: &str) -> Option<Self> {
        hexadecimal(text).map(Self)
    }
}

/// Bits as a text, for example `0x100`.
#[derive(Clone, Copy, Debug)]
pub(in crate::appraise) struct Bits(pub(in crate::appraise) u64);

impl Spell for Bits {
    const FORM: &'static str = "bits, for example \"0x100\"";

    fn read(text: &str) -> Option<Self> {
        hexadecimal(text).map(Self)
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok()
}

impl Spell for UnixTime {
    const FORM: &'static str = "a time as in RFC 3339, for example \"2026-01-31T12:00:00Z\"";

    /// Whole seconds; a fraction is cut off, an offset is applied.
    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        let (local, offset) = if let Some(local) = text.strip_suffix('Z') {
            (local, 0)
        } else {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, offset_seconds(offset)?)
        };
        let (whole, fraction) = local.split_once('.').unwrap_or((local, "0"));
        let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = Self::from_rfc3339(&format!("{whole}Z")).filter(|_| digits)?.seconds();
        seconds.checked_add_signed(-offset).map(Self::from_seconds)
    }
}

/// Seconds east of UTC, from `+01:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let number = |text: &str, below: i64| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| two && *number < below)
    };
    Some(sign * (number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
}

/// `{"4": "64 hexadecimal digits", ...}`, every register once.
#[derive(Clone, Debug)]
pub(in crate::appraise) struct Registers(pub(in crate::appraise) BTreeMap<u8, Sha256>);

impl<'de> Deserialize<'de> for Registers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RegistersVisitor)
    }
}

struct RegistersVisitor;

impl<'de> Visitor<'de> for RegistersVisitor {
    type Value = Registers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("registers 0 to 23, each once, with 64 lower-case hexadecimal digits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut registers = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let wrong = || A::Error::invalid_value(Unexpected::Other("something else"), &self);
            let plain = name == "0" || !name.starts_with(['0', '+']);
            let index: u8 = name.parse().ok().filter(|index| plain && *index < 24).ok_or_else(wrong)?;
            let Spelled(value) = map.next_value::<Spelled<[u8; 32]>>()?;
            if registers.insert(index, Sha256::new(value)).is_some() {
                return Err(wrong());
            }
        }
        Ok(Registers(registers))
    }
}

/// An object: read by names only. (What `serde` derives would also take an array of values in order.)
#[derive(Clone, Debug, Default)]
pub(in crate::appraise) struct Object<T>(pub(in crate::appraise) T);

impl<T> std::ops::Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AnyOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyOrVisitor(PhantomData))
    }
}

struct AnyOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyOrVisitor<T> {
    type Value = AnyOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"any\" or a value of the form that is documented")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == "any" {
            return Ok(AnyOr::Any);
        }
        T::deserialize(StrDeserializer::new(text)).map(AnyOr::These)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        T::deserialize(number.into_deserializer()).map(AnyOr::These)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(seq)).map(AnyOr::These)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(AnyOr::These)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_of_the_rfc() {
        let seconds = |text: &str| UnixTime::read(text).map(UnixTime::seconds);
        let noon = seconds("2026-01-31T12:00:00Z");
        assert!(noon.is_some());
        for same in [
            "2026-01-31t12:00:00z",
            "2026-01-31T12:00:00.999Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31T06:30:00-05:30",
        ] {
            assert_eq!(seconds(same), noon, "{same}");
        }
        for wrong in
            ["2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00+1:00", ""]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(Base64::read("AQI=").map(|bytes| bytes.0), Some(vec![1, 2]));
        for wrong in ["AQI", "AQJ=", "AQI=\n", "_-8="] {
            assert!(Base64::read(wrong).is_none(), "{wrong}");
        }
    }
}
