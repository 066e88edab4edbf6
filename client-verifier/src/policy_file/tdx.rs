//! `[[tdx]]`: one entry per acceptable release on Intel TDX, with every register that a release has.

use attestation::Measurement;
use attestation::claims::tdx::Xfam;
use attestation::policy::{TdxPolicy, TdxRelease};

use super::error::{PolicyCode, PolicyError};
use super::reader::{Section, Value};

/// The rules for TDX: part B's defaults around the releases listed. An empty list accepts nothing.
pub(super) fn policy(root: &Section<'_>) -> Result<TdxPolicy, PolicyError> {
    let entries = match root.optional("tdx") {
        Some(list) => list.tables(&RELEASE_KEYS)?,
        None => Vec::new(),
    };
    Ok(TdxPolicy::standard(entries.iter().map(release).collect::<Result<_, _>>()?))
}

fn release(entry: &Section<'_>) -> Result<TdxRelease, PolicyError> {
    let register = |key| {
        let value: Value<'_> = entry.required(key)?;
        value.parsed("a register: 96 lower-case hexadecimal digits", |text| Measurement::from_hex(text).ok())
    };
    let xfam = entry.required("xfam")?;
    let bits = xfam.parsed("the TD's XFAM as a text, for example \"0xe7\"", |text| {
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    })?;
    if !Xfam(bits).well_formed() {
        return Err(xfam.error(PolicyCode::Value, "no TD can have this XFAM: a fixed bit is wrong"));
    }
    let rtmr = [register("rtmr0")?, register("rtmr1")?, register("rtmr2")?];
    Ok(TdxRelease::pinned("pinned", register("mrtd")?, rtmr, Xfam(bits)))
}

const RELEASE_KEYS: [&str; 5] = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "xfam"];
