//! Values that other programs computed for the same files (`vectors/crosscheck.py` says which), the `sev` crate's own, and
//! what must be refused.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reads files and fails by panicking"
)]

use measurement::snp::{Launch, Vmm, launch_digest, signature};
use measurement::tdx::PageOrder;
use measurement::{Algorithm, Boot, Firmware, KernelHashes, MeasureError, PartitionTable, Uki, tdx, tpm};
use serde_json::Value;

const FIRMWARE: &[u8] = include_bytes!("vectors/firmware.bin");
const IMAGE: &[u8] = include_bytes!("vectors/image.efi");

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/vectors.json")).unwrap()
}

fn vmm(case: &Value) -> Vmm {
    match case["vmm"].as_str().unwrap() {
        "qemu" => Vmm::Qemu { signature: signature(case["model"].as_str().unwrap()).unwrap() },
        "ec2" => Vmm::Ec2,
        _ => Vmm::Gce,
    }
}

#[test]
fn launch_digests_are_those_of_sev_snp_measure() {
    let firmware = Firmware::parse(FIRMWARE).unwrap();
    let hashes = KernelHashes::new(IMAGE, None, None);
    let vectors = vectors();
    let cases = vectors["snp"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        let launch = Launch {
            vmm: vmm(case),
            processors: case["processors"].as_u64().unwrap().try_into().unwrap(),
            features: 1,
            kernel: case["kernel"].as_bool().unwrap().then_some(&hashes),
        };
        let digest = launch_digest(&firmware, &launch).unwrap();
        assert_eq!(digest.to_hex(), case["measurement"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn launch_digests_are_those_of_the_sev_crate() {
    use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
    use sev::measurement::vmsa::{GuestFeatures, VMMType};

    let folder = tempfile::tempdir().unwrap();
    let (ovmf_file, kernel_file) = (folder.path().join("firmware"), folder.path().join("kernel"));
    std::fs::write(&ovmf_file, FIRMWARE).unwrap();
    std::fs::write(&kernel_file, IMAGE).unwrap();
    let firmware = Firmware::parse(FIRMWARE).unwrap();
    let hashes = KernelHashes::new(IMAGE, None, None);
    for processors in [1, 2, 8] {
        let theirs = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus: processors,
            vcpu_type: sev::measurement::vcpu_types::CpuType::EpycV4,
            ovmf_file: ovmf_file.clone(),
            guest_features: GuestFeatures(1),
            kernel_file: Some(kernel_file.clone()),
            initrd_file: None,
            append: None,
            ovmf_hash_str: None,
            vmm_type: Some(VMMType::QEMU),
        });
        let theirs = format!("{:x}", theirs.unwrap());
        let vmm = Vmm::Qemu { signature: signature("EPYC-v4").unwrap() };
        let ours = launch_digest(&firmware, &Launch { vmm, processors, features: 1, kernel: Some(&hashes) });
        assert_eq!(ours.unwrap().to_hex(), theirs);
    }
}

#[test]
fn registers_are_those_of_the_second_writing() {
    let (uki, vectors) = (Uki::parse(IMAGE).unwrap(), vectors());
    for (case, bank) in
        vectors["registers"].as_array().unwrap().iter().zip([Algorithm::Sha256, Algorithm::Sha384])
    {
        assert_eq!(case["bank"], bank.as_str());
        let disk = tpm::registers(&uki, Boot::Disk, bank).unwrap();
        let direct = tpm::registers(&uki, Boot::Direct, bank).unwrap();
        assert_eq!(disk.pcr4.to_hex(), case["pcr4_disk"].as_str().unwrap());
        assert_eq!(direct.pcr4.to_hex(), case["pcr4_direct"].as_str().unwrap());
        assert_eq!(disk.pcr9.to_hex(), case["pcr9"].as_str().unwrap());
        assert_eq!(disk.pcr11.to_hex(), case["pcr11"].as_str().unwrap());
        assert!(disk.pcr12.as_bytes().iter().all(|byte| *byte == 0));
    }
    let firmware = Firmware::parse(FIRMWARE).unwrap();
    let mrtd = |order| tdx::mrtd(&firmware, order).unwrap().to_hex();
    assert_eq!(mrtd(PageOrder::SinglePass), vectors["mrtd"]["single_pass"].as_str().unwrap());
    assert_eq!(mrtd(PageOrder::TwoPass), vectors["mrtd"]["two_passes"].as_str().unwrap());
    assert_eq!(
        tdx::rtmr1(&uki, Boot::Direct, None).unwrap().to_hex(),
        vectors["rtmr1_direct"].as_str().unwrap()
    );
    assert_eq!(tdx::rtmr2(&uki).to_hex(), vectors["rtmr2"].as_str().unwrap());
}

#[test]
fn register_4_is_amazons() {
    let own = tpm::registers(&Uki::parse(IMAGE).unwrap(), Boot::Disk, Algorithm::Sha384).unwrap();
    assert_eq!(own.pcr4.to_hex(), vectors()["nitro_pcr4_sha384"].as_str().unwrap().to_lowercase());
}

#[test]
fn every_byte_of_the_image_counts() {
    let before = digests(IMAGE).unwrap();
    let mut image = IMAGE.to_vec();
    for at in (0..image.len()).step_by(7) {
        image[at] ^= 0x10;
        if let Ok(after) = digests(&image) {
            // The launch digest hashes the file; Authenticode leaves out its checksum and where a signature would be.
            let left_out = (0xd8..0xdc).contains(&at) || (0x128..0x130).contains(&at);
            assert_ne!(after.0, before.0, "byte {at}");
            assert!(after.1 != before.1 || left_out, "byte {at}");
        }
        image[at] ^= 0x10;
    }
}

fn digests(image: &[u8]) -> Result<(String, String), MeasureError> {
    let uki = Uki::parse(image)?;
    let page = KernelHashes::new(image, None, None).page(&Firmware::parse(FIRMWARE)?)?;
    Ok((hex::encode(page), tpm::registers(&uki, Boot::Disk, Algorithm::Sha256)?.pcr4.to_hex()))
}

#[test]
fn another_machine_has_another_digest() {
    let firmware = Firmware::parse(FIRMWARE).unwrap();
    let vmm = Vmm::Qemu { signature: signature("EPYC-v4").unwrap() };
    let hashes = KernelHashes::new(IMAGE, None, None);
    let launch = Launch { vmm, processors: 2, features: 1, kernel: Some(&hashes) };
    let good = launch_digest(&firmware, &launch).unwrap();
    let with_append = KernelHashes::new(IMAGE, None, Some("init=/bin/sh"));
    let others = [
        Launch { processors: 3, ..launch },
        Launch { features: 0x21, ..launch },
        Launch { vmm: Vmm::Qemu { signature: signature("EPYC-Genoa").unwrap() }, ..launch },
        Launch { kernel: None, ..launch },
        Launch { kernel: Some(&with_append), ..launch },
    ];
    for other in others {
        assert_ne!(launch_digest(&firmware, &other).unwrap(), good, "{other:?}");
    }
    for processors in [0, 1025] {
        let error = launch_digest(&firmware, &Launch { processors, ..launch }).unwrap_err();
        assert_eq!(error.code(), "MEASURE_MACHINE");
    }
}

#[test]
fn broken_files_are_refused_and_never_panic() {
    assert_eq!(Firmware::parse(&[]).unwrap_err().code(), "MEASURE_FIRMWARE");
    assert_eq!(Firmware::parse(&[0; 8192]).unwrap_err().code(), "MEASURE_FIRMWARE");
    let mut firmware = FIRMWARE.to_vec();
    for at in (0..0x600).chain(firmware.len() - 256..firmware.len()) {
        for bit in [0x01, 0x80, 0xff] {
            firmware[at] ^= bit;
            if let Ok(firmware) = Firmware::parse(&firmware)
                && firmware.supports_tdx()
            {
                let _page = firmware.kernel_hashes_page();
            }
            firmware[at] ^= bit;
        }
    }
    for length in (0..IMAGE.len()).step_by(13) {
        assert!(
            Uki::parse(&IMAGE[..length]).and_then(|uki| uki.authenticode(Algorithm::Sha256)).is_err(),
            "{length}"
        );
    }
    assert_eq!(PartitionTable::parse(&vec![0; 34 * 512]).unwrap_err().code(), "MEASURE_DISK");
    let uki = Uki::parse(IMAGE).unwrap();
    assert_eq!(tdx::rtmr1(&uki, Boot::Disk, None).unwrap_err().code(), "MEASURE_DISK");
}
