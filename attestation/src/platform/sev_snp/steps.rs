//! The checks of this platform, in the order in which they are made, each with its row of part B.

use crate::checklist::Step;
use crate::rejection::Code;

pub(super) const REPORT: Step = Step::new("snp.report", Code::AttMalformed, "cpu.report");
pub(super) const MASKED: Step = Step::new("snp.masked", Code::SnpMasked, "cpu.report.key_info");
pub(super) const ENCODING: Step =
    Step::new("snp.signature_encoding", Code::SnpSignature, "cpu.report.signature");
pub(super) const ENDORSEMENTS: Step = Step::new("snp.endorsements", Code::AttMalformed, "endorsements");
pub(super) const CHAIN: Step = Step::new("snp.chain", Code::SnpChain, "endorsements");
pub(super) const REVOCATION: Step = Step::new("snp.revocation", Code::SnpCrlMissing, "endorsements.crls");
pub(super) const SIGNATURE: Step = Step::new("snp.signature", Code::SnpSignature, "cpu.report.signature");
pub(super) const RESERVED: Step = Step::new("snp.reserved", Code::SnpReserved, "cpu.report");
pub(super) const CERTIFICATE: Step = Step::new("snp.certificate", Code::SnpChain, "endorsements");
pub(super) const LAYOUT: Step = Step::new("snp.tcb_layout", Code::SnpReserved, "cpu.report.tcb");
pub(super) const LINE: Step = Step::new("snp.silicon_line", Code::SnpProductDenied, "cpu.report.cpuid");
pub(super) const MATCH: Step = Step::new("snp.product_match", Code::SnpProductMismatch, "cpu.report.cpuid");
pub(super) const CHIP_ID: Step = Step::new("snp.chip_id", Code::SnpChipId, "cpu.report.chip_id");
pub(super) const VEK_TCB: Step = Step::new("snp.vek_tcb", Code::SnpVekTcb, "cpu.report.reported_tcb");
pub(super) const KEY_KIND: Step = Step::new("snp.key_kind", Code::SnpSigningKey, "cpu.report.key_info");

pub(super) const FLOORS_DATE: Step = Step::new("snp.floors_date", Code::PolFloorsStale, "policy.floors");
pub(super) const VERSION: Step = Step::new("snp.version", Code::SnpVersion, "cpu.report.version");
pub(super) const SIGNING_KEY: Step = Step::new("snp.signing_key", Code::SnpSigningKey, "cpu.report.key_info");
pub(super) const CSP_ID: Step = Step::new("snp.csp_id", Code::SnpCspId, "endorsements.csp_id");
pub(super) const PRODUCT: Step = Step::new("snp.product", Code::SnpProductDenied, "cpu.report.cpuid");
pub(super) const VMPL: Step = Step::new("snp.vmpl", Code::SnpVmpl, "cpu.report.vmpl");
pub(super) const DEBUG: Step = Step::new("snp.debug", Code::SnpDebug, "cpu.report.policy.debug");
pub(super) const MIGRATE: Step = Step::new("snp.migrate", Code::SnpMigrate, "cpu.report.policy.migrate_ma");
pub(super) const AGENT: Step = Step::new("snp.migration_agent", Code::SnpMigrate, "cpu.report.report_id_ma");
pub(super) const CXL: Step = Step::new("snp.cxl", Code::SnpCxl, "cpu.report.policy.cxl_allow");
pub(super) const POLICY_RESERVED: Step =
    Step::new("snp.policy_reserved", Code::SnpPolicyReserved, "cpu.report.policy");
pub(super) const ABI: Step = Step::new("snp.abi", Code::SnpAbi, "cpu.report.policy.abi");
pub(super) const SMT: Step = Step::new("snp.policy.smt", Code::SnpSmt, "cpu.report.policy.smt");
pub(super) const SOCKET: Step =
    Step::new("snp.policy.single_socket", Code::SnpSingleSocket, "cpu.report.policy.single_socket");
pub(super) const XTS: Step =
    Step::new("snp.policy.mem_aes_256_xts", Code::SnpXts, "cpu.report.policy.mem_aes_256_xts");
pub(super) const RAPL: Step = Step::new("snp.policy.rapl_dis", Code::SnpRapl, "cpu.report.policy.rapl_dis");
pub(super) const CTH: Step =
    Step::new("snp.policy.ciphertext_hiding", Code::SnpCth, "cpu.report.policy.ciphertext_hiding");
pub(super) const SWAP: Step =
    Step::new("snp.policy.page_swap_disable", Code::SnpPageSwap, "cpu.report.policy.page_swap_disable");
pub(super) const PLATFORM_SMT: Step =
    Step::new("snp.platform.smt", Code::SnpSmt, "cpu.report.platform_info.smt_en");
pub(super) const TSME: Step =
    Step::new("snp.platform.tsme", Code::SnpPlatform, "cpu.report.platform_info.tsme_en");
pub(super) const ECC: Step =
    Step::new("snp.platform.ecc", Code::SnpPlatform, "cpu.report.platform_info.ecc_en");
pub(super) const PLATFORM_RAPL: Step =
    Step::new("snp.platform.rapl_dis", Code::SnpRapl, "cpu.report.platform_info.rapl_dis");
pub(super) const PLATFORM_CTH: Step = Step::new(
    "snp.platform.ciphertext_hiding",
    Code::SnpCth,
    "cpu.report.platform_info.ciphertext_hiding_en",
);
pub(super) const ALIAS: Step = Step::new(
    "snp.platform.alias_check",
    Code::SnpAliasCheck,
    "cpu.report.platform_info.alias_check_complete",
);
pub(super) const IOMMU: Step =
    Step::new("snp.platform.iommu", Code::SnpIommu, "cpu.report.platform_info.iommu_write_safe");
pub(super) const TIO: Step =
    Step::new("snp.platform.tio", Code::SnpPlatform, "cpu.report.platform_info.tio_en");
pub(super) const UNKNOWN: Step =
    Step::new("snp.platform.unknown", Code::SnpPlatformUnknown, "cpu.report.platform_info");
pub(super) const TCB_ORDER: Step = Step::new("snp.tcb_order", Code::SnpTcbOrder, "cpu.report.tcb");
pub(super) const PROVISIONAL: Step =
    Step::new("snp.provisional", Code::SnpProvisional, "cpu.report.committed_tcb");
pub(super) const FLOOR_REPORTED: Step =
    Step::new("snp.floor.reported", Code::SnpTcbFloor, "cpu.report.reported_tcb");
pub(super) const FLOOR_COMMITTED: Step =
    Step::new("snp.floor.committed", Code::SnpTcbFloor, "cpu.report.committed_tcb");
pub(super) const FLOOR_LAUNCH: Step =
    Step::new("snp.floor.launch", Code::SnpTcbFloor, "cpu.report.launch_tcb");
pub(super) const FLOOR_FIRMWARE: Step =
    Step::new("snp.floor.firmware", Code::SnpTcbFloor, "cpu.report.committed_firmware");
pub(super) const MITIGATION: Step =
    Step::new("snp.mitigation", Code::SnpMitigation, "cpu.report.mitigation_vectors");

pub(super) const MEASUREMENT: Step =
    Step::new("snp.measurement", Code::AttMeasurement, "cpu.report.measurement");
pub(super) const ID_BLOCK: Step = Step::new("snp.id_block", Code::SnpIdblock, "cpu.report.id_key_digest");
pub(super) const SVN: Step = Step::new("snp.guest_svn", Code::SnpSvn, "cpu.report.guest_svn");
pub(super) const FAMILY: Step = Step::new("snp.family_id", Code::SnpImageId, "cpu.report.family_id");
pub(super) const IMAGE: Step = Step::new("snp.image_id", Code::SnpImageId, "cpu.report.image_id");
pub(super) const HOST_DATA: Step = Step::new("snp.host_data", Code::SnpHostData, "cpu.report.host_data");

/// Every step, in order.
pub(super) const ALL: &[Step] = &[
    REPORT,
    ENCODING,
    ENDORSEMENTS,
    CHAIN,
    REVOCATION,
    MASKED,
    SIGNATURE,
    RESERVED,
    CERTIFICATE,
    MATCH,
    CHIP_ID,
    LAYOUT,
    VEK_TCB,
    KEY_KIND,
    FLOORS_DATE,
    VERSION,
    SIGNING_KEY,
    CSP_ID,
    PRODUCT,
    VMPL,
    DEBUG,
    MIGRATE,
    AGENT,
    CXL,
    POLICY_RESERVED,
    ABI,
    SMT,
    SOCKET,
    XTS,
    RAPL,
    CTH,
    SWAP,
    PLATFORM_SMT,
    TSME,
    ECC,
    PLATFORM_RAPL,
    PLATFORM_CTH,
    ALIAS,
    IOMMU,
    TIO,
    UNKNOWN,
    TCB_ORDER,
    PROVISIONAL,
    LINE,
    FLOOR_REPORTED,
    FLOOR_COMMITTED,
    FLOOR_LAUNCH,
    FLOOR_FIRMWARE,
    MITIGATION,
    MEASUREMENT,
    ID_BLOCK,
    SVN,
    FAMILY,
    IMAGE,
    HOST_DATA,
];
