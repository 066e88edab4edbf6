#![no_main]
//! Keysets: whatever is accepted was canonical.
use attestation::Keyset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keyset) = Keyset::decode(bytes) {
        assert_eq!(keyset.encode(), bytes);
    }
});
