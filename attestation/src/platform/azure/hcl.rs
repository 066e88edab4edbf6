//! The paravisor's blob (`OpenHCL`, `igvm_attest`; Azure "Guest attestation"): a 32-byte header, the hardware's
//! report, run-time data as JSON, zeros up to the size of the TPM's index. Every length must agree with every other.

use crate::azure_evidence::MAX_HCL_REPORT_BYTES;
use crate::platform::azure::steps;
use crate::reader::{Cursor, Truncated};
use crate::rejection::Rejection;

/// First bytes of every blob.
const SIGNATURE: [u8; 4] = *b"HCLA";
/// `request_type` of a blob that a guest reads from its TPM.
const REQUEST_AK: u32 = 2;
/// Bytes that every kind of hardware report has here, padded with zeros.
const REPORT_BYTES: usize = 1184;
/// Bytes of a TD report; the rest of its place is zero.
const TD_REPORT_BYTES: usize = 1024;
/// Bytes of the head of the run-time data.
const RUNTIME_HEAD_BYTES: u32 = 20;
/// Bytes from the beginning of the blob to the run-time data's head.
const RUNTIME_OFFSET: u32 = 0x4c0;
/// `report_type` of SEV-SNP and of TDX.
const TYPE_SNP: u32 = 2;
const TYPE_TDX: u32 = 4;
/// `hash_type` of SHA-256: how the run-time data got into the report data.
const HASH_SHA256: u32 = 1;

/// The parts of a blob, none of them believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HclReport<'a> {
    /// Version of the header: 1 or 2.
    pub(crate) version: u32,
    /// The hardware's own report.
    pub(crate) hardware: Hardware<'a>,
    /// JSON, exactly as hashed.
    pub(crate) runtime_data: &'a [u8],
}

/// The hardware's report.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hardware<'a> {
    /// A SEV-SNP report.
    Snp(&'a [u8]),
    /// A TD report, which only its own machine can authenticate.
    Tdx(&'a [u8]),
}

impl<'a> HclReport<'a> {
    /// # Errors
    /// `ATT_MALFORMED`: another signature, version, request, report type or hash, a size that does not fit, a
    /// reserved byte or a byte after the run-time data that is not zero.
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Self, Rejection> {
        if blob.len() > MAX_HCL_REPORT_BYTES {
            return Err(malformed(format!("at most {MAX_HCL_REPORT_BYTES} bytes"), blob.len().to_string()));
        }
        let mut cursor = Cursor::new(blob);
        let signature = cursor.array().map_err(truncated)?;
        let version = word(&mut cursor)?;
        let size = word(&mut cursor)?;
        let request = word(&mut cursor)?;
        let reserved: [u8; 16] = cursor.array().map_err(truncated)?;
        same("signature HCLA", signature == SIGNATURE)?;
        same("header version 1 or 2", matches!(version, 1 | 2))?;
        same("request type 2", request == REQUEST_AK)?;
        same("status and reserved bytes zero", reserved == [0; 16])?;
        let place = cursor.take(REPORT_BYTES).map_err(truncated)?;
        let runtime_size = word(&mut cursor)?;
        let head = [word(&mut cursor)?, word(&mut cursor)?, word(&mut cursor)?];
        let length = word(&mut cursor)?;
        let [runtime_version, kind, hash] = head;
        same("run-time data of version 1", runtime_version == 1)?;
        same("run-time data hashed with SHA-256", hash == HASH_SHA256)?;
        let sizes = runtime_size.checked_sub(RUNTIME_HEAD_BYTES) == Some(length)
            && size.checked_sub(RUNTIME_OFFSET) == Some(runtime_size);
        same("sizes that agree", sizes)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let runtime_data = cursor.take(length).map_err(truncated)?;
        same("zeros after the run-time data", cursor.rest().iter().all(|byte| *byte == 0))?;
        let hardware = match kind {
            TYPE_SNP => Hardware::Snp(place),
            TYPE_TDX => {
                let (report, rest) = place.split_at_checked(TD_REPORT_BYTES).unwrap_or((place, &[1]));
                same("zeros after the TD report", rest.iter().all(|byte| *byte == 0))?;
                Hardware::Tdx(report)
            }
            other => return Err(malformed("report type 2 or 4".to_owned(), other.to_string())),
        };
        Ok(Self { version, hardware, runtime_data })
    }
}

fn word(cursor: &mut Cursor<'_>) -> Result<u32, Rejection> {
    cursor.u32_le().map_err(truncated)
}

fn same(expected: &str, holds: bool) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(malformed(expected.to_owned(), "something else".to_owned())) }
}

fn truncated(error: Truncated) -> Rejection {
    malformed("a whole blob".to_owned(), error.to_string())
}

fn malformed(expected: String, found: String) -> Rejection {
    Rejection::new(steps::HCL.code, steps::HCL.field, expected, found)
}
