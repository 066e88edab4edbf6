//! Row 46: what a simulator signs is worth nothing where nobody asked for it.

use postern_client::policy_file;
use postern_tests::enclave::Enclave;
use postern_tests::security_processor::authority;
use postern_tests::{policies, programs};

use super::refusal;

#[tokio::test]
async fn row_46_simulated_evidence_needs_a_policy_that_names_its_root() {
    let enclave = Enclave::start();
    let mut template = policies::template(&enclave.processor, enclave.folder());
    template.simulated_roots.clear();
    let earnest = policy_file::parse(&template.render(), enclave.folder()).unwrap();
    assert_eq!(refusal(&policies::verifier(enclave.address, earnest)).await, "ATT_UNTRUSTED_ROOT");
    // another throw-away root is no better
    let other = simtee::Authority::create(simtee::Product::Genoa.line()).unwrap();
    std::fs::write(enclave.folder().join("other.der"), other.ark_certificate()).unwrap();
    template.simulated_roots = vec![enclave.folder().join("other.der")];
    let other = policy_file::parse(&template.render(), enclave.folder()).unwrap();
    assert_eq!(refusal(&policies::verifier(enclave.address, other)).await, "ATT_UNTRUSTED_ROOT");
    // control: the right root is accepted, and the result says what it is worth
    let channel = policies::verifier(enclave.address, policies::of(&enclave)).connect().await.unwrap();
    assert!(channel.verified().simulated());
}

#[test]
fn row_46_no_shipped_program_contains_the_simulator() {
    let root = authority().ark_certificate();
    let contains = |program: &str, wanted: &[u8]| {
        let bytes = std::fs::read(programs::path(program)).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    };
    let marks: [&[u8]; 2] = [b"postern simulated launch", &root[root.len() / 2..root.len() / 2 + 64]];
    for program in ["postern-enclave", "postern", "postern-host"] {
        for mark in marks {
            assert!(!contains(program, mark), "{program} contains a part of the simulator");
        }
    }
    // control: the search finds the mark where it is
    assert!(contains("postern-simtee", marks[0]));
}
