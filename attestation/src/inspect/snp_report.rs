//! The fields of an SEV-SNP report as they stand in it.

use crate::claims::snp::{CpuId, FirmwareVersion, GuestPolicy, PlatformInfo, Product, TcbVersion};
use crate::digest::{Measurement, ReportData};
use crate::platform::sev_snp::{report, tcb};
use crate::rejection::Rejection;

/// Exact length of a report of every version, in bytes.
pub const SNP_REPORT_BYTES: usize = report::REPORT_BYTES;

/// A report, field by field in its order (AMD 56860, table `ATTESTATION_REPORT`). Nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "AMD's names; the claims of the same names say what they mean")]
pub struct SnpReportFields {
    pub version: u32,
    pub guest_svn: u32,
    pub policy: GuestPolicy,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub signature_algorithm: u32,
    pub current_tcb: [u8; 8],
    pub platform_info: PlatformInfo,
    pub author_key_en: bool,
    pub mask_chip_key: bool,
    /// 0 VCEK, 1 VLEK, 7 none.
    pub signing_key: u32,
    pub report_data: ReportData,
    pub measurement: Measurement,
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub report_id: [u8; 32],
    pub report_id_ma: [u8; 32],
    pub reported_tcb: [u8; 8],
    /// From version 3 on.
    pub cpuid: Option<CpuId>,
    pub chip_id: [u8; 64],
    pub committed_tcb: [u8; 8],
    pub current_firmware: FirmwareVersion,
    pub committed_firmware: FirmwareVersion,
    pub launch_tcb: [u8; 8],
    /// From version 5 on, zero before.
    pub launch_mitigations: u64,
    /// From version 5 on, zero before.
    pub current_mitigations: u64,
    /// `R`, little-endian as it stands.
    pub signature_r: [u8; 72],
    /// `S`, little-endian as it stands.
    pub signature_s: [u8; 72],
    /// The first reserved byte or bit that is not zero, in words.
    pub reserved: Option<String>,
}

impl SnpReportFields {
    /// The product line that the silicon named in the report belongs to; none before version 3 and for unknown ones.
    pub fn product(&self) -> Option<Product> {
        self.cpuid.and_then(CpuId::product)
    }

    /// A TCB version of this report in `product`'s layout; none when a byte reserved there is set.
    pub const fn level(product: Product, raw: [u8; 8]) -> Option<TcbVersion> {
        tcb::decode(product, raw)
    }
}

/// Reads a report of version 2 to 5.
///
/// # Errors
/// `ATT_MALFORMED` for another length, `SNP_VERSION` for another version.
pub fn snp_report(bytes: &[u8]) -> Result<SnpReportFields, Rejection> {
    let report = report::Report::parse(bytes)?;
    let (signature_r, signature_s) = report.signature();
    Ok(SnpReportFields {
        version: report.version,
        guest_svn: report.guest_svn,
        policy: report.policy,
        family_id: report.family_id,
        image_id: report.image_id,
        vmpl: report.vmpl,
        signature_algorithm: report.signature_algorithm,
        current_tcb: report.current_tcb,
        platform_info: report.platform_info,
        author_key_en: report.key_info.author_key_en(),
        mask_chip_key: report.key_info.mask_chip_key(),
        signing_key: report.key_info.signing_key(),
        report_data: report.report_data,
        measurement: report.measurement,
        host_data: report.host_data,
        id_key_digest: report.id_key_digest,
        author_key_digest: report.author_key_digest,
        report_id: report.report_id,
        report_id_ma: report.report_id_ma,
        reported_tcb: report.reported_tcb,
        cpuid: report.cpuid,
        chip_id: report.chip_id,
        committed_tcb: report.committed_tcb,
        current_firmware: report.current_firmware,
        committed_firmware: report.committed_firmware,
        launch_tcb: report.launch_tcb,
        launch_mitigations: report.launch_mitigations,
        current_mitigations: report.current_mitigations,
        signature_r,
        signature_s,
        reserved: report.reserved(),
    })
}
