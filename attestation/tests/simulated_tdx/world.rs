//! One simulated platform, a policy that accepts it, and one appraisal.

use attestation::claims::tdx::Xfam;
use attestation::endorsements::Endorsements;
use attestation::floors::TcbFloors;
use attestation::policy::{DeploymentRule, HardwareRule, SnpPolicy, TdxPolicy, TdxRelease, TrustAnchors};
use attestation::reference_values::Requirement;
use attestation::{
    AppraisedEvidence, Code, HardwareId, Measurement, Outcome, Policy, Rejected, ReportData, TeeType,
    UnixTime, appraise_evidence,
};
use simtee::tdx::{TdxAuthority, TdxEvidence, TdxSpec};
use std::sync::LazyLock;

/// When everything happens: 2026-11-21.
pub(crate) const NOW: u64 = 1_795_219_200;

static AUTHORITY: LazyLock<TdxAuthority> = LazyLock::new(|| TdxAuthority::create().expect("keys"));

pub(crate) fn authority() -> &'static TdxAuthority {
    &AUTHORITY
}

/// Rules that name this platform's every value.
pub(crate) fn rules() -> TdxPolicy {
    let register = |byte| Measurement::new([byte; 48]);
    let rtmr = [register(0x10), register(0x11), register(0x12)];
    TdxPolicy::standard(vec![TdxRelease::pinned("simulated", register(0x7d), rtmr, Xfam(0x0006_02e7))])
}

pub(crate) fn policy() -> Policy {
    let hardware = HardwareRule::Listed(vec![HardwareId::try_from(&[0x1d; 16][..]).expect("16 bytes")]);
    let snp = SnpPolicy::standard(TcbFloors::shipped().expect("floors"));
    let trust_anchors =
        TrustAnchors { vendor: true, simulated_roots: vec![authority().root_certificate().to_vec()] };
    let policy =
        Policy::standard(vec![TeeType::Tdx], Vec::new(), hardware, DeploymentRule::Unpinned, Vec::new(), snp);
    Policy { trust_anchors, ..policy.with_tdx(rules()) }
}

pub(crate) fn evidence(edit: impl FnOnce(&mut TdxSpec)) -> TdxEvidence {
    let mut spec = TdxSpec::new(NOW);
    edit(&mut spec);
    authority().evidence(&spec).expect("evidence")
}

/// Good evidence of version 5 with one change.
pub(crate) fn evidence_5(edit: impl FnOnce(&mut TdxSpec)) -> TdxEvidence {
    let mut spec = TdxSpec::version_5(NOW);
    edit(&mut spec);
    authority().evidence(&spec).expect("evidence")
}

pub(crate) fn judge(evidence: &TdxEvidence, policy: &Policy) -> Result<AppraisedEvidence, Rejected> {
    judge_with(evidence, &[], policy, NOW)
}

pub(crate) fn judge_with(
    evidence: &TdxEvidence,
    event_log: &[u8],
    policy: &Policy,
    now: u64,
) -> Result<AppraisedEvidence, Rejected> {
    let endorsements = Endorsements {
        collateral: evidence.collateral.clone(),
        event_log: event_log.to_vec(),
        ..Endorsements::default()
    };
    let expected = Requirement::Exactly(ReportData::new([0xda; 64]));
    let now = UnixTime::from_seconds(now);
    appraise_evidence(TeeType::Tdx, &evidence.quote, &endorsements.encode(), &expected, policy, now)
}

/// The code of a rejection, which exactly one failed check gave.
pub(crate) fn code(result: &Result<AppraisedEvidence, Rejected>) -> Option<Code> {
    let rejected = result.as_ref().err()?;
    let fails: Vec<_> = rejected
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Fail)
        .map(|check| check.code)
        .collect();
    assert_eq!(fails, [rejected.rejection.code], "{rejected}");
    Some(rejected.rejection.code)
}
