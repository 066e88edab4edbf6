//! The image that clouds get, byte for byte, behind a TPM like Azure's: the registers after a real boot are those that were
//! predicted, and a verifier who knows only the predictions accepts the machine's evidence.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use attestation::binding::ChallengeRequest;
use attestation::enclave_claims::{EnclaveClaims, report_data};
use attestation::endorsements::Endorsements;
use attestation::evidence::EvidenceDocument;
use attestation::floors::TcbFloors;
use attestation::policy::{AzurePolicy, DeploymentRule, HardwareRule, PcrRelease, SnpPolicy, TrustAnchors};
use attestation::reference_values::{Release, Requirement};
use attestation::{
    AppraisedEvidence, AzureEvidence, Code, HardwareId, Measurement, Nonce, Policy, Rejected, Sha256,
    TeeType, UnixTime, appraise_evidence,
};
use measurement::{Algorithm, Boot as StartedBy, Uki, tpm};
use postern_image::disk::Disk;
use postern_image::image::Profile;
use postern_image_tests::azure_tpm::{AzureTpm, can_emulate, metadata_service};
use postern_image_tests::machine::{Boot, Machine, can_boot};
use postern_image_tests::parts::{image_with, parts};
use postern_image_tests::surroundings::{configuration, sha256};
use postern_tests::http1::Http1;
use postern_tests::security_processor::{SecurityProcessor, authority};

/// How long a boot may take on a busy machine.
const BOOTS: Duration = Duration::from_mins(6);
/// The gateway's line once it serves.
const READY: &str = "\"ready\":true";
/// What the paravisor measures to.
const PARAVISOR: [u8; 48] = [0x3e; 48];
/// Registers that the image and its configuration decide.
const DECIDED: [u8; 5] = [4, 9, 11, 12, 15];

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn the_image_of_the_clouds_proves_what_it_is_through_a_virtual_tpm() {
    if !can_boot() || !can_emulate() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start_with(folder.path(), |spec| spec.report.measurement = PARAVISOR);
    let tpm = AzureTpm::start(folder.path(), &processor);
    let image = image_with(Profile::Cloud.words());
    let disk = folder.path().join("disk.raw");
    Disk::with(&image).unwrap().write(&disk).unwrap();
    let text = configuration("auto");
    let metadata = metadata_service(folder.path(), text.as_bytes());
    let firmware = &parts().firmware_disk;
    let mut machine = Machine::start(&Boot::cloud(firmware, &disk, &tpm.socket, &metadata));
    machine.wait_for(READY, BOOTS).unwrap_or_else(|said| panic!("{said}"));
    let (seconds, mebibytes) = machine.cost();
    println!("behind a TPM, from a disk: {seconds:.1} s of processor time, {mebibytes} MiB");

    let document = evidence(SocketAddr::from(([127, 0, 0, 1], machine.port)));
    assert_eq!(document.cpu.tee, TeeType::AzureSnp);
    let found = AzureEvidence::decode(&document.cpu.bytes).unwrap().pcrs;
    let predicted = predicted(&image, text.as_bytes());
    for index in DECIDED {
        assert_eq!(found[&index], predicted[&index], "register {index}");
    }
    // Register 7 is firmware's own business, and so is recorded on the machine that one trusts first.
    let mut accepted = predicted;
    accepted.insert(7, found[&7]);
    let policy = |registers| policy(&processor, registers);
    let judged = judge(&document, &tpm.endorsements, &policy(accepted.clone()));
    assert!(judged.is_ok(), "{}", judged.unwrap_err());

    // One changed byte of the image is other registers, and another configuration is another one: both are refused.
    let mut changed = image;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    for wrong in [
        self::predicted(&changed, text.as_bytes()),
        self::predicted(&image_with(Profile::Cloud.words()), b"another"),
    ] {
        let registers = wrong.into_iter().chain([(7, found[&7])]).collect();
        let refused = judge(&document, &tpm.endorsements, &policy(registers)).unwrap_err();
        assert_eq!(refused.rejection.code, Code::AzPcr, "{refused}");
    }
}

/// The registers of the SHA-256 bank that image and configuration decide.
fn predicted(image: &[u8], configuration: &[u8]) -> BTreeMap<u8, Sha256> {
    let registers = tpm::registers(&Uki::parse(image).unwrap(), StartedBy::Disk, Algorithm::Sha256).unwrap();
    let own = tpm::configuration_register(&sha256(configuration), Algorithm::Sha256);
    let all = [registers.pcr4, registers.pcr9, registers.pcr11, registers.pcr12, own];
    let value = |digest: measurement::Digest| Sha256::new(digest.as_bytes().try_into().unwrap());
    DECIDED.into_iter().zip(all.into_iter().map(value)).collect()
}

/// The machine's evidence over a nonce of ours.
fn evidence(address: SocketAddr) -> EvidenceDocument {
    let body = ChallengeRequest { nonce: Nonce::new([0x5a; 32]) }.encode();
    let head = format!(
        "POST /.well-known/postern/evidence HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let mut client = Http1::connect(address).await;
        client.send(&[head.as_bytes(), &body].concat()).await.unwrap();
        client.answer().await.unwrap()
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = EvidenceDocument::decode(&answer.body).unwrap();
    EnclaveClaims::decode(&document.claims).unwrap();
    document
}

/// No host hands over the vendor's certificates here, so the test does.
fn judge(
    document: &EvidenceDocument,
    endorsements: &Endorsements,
    policy: &Policy,
) -> Result<AppraisedEvidence, Rejected> {
    let expected = Requirement::Exactly(report_data(&document.claims));
    appraise_evidence(document.cpu.tee, &document.cpu.bytes, &endorsements.encode(), &expected, policy, now())
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime::from_seconds(since.as_secs())
}

fn policy(processor: &SecurityProcessor, registers: BTreeMap<u8, Sha256>) -> Policy {
    let mut floors = TcbFloors::shipped().unwrap();
    floors.issued_at = now();
    floors.valid_until = floors.issued_at.plus(Duration::from_hours(24));
    let chip = HardwareId::try_from(processor.chip_id.as_slice()).unwrap();
    let release = PcrRelease { name: "predicted".to_owned(), values: registers };
    let mut policy = Policy::standard(
        vec![TeeType::AzureSnp],
        vec![Release::pinned("paravisor", Measurement::new(PARAVISOR))],
        HardwareRule::Listed(vec![chip]),
        DeploymentRule::Unpinned,
        Vec::new(),
        SnpPolicy::standard(floors),
    )
    .with_azure(AzurePolicy::standard(vec![release]));
    policy.trust_anchors =
        TrustAnchors { vendor: true, simulated_roots: vec![authority().ark_certificate().to_vec()] };
    policy
}
