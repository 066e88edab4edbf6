//! The checks of this platform, in the order in which they are made, each with its row of part B.

use crate::checklist::Step;
use crate::rejection::Code;

pub(super) const HEADER: Step = Step::new("tdx.quote", Code::TdxHeader, "cpu.quote");
pub(super) const CERTIFICATES: Step = Step::new("tdx.certificates", Code::TdxChain, "cpu.quote.chain");
pub(super) const ROOT: Step = Step::new("tdx.root", Code::AttUntrustedRoot, "cpu.quote.chain");
pub(super) const CHAIN: Step = Step::new("tdx.chain", Code::TdxChain, "cpu.quote.chain");
pub(super) const COLLATERAL: Step =
    Step::new("tdx.collateral", Code::TdxCollateralMissing, "endorsements.collateral");
pub(super) const DATES: Step =
    Step::new("tdx.collateral_dates", Code::TdxCollateralStale, "endorsements.collateral");
pub(super) const SIGNERS: Step =
    Step::new("tdx.collateral_signers", Code::TdxChain, "endorsements.collateral");
pub(super) const TCB_INFO: Step =
    Step::new("tdx.tcb_info", Code::TdxCollateral, "endorsements.collateral.tcb_info");
pub(super) const QE_IDENTITY: Step =
    Step::new("tdx.qe_identity", Code::TdxCollateral, "endorsements.collateral.qe_identity");
pub(super) const CRLS: Step = Step::new("tdx.crls", Code::TdxCrlMissing, "endorsements.collateral");
pub(super) const REVOKED: Step = Step::new("tdx.revocation", Code::TdxRevoked, "cpu.quote.chain");
pub(super) const QE_REPORT: Step = Step::new("tdx.qe_report", Code::TdxQe, "cpu.quote.qe_report");
pub(super) const BINDING: Step = Step::new("tdx.attestation_key", Code::TdxQe, "cpu.quote.attestation_key");
pub(super) const ENCLAVE: Step = Step::new("tdx.quoting_enclave", Code::TdxQe, "cpu.quote.qe_report");
pub(super) const SIGNATURE: Step = Step::new("tdx.signature", Code::TdxSignature, "cpu.quote.signature");
pub(super) const FMSPC: Step =
    Step::new("tdx.fmspc", Code::TdxTcbinfoMismatch, "endorsements.collateral.tcb_info");
pub(super) const PCE_ID: Step =
    Step::new("tdx.pce_id", Code::TdxTcbinfoMismatch, "endorsements.collateral.tcb_info");
pub(super) const KIND: Step =
    Step::new("tdx.tcb_type", Code::TdxTcbinfoMismatch, "endorsements.collateral.tcb_info");

pub(super) const EVALUATION: Step =
    Step::new("tdx.evaluation", Code::TdxCollateralRollback, "endorsements.collateral");
pub(super) const AGE: Step =
    Step::new("tdx.collateral_age", Code::TdxCollateralStale, "endorsements.collateral");
pub(super) const MODULE: Step = Step::new("tdx.module", Code::TdxModule, "cpu.quote.mr_signer_seam");
pub(super) const SEAM: Step = Step::new("tdx.mr_seam", Code::TdxModule, "cpu.quote.mr_seam");
pub(super) const STATUS: Step = Step::new("tdx.tcb_status", Code::TdxTcbStatus, "cpu.quote.tcb");
pub(super) const ADVISORIES: Step = Step::new("tdx.advisories", Code::TdxAdvisory, "cpu.quote.tcb");
pub(super) const DEBUG: Step = Step::new("tdx.debug", Code::TdxDebug, "cpu.quote.td_attributes");
pub(super) const MIGRATABLE: Step =
    Step::new("tdx.migratable", Code::TdxMigratable, "cpu.quote.td_attributes.migratable");
pub(super) const SEPT_VE: Step =
    Step::new("tdx.sept_ve_disable", Code::TdxAttributes, "cpu.quote.td_attributes.sept_ve_disable");
pub(super) const PKS: Step = Step::new("tdx.pks", Code::TdxAttributes, "cpu.quote.td_attributes.pks");
pub(super) const KEY_LOCKER: Step =
    Step::new("tdx.key_locker", Code::TdxAttributes, "cpu.quote.td_attributes.key_locker");
pub(super) const PERFMON: Step =
    Step::new("tdx.perfmon", Code::TdxAttributes, "cpu.quote.td_attributes.perfmon");
pub(super) const OTHERS: Step = Step::new("tdx.attributes", Code::TdxAttributes, "cpu.quote.td_attributes");
pub(super) const SERVICE_TD: Step =
    Step::new("tdx.service_td", Code::TdxServiceTd, "cpu.quote.mr_service_td");
pub(super) const XFAM_BITS: Step = Step::new("tdx.xfam_bits", Code::TdxXfam, "cpu.quote.xfam");
pub(super) const PADDING: Step = Step::new("tdx.padding", Code::TdxPadding, "cpu.quote");
pub(super) const EVENT_LOG: Step = Step::new("tdx.event_log", Code::TdxEventLog, "endorsements.event_log");
pub(super) const LIBRARY: Step = Step::new("tdx.second_verifier", Code::TdxLibrary, "cpu.quote");

pub(super) const MR_TD: Step = Step::new("tdx.mr_td", Code::TdxMeasurement, "cpu.quote.mr_td");
pub(super) const RTMR0: Step = Step::new("tdx.rtmr0", Code::TdxMeasurement, "cpu.quote.rtmr0");
pub(super) const RTMR1: Step = Step::new("tdx.rtmr1", Code::TdxMeasurement, "cpu.quote.rtmr1");
pub(super) const RTMR2: Step = Step::new("tdx.rtmr2", Code::TdxMeasurement, "cpu.quote.rtmr2");
pub(super) const XFAM: Step = Step::new("tdx.xfam", Code::TdxXfam, "cpu.quote.xfam");
pub(super) const RTMR3: Step = Step::new("tdx.rtmr3", Code::TdxRtmr3, "cpu.quote.rtmr3");
pub(super) const CONFIG_ID: Step = Step::new("tdx.mr_config_id", Code::TdxConfigId, "cpu.quote.mr_config_id");
pub(super) const OWNER: Step = Step::new("tdx.mr_owner", Code::TdxConfigId, "cpu.quote.mr_owner");
pub(super) const OWNER_CONFIG: Step =
    Step::new("tdx.mr_owner_config", Code::TdxConfigId, "cpu.quote.mr_owner_config");

/// All of them.
pub(super) const ALL: &[Step] = &[
    HEADER,
    CERTIFICATES,
    ROOT,
    CHAIN,
    COLLATERAL,
    DATES,
    SIGNERS,
    TCB_INFO,
    QE_IDENTITY,
    CRLS,
    REVOKED,
    QE_REPORT,
    BINDING,
    ENCLAVE,
    SIGNATURE,
    FMSPC,
    PCE_ID,
    KIND,
    EVALUATION,
    AGE,
    MODULE,
    SEAM,
    STATUS,
    ADVISORIES,
    DEBUG,
    MIGRATABLE,
    SEPT_VE,
    PKS,
    KEY_LOCKER,
    PERFMON,
    OTHERS,
    SERVICE_TD,
    XFAM_BITS,
    PADDING,
    EVENT_LOG,
    LIBRARY,
    MR_TD,
    RTMR0,
    RTMR1,
    RTMR2,
    XFAM,
    RTMR3,
    CONFIG_ID,
    OWNER,
    OWNER_CONFIG,
];
