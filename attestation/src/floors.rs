//! TCB floors as data: per silicon line, dated, expiring, with the bulletin behind each number.
//! Floors go stale silently, so a file past its date rejects instead of accepting old firmware.

use crate::claims::snp::{CpuId, FirmwareVersion, Product, TcbVersion};
use crate::digest::UnixTime;
use crate::rejection::{Code, Rejection};
use serde_json::Value;

/// The floors file shipped with this version of the verifier.
pub const SHIPPED: &[u8] = include_bytes!("../data/snp-tcb-floors.json");

/// Largest floors file, in bytes.
pub const MAX_FLOORS_BYTES: usize = 64 * 1024;

/// What a signature over a floors file begins with.
const SIGNATURE_LABEL: &[u8] = b"postern/1 tcb-floors\0";

const FORMAT: &str = "postern.snp-tcb-floors/1";

/// The floor of one silicon line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorLine {
    /// Name for people, for example `Genoa-X`.
    pub name: String,
    /// CPUID family.
    pub family: u8,
    /// Lowest and highest CPUID model.
    pub models: (u8, u8),
    /// CPUID stepping; none means every stepping of these models.
    pub stepping: Option<u8>,
    /// Lowest acceptable level of every component.
    pub tcb: TcbVersion,
    /// Lowest acceptable firmware version.
    pub firmware: FirmwareVersion,
    /// Mitigation bits that must be set at launch and now.
    pub mitigations: u64,
    /// Why the line is refused whatever its levels, if it is.
    pub denied: Option<String>,
}

impl FloorLine {
    /// Whether this line describes `cpuid`.
    pub fn covers(&self, cpuid: CpuId) -> bool {
        let (low, high) = self.models;
        self.family == cpuid.family
            && (low..=high).contains(&cpuid.model)
            && self.stepping.is_none_or(|stepping| stepping == cpuid.stepping)
    }

    /// The product line of this silicon line.
    pub fn product(&self) -> Option<Product> {
        CpuId { family: self.family, model: self.models.0, stepping: 0 }.product()
    }
}

/// Who vouches for a floors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// It is part of this program.
    Shipped,
    /// The holder of the release key that the policy names.
    Signed,
    /// Whoever put it where the policy says; listed in the result.
    Unsigned,
}

/// A floors file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbFloors {
    /// Who vouches for it.
    pub provenance: Provenance,
    /// Grows with every issue; a verifier never goes back.
    pub version: u64,
    /// When it was issued.
    pub issued_at: UnixTime,
    /// When it must have been replaced.
    pub valid_until: UnixTime,
    /// One entry per silicon line; the first that covers a CPU counts.
    pub lines: Vec<FloorLine>,
}

impl TcbFloors {
    /// The line of this silicon; none means nobody has looked at it, which rejects.
    pub fn line(&self, cpuid: CpuId) -> Option<&FloorLine> {
        self.lines.iter().find(|line| line.covers(cpuid))
    }

    /// The floors shipped with this version.
    ///
    /// # Errors
    /// `POL_INVALID` if the shipped file is broken, which a test excludes.
    pub fn shipped() -> Result<Self, Rejection> {
        Ok(Self { provenance: Provenance::Shipped, ..Self::parse(SHIPPED)? })
    }

    /// Reads a floors file that came with a signature over [`signed_message`].
    ///
    /// # Errors
    /// `REL_UNVERIFIED` when `release_key` (Ed25519) did not sign exactly these bytes; then those of [`Self::parse`].
    pub fn parse_signed(json: &[u8], signature: &[u8], release_key: &[u8; 32]) -> Result<Self, Rejection> {
        let message = signed_message(json);
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, release_key);
        if json.len() > MAX_FLOORS_BYTES || key.verify(&message, signature).is_err() {
            let expected = "a floors file signed by the policy's release key";
            return Err(Rejection::new(
                Code::RelUnverified,
                "policy.floors",
                expected,
                "a signature that does not hold",
            ));
        }
        Ok(Self { provenance: Provenance::Signed, ..Self::parse(json)? })
    }

    /// Reads a floors file that nobody has signed.
    ///
    /// # Errors
    /// `POL_INVALID`: not JSON of format `postern.snp-tcb-floors/1`, an unknown field, a number out of range,
    /// or a line without a source.
    pub fn parse(json: &[u8]) -> Result<Self, Rejection> {
        if json.len() > MAX_FLOORS_BYTES {
            return Err(invalid("size", json.len().to_string()));
        }
        let root: Value = serde_json::from_slice(json).map_err(|error| {
            invalid("JSON", format!("an error at line {} column {}", error.line(), error.column()))
        })?;
        let root =
            Fields::of(&root, "file", &["format", "version", "issued_at", "valid_until", "lines", "notes"])?;
        if root.text("format")? != FORMAT {
            return Err(invalid("format", "another format"));
        }
        let lines = root.get("lines")?.as_array().ok_or_else(|| invalid("lines", "not an array"))?;
        let floors = Self {
            provenance: Provenance::Unsigned,
            version: root.number("version")?,
            issued_at: root.time("issued_at")?,
            valid_until: root.time("valid_until")?,
            lines: lines.iter().map(line).collect::<Result<_, _>>()?,
        };
        if floors.issued_at > floors.valid_until {
            return Err(invalid("valid_until", "before issued_at"));
        }
        Ok(floors)
    }
}

/// What the release key signs: a label, the length of the file as four big-endian bytes, and the file.
pub fn signed_message(json: &[u8]) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes();
    [SIGNATURE_LABEL, &length, json].concat()
}

fn line(value: &Value) -> Result<FloorLine, Rejection> {
    let names =
        ["name", "family", "models", "stepping", "tcb", "firmware", "mitigation_bits", "denied", "sources"];
    let fields = Fields::of(value, "line", &names)?;
    let models = fields.bytes("models")?;
    let firmware = fields.bytes("firmware")?;
    let (&[low, high], &[major, minor, build]) = (models.as_slice(), firmware.as_slice()) else {
        return Err(invalid("models or firmware", "another number of entries"));
    };
    let sources = fields.get("sources")?.as_array().is_some_and(|list| !list.is_empty());
    if !sources || low > high {
        return Err(invalid("line", "no source, or models in the wrong order"));
    }
    let mut mitigations = 0_u64;
    for bit in fields.bytes("mitigation_bits")? {
        mitigations |=
            1_u64.checked_shl(u32::from(bit)).ok_or_else(|| invalid("mitigation_bits", "above 63"))?;
    }
    let tcb = Fields::of(fields.get("tcb")?, "tcb", &["fmc", "bootloader", "tee", "snp", "microcode"])?;
    let level = |name| tcb.byte(name)?.ok_or_else(|| invalid(name, "null"));
    Ok(FloorLine {
        name: fields.text("name")?.to_owned(),
        family: fields.byte("family")?.ok_or_else(|| invalid("family", "null"))?,
        models: (low, high),
        stepping: fields.byte("stepping")?,
        tcb: TcbVersion {
            fmc: tcb.byte("fmc")?,
            bootloader: level("bootloader")?,
            tee: level("tee")?,
            snp: level("snp")?,
            microcode: level("microcode")?,
        },
        firmware: FirmwareVersion { major, minor, build },
        mitigations,
        denied: fields.nullable("denied", |value| value.as_str().map(str::to_owned))?,
    })
}

/// An object all of whose fields are known.
struct Fields<'a>(&'a serde_json::Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value, what: &'static str, known: &[&str]) -> Result<Self, Rejection> {
        let map = value.as_object().ok_or_else(|| invalid(what, "not an object"))?;
        if map.keys().all(|key| known.contains(&key.as_str())) {
            Ok(Self(map))
        } else {
            Err(invalid(what, "an unknown field"))
        }
    }

    fn get(&self, name: &'static str) -> Result<&'a Value, Rejection> {
        self.0.get(name).ok_or_else(|| invalid(name, "nothing"))
    }

    fn text(&self, name: &'static str) -> Result<&'a str, Rejection> {
        self.get(name)?.as_str().ok_or_else(|| invalid(name, "not a text"))
    }

    fn number(&self, name: &'static str) -> Result<u64, Rejection> {
        self.get(name)?.as_u64().ok_or_else(|| invalid(name, "not a number"))
    }

    fn byte(&self, name: &'static str) -> Result<Option<u8>, Rejection> {
        self.nullable(name, byte)
    }

    /// The field read by `read`, or none when it is null; it must be there either way.
    fn nullable<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Rejection> {
        let value = self.get(name)?;
        if value.is_null() {
            return Ok(None);
        }
        read(value).map(Some).ok_or_else(|| invalid(name, "another type"))
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, Rejection> {
        let list = self.get(name)?.as_array().ok_or_else(|| invalid(name, "not an array"))?;
        list.iter().map(|item| byte(item).ok_or_else(|| invalid(name, "not bytes"))).collect()
    }

    fn time(&self, name: &'static str) -> Result<UnixTime, Rejection> {
        UnixTime::from_rfc3339(self.text(name)?).ok_or_else(|| invalid(name, "not a UTC time"))
    }
}

/// A number, or a text of the form `0x1f` as bulletins print it.
fn byte(value: &Value) -> Option<u8> {
    match value {
        Value::Number(number) => u8::try_from(number.as_u64()?).ok(),
        Value::String(text) => u8::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn invalid(what: &str, found: impl Into<String>) -> Rejection {
    Rejection::new(Code::PolInvalid, "policy.floors", format!("a floors file with a valid {what}"), found)
}

#[cfg(test)]
mod tests;
