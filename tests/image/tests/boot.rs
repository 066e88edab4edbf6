//! The real image under QEMU's own processor: it boots along the measured path, proves itself to the real client, and
//! refuses whatever is not what was measured.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use postern_image::image::Profile;
use postern_image_tests::machine::{Boot, Machine, can_boot};
use postern_image_tests::parts::{image_with, parts};
use postern_image_tests::surroundings::{
    KEY, NAME, bridge, configuration, hash_page, measured, policy, processor, serving, sha256,
};
use postern_tests::programs::{self, Running};

/// How long a boot may take on a busy machine.
const BOOTS: Duration = Duration::from_mins(4);
/// How long a machine that must not start is watched.
const REFUSES: Duration = Duration::from_secs(40);
/// Firmware's code has passed to the image once the stub or the kernel says this.
const STARTED: &str = "EFI stub";
/// The gateway's line once it serves.
const READY: &str = "\"ready\":true";

/// A machine whose launch a simulated security processor reports, and what its client needs.
struct Simulated {
    machine: Machine,
    folder: tempfile::TempDir,
    image: Vec<u8>,
    configuration: [u8; 32],
    measurement: [u8; 48],
    processor: postern_tests::security_processor::SecurityProcessor,
}

/// Boots the image along the measured path. The processor reports what the machine was launched from, and the hash of
/// `committed`; the host hands over `served`.
fn simulated(served: impl Fn(&str) -> String, committed: impl Fn(&str) -> String) -> Simulated {
    let folder = tempfile::tempdir().unwrap();
    // The address of the processor is in the image, so it has to be known before the image is.
    let socket = folder.path().join("psp-0.sock");
    let processor_port = bridge(&socket);
    let text = configuration(&format!("socket:tcp:10.0.2.2:{processor_port}"));
    let configuration = sha256(committed(&text).as_bytes());
    let source = serving(served(&text).as_bytes());
    let image = image_with(&format!(
        "postern.network=dhcp postern.source=gateway:{source} postern.commitment=launch postern.processor=tcp:10.0.2.2:{processor_port}"
    ));
    let firmware = &parts().firmware_snp;
    let measurement = measured(firmware, &image);
    let processor = processor(folder.path(), measurement, configuration);
    assert_eq!(processor.socket, socket);
    let (address, page) = hash_page(firmware, &image);
    let machine = Machine::start(&Boot::direct(firmware, &image, Some((address, &page))));
    Simulated { machine, folder, image, configuration, measurement, processor }
}

/// `postern verify` through the relay.
fn verify(url: &str, connect: &str, policy: &Path, folder: &Path) -> Output {
    let mut command = Command::new(programs::path("postern"));
    command.args(["verify", url, "--connect", connect, "--json", "--policy"]).arg(policy);
    command.arg("--state-file").arg(folder.join("remembered.json")).output().unwrap()
}

/// `postern-host` before the machine.
fn relay(folder: &Path, port: u16) -> (Running, String) {
    let config = folder.join("host.toml");
    let text = format!("[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"tcp:127.0.0.1:{port}\"\n");
    std::fs::write(&config, text).unwrap();
    let host = Running::start(Command::new(programs::path("postern-host")).arg("--config").arg(config));
    let ingress = host.said("ingress").to_owned();
    (host, ingress)
}

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn the_image_boots_measured_and_the_client_verifies_it() {
    if !can_boot() {
        return;
    }
    let mut own = simulated(str::to_owned, str::to_owned);
    own.machine.wait_for(READY, BOOTS).unwrap_or_else(|said| panic!("{said}"));
    let (_host, ingress) = relay(own.folder.path(), own.machine.port);
    let url = format!("https://{NAME}:{}", ingress.rsplit(':').next().unwrap());
    let folder = own.folder.path();
    let good = policy(folder, &own.processor, own.measurement, own.configuration);
    let accepted = verify(&url, &ingress, &good, folder);
    let (seconds, mebibytes) = own.machine.cost();
    println!(
        "first attested answer: {seconds:.1} s of processor time, {mebibytes} MiB, image {} bytes",
        own.image.len()
    );
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));

    // One changed byte of the image is another measurement, and the client says so.
    let mut changed = own.image.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let other = policy(folder, &own.processor, measured(&parts().firmware_snp, &changed), own.configuration);
    refused(&verify(&url, &ingress, &other, folder), "ATT_MEASUREMENT");
    // So is another configuration.
    let other = policy(folder, &own.processor, own.measurement, sha256(b"another"));
    refused(&verify(&url, &ingress, &other, folder), "SNP_HOST_DATA");

    // Control: the same machine under the right policy again, and an answer of the model.
    let good = policy(folder, &own.processor, own.measurement, own.configuration);
    let mut chat = Command::new(programs::path("postern"));
    let answer = chat
        .args(["chat", "--to", &url, "--connect", &ingress, "--policy"])
        .arg(&good)
        .arg("--state-file")
        .arg(folder.join("remembered.json"))
        .env("POSTERN_API_KEY", KEY)
        .arg("Say hello")
        .output()
        .unwrap();
    assert!(
        answer.status.success() && !answer.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
}

fn refused(output: &Output, code: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(code), "{said}");
}

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn a_configuration_with_another_hash_is_refused() {
    if !can_boot() {
        return;
    }
    let mut own = simulated(|text| text.replace("postern-builtin", "postern-other"), str::to_owned);
    own.machine.wait_for("INIT_CONFIGURATION", BOOTS).unwrap_or_else(|said| panic!("{said}"));
    own.machine.wait_for_the_end(REFUSES).unwrap_or_else(|said| panic!("{said}"));
    let said = own.machine.serial();
    assert!(said.contains("bytes with another hash") && !said.contains(READY), "{said}");
}

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn the_production_image_without_a_tee_says_why_it_does_not_serve() {
    if !can_boot() {
        return;
    }
    let image = image_with(Profile::Metal.words());
    let firmware = &parts().firmware_snp;
    let (address, page) = hash_page(firmware, &image);
    let mut machine = Machine::start(&Boot::direct(firmware, &image, Some((address, &page))));
    machine.wait_for("INIT_NO_TEE", BOOTS).unwrap_or_else(|said| panic!("{said}"));
    machine.wait_for_the_end(REFUSES).unwrap_or_else(|said| panic!("{said}"));
    let said = machine.serial();
    assert!(said.contains("without a TEE this image does not serve") && !said.contains(READY), "{said}");
}

#[test]
#[ignore = "boots virtual machines; deploy/image/test runs it"]
fn what_was_not_measured_never_starts() {
    if !can_boot() {
        return;
    }
    let parts = parts();
    let image = image_with(Profile::Metal.words());
    let (address, page) = hash_page(&parts.firmware_snp, &image);
    let mut flipped = image.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x20;
    let with_a_file = {
        let mut archive = postern_image::cpio::Archive::default();
        archive.file("extra", b"an additional file");
        let more = postern_image::image::compressed(&archive.finish()).unwrap();
        let initrd = [parts.initrd.as_slice(), &more].concat();
        postern_image::image::assemble(&parts.stub, &parts.kernel.image, &initrd, Profile::Metal.words())
            .unwrap()
    };
    let good = Boot::direct(&parts.firmware_snp, &image, Some((address, &page)));
    let cases = [
        ("no page of hashes", Boot { page: None, ..boot(&good) }),
        ("another command line", Boot { append: Some("postern.commitment=tpm"), ..boot(&good) }),
        ("one flipped byte", Boot { kernel: Some(&flipped), ..boot(&good) }),
        ("an additional file", Boot { kernel: Some(&with_a_file), ..boot(&good) }),
    ];
    // All at once: none of them does anything but fail.
    let mut machines: Vec<_> = cases.iter().map(|(what, boot)| (what, Machine::start(boot))).collect();
    std::thread::sleep(REFUSES);
    for (what, machine) in &mut machines {
        let said = machine.serial();
        assert!(!said.contains(STARTED) && !said.contains("postern-init"), "{what}: {said}");
    }
    drop(machines);
    // Control: in as much time the right image does start.
    let mut machine = Machine::start(&good);
    machine.wait_for(STARTED, BOOTS).unwrap_or_else(|said| panic!("{said}"));
}

/// The same boot once more, to change one thing of it.
fn boot<'a>(of: &Boot<'a>) -> Boot<'a> {
    Boot::direct(of.firmware, of.kernel.unwrap(), of.page)
}

#[test]
#[ignore = "needs the parts of the image; deploy/image/test runs it"]
fn other_firmware_and_another_disk_measure_differently() {
    let parts = parts();
    let image = image_with(Profile::Metal.words());
    let good = measured(&parts.firmware_snp, &image);
    let mut firmware = parts.firmware_snp.clone();
    firmware[1000] ^= 1;
    assert_ne!(measured(&firmware, &image), good);
    assert_ne!(measured(&parts.firmware_snp, &image_with(Profile::Cloud.words())), good);
    // Firmware that checks no hashes is refused before anything is computed.
    let other = measurement::Firmware::parse(&parts.firmware_disk).unwrap();
    assert!(measurement::KernelHashes::new(&image, None, None).page(&other).is_err());
}
