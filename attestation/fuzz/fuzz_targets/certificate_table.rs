#![no_main]
//! Certificate tables: entries lie inside the table.
use attestation::endorsements::Endorsements;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(endorsements) = Endorsements::from_snp_certificate_table(bytes) {
        for entry in endorsements.certificates.iter().chain(&endorsements.crls) {
            assert!(bytes.windows(entry.len()).any(|window| window == entry));
        }
    }
});
