//! Rows 1, 2, 3, 4, 12, 45: evidence that is genuine and not what was asked for, or not there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestation::{HardwareId, Measurement, Nonce};
use postern_client::policy_file;
use postern_tests::enclave::{Enclave, Setup};
use postern_tests::evilhost::EvilHost;
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;
use postern_tests::toy_enclave::{Conduct, ToyEnclave, ok};

use super::refusal;

#[tokio::test]
async fn row_01_another_measurement_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = simtee::measure(&[b"another program".as_slice()]);
    let processor = SecurityProcessor::start_with(folder.path(), |spec| spec.report.measurement = other);
    let enclave = Enclave::on(processor.clone(), &Setup::default(), folder);
    let host = EvilHost::honest(enclave.address).await;
    let verifier = policies::verifier(host.address, policies::of(&enclave));
    assert_eq!(refusal(&verifier).await, "ATT_MEASUREMENT");
    assert_eq!(enclave.upstream.received().len(), 0);
    // not one byte beyond the questions about evidence
    let toy = ToyEnclave::start(Arc::clone(&processor.processor)).await;
    let verifier = policies::verifier(toy.address, policies::of(&enclave));
    assert_eq!(refusal(&verifier).await, "ATT_MEASUREMENT");
    assert_eq!(toy.seen.application_bytes.load(Ordering::SeqCst), 0);
    assert!(toy.seen.bound.lock().unwrap().is_empty());
    // control: a policy that lists the other program lets it in
    let mut template = policies::template(&processor, enclave.folder());
    template.measurements = vec![Measurement::try_from(other.as_slice()).unwrap()];
    let weak = policy_file::parse(&template.render(), enclave.folder()).unwrap();
    policies::verifier(host.address, weak).connect().await.unwrap();
}

#[tokio::test]
async fn row_02_another_operator_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ours = SecurityProcessor::start(folder.path());
    let pinned = |processor: &SecurityProcessor| {
        let mut template = policies::template(processor, folder.path());
        template.deployment = Some("d1".repeat(32));
        policy_file::parse(&template.render(), folder.path()).unwrap()
    };
    let running = |processor: &SecurityProcessor, deployment_id| {
        let conduct = Conduct { deployment_id, ..Conduct::default() };
        ToyEnclave::behaving(Arc::clone(&processor.processor), conduct)
    };
    // the same measured code on our own machine, run by somebody else
    let elsewhere = running(&ours, [0xe2; 32]).await;
    assert_eq!(refusal(&policies::verifier(elsewhere.address, pinned(&ours))).await, "ATT_DEPLOYMENT");
    // run by nobody who says so
    let nameless = running(&ours, [0; 32]).await;
    assert_eq!(refusal(&policies::verifier(nameless.address, pinned(&ours))).await, "ATT_DEPLOYMENT");
    // an operator who copies our identity has only his own machines
    let theirs = SecurityProcessor::start(folder.path());
    let copied = running(&theirs, [0xd1; 32]).await;
    assert_eq!(refusal(&policies::verifier(copied.address, pinned(&ours))).await, "ATT_HARDWARE_ID");
    for refused in [&elsewhere, &nameless, &copied] {
        assert_eq!(refused.seen.application_bytes.load(Ordering::SeqCst), 0);
    }
    // control: ours; and a client that does not pin takes the other operator for good
    let own = running(&ours, [0xd1; 32]).await;
    policies::verifier(own.address, pinned(&ours)).connect().await.unwrap();
    let weak = policies::of_processor(&ours, folder.path());
    policies::verifier(elsewhere.address, weak).connect().await.unwrap();
}

#[tokio::test]
async fn row_03_an_unlisted_chip_is_refused() {
    let enclave = Enclave::start();
    let listed = SecurityProcessor::start(enclave.folder());
    let host = EvilHost::honest(enclave.address).await;
    let strict = policies::of_processor(&listed, enclave.folder());
    assert_eq!(refusal(&policies::verifier(host.address, strict)).await, "ATT_HARDWARE_ID");
    // control: with this chip on the list as well
    let mut template = policies::template(&listed, enclave.folder());
    template.hardware.push(HardwareId::try_from(enclave.processor.chip_id.as_slice()).unwrap());
    let weak = policy_file::parse(&template.render(), enclave.folder()).unwrap();
    policies::verifier(host.address, weak).connect().await.unwrap();
}

#[tokio::test]
async fn row_04_replayed_evidence_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = || policies::of_processor(&processor, folder.path());
    let genuine = Arc::new(ToyEnclave::start(Arc::clone(&processor.processor)).await);
    let recorded = genuine.evidence(Nonce::new([9; 32]));
    let replay = |evidence: postern_tests::toy_enclave::EvidenceSource| {
        let (tls, binding) = (Arc::clone(&genuine.tls), Arc::clone(&genuine.binding));
        let conduct = Conduct { evidence: Some(evidence), ..Conduct::default() };
        ToyEnclave::with(Arc::clone(&processor.processor), tls, binding, conduct)
    };
    let stale = replay(Arc::new(move |_| recorded.clone())).await;
    assert_eq!(refusal(&policies::verifier(stale.address, policy())).await, "ATT_NONCE");
    assert_eq!(stale.seen.application_bytes.load(Ordering::SeqCst), 0);
    // control: the same road with evidence made for the nonce
    let source = Arc::clone(&genuine);
    let fresh = replay(Arc::new(move |nonce| source.evidence(nonce))).await;
    policies::verifier(fresh.address, policy()).connect().await.unwrap();
}

#[tokio::test]
async fn row_12_missing_evidence_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = || policies::of_processor(&processor, folder.path());
    let genuine = ToyEnclave::start(Arc::clone(&processor.processor)).await;
    let document = genuine.evidence(Nonce::new([9; 32]));
    let none = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
    for (answer, code) in [
        (none, "ATT_MISSING"),
        (ok("text/html", b"<html>welcome</html>"), "ATT_MISSING"),
        (ok("application/json", b"{\"verified\":true}"), "ATT_MISSING"),
        (ok("text/plain", &document), "ATT_MISSING"),
        (
            b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\ncontent-length: 0\r\n\r\n".to_vec(),
            "ATT_MISSING",
        ),
        (ok("application/cmw+cbor", b""), "ATT_MALFORMED"),
        (ok("application/cmw+cbor", b"\xa0"), "ATT_MALFORMED"),
        (ok("application/cmw+cbor", &document[..document.len() - 1]), "ATT_MALFORMED"),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec(), "EVIDENCE_UNAVAILABLE"),
        (ok("application/cmw+cbor", &vec![0; 300 * 1024]), "CHAN_MALFORMED"),
        (b"nonsense\r\n\r\n".to_vec(), "CHAN_MALFORMED"),
    ] {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(90)]).into_owned();
        let conduct = Conduct { evidence_answer: Some(answer), ..Conduct::default() };
        let toy = ToyEnclave::behaving(Arc::clone(&processor.processor), conduct).await;
        assert_eq!(refusal(&policies::verifier(toy.address, policy())).await, code, "{shown}");
        assert_eq!(toy.seen.application_bytes.load(Ordering::SeqCst), 0);
    }
    // control: the same toy with its evidence
    policies::verifier(genuine.address, policy()).connect().await.unwrap();
}

#[tokio::test]
async fn row_45_a_changed_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    for (config, code) in [
        (r#"{"content_logging":true,"debug":false,"stream_shape":"bucketed"}"#, "CFG_RULE"),
        (r#"{"content_logging":false,"debug":true,"stream_shape":"bucketed"}"#, "CFG_RULE"),
        (r#"{"content_logging":false,"debug":false,"stream_shape":"none"}"#, "CFG_RULE"),
        (r#"{"content_logging":false,"debug":false}"#, "CFG_RULE"),
        (r#"{"content_logging":null,"debug":false}"#, "CFG_RULE"),
        (r#"{"debug":false}"#, "CFG_RULE"),
        ("[]", "CFG_RULE"),
    ] {
        let conduct = Conduct { config: Some(config.to_owned()), ..Conduct::default() };
        let toy = ToyEnclave::behaving(Arc::clone(&processor.processor), conduct).await;
        let policy = policies::of_processor(&processor, folder.path());
        assert_eq!(refusal(&policies::verifier(toy.address, policy)).await, code, "{config}");
    }
    // control: a policy without these rules takes all of it
    let text = policies::template(&processor, folder.path()).render();
    let weak = text.replace("\"/content_logging\" = false", "\"/content_logging\" = \"any\"");
    let weak = policy_file::parse(&weak, folder.path()).unwrap();
    let config = Some(r#"{"content_logging":true,"debug":false,"stream_shape":"bucketed"}"#.to_owned());
    let toy =
        ToyEnclave::behaving(Arc::clone(&processor.processor), Conduct { config, ..Conduct::default() })
            .await;
    policies::verifier(toy.address, weak).connect().await.unwrap();
}
