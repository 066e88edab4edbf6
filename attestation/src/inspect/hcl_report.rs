//! The fields of the blob that Azure's paravisor keeps in its virtual TPM.

use crate::claims::tdx::{TdAttributes, TdReport, Xfam};
use crate::digest::{Measurement, ReportData};
use crate::inspect::snp_report::{SnpReportFields, snp_report};
use crate::platform::azure::hcl;
use crate::reader::{Cursor, Truncated};
use crate::rejection::{Code, Rejection};

/// A blob (`OpenHCL`, `igvm_attest`). Nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HclReportFields {
    /// Version of the header: 1 or 2.
    pub version: u32,
    /// The hardware's report.
    pub hardware: HclHardware,
    /// Run-time data: JSON as it stands.
    pub runtime_data: Vec<u8>,
}

/// The hardware's report in a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HclHardware {
    /// AMD SEV-SNP.
    Snp(Box<SnpReportFields>),
    /// Intel TDX: a report that only its own machine can authenticate, in the words of a quote.
    Tdx(Box<TdReport>),
}

/// Reads a blob.
///
/// # Errors
/// `ATT_MALFORMED` for another signature, version, type or size; those of [`snp_report`].
pub fn hcl_report(bytes: &[u8]) -> Result<HclReportFields, Rejection> {
    let blob = hcl::HclReport::parse(bytes)?;
    Ok(HclReportFields {
        version: blob.version,
        hardware: match blob.hardware {
            hcl::Hardware::Snp(report) => HclHardware::Snp(Box::new(snp_report(report)?)),
            hcl::Hardware::Tdx(report) => HclHardware::Tdx(Box::new(td_report(report).map_err(|error| {
                Rejection::new(Code::AttMalformed, "cpu.azure.hcl_report", "a TD report", error.to_string())
            })?)),
        },
        runtime_data: blob.runtime_data.to_vec(),
    })
}

/// Intel 348551, `TDREPORT_STRUCT`: what a quote repeats.
fn td_report(bytes: &[u8]) -> Result<TdReport, Truncated> {
    let mut cursor = Cursor::new(bytes);
    // type, reserved, CPUSVN and the hashes of what follows
    cursor.take(128)?;
    let report_data = ReportData::new(cursor.array()?);
    // reserved, MAC, mask of valid fields
    cursor.take(32 + 32 + 8)?;
    let tee_tcb_svn = cursor.array()?;
    let (mr_seam, mr_signer_seam) = (measurement(&mut cursor)?, measurement(&mut cursor)?);
    let seam_attributes = u64::from_le_bytes(cursor.array()?);
    let tee_tcb_svn2 = cursor.array()?;
    // reserved to the end of the structure, and the gap after it
    cursor.take(95 + 17)?;
    Ok(TdReport {
        tee_tcb_svn,
        mr_seam,
        mr_signer_seam,
        seam_attributes,
        attributes: TdAttributes(u64::from_le_bytes(cursor.array()?)),
        xfam: Xfam(u64::from_le_bytes(cursor.array()?)),
        mr_td: measurement(&mut cursor)?,
        mr_config_id: measurement(&mut cursor)?,
        mr_owner: measurement(&mut cursor)?,
        mr_owner_config: measurement(&mut cursor)?,
        rtmr: [
            measurement(&mut cursor)?,
            measurement(&mut cursor)?,
            measurement(&mut cursor)?,
            measurement(&mut cursor)?,
        ],
        report_data,
        tee_tcb_svn2: Some(tee_tcb_svn2),
        mr_service_td: Some(measurement(&mut cursor)?),
    })
}

fn measurement(cursor: &mut Cursor<'_>) -> Result<Measurement, Truncated> {
    cursor.array().map(Measurement::new)
}
