//! `[[gcp]]`: one entry per endorsement of Google's firmware, with the root that it is held to. On SEV-SNP it is a
//! release by itself, of the firmware alone; on TDX it is the `mrtd` of the `[[tdx]]` entries that say "gcp".

use std::path::Path;
use std::sync::Arc;

use attestation::FirmwareEndorsement;
use attestation::firmware_endorsement::MAX_ENDORSEMENT_BYTES;
use attestation::reference_values::Release;

use super::error::{PolicyCode, PolicyError};
use super::reader::{Section, Value};

/// One endorsement that holds under its root.
#[derive(Clone)]
pub(super) struct Firmware {
    pub(super) endorsement: Arc<FirmwareEndorsement>,
    pub(super) minimum_svn: u32,
}

/// The endorsements by kind of TEE.
pub(super) struct Endorsed {
    /// Releases of Google's firmware on SEV-SNP.
    pub(super) snp: Vec<Release>,
    /// Firmware that releases on TDX may run on.
    pub(super) tdx: Vec<Firmware>,
}

/// Reads and verifies every entry. Their dates are judged at every appraisal.
pub(super) fn endorsed(
    root: &Section<'_>,
    overrides: &Section<'_>,
    folder: &Path,
) -> Result<Endorsed, PolicyError> {
    let entries = match root.optional("gcp") {
        Some(list) => list.tables(&KEYS)?,
        None => Vec::new(),
    };
    let reason = overrides.optional("gcp_firmware_only_reason");
    let mut found = Endorsed { snp: Vec::new(), tdx: Vec::new() };
    for entry in &entries {
        let firmware = firmware(entry, folder)?;
        let tee = entry.required("tee")?;
        if tee.one_of(&["snp", "tdx"])? == "tdx" {
            firmware.endorsement.tdx(firmware.minimum_svn).map_err(|fault| refused(&tee, &fault))?;
            found.tdx.push(firmware);
            continue;
        }
        let Some(reason) = &reason else {
            let what = "on SEV-SNP Google's endorsement covers the firmware and not what it starts: \
                        this needs overrides.gcp_firmware_only_reason";
            return Err(tee.error(PolicyCode::Value, what));
        };
        let (endorsement, reason) = (firmware.endorsement, reason.text()?.to_owned());
        let release = Release::google_firmware_only(endorsement, firmware.minimum_svn, reason);
        found.snp.push(release.map_err(|fault| refused(&tee, &fault))?);
    }
    match reason {
        Some(reason) if found.snp.is_empty() => {
            let what = "gcp_firmware_only_reason is only for a [[gcp]] entry with tee = \"snp\"";
            Err(reason.error(PolicyCode::Value, what))
        }
        Some(_) | None => Ok(found),
    }
}

fn firmware(entry: &Section<'_>, folder: &Path) -> Result<Firmware, PolicyError> {
    let svn = entry.required("minimum_svn")?;
    let minimum_svn = u32::try_from(svn.integer()?).map_err(|_| svn.error(PolicyCode::Value, "32 bits"))?;
    let file = entry.required("launch_endorsement")?;
    let endorsement = file.file(folder, MAX_ENDORSEMENT_BYTES)?;
    let root = entry.required("root")?.file(folder, super::MAX_CERTIFICATE_BYTES)?;
    let endorsement =
        FirmwareEndorsement::authenticate(&endorsement, &root).map_err(|fault| refused(&file, &fault))?;
    Ok(Firmware { endorsement: Arc::new(endorsement), minimum_svn })
}

fn refused(value: &Value<'_>, fault: &attestation::Rejection) -> PolicyError {
    let code = PolicyCode::Appraisal(fault.code);
    value.error(code, format!("{}: expected {}, found {}", fault.field, fault.expected, fault.found))
}

const KEYS: [&str; 4] = ["tee", "launch_endorsement", "root", "minimum_svn"];
