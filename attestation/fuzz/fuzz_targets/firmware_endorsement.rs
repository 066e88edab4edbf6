#![no_main]
//! Google's launch endorsements of firmware, and the certificates in them.
use attestation::FirmwareEndorsement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // the input is its own root as well: both parsers see it, and nothing can hold
    assert!(FirmwareEndorsement::authenticate(bytes, bytes).is_err());
});
