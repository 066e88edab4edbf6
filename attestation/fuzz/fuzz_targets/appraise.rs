#![no_main]
//! A hostile document is never accepted for a channel.
use attestation::claims::snp::Product;
use attestation::reference_values::{ReferenceValues, Release};
use attestation::{Expected, Measurement, Nonce, Role, UnixTime, appraise};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static POLICY: LazyLock<attestation::Policy> = LazyLock::new(|| {
    let mut policy = postern_attestation_fuzz::loosest();
    let floors = attestation::floors::TcbFloors::shipped().expect("shipped floors");
    policy.snp = attestation::policy::SnpPolicy::standard(floors);
    policy.snp.products = vec![Product::Genoa, Product::Turin];
    policy.references = ReferenceValues::Pinned(vec![Release::pinned("fuzzing", Measurement::new([0; 48]))]);
    policy
});

fuzz_target!(|bytes: &[u8]| {
    let expected = Expected::Challenge { role: Role::Gateway, nonce: Nonce::new([0; 32]) };
    let now = UnixTime::from_seconds(1_800_000_000);
    assert!(appraise(bytes, b"{}", &expected, &POLICY, now).is_err());
});
