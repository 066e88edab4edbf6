//! What `deploy/image/build` wrote for clouds, byte for byte, behind a TPM like Azure's: the registers after a real boot are
//! the manifest's, the policy that `postern policy init --release` makes of the manifest accepts the machine, and the same
//! image with one byte changed is refused.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attestation::binding::ChallengeRequest;
use attestation::evidence::EvidenceDocument;
use attestation::{AzureEvidence, Nonce, Sha256, TeeType};
use measurement::{Algorithm, tpm};
use postern_image::disk::Disk;
use postern_image::image::Profile;
use postern_image_tests::azure_tpm::{AzureTpm, can_emulate, metadata_service};
use postern_image_tests::clients::{Relay, accepted, refused};
use postern_image_tests::machine::{Boot, Machine, can_boot};
use postern_image_tests::parts::{image_with, parts};
use postern_image_tests::release::Release;
use postern_image_tests::surroundings::{configuration_at, sha256, vendor};
use postern_tests::http1::Http1;
use postern_tests::programs::{self, Running};
use postern_tests::security_processor::SecurityProcessor;

/// How long a boot may take on a busy machine.
const BOOTS: Duration = Duration::from_mins(8);
/// The gateway's line once it serves.
const READY: &str = "\"ready\":true";
/// This computer, seen from a machine whose network is the one of the metadata service.
const HOST: &str = "169.254.169.2";
/// Where an executable says where its header is, and where that says when it was linked (PE format, "COFF File Header").
const HEADER_AT: usize = 0x3c;
const LINKED_AT: usize = 8;
/// Registers that the image decides, and their names in the manifest.
const DECIDED: [(u8, &str); 4] = [(4, "PCR4"), (9, "PCR9"), (11, "PCR11"), (12, "PCR12")];

/// A machine of Azure's kind that serves, and what is around it.
struct Cloud {
    machine: Machine,
    tpm: AzureTpm,
    relay: Relay,
    folder: tempfile::TempDir,
    processor: SecurityProcessor,
    configuration: PathBuf,
    _egress: Running,
}

impl Cloud {
    /// Boots this image from a disk. Its configuration comes from the metadata service, the vendor's certificates through
    /// `postern-host`.
    fn boot(image: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let processor = SecurityProcessor::start_with(folder.path(), |spec| {
            spec.report.measurement = [0x3e; 48];
            // Azure signs its paravisor's launch.
            spec.report.id_key_digest = [0x94; 48];
            spec.report.family_id = [1; 16];
            spec.report.image_id = [2; 16];
            spec.report.guest_svn = 10;
        });
        let tpm = AzureTpm::start(folder.path(), &processor);
        let disk = folder.path().join("disk.raw");
        Disk::with(image).unwrap().write(&disk).unwrap();
        let egress = egress(folder.path(), &processor);
        let port = egress.said("egress").rsplit(':').next().unwrap();
        let egress_table = format!("[host]\negress = \"tcp:{HOST}:{port}\"");
        let text = configuration_at("tcp:0.0.0.0:8443", "auto", &egress_table);
        let configuration = folder.path().join("enclave.toml");
        std::fs::write(&configuration, &text).unwrap();
        let metadata = metadata_service(folder.path(), text.as_bytes());
        let mut machine = Machine::start(&Boot::cloud(&parts().firmware_disk, &disk, &tpm.socket, &metadata));
        machine.wait_for(READY, BOOTS).unwrap_or_else(|said| panic!("{said}"));
        let relay = Relay::start(folder.path(), &format!("tcp:127.0.0.1:{}", machine.port));
        Self { machine, tpm, relay, folder, processor, configuration, _egress: egress }
    }

    /// The policy that the documented command makes of the release, for this machine.
    fn policy(&self, release: &Release) -> PathBuf {
        // Register 7 is firmware's own business, and so is recorded on a machine that one trusts.
        let recorded = registers(&self.evidence())[&7];
        release.azure_policy(self.folder.path(), &self.configuration, &self.processor, &recorded)
    }

    /// The machine's evidence over a nonce of ours.
    fn evidence(&self) -> EvidenceDocument {
        let address = SocketAddr::from(([127, 0, 0, 1], self.machine.port));
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
        EvidenceDocument::decode(&answer.body).unwrap()
    }
}

fn registers(document: &EvidenceDocument) -> std::collections::BTreeMap<u8, Sha256> {
    assert_eq!(document.cpu.tee, TeeType::AzureSnp);
    AzureEvidence::decode(&document.cpu.bytes).unwrap().pcrs
}

/// `postern-host` as the machine's way out: it fetches the certificates of this processor's vendor.
fn egress(folder: &Path, processor: &SecurityProcessor) -> Running {
    let config = folder.join("egress.toml");
    let text = format!(
        "[egress]\nlisten = \"tcp:127.0.0.1:0\"\n[endorsements]\ncache = \"{}\"\namd_kds = \"http://127.0.0.1:{}\"\n",
        folder.join("endorsements").display(),
        vendor(processor)
    );
    std::fs::write(&config, text).unwrap();
    Running::start(Command::new(programs::path("postern-host")).arg("--config").arg(config))
}

#[test]
#[ignore = "boots virtual machines; deploy/image/test runs it"]
fn the_manifest_is_what_clients_accept_and_one_changed_byte_is_refused() {
    if !can_boot() || !can_emulate() {
        return;
    }
    let release = Release::built();
    let image = release.image("cloud");
    assert!(image == image_with(Profile::Cloud.words()), "the build wrote what its library makes");
    let cloud = Cloud::boot(&image);
    let policy = cloud.policy(release);
    accepted(&cloud.relay.verify(&policy, cloud.folder.path()));
    let (seconds, mebibytes) = cloud.machine.cost();
    println!("behind a TPM, from a disk: {seconds:.1} s of processor time, {mebibytes} MiB");
    // Another configuration is another policy, and is refused.
    let other = cloud.folder.path().join("other.toml");
    std::fs::write(&other, b"another").unwrap();
    let recorded = registers(&cloud.evidence())[&7];
    let wrong = release.azure_policy(cloud.folder.path(), &other, &cloud.processor, &recorded);
    refused(&cloud.relay.verify(&wrong, cloud.folder.path()), "AZ_PCR");
    let hash = sha256(&std::fs::read(&cloud.configuration).unwrap());

    // Both banks, by other people's tools, once the machine is gone.
    let Cloud { machine, tpm, .. } = cloud;
    drop(machine);
    let own = tpm.registers();
    for (bank, platform, algorithm) in
        [("sha256", "azure-vtpm", Algorithm::Sha256), ("sha384", "aws-nitrotpm", Algorithm::Sha384)]
    {
        let found = &own[bank];
        for (index, name) in DECIDED {
            let expected = release.value("cloud", platform, name, "");
            assert_eq!(found[&index].to_ascii_lowercase(), expected, "{bank} {name}");
        }
        let configured = tpm::configuration_register(&hash, algorithm).to_hex();
        assert_eq!(found[&15].to_ascii_lowercase(), configured, "{bank}");
    }

    // The same image with one byte changed starts as well: nothing here checks signatures before it. It cannot hide.
    // The byte is one that nothing reads: when the file was linked.
    let mut changed = image;
    let header = usize::from(changed[HEADER_AT]);
    assert_eq!(changed[header..header + 4], *b"PE\0\0");
    changed[header + LINKED_AT] ^= 1;
    let cloud = Cloud::boot(&changed);
    // Its processor is another one, so the policy names that; all else is of the same manifest.
    let policy = cloud.policy(release);
    refused(&cloud.relay.verify(&policy, cloud.folder.path()), "AZ_PCR");
}
