//! Rows 6 to 10: somebody between the client and the enclave who ends TLS himself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestation::Role;
use attestation::binding::{session_transcript, verify_session};
use postern_client::policy_file;
use postern_tests::enclave::{Enclave, NAME};
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;
use postern_tests::toy_enclave::{ANSWER, BindingKey, Conduct, TlsIdentity, ToyEnclave};
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::{ask, refusal, request};

#[tokio::test]
async fn row_06_evidence_of_another_replica_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = || policies::of_processor(&processor, folder.path());
    let a = Arc::new(ToyEnclave::start(Arc::clone(&processor.processor)).await);
    // B is as genuine as A, on the same chip, and shows A's evidence
    let source = Arc::clone(&a);
    let crossed =
        Conduct { evidence: Some(Arc::new(move |nonce| source.evidence(nonce))), ..Conduct::default() };
    let b = ToyEnclave::behaving(Arc::clone(&processor.processor), crossed).await;
    assert_eq!(refusal(&policies::verifier(b.address, policy())).await, "BIND_SPKI");
    assert_eq!(b.seen.application_bytes.load(Ordering::SeqCst), 0);
    // control: each with its own
    let b = ToyEnclave::start(Arc::clone(&processor.processor)).await;
    policies::verifier(a.address, policy()).connect().await.unwrap();
    policies::verifier(b.address, policy()).connect().await.unwrap();
}

#[tokio::test]
async fn row_07_a_certificate_of_his_own_is_refused() {
    let enclave = Enclave::start();
    // he has a certificate that the client's public roots accept, and passes every question on to the real enclave
    let (identity, root) = TlsIdentity::from_authority();
    let conduct = Conduct { forwards_to: Some(enclave.address), ..Conduct::default() };
    let man =
        ToyEnclave::with(Arc::clone(&enclave.processor.processor), identity, BindingKey::fresh(), conduct)
            .await;
    std::fs::write(enclave.folder().join("root.pem"), &root).unwrap();
    let text = policies::template(&enclave.processor, enclave.folder()).render();
    let public =
        text.replace("webpki = \"not-required\"", "webpki = \"required\"\nwebpki_roots = [\"root.pem\"]");
    let public = policy_file::parse(&public, enclave.folder()).unwrap();
    assert_eq!(refusal(&policies::verifier(man.address, public)).await, "BIND_SPKI");
    assert_eq!(refusal(&policies::verifier(man.address, policies::of(&enclave))).await, "BIND_SPKI");
    assert_eq!(man.seen.application_bytes.load(Ordering::SeqCst), 0);
    // control: a client that trusts certificates alone talks to him
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = tokio::net::TcpStream::connect(man.address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from(NAME).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let mut naive = postern_tests::http1::Http1::new(stream);
    assert_eq!(naive.post("/v1/chat/completions", &"secret prompt".into()).await.text(), ANSWER);
    assert!(man.seen.application_bytes.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn row_08_a_stolen_tls_key_is_not_enough() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = || policies::of_processor(&processor, folder.path());
    let genuine = Arc::new(ToyEnclave::start(Arc::clone(&processor.processor)).await);
    let thief = |signs_with: Option<Arc<BindingKey>>| {
        let source = Arc::clone(&genuine);
        let conduct = Conduct {
            evidence: Some(Arc::new(move |nonce| source.evidence(nonce))),
            signs_with,
            ..Conduct::default()
        };
        ToyEnclave::with(
            Arc::clone(&processor.processor),
            Arc::clone(&genuine.tls),
            BindingKey::fresh(),
            conduct,
        )
    };
    let man = thief(None).await;
    assert_eq!(refusal(&policies::verifier(man.address, policy())).await, "BIND_SESSION");
    assert_eq!(man.seen.application_bytes.load(Ordering::SeqCst), 0);
    assert_eq!(man.seen.bound.lock().unwrap().len(), 1, "he did sign, with a key of his own");
    // control: with both keys he is the enclave
    let twin = thief(Some(Arc::clone(&genuine.binding))).await;
    let mut channel = policies::verifier(twin.address, policy()).connect().await.unwrap();
    let got = ask(&mut channel, request("/v1/chat/completions", &"prompt".into())).await;
    assert_eq!(got.body(), ANSWER.as_bytes());
}

#[tokio::test]
async fn row_09_a_forwarded_bind_nonce_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let policy = || policies::of_processor(&processor, folder.path());
    let genuine = ToyEnclave::start(Arc::clone(&processor.processor)).await;
    // he has even the TLS key, so that only the exporter tells the two connections apart
    let conduct = Conduct { forwards_to: Some(genuine.address), ..Conduct::default() };
    let man = ToyEnclave::with(
        Arc::clone(&processor.processor),
        Arc::clone(&genuine.tls),
        BindingKey::fresh(),
        conduct,
    )
    .await;
    assert_eq!(refusal(&policies::verifier(man.address, policy())).await, "BIND_SESSION");
    assert_eq!(man.seen.application_bytes.load(Ordering::SeqCst), 0);
    // control: the signature he passed on is genuine; a verifier that took his exporter value would accept it
    let bound = genuine.seen.bound.lock().unwrap().last().unwrap().clone();
    let sbk = genuine.binding.public();
    let transcript = |ekm| {
        session_transcript(Role::Gateway, &bound.request.nonce, ekm, &bound.request.claims, &genuine.tls.spki)
    };
    verify_session(&sbk, &transcript(&bound.ekm), &bound.signature).unwrap();
    verify_session(&sbk, &transcript(&[0; 32]), &bound.signature).unwrap_err();
    policies::verifier(genuine.address, policy()).connect().await.unwrap();
}

/// What a reflection comes to: evidence or a signature that a genuine enclave made for the other end of a channel, or for
/// another channel.
#[tokio::test]
async fn row_10_evidence_and_signatures_in_another_role_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let refused = async |conduct: Conduct| {
        let man = ToyEnclave::behaving(Arc::clone(&processor.processor), conduct).await;
        let policy = policies::of_processor(&processor, folder.path());
        let code = refusal(&policies::verifier(man.address, policy)).await;
        assert_eq!(man.seen.application_bytes.load(Ordering::SeqCst), 0);
        code
    };
    for role in [Role::PeerResponder, Role::PeerInitiator, Role::Provisioning] {
        let reflected = Conduct { claims_role: Some(role), signs_in_role: Some(role), ..Conduct::default() };
        assert_eq!(refused(reflected).await, "ATT_ROLE", "{role}");
        // The evidence is the gateway's, and the signature over this very connection is by its key.
        let signed = Conduct { signs_in_role: Some(role), ..Conduct::default() };
        assert_eq!(refused(signed).await, "BIND_SESSION", "{role}");
    }
    // control: the same keys and the same connection in the gateway's role
    let gateway = Conduct { signs_in_role: Some(Role::Gateway), ..Conduct::default() };
    let genuine = ToyEnclave::behaving(Arc::clone(&processor.processor), gateway).await;
    let policy = policies::of_processor(&processor, folder.path());
    policies::verifier(genuine.address, policy).connect().await.unwrap();
}
