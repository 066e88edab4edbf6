#![no_main]
//! Claims: whatever is accepted and has no extensions was canonical.
use attestation::EnclaveClaims;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(claims) = EnclaveClaims::decode(bytes) {
        let again = claims.encode();
        assert_eq!(EnclaveClaims::decode(&again), Ok(claims));
        assert!(again.len() <= bytes.len());
    }
});
