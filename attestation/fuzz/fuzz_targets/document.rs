#![no_main]
//! Evidence documents: whatever is accepted was canonical.
use attestation::EvidenceDocument;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = EvidenceDocument::decode(bytes) {
        assert_eq!(document.encode(), bytes);
    }
});
