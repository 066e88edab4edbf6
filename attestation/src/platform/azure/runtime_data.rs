//! The paravisor's JSON: keys of the virtual TPM, settings of the machine, and what the guest added. Read whole:
//! its writer is compact and repeats no name, so anything else is refused.

use crate::claims::paravisor::VmSetting;
use crate::digest::from_hex;
use crate::platform::azure::steps;
use crate::rejection::{Code, Rejection};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Name of the attestation key (RFC 7517 `kid`).
const ATTESTATION_KEY: &str = "HCLAkPub";
/// Most keys and most settings.
const MAX_ENTRIES: usize = 32;
/// Longest name or text.
const MAX_TEXT_BYTES: usize = 256;
/// Bytes of a 2048-bit modulus, and its length in base64url without padding.
const MODULUS: (usize, usize) = (256, 342);
/// The exponent 65537 in base64url.
const EXPONENT: &str = "AQAB";

/// What stands in PKCS #1's `RSAPublicKey` before a 2048-bit modulus whose first bit is one, and the exponent after it.
const PKCS1_HEAD: [u8; 9] = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
const PKCS1_EXPONENT: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// An RSA key of 2048 bits with exponent 65537.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttestationKey {
    /// PKCS #1 `RSAPublicKey`.
    pub(super) pkcs1: Vec<u8>,
}

/// What the JSON says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuntimeData {
    pub(super) ak: AttestationKey,
    pub(super) keys: Vec<String>,
    pub(super) vm_configuration: BTreeMap<String, VmSetting>,
    pub(super) user_data: [u8; 64],
}

impl RuntimeData {
    /// # Errors
    /// `ATT_MALFORMED` for a text that is not this structure, `AZ_AK` without exactly one usable attestation key.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Rejection> {
        let value: Value = serde_json::from_slice(text).map_err(|error| malformed("JSON", place(&error)))?;
        // a repeated name would have been dropped, and everything else that is not compact is longer
        if value.to_string().len() != text.len() {
            return Err(malformed("compact JSON without repeated names", "another text".to_owned()));
        }
        let root = value.as_object().ok_or_else(|| wrong("an object"))?;
        only(root, &["keys", "vm-configuration", "user-data"])?;
        let keys = root.get("keys").and_then(Value::as_array).ok_or_else(|| wrong("a list of keys"))?;
        if keys.len() > MAX_ENTRIES {
            return Err(wrong("at most 32 keys"));
        }
        let named = keys.iter().map(key_id).collect::<Result<Vec<_>, _>>()?;
        let settings = root.get("vm-configuration").and_then(Value::as_object);
        let user_data = root.get("user-data").and_then(Value::as_str);
        Ok(Self {
            ak: attestation_key(keys)?,
            keys: named,
            vm_configuration: configuration(settings.ok_or_else(|| wrong("a vm-configuration"))?)?,
            user_data: user_bytes(user_data.ok_or_else(|| wrong("user-data"))?)?,
        })
    }
}

fn key_id(key: &Value) -> Result<String, Rejection> {
    let id = key.get("kid").and_then(Value::as_str).filter(|id| id.len() <= MAX_TEXT_BYTES);
    id.map(str::to_owned).ok_or_else(|| wrong("a kid in every key"))
}

fn attestation_key(keys: &[Value]) -> Result<AttestationKey, Rejection> {
    let unusable = |expected: &str| {
        Rejection::new(Code::AzAk, steps::KEY.field, expected, "another number of keys or another key")
    };
    let mut own = keys.iter().filter(|key| key.get("kid").and_then(Value::as_str) == Some(ATTESTATION_KEY));
    let (Some(key), None) = (own.next().and_then(Value::as_object), own.next()) else {
        return Err(unusable("exactly one HCLAkPub"));
    };
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let signs = key.get("key_ops").and_then(Value::as_array);
    let signs = signs.is_some_and(|list| list.len() == 1 && list.iter().all(|usage| usage == "sign"));
    let known = key.keys().all(|name| ["kid", "key_ops", "kty", "e", "n"].contains(&name.as_str()));
    if !known || !signs || text("kty") != Some("RSA") || text("e") != Some(EXPONENT) {
        return Err(unusable("an RSA key with exponent 65537 that signs"));
    }
    let modulus = text("n").and_then(base64url_modulus);
    let pkcs1 = modulus.map(|modulus| [PKCS1_HEAD.as_slice(), &modulus, &PKCS1_EXPONENT].concat());
    pkcs1.map(|pkcs1| AttestationKey { pkcs1 }).ok_or_else(|| unusable("a modulus of 2048 bits"))
}

fn configuration(settings: &Map<String, Value>) -> Result<BTreeMap<String, VmSetting>, Rejection> {
    if settings.len() > MAX_ENTRIES {
        return Err(wrong("at most 32 settings"));
    }
    let scalar = |(name, value): (&String, &Value)| {
        let setting = match value {
            Value::Bool(flag) => VmSetting::Flag(*flag),
            Value::String(text) if text.len() <= MAX_TEXT_BYTES => VmSetting::Text(text.clone()),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                return Err(wrong("settings that are flags or short texts"));
            }
        };
        if name.len() > MAX_TEXT_BYTES { Err(wrong("short names")) } else { Ok((name.clone(), setting)) }
    };
    settings.iter().map(scalar).collect()
}

/// The guest's 64 bytes, which the paravisor spells in hexadecimal of either case.
fn user_bytes(text: &str) -> Result<[u8; 64], Rejection> {
    let bytes = from_hex(&text.to_ascii_lowercase(), 64).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| wrong("64 bytes of user-data"))
}

/// Decodes exactly 256 bytes of base64url (RFC 4648 section 5) without padding, of which the first bit is one.
fn base64url_modulus(text: &str) -> Option<Vec<u8>> {
    let (bytes, digits) = MODULUS;
    if text.len() != digits {
        return None;
    }
    let mut out = Vec::with_capacity(bytes);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for digit in text.bytes() {
        held = (held << 6) | u32::from(sextet(digit)?);
        bits = bits.saturating_add(6);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            out.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
        held &= 0xff;
    }
    // 342 digits are 2052 bits: the last four say nothing and must be zero, so that there is one spelling
    let spelled = held.trailing_zeros() >= 4 && out.len() == bytes;
    (spelled && out.first().is_some_and(|first| first & 0x80 != 0)).then_some(out)
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(digit.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0').wrapping_add(52)),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), Rejection> {
    let known = object.keys().all(|name| names.contains(&name.as_str()));
    if known { Ok(()) } else { Err(wrong("known members only")) }
}

fn place(error: &serde_json::Error) -> String {
    format!("an error in line {} column {}", error.line(), error.column())
}

fn wrong(expected: &str) -> Rejection {
    malformed(expected, "something else".to_owned())
}

fn malformed(expected: &str, found: String) -> Rejection {
    Rejection::new(Code::AttMalformed, steps::RUNTIME.field, expected, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A modulus of 2048 bits whose first bytes are 0x80 0x00.
    fn modulus() -> String {
        format!("g{}", "A".repeat(341))
    }

    fn text(key: &str) -> String {
        format!(
            r#"{{"keys":[{key}],"vm-configuration":{{"secure-boot":true,"id":"x"}},"user-data":"{}"}}"#,
            "0A".repeat(64)
        )
    }

    fn key() -> String {
        let n = modulus();
        format!(r#"{{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"{n}"}}"#)
    }

    #[test]
    fn reads_keys_settings_and_user_data() {
        let read = RuntimeData::parse(text(&key()).as_bytes()).expect("good");
        assert_eq!((read.ak.pkcs1.len(), &read.ak.pkcs1[7..10]), (270, [1, 0, 0x80].as_slice()));
        assert_eq!(read.vm_configuration["secure-boot"], VmSetting::Flag(true));
        assert_eq!((read.user_data, read.keys), ([0x0a; 64], vec!["HCLAkPub".to_owned()]));
    }

    #[test]
    fn another_text_is_refused() {
        let code = |text: String| RuntimeData::parse(text.as_bytes()).expect_err("refused").code;
        let good = text(&key());
        let malformed = [
            good.replace(":[", ": ["),
            good.replace(r#""user-data""#, r#""user-dat""#),
            good.replacen(r#""vm-"#, r#""keys":[],"vm-"#, 1),
            good.replace(r#""id":"x""#, r#""id":1"#),
            good.replace(r#""id":"x""#, r#""secure-boot":false"#),
            good.replace("0A0A", "0A0"),
            good.replace("0A0A", "0A0g"),
            format!("{good} "),
            format!("{good}\0"),
            "[]".to_owned(),
            String::new(),
        ];
        for text in malformed {
            assert_eq!(code(text.clone()), Code::AttMalformed, "{text}");
        }
        let two = format!("{},{}", key(), key());
        for (from, to) in [
            (r#"["sign"]"#, r#"["encrypt"]"#),
            (r#"["sign"]"#, r#"["sign","encrypt"]"#),
            ("RSA", "EC"),
            ("AQAB", "Aw"),
            ("HCLAkPub", "HCLEkPub"),
            (r#""kty""#, r#""x":"","kty""#),
            (modulus().as_str(), "gA"),
            // first bit zero; a last digit with bits that mean nothing
            (modulus().as_str(), &"A".repeat(342)),
            (modulus().as_str(), &format!("g{}B", "A".repeat(340))),
            (key().as_str(), two.as_str()),
        ] {
            assert_eq!(code(good.replace(from, to)), Code::AzAk, "{to}");
        }
    }
}
