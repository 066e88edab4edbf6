//! The page through which QEMU tells the firmware what it may boot (`kernel-hashes=on`).
//!
//! Layout: QEMU `target/i386/sev.c`, EDK2 `OvmfPkg/AmdSev/BlobVerifierLibSevHashes`.

use crate::bytes::put;
use crate::error::MeasureError;
use crate::firmware::{Firmware, PAGE};
use crate::hash::{Algorithm, Digest};

/// Hashes of what QEMU was given with `-kernel`, `-initrd` and `-append`.
#[derive(Clone, Debug)]
pub struct KernelHashes {
    kernel: Digest,
    initrd: Digest,
    command_line: Digest,
}

/// 9438d606-4f22-4cc9-b479-a793d411fd21
const TABLE: [u8; 16] =
    [0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21];
/// 97d02dd8-bd20-4c94-aa78-e7714d36ab2a
const COMMAND_LINE: [u8; 16] =
    [0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a];
/// 44baf731-3a2f-4bd7-9af1-41e29169781d
const INITRD: [u8; 16] =
    [0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d];
/// 4de79437-abd2-427f-b835-d5b172d2045b
const KERNEL: [u8; 16] =
    [0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b];
/// Bytes of an entry: GUID, length, SHA-256.
const ENTRY: u16 = 50;
/// Bytes of the table: GUID, length, three entries.
const LENGTH: u16 = 168;

impl KernelHashes {
    /// What QEMU computes for these files. A UKI is a kernel without initrd and command line.
    pub fn new(kernel: &[u8], initrd: Option<&[u8]>, command_line: Option<&str>) -> Self {
        let hash = |bytes: &[&[u8]]| Algorithm::Sha256.hash(bytes);
        Self {
            kernel: hash(&[kernel]),
            initrd: hash(&[initrd.unwrap_or_default()]),
            command_line: hash(&[command_line.unwrap_or_default().as_bytes(), b"\0"]),
        }
    }

    /// The page as it lies in guest memory, at the address that [`Firmware::kernel_hashes_page`] names.
    ///
    /// # Errors
    /// [`MeasureError::Firmware`] where the firmware does not check hashes.
    pub fn page(&self, firmware: &Firmware<'_>) -> Result<Vec<u8>, MeasureError> {
        let place = firmware.kernel_hashes_page().filter(|(_, at)| *at <= PAGE.saturating_sub(176));
        let (_, at) = place.ok_or(MeasureError::Firmware(
            "it does not check the kernel's hash: take a build with an SNP_KERNEL_HASHES section (OVMF AmdSev)",
        ))?;
        let mut page = vec![0; PAGE];
        put(&mut page, at, &self.table());
        Ok(page)
    }

    fn table(&self) -> Vec<u8> {
        let mut table = [TABLE.as_slice(), &LENGTH.to_le_bytes()].concat();
        let entries = [(COMMAND_LINE, &self.command_line), (INITRD, &self.initrd), (KERNEL, &self.kernel)];
        for (guid, digest) in entries {
            table.extend([guid.as_slice(), &ENTRY.to_le_bytes(), digest.as_bytes()].concat());
        }
        table
    }
}
