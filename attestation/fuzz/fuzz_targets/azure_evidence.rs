#![no_main]
//! An Azure bundle is read to its last byte (what is accepted was canonical), and a hostile one with hostile
//! endorsements (the first two bytes say where the bundle ends) is never accepted: under the vendors' roots because
//! nothing here is signed, and with the seeds' real quotes because those are over other report data.
use attestation::policy::{AzurePolicy, PcrRule};
use attestation::reference_values::Requirement;
use attestation::{AzureEvidence, ReportData, TeeType, UnixTime, appraise_evidence};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static POLICY: LazyLock<attestation::Policy> = LazyLock::new(|| {
    let mut policy = postern_attestation_fuzz::loosest();
    policy.tee_types = vec![TeeType::AzureSnp];
    policy.azure = AzurePolicy {
        pcrs: PcrRule::Unchecked { reason: "fuzzing".to_owned() },
        ..AzurePolicy::standard(Vec::new())
    };
    policy
});

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_at_checked(2) else { return };
    let length = usize::from(u16::from_le_bytes([length[0], length[1]])).min(rest.len());
    let (bundle, endorsements) = rest.split_at(length);
    if let Ok(read) = AzureEvidence::decode(bundle) {
        assert_eq!(read.encode(), bundle);
    }
    let other = Requirement::Exactly(ReportData::new([0; 64]));
    // when the seeds were made
    let now = UnixTime::from_seconds(1_740_398_400);
    assert!(appraise_evidence(TeeType::AzureSnp, bundle, endorsements, &other, &POLICY, now).is_err());
});
