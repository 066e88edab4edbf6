#![no_main]
//! Hostile certificates and lists behind a well-formed report: pieces of the input, cut at 0xfe 0xed.
use attestation::endorsements::Endorsements;
use attestation::reference_values::Requirement;
use attestation::{TeeType, UnixTime, appraise_evidence};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static POLICY: LazyLock<attestation::Policy> = LazyLock::new(postern_attestation_fuzz::loosest);

fuzz_target!(|bytes: &[u8]| {
    let mut report = vec![0; 1184];
    (report[0], report[0x34], report[0x188], report[0x189]) = (5, 1, 0x19, 0x11);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|window| window == [0xfe, 0xed]) {
        pieces.push(rest[..at].to_vec());
        rest = &rest[at + 2..];
    }
    pieces.push(rest.to_vec());
    let crls = pieces.split_off(pieces.len().min(3));
    let endorsements = Endorsements { certificates: pieces, crls, ..Endorsements::default() }.encode();
    let any = Requirement::Waived { reason: "fuzzing".to_owned() };
    let now = UnixTime::from_seconds(1_800_000_000);
    assert!(appraise_evidence(TeeType::Snp, &report, &endorsements, &any, &POLICY, now).is_err());
});
