//! `[[tdx]]`: one entry per acceptable release on Intel TDX, with every register that a release has.

use std::sync::Arc;

use attestation::Measurement;
use attestation::claims::tdx::Xfam;
use attestation::policy::{TdxPolicy, TdxRelease};
use attestation::reference_values::Requirement;

use super::error::{PolicyCode, PolicyError};
use super::gcp::Firmware;
use super::reader::Section;

/// The rules for TDX: part B's defaults around the releases listed, those on Google's firmware once for each that is
/// endorsed. An empty list accepts nothing.
pub(super) fn policy(
    root: &Section<'_>,
    endorsed: &[Firmware],
    configuration: &[u8; 32],
) -> Result<TdxPolicy, PolicyError> {
    let entries = match root.optional("tdx") {
        Some(list) => list.tables(&RELEASE_KEYS)?,
        None => Vec::new(),
    };
    let mut releases = Vec::new();
    let mut used = false;
    for entry in &entries {
        let mrtd = entry.required("mrtd")?;
        if mrtd.text()? != GOOGLE {
            let mut own = release(entry, register(entry, "mrtd")?)?;
            own.mr_config_id = Requirement::Exactly(config_id(configuration));
            releases.push(own);
            continue;
        }
        if endorsed.is_empty() {
            let what = "mrtd = \"gcp\" needs a [[gcp]] entry with tee = \"tdx\"";
            return Err(mrtd.error(PolicyCode::Value, what));
        }
        used = true;
        for firmware in endorsed {
            let pinned = release(entry, Measurement::new([0; 48]))?;
            let endorsement = Arc::clone(&firmware.endorsement);
            releases.push(pinned.on_google_firmware(endorsement, firmware.minimum_svn)?);
        }
    }
    match root.optional("gcp") {
        Some(list) if !used && !endorsed.is_empty() => {
            let what = "no [[tdx]] entry has mrtd = \"gcp\": the endorsement for TDX is not used";
            Err(list.error(PolicyCode::Value, what))
        }
        Some(_) | None => Ok(TdxPolicy::standard(releases)),
    }
}

/// `MRCONFIGID`: the configuration file's SHA-256, and zeros behind it.
fn config_id(configuration: &[u8; 32]) -> Measurement {
    let mut bytes = [0; 48];
    for (slot, byte) in bytes.iter_mut().zip(configuration) {
        *slot = *byte;
    }
    Measurement::new(bytes)
}

fn register(entry: &Section<'_>, key: &str) -> Result<Measurement, PolicyError> {
    let spelled = "a register: 96 lower-case hexadecimal digits";
    entry.required(key)?.parsed(spelled, |text| Measurement::from_hex(text).ok())
}

fn release(entry: &Section<'_>, mrtd: Measurement) -> Result<TdxRelease, PolicyError> {
    let xfam = entry.required("xfam")?;
    let bits = xfam.parsed("the TD's XFAM as a text, for example \"0xe7\"", |text| {
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    })?;
    if !Xfam(bits).well_formed() {
        return Err(xfam.error(PolicyCode::Value, "no TD can have this XFAM: a fixed bit is wrong"));
    }
    let rtmr = [register(entry, "rtmr0")?, register(entry, "rtmr1")?, register(entry, "rtmr2")?];
    Ok(TdxRelease::pinned("pinned", mrtd, rtmr, Xfam(bits)))
}

/// In the place of `mrtd`: whatever the `[[gcp]]` entries for TDX endorse.
const GOOGLE: &str = "gcp";

const RELEASE_KEYS: [&str; 5] = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "xfam"];
