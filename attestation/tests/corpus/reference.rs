//! The corpus' reference policy in this crate's terms, and what its reason codes are called here.

use crate::Files;
use attestation::claims::PlatformClaims;
use attestation::claims::snp::{AbiVersion, Product};
use attestation::endorsements::Endorsements;
use attestation::floors::TcbFloors;
use attestation::policy::snp::{Bit, FloorRule, ProvisionalRule, RevocationRule, SigningKeyRule, SnpPolicy};
use attestation::policy::{DeploymentRule, HardwareRule, TrustAnchors};
use attestation::reference_values::{ReferenceValues, Requirement};
use attestation::{
    AppraisedEvidence, Code, Policy, Rejected, ReportData, TeeType, UnixTime, appraise_evidence,
};

/// Production roots, or the one the case names.
pub(crate) fn anchors(files: &Files, trust_anchor: Option<&str>) -> TrustAnchors {
    match trust_anchor {
        None | Some("production") => TrustAnchors { vendor: true, simulated_roots: Vec::new() },
        Some(named) => {
            let role = named.strip_prefix("files.").expect("files.<role>");
            TrustAnchors { vendor: false, simulated_roots: vec![files[role].clone()] }
        }
    }
}

/// What the reference policy asks for and nothing more; everything else is the caller's and waived here.
pub(crate) fn policy(trust_anchors: TrustAnchors) -> Policy {
    let reason = || "reference policy of the corpus".to_owned();
    let mut snp = SnpPolicy::standard(TcbFloors::shipped().expect("floors"));
    snp.versions = vec![2, 3, 4, 5];
    snp.signing_key = SigningKeyRule::Either { reason: reason() };
    snp.products = Product::ALL.to_vec();
    snp.vmpl = Requirement::Waived { reason: reason() };
    snp.abi = Requirement::AtLeast(AbiVersion { major: 0, minor: 0 });
    snp.platform.alias_check = Bit::Any;
    snp.platform.tio = Bit::Any;
    snp.platform.unknown_accepted = u64::MAX;
    snp.floors = FloorRule::Unchecked { reason: reason() };
    snp.provisional = ProvisionalRule::Accepted { reason: reason() };
    snp.revocation = RevocationRule::Unchecked { reason: reason() };
    Policy {
        trust_anchors,
        references: ReferenceValues::Unchecked { reason: reason() },
        ..Policy::standard(
            vec![TeeType::Snp],
            Vec::new(),
            HardwareRule::Any { reason: reason() },
            DeploymentRule::Unpinned,
            Vec::new(),
            snp,
        )
    }
}

/// Certificates by role, or out of the certificate table.
pub(crate) fn endorsements(files: &Files) -> Endorsements {
    let mut endorsements = match files.get("cert_table") {
        Some(table) => Endorsements::from_snp_certificate_table(table).expect("certificate table"),
        None => Endorsements::default(),
    };
    let roles = ["vek", "ask", "ark"].into_iter().filter_map(|role| files.get(role));
    endorsements.certificates.extend(roles.cloned());
    endorsements
}

/// One appraisal under the reference policy.
pub(crate) fn judge(
    files: &Files,
    trust_anchor: Option<&str>,
    vmpl: Option<u32>,
    at: &str,
) -> Result<AppraisedEvidence, Rejected> {
    let now = UnixTime::from_rfc3339(at).expect("time");
    let mut policy = policy(anchors(files, trust_anchor));
    if let Some(vmpl) = vmpl {
        policy.snp.vmpl = Requirement::Exactly(vmpl);
    }
    let any = Requirement::Waived { reason: "compared by the caller".to_owned() };
    appraise_evidence(TeeType::Snp, &files["report"], &endorsements(files).encode(), &any, &policy, now)
}

/// What a rejection here may be called there. A code may stand for several of the corpus' reasons.
pub(crate) fn reasons(code: Code) -> &'static [&'static str] {
    match code {
        Code::AttMalformed => &["malformed", "malformed_vek", "malformed_chain"],
        Code::AttUntrustedRoot => &["root_untrusted", "ask_invalid"],
        Code::SnpChain => &[
            "chain_invalid",
            "ask_invalid",
            "cert_expired",
            "cert_not_yet_valid",
            "malformed_vek",
            "malformed_chain",
        ],
        Code::SnpVekMissing => &["vek_missing"],
        Code::SnpSignature | Code::SnpReserved => &["sig_invalid"],
        Code::SnpVersion => &["unsupported_version", "sig_invalid"],
        Code::SnpChipId | Code::SnpMasked => &["vek_hwid_mismatch"],
        Code::SnpVekTcb => &["vek_tcb_mismatch"],
        Code::SnpProductMismatch => &["generation_mismatch"],
        Code::SnpSigningKey => &["vek_kind_mismatch"],
        Code::SnpDebug => &["debug_enabled"],
        Code::SnpMigrate => &["migration_agent_allowed"],
        Code::SnpPolicyReserved => &["policy_reserved_bit"],
        Code::SnpVmpl => &["vmpl_not_allowed"],
        Code::SnpTcbOrder => &["tcb_order"],
        Code::SnpRevoked => &["revoked"],
        Code::SnpCrlMissing => &["crl_expired"],
        Code::AttReportData => &["report_data_mismatch"],
        _ => &[],
    }
}

/// The typed claims of an accepted report.
pub(crate) fn claims(accepted: &AppraisedEvidence) -> &attestation::claims::SnpClaims {
    match &accepted.hardware.platform {
        PlatformClaims::Snp(claims) => claims,
        other => panic!("not SNP: {other:?}"),
    }
}

/// Whether the same report is refused when the caller expects other report data.
pub(crate) fn refuses_other_report_data(files: &Files, trust_anchor: Option<&str>, at: &str) -> bool {
    let now = UnixTime::from_rfc3339(at).expect("time");
    let policy = policy(anchors(files, trust_anchor));
    let other = Requirement::Exactly(ReportData::new([0xa5; 64]));
    appraise_evidence(TeeType::Snp, &files["report"], &endorsements(files).encode(), &other, &policy, now)
        .is_err()
}

/// One appraisal with the vendor's revocation list required.
pub(crate) fn with_list(files: &Files, list: &[u8], at: &str) -> Result<AppraisedEvidence, Rejected> {
    let now = UnixTime::from_rfc3339(at).expect("time");
    let mut policy = policy(anchors(files, None));
    policy.snp.revocation = RevocationRule::Required;
    let mut endorsements = endorsements(files);
    endorsements.crls.push(list.to_vec());
    let any = Requirement::Waived { reason: "compared by the caller".to_owned() };
    appraise_evidence(TeeType::Snp, &files["report"], &endorsements.encode(), &any, &policy, now)
}
