//! A policy that says nothing about a rule does not exist (CVE-2026-92701).

fn main() {
    let _policy = attestation::Policy {
        tee_types: vec![attestation::TeeType::Snp],
        ..Default::default()
    };
}
