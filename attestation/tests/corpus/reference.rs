//! Every SNP entry in this crate's terms.

use crate::Files;
use attestation::claims::PlatformClaims;
use attestation::endorsements::Endorsements;
use attestation::policy::TrustAnchors;
use attestation::policy::snp::RevocationRule;
use attestation::reference_values::Requirement;
use attestation::{AppraisedEvidence, Policy, Rejected, ReportData, TeeType, UnixTime, appraise_evidence};

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
    let policy = Policy::reference(TeeType::Snp, "reference policy of the corpus");
    Policy { trust_anchors, ..policy.expect("floors") }
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
