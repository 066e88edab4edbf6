//! Row 13: reports that a processor would sign for nobody honest, and reports that were changed after it signed.

use std::sync::atomic::{AtomicUsize, Ordering};

use attestation::digest::UnixTime;
use attestation::evidence::EvidenceDocument;
use attestation::{Expected, Nonce, Policy, Role, appraise};
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;
use postern_tests::toy_enclave::{CONFIG, ToyEnclave, now};
use simtee::ProcessorSpec;
use simtee::report::{LENGTH, SIGNED_LENGTH, offset};

use super::refusal;

const NONCE: [u8; 32] = [9; 32];

fn verdict(document: &[u8], policy: &Policy) -> Result<(), String> {
    let expected = Expected::Challenge { role: Role::Gateway, nonce: Nonce::new(NONCE) };
    let result = appraise(document, CONFIG.as_bytes(), &expected, policy, UnixTime::from_seconds(now()));
    result.map(|_| ()).map_err(|rejected| rejected.rejection.code.as_str().to_owned())
}

#[tokio::test]
async fn row_13_no_single_bit_flip_of_a_report_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = policies::of_processor(&processor, folder.path()).appraisal;
    let toy = ToyEnclave::start(std::sync::Arc::clone(&processor.processor)).await;
    let good = EvidenceDocument::decode(&toy.evidence(Nonce::new(NONCE))).unwrap();
    assert_eq!(verdict(&good.encode(), &policy), Ok(()), "control: unchanged, it verifies");
    assert_eq!(good.cpu.bytes.len(), LENGTH);

    let next = AtomicUsize::new(0);
    let judge = || {
        let mut accepted = Vec::new();
        loop {
            let bit = next.fetch_add(1, Ordering::Relaxed);
            if bit >= LENGTH * 8 {
                return accepted;
            }
            let mut changed = good.clone();
            changed.cpu.bytes[bit / 8] ^= 1 << (bit % 8);
            if verdict(&changed.encode(), &policy).is_ok() {
                accepted.push(bit);
            }
        }
    };
    let accepted: Vec<usize> = std::thread::scope(|scope| {
        let threads = [scope.spawn(judge), scope.spawn(judge)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(accepted, Vec::<usize>::new(), "these bits may be flipped");
    assert!(next.load(Ordering::Relaxed) >= 9472);

    // control: a field that no policy judges may be anything, if only the processor signs it; so it was the signature
    let mut signed = good.clone();
    let report_data: [u8; 64] =
        good.cpu.bytes[offset::REPORT_DATA..offset::REPORT_DATA + 64].try_into().unwrap();
    let change = |report: &mut simtee::Report| report.report_id[0] ^= 1;
    signed.cpu.bytes = processor.processor.quote_with(&report_data, change).unwrap().report;
    assert_ne!(signed.cpu.bytes[..SIGNED_LENGTH], good.cpu.bytes[..SIGNED_LENGTH]);
    assert_eq!(verdict(&signed.encode(), &policy), Ok(()));
}

#[tokio::test]
async fn row_13_unacceptable_reports_have_their_codes() {
    type Change = fn(&mut ProcessorSpec);
    let cases: [(&str, Change, &str); 8] = [
        ("debug", |spec| spec.report.policy |= 1 << 19, "SNP_DEBUG"),
        ("migration agent", |spec| spec.report.policy |= 1 << 18, "SNP_MIGRATE"),
        ("privilege level 1", |spec| spec.report.vmpl = 1, "SNP_VMPL"),
        ("version 2", version_2, "SNP_VERSION"),
        ("a version of the future", |spec| spec.report.version = 99, "SNP_VERSION"),
        ("masked chip key", |spec| spec.report.key_info |= 1 << 1, "SNP_MASKED"),
        ("another algorithm", |spec| spec.report.signature_algorithm = 2, "SNP_SIGNATURE"),
        ("reserved policy bit", |spec| spec.report.policy &= !(1 << 17), "SNP_POLICY_RESERVED"),
    ];
    for (name, change, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        let processor = SecurityProcessor::start_with(folder.path(), change);
        let toy = ToyEnclave::start(std::sync::Arc::clone(&processor.processor)).await;
        let policy = policies::of_processor(&processor, folder.path());
        assert_eq!(refusal(&policies::verifier(toy.address, policy)).await, code, "{name}");
    }
    // control: none of these changes, and it is accepted
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let toy = ToyEnclave::start(std::sync::Arc::clone(&processor.processor)).await;
    policies::verifier(toy.address, policies::of_processor(&processor, folder.path()))
        .connect()
        .await
        .unwrap();
}

fn version_2(spec: &mut ProcessorSpec) {
    let measurement = spec.report.measurement;
    *spec = ProcessorSpec::with_version(simtee::Product::Genoa, 2);
    spec.report.measurement = measurement;
}
