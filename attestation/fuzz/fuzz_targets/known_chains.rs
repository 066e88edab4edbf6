#![no_main]
//! Remembering chains changes no verdict: on the same quote and endorsements (as in `tdx_evidence`, whose seeds are accepted
//! here) an appraisal with a memory says what one without says, whatever came before.
use attestation::policy::TdxPolicy;
use attestation::policy::tdx::{AdvisoryRule, CollateralAge, EvaluationRule, TdxReferences};
use attestation::reference_values::Requirement;
use attestation::{TeeType, UnixTime, VerifiedChains, appraise_evidence};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CHAINS: VerifiedChains = VerifiedChains::new();

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
    let any = Requirement::Waived { reason: "fuzzing".to_owned() };
    let now = UnixTime::from_seconds(1_795_219_200);
    let known = CHAINS.appraise_evidence(TeeType::Tdx, quote, endorsements, &any, &POLICY, now);
    let alone = appraise_evidence(TeeType::Tdx, quote, endorsements, &any, &POLICY, now);
    match (known, alone) {
        (Ok(known), Ok(alone)) => assert_eq!(known.hardware, alone.hardware),
        (Err(known), Err(alone)) => assert_eq!(known.rejection, alone.rejection),
        (known, alone) => panic!("{} with a memory, {} without", known.is_ok(), alone.is_ok()),
    }
});
