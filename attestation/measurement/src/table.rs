//! Every value of a release, as rows: what `postern measure` prints and what a release manifest holds.

use crate::Basis;
use crate::error::MeasureError;
use crate::firmware::Firmware;
use crate::gpt::PartitionTable;
use crate::hash::{Algorithm, Digest};
use crate::kernel_hashes::KernelHashes;
use crate::snp::{self, Launch, Vmm};
use crate::tdx::{self, PageOrder};
use crate::tpm;
use crate::uki::{Boot, Uki};

/// One value that a machine of this kind will report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which kind of machine.
    pub platform: &'static str,
    /// Which field of its evidence.
    pub register: &'static str,
    /// For which shape of machine; empty where all have the same.
    pub shape: String,
    /// The value; `None` where only the machine knows it.
    pub value: Option<Digest>,
    /// How far it may be trusted.
    pub basis: Basis,
}

/// What an image may be started with.
#[derive(Clone, Debug, Default)]
pub struct Surroundings<'a> {
    /// Firmware for SEV-SNP that checks the kernel's hash.
    pub firmware_snp: Option<Firmware<'a>>,
    /// Firmware for TDX.
    pub firmware_tdx: Option<Firmware<'a>>,
    /// The disk that clouds boot from.
    pub disk: Option<PartitionTable>,
    /// SHA-256 of the configuration, for the register that remembers it.
    pub configuration: Option<[u8; 32]>,
    /// Numbers of virtual processors.
    pub processors: Vec<u32>,
    /// QEMU's names of processor models.
    pub models: Vec<&'static str>,
}

/// `SEV_FEATURES` of an SNP guest without further features.
pub const SNP_ONLY: u64 = 1;

/// All rows for this image.
///
/// # Errors
/// [`MeasureError`]: the first thing that cannot be measured.
pub fn rows(uki: &Uki<'_>, image: &[u8], around: &Surroundings<'_>) -> Result<Vec<Row>, MeasureError> {
    let mut rows = Vec::new();
    if let Some(firmware) = &around.firmware_snp {
        snp_rows(firmware, image, around, &mut rows)?;
    }
    for platform in ["snp-ec2", "snp-gce"] {
        // The provider's firmware is all that is measured there; `launch_digest` computes it from the provider's file.
        rows.push(recorded(platform, "MEASUREMENT"));
    }
    if let Some(firmware) = &around.firmware_tdx {
        let orders = [("single pass", PageOrder::SinglePass), ("two passes", PageOrder::TwoPass)];
        for (shape, order) in orders {
            rows.push(predicted("tdx-qemu", "MRTD", shape, tdx::mrtd(firmware, order)?));
        }
    }
    rows.push(recorded("tdx-qemu", "RTMR0"));
    rows.push(predicted("tdx-qemu", "RTMR1", "direct boot", tdx::rtmr1(uki, Boot::Direct, None)?));
    rows.push(predicted("tdx-qemu", "RTMR2", "", tdx::rtmr2(uki)));
    if let Some(disk) = &around.disk {
        rows.push(recorded("tdx-gcp", "MRTD"));
        rows.push(recorded("tdx-gcp", "RTMR0"));
        rows.push(predicted("tdx-gcp", "RTMR1", "", tdx::rtmr1(uki, Boot::Disk, Some(disk))?));
        rows.push(predicted("tdx-gcp", "RTMR2", "", tdx::rtmr2(uki)));
    }
    let banks = [
        ("azure-vtpm", Algorithm::Sha256),
        ("gcp-vtpm", Algorithm::Sha256),
        ("aws-nitrotpm", Algorithm::Sha384),
    ];
    for (platform, bank) in banks {
        tpm_rows(platform, uki, bank, around, &mut rows)?;
    }
    Ok(rows)
}

fn snp_rows(
    firmware: &Firmware<'_>,
    image: &[u8],
    around: &Surroundings<'_>,
    rows: &mut Vec<Row>,
) -> Result<(), MeasureError> {
    let kernel = KernelHashes::new(image, None, None);
    for model in &around.models {
        let signature = snp::signature(model).ok_or(MeasureError::Machine("no such processor model"))?;
        for processors in &around.processors {
            let launch = Launch {
                vmm: Vmm::Qemu { signature },
                processors: *processors,
                features: SNP_ONLY,
                kernel: Some(&kernel),
            };
            rows.push(Row {
                platform: "snp-qemu",
                register: "MEASUREMENT",
                shape: format!("{model} x {processors}"),
                value: Some(snp::launch_digest(firmware, &launch)?),
                basis: Basis::Computed,
            });
        }
    }
    Ok(())
}

fn tpm_rows(
    platform: &'static str,
    uki: &Uki<'_>,
    bank: Algorithm,
    around: &Surroundings<'_>,
    rows: &mut Vec<Row>,
) -> Result<(), MeasureError> {
    let own = tpm::registers(uki, Boot::Disk, bank)?;
    let values = [("PCR4", own.pcr4), ("PCR9", own.pcr9), ("PCR11", own.pcr11), ("PCR12", own.pcr12)];
    for (register, value) in values {
        // Another program computes register 4; the others were not yet compared with a TPM after a boot.
        let basis = if register == "PCR4" { Basis::Computed } else { Basis::Predicted };
        rows.push(Row { platform, register, shape: String::new(), value: Some(value), basis });
    }
    rows.push(recorded(platform, "PCR7"));
    if let Some(hash) = &around.configuration {
        let value = Some(tpm::configuration_register(hash, bank));
        let shape = "with this configuration".to_owned();
        rows.push(Row { platform, register: "PCR15", shape, value, basis: Basis::Predicted });
    }
    Ok(())
}

fn predicted(platform: &'static str, register: &'static str, shape: &str, value: Digest) -> Row {
    Row { platform, register, shape: shape.to_owned(), value: Some(value), basis: Basis::Predicted }
}

const fn recorded(platform: &'static str, register: &'static str) -> Row {
    Row { platform, register, shape: String::new(), value: None, basis: Basis::RecordedOnHardware }
}
