//! The real image under QEMU's own processor: it boots along the measured path, proves itself to the real client, and
//! refuses whatever is not what was measured.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use postern_image::image::{self, Profile};
use postern_image_tests::clients::{Relay, accepted, refused};
use postern_image_tests::machine::{Boot, Machine, can_boot};
use postern_image_tests::parts::{image_with, kept, parts};
use postern_image_tests::release::Release;
use postern_image_tests::surroundings::{
    KEY, bridge, configuration, configuration_at, hash_page, measured, policy, processor, serving,
    serving_at, sha256,
};
use postern_image_tests::vsock::{Vsock, can_relay};
use postern_tests::programs;

/// How long a boot may take on a busy machine.
const BOOTS: Duration = Duration::from_mins(6);
/// How long a machine that must not start is watched.
const REFUSES: Duration = Duration::from_secs(40);
/// Firmware's code has passed to the image once the stub or the kernel says this.
const STARTED: &str = "EFI stub";
/// The gateway's line once it serves.
const READY: &str = "\"ready\":true";

/// A machine whose launch a simulated security processor reports, and what its client needs.
struct Simulated {
    machine: Machine,
    vsock: Option<Vsock>,
    folder: tempfile::TempDir,
    image: Vec<u8>,
    configuration: [u8; 32],
    measurement: [u8; 48],
    processor: postern_tests::security_processor::SecurityProcessor,
}

/// Boots the image along the measured path. The processor reports what the machine was launched from, and the hash of
/// `committed`; the host hands over `served`. With `over_vsock` that, and every client, comes over vsock.
fn simulated(
    served: impl Fn(&str) -> String,
    committed: impl Fn(&str) -> String,
    over_vsock: bool,
) -> Simulated {
    let folder = tempfile::tempdir().unwrap();
    // The address of the processor is in the image, so it has to be known before the image is.
    let socket = folder.path().join("psp-0.sock");
    let processor_port = bridge(&socket);
    let attester = format!("socket:tcp:10.0.2.2:{processor_port}");
    let vsock = over_vsock.then(|| Vsock::start(folder.path()));
    let (text, source) = if let Some(vsock) = &vsock {
        let text = configuration_at("vsock:8443", &attester, "");
        serving_at(&beside(&vsock.path, 9001), served(&text).as_bytes());
        (text, "vsock:9001".to_owned())
    } else {
        let text = configuration(&attester);
        let port = serving(served(&text).as_bytes());
        (text, format!("gateway:{port}"))
    };
    let configuration = sha256(committed(&text).as_bytes());
    let image = image_with(&format!(
        "postern.network=dhcp postern.source={source} postern.commitment=launch postern.processor=tcp:10.0.2.2:{processor_port}"
    ));
    let firmware = &parts().firmware_snp;
    let measurement = measured(firmware, &image);
    let processor = processor(folder.path(), measurement, configuration);
    assert_eq!(processor.socket, socket);
    let (address, page) = hash_page(firmware, &image);
    let boot = Boot::direct(firmware, &image, Some((address, &page)));
    let boot = Boot { vsock: vsock.as_ref().map(|vsock| vsock.socket.as_path()), ..boot };
    let machine = Machine::start(&boot);
    Simulated { machine, vsock, folder, image, configuration, measurement, processor }
}

/// Where the daemon brings what a guest dials.
fn beside(path: &Path, port: u32) -> PathBuf {
    PathBuf::from(format!("{}_{port}", path.display()))
}

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn the_image_boots_measured_and_the_client_verifies_it() {
    if !can_boot() {
        return;
    }
    let mut own = simulated(str::to_owned, str::to_owned, false);
    own.machine.wait_for(READY, BOOTS).unwrap_or_else(|said| panic!("{said}"));
    let folder = own.folder.path();
    let relay = Relay::start(folder, &format!("tcp:127.0.0.1:{}", own.machine.port));
    let good = policy(folder, &own.processor, own.measurement, own.configuration);
    let first = relay.verify(&good, folder);
    let (seconds, mebibytes) = own.machine.cost();
    println!(
        "first attested answer: {seconds:.1} s of processor time, {mebibytes} MiB, image {} bytes",
        own.image.len()
    );
    accepted(&first);

    // One changed byte of the image is another measurement, and the client says so.
    let mut changed = own.image.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let other = policy(folder, &own.processor, measured(&parts().firmware_snp, &changed), own.configuration);
    refused(&relay.verify(&other, folder), "ATT_MEASUREMENT");
    // So is another configuration.
    let other = policy(folder, &own.processor, own.measurement, sha256(b"another"));
    refused(&relay.verify(&other, folder), "SNP_HOST_DATA");

    // Control: the same machine under the right policy again, an answer of the model, and an SDK that knows nothing of this.
    let good = policy(folder, &own.processor, own.measurement, own.configuration);
    let mut chat = Command::new(programs::path("postern"));
    let answer = chat
        .args(["chat", "--to", &relay.url, "--connect", &relay.ingress, "--policy"])
        .arg(&good)
        .arg("--state-file")
        .arg(folder.join("remembered.json"))
        .env("POSTERN_API_KEY", KEY)
        .arg("Say hello")
        .output()
        .unwrap();
    accepted(&answer);
    assert!(!answer.stdout.is_empty());
    relay.serves_an_sdk(&good, folder);
    println!("after a long prompt and a long stream: {} MiB", own.machine.cost().1);
}

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn the_image_gets_its_configuration_and_its_clients_over_vsock() {
    if !can_boot() || !can_relay() {
        return;
    }
    let mut own = simulated(str::to_owned, str::to_owned, true);
    own.machine.wait_for(READY, BOOTS).unwrap_or_else(|said| panic!("{said}"));
    let folder = own.folder.path();
    let path = own.vsock.as_ref().unwrap().path.display();
    let relay = Relay::start(folder, &format!("hvsock:{path}:8443"));
    let good = policy(folder, &own.processor, own.measurement, own.configuration);
    accepted(&relay.verify(&good, folder));
    // Answers of more than a megabyte would stall here if the guest wrote more than 32 KiB at once.
    relay.serves_an_sdk(&good, folder);
}

#[test]
#[ignore = "boots a virtual machine; deploy/image/test runs it"]
fn a_configuration_with_another_hash_is_refused() {
    if !can_boot() {
        return;
    }
    let mut own = simulated(|text| text.replace("postern-builtin", "postern-other"), str::to_owned, false);
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
        let more = image::compressed(&archive.finish()).unwrap();
        let initrd = [parts.initrd.as_slice(), &more].concat();
        image::assemble(&parts.stub, &parts.kernel.image, &initrd, Profile::Metal.words()).unwrap()
    };
    let good = Boot::direct(&parts.firmware_snp, &image, Some((address, &page)));
    let cases = [
        ("no page of hashes", Boot { page: None, ..boot(&good) }),
        ("another command line", Boot { append: Some("postern.commitment=tpm"), ..boot(&good) }),
        ("one flipped byte", Boot { kernel: Some(&flipped), ..boot(&good) }),
        ("an additional file", Boot { kernel: Some(&with_a_file), ..boot(&good) }),
    ];
    // How long, and how much of a processor, the right image takes to start here and now.
    let start = Instant::now();
    let mut control = Machine::start(&good);
    control.wait_for(STARTED, BOOTS).unwrap_or_else(|said| panic!("{said}"));
    let (needed, waited) = (control.cost().0, start.elapsed());
    drop(control);
    // None of the others starts with twice as much; what waits for ever instead of spinning is watched three times as long.
    for (what, boot) in &cases {
        let start = Instant::now();
        let mut machine = Machine::start(boot);
        while !machine.ended() && machine.cost().0 < 2.0 * needed && start.elapsed() < 3 * waited {
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = machine.serial();
        assert!(!said.contains(STARTED) && !said.contains("postern-init"), "{what}: {said}");
    }
}

/// The same boot once more, to change one thing of it.
fn boot<'a>(of: &Boot<'a>) -> Boot<'a> {
    Boot::direct(of.firmware, of.kernel.unwrap(), of.page)
}

/// Where the host's code tries to write: in the middle of a gibibyte, far from what firmware and kernel take first.
const TARGET: u32 = 0x2000_0000;
/// What it writes when the kernel loads the table, and when it looks for devices.
const WRITTEN: [u8; 8] = *b"AMLwrote";
/// Memory of machines that meet it, in mebibytes.
const ROOMY: u32 = 1024;

/// An ACPI table whose code writes into the machine's memory (ACPI specification 6.5, chapter 20), as a hostile host would
/// hand it over: no launch of SEV-SNP measures it.
fn hostile_table() -> Vec<u8> {
    let store = |number: [u8; 4], field: &[u8; 4]| [&[0x70, 0x0c][..], &number, field].concat();
    let (first, second) = WRITTEN.split_at(4);
    let [first, second] = [first, second].map(|four| <[u8; 4]>::try_from(four).unwrap());
    let mut code = Vec::new();
    // OperationRegion (MEM0, SystemMemory, TARGET, 8), Field (MEM0, DWordAcc) { ONE0, 32, TWO0, 32 }
    code.extend([&[0x5b, 0x80][..], b"MEM0", &[0, 0x0c], &TARGET.to_le_bytes(), &[0x0a, 8]].concat());
    code.extend([&[0x5b, 0x81, 16][..], b"MEM0", &[3], b"ONE0", &[32], b"TWO0", &[32]].concat());
    code.extend(store(first, b"ONE0"));
    // Scope (\_SB) { Device (PSTN) { Method (_INI) { Store (.., TWO0) } } }
    let body = store(second, b"TWO0");
    let length = |bytes: &[u8]| u8::try_from(bytes.len() + 1).unwrap();
    let method = [&b"_INI"[..], &[0], &body].concat();
    let method = [&[0x14, length(&method)][..], &method].concat();
    let device = [&b"PSTN"[..], &method].concat();
    let device = [&[0x5b, 0x82, length(&device)][..], &device].concat();
    let scope = [&[0x5c][..], b"_SB_", &device].concat();
    code.extend([&[0x10, length(&scope)][..], &scope].concat());

    let whole = u32::try_from(36 + code.len()).unwrap();
    let mut table =
        [&b"SSDT"[..], &whole.to_le_bytes(), &[2, 0], b"PSTERN", b"HOSTILE ", &[1, 0, 0, 0]].concat();
    table.extend([&b"PSTN"[..], &[1, 0, 0, 0], &code].concat());
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = sum.wrapping_neg();
    table
}

/// Boots this image with the table; whether the host saw its bytes in the machine's memory before `init` spoke.
fn memory_was_written(image: &[u8]) -> bool {
    use std::os::unix::fs::FileExt as _;
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("memory");
    let (firmware, table) = (&parts().firmware_snp, hostile_table());
    let (address, page) = hash_page(firmware, image);
    let boot = Boot::direct(firmware, image, Some((address, &page)));
    let boot = Boot { acpi: Some(&table), memory_file: Some(&memory), memory: ROOMY, ..boot };
    let mut machine = Machine::start(&boot);
    let (start, mut seen) = (Instant::now(), [false; 2]);
    while !machine.serial().contains("INIT_NO_TEE") {
        assert!(start.elapsed() < BOOTS && !machine.ended(), "{}", machine.serial());
        let mut bytes = [0; 8];
        // The file has its size only once QEMU has made it.
        if std::fs::File::open(&memory).and_then(|file| file.read_exact_at(&mut bytes, TARGET.into())).is_ok()
        {
            seen[0] |= bytes[..4] == WRITTEN[..4];
            seen[1] |= bytes[4..] == WRITTEN[4..];
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    seen.contains(&true)
}

#[test]
#[ignore = "boots virtual machines, one with the release kernel; deploy/image/test runs it"]
fn code_in_the_hosts_tables_does_not_reach_memory() {
    if !can_boot() {
        return;
    }
    let kernel = kept().join("kernel/output/arch/x86/boot/bzImage");
    let Ok(kernel) = std::fs::read(kernel) else {
        eprintln!("SKIPPED: the release kernel is not built (deploy/image/build-kernel)");
        return;
    };
    let parts = parts();
    let initrd = image::initial_ram_disk(&parts.programs, &[]).unwrap();
    let hardened = image::assemble(&parts.stub, &kernel, &initrd, Profile::Metal.words()).unwrap();
    assert!(!memory_was_written(&hardened), "the patched kernel let the host's code write");
    // Control: a kernel without the patch does what the host says.
    assert!(memory_was_written(&image_with(Profile::Metal.words())), "the table does nothing");
}

#[test]
#[ignore = "needs the parts of the image; deploy/image/test runs it"]
fn other_firmware_and_another_disk_measure_differently() {
    let parts = parts();
    let image = image_with(Profile::Metal.words());
    let good = measured(&parts.firmware_snp, &image);
    // What the build wrote is this image, and its manifest says this value.
    let release = Release::built();
    assert!(release.image("metal") == image, "the build's image is another one");
    assert_eq!(release.value("metal", "snp-qemu", "MEASUREMENT", "EPYC-Genoa x 1"), hex::encode(good));
    let mut firmware = parts.firmware_snp.clone();
    firmware[1000] ^= 1;
    assert_ne!(measured(&firmware, &image), good);
    assert_ne!(measured(&parts.firmware_snp, &image_with(Profile::Cloud.words())), good);
    // Firmware that checks no hashes is refused before anything is computed.
    let other = measurement::Firmware::parse(&parts.firmware_disk).unwrap();
    assert!(measurement::KernelHashes::new(&image, None, None).page(&other).is_err());
}
