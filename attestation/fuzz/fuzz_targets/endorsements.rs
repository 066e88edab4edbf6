#![no_main]
//! Endorsements: whatever is accepted was canonical.
use attestation::endorsements::Endorsements;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(endorsements) = Endorsements::decode(bytes) {
        assert_eq!(endorsements.encode(), bytes);
    }
});
