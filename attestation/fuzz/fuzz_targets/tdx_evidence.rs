#![no_main]
//! A hostile quote with hostile collateral and event log (CBOR, as in a document; the first two bytes say where the
//! quote ends) is never accepted: under Intel's root because nothing here is signed, and under the root of the seeds,
//! which lets changed seeds go deep, because those have other report data.
use attestation::policy::TdxPolicy;
use attestation::policy::tdx::{AdvisoryRule, CollateralAge, EvaluationRule, TdxReferences};
use attestation::reference_values::Requirement;
use attestation::{ReportData, TeeType, UnixTime, appraise_evidence};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static POLICY: LazyLock<attestation::Policy> = LazyLock::new(|| {
    let reason = || "fuzzing".to_owned();
    let mut policy = postern_attestation_fuzz::loosest();
    policy.tee_types = vec![TeeType::Tdx];
    policy.trust_anchors.simulated_roots = vec![include_bytes!("../src/tdx-root.der").to_vec()];
    policy.tdx = TdxPolicy {
        references: TdxReferences::Unchecked { reason: reason() },
        collateral_age: CollateralAge::Unchecked { reason: reason() },
        evaluation: EvaluationRule::Unchecked { reason: reason() },
        advisories: AdvisoryRule::Unchecked { reason: reason() },
        ..TdxPolicy::standard(Vec::new())
    };
    policy
});

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_at_checked(2) else { return };
    let length = usize::from(u16::from_le_bytes([length[0], length[1]])).min(rest.len());
    let (quote, endorsements) = rest.split_at(length);
    let other = Requirement::Exactly(ReportData::new([0; 64]));
    // when the seeds were made
    let now = UnixTime::from_seconds(1_795_219_200);
    assert!(appraise_evidence(TeeType::Tdx, quote, endorsements, &other, &POLICY, now).is_err());
});
