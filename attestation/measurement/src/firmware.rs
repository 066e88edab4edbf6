//! OVMF images: the table of GUIDs at their end, and what it points to.
//!
//! Layout: EDK2 `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm`, `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm` and
//! `IntelTdxMetadata.asm`.

use crate::bytes::{size_at, slice, u16_at, u32_at, u64_at};
use crate::error::MeasureError;

/// The firmware of a virtual machine, with the addresses that its launch needs.
#[derive(Clone, Debug)]
pub struct Firmware<'a> {
    file: &'a [u8],
    hash_table: Option<u32>,
    reset_block: Option<u32>,
    sev: Vec<SevSection>,
    tdx: Vec<TdxSection<'a>>,
}

/// A range of guest memory that SEV-SNP prepares at launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SevSection {
    pub(crate) address: u64,
    pub(crate) pages: u64,
    pub(crate) kind: SevKind,
}

/// What a range is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SevKind {
    /// Zeroed memory for firmware's first phase.
    SecMemory,
    /// Filled by the security processor with keys.
    Secrets,
    /// Filled by the hypervisor and vetted by the security processor.
    Cpuid,
    /// Calling area of a service module.
    SvsmCaa,
    /// Hashes of kernel, initrd and command line.
    KernelHashes,
}

/// A range of guest memory that TDX adds at launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TdxSection<'a> {
    /// Bytes of the file; empty for memory without content.
    pub(crate) data: &'a [u8],
    pub(crate) address: u64,
    pub(crate) pages: u64,
    /// Content is measured.
    pub(crate) extended: bool,
    /// Added later by the guest, so not measured at all.
    pub(crate) augmented: bool,
}

/// Bytes of a page of guest memory.
pub(crate) const PAGE: usize = 4096;
/// No firmware is larger, in bytes.
const MAX_FIRMWARE: usize = 32 << 20;
/// No metadata has more sections.
const MAX_SECTIONS: u32 = 64;
/// The table ends this far from the end of the file.
const TABLE_END: usize = 32;
/// Length and GUID of an entry, after its data.
const ENTRY_HEADER: usize = 18;

/// 96b582de-1fb2-45f7-baea-a366c55a082d
const FOOTER: [u8; 16] =
    [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
/// 7255371f-3a3b-4b04-927b-1da6efa8d454
const HASH_TABLE: [u8; 16] =
    [0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54];
/// 00f771de-1a7e-4fcb-890e-68c77e2fb44e
const RESET_BLOCK: [u8; 16] =
    [0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e];
/// dc886566-984a-4798-a75e-5585a7bf67cc
const SEV_METADATA: [u8; 16] =
    [0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc];
/// e47a6535-984a-4798-865e-4685a7bf8ec2
const TDX_METADATA: [u8; 16] =
    [0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2];

impl<'a> Firmware<'a> {
    /// Reads an OVMF image that ends at four gigabytes.
    ///
    /// # Errors
    /// [`MeasureError::Firmware`].
    pub fn parse(file: &'a [u8]) -> Result<Self, MeasureError> {
        if file.is_empty() || file.len() > MAX_FIRMWARE || !file.len().is_multiple_of(PAGE) {
            return Err(MeasureError::Firmware("its size is not that of an OVMF image"));
        }
        let table = table(file).ok_or(MeasureError::Firmware("it has no table of GUIDs at its end"))?;
        let entry = |guid: &[u8; 16]| table.iter().find(|(own, _)| *own == guid).map(|(_, data)| *data);
        let number = |guid| entry(guid).and_then(|data| u32_at(data, 0));
        let sev = match number(&SEV_METADATA) {
            Some(from_end) => sev_sections(file, from_end)
                .ok_or(MeasureError::Firmware("its SEV metadata cannot be read"))?,
            None => Vec::new(),
        };
        let tdx = match number(&TDX_METADATA) {
            Some(from_end) => tdx_sections(file, from_end)
                .ok_or(MeasureError::Firmware("its TDX metadata cannot be read"))?,
            None => Vec::new(),
        };
        let (hash_table, reset_block) = (number(&HASH_TABLE).filter(|at| *at != 0), number(&RESET_BLOCK));
        Ok(Self { file, hash_table, reset_block, sev, tdx })
    }

    /// Where QEMU must put the page of kernel hashes, and where in that page the table begins: guest-physical address
    /// and offset. `None` where the firmware does not check hashes.
    pub fn kernel_hashes_page(&self) -> Option<(u64, usize)> {
        let table = self.hash_table?;
        let section = self.sev.iter().find(|section| section.kind == SevKind::KernelHashes)?;
        Some((section.address, usize::try_from(table & 0xfff).ok()?))
    }

    /// Whether this build can start an SEV-SNP guest at all.
    pub fn supports_snp(&self) -> bool {
        !self.sev.is_empty() && self.reset_block.is_some()
    }

    /// Whether this build can start a TDX guest at all.
    pub fn supports_tdx(&self) -> bool {
        !self.tdx.is_empty()
    }

    pub(crate) const fn file(&self) -> &'a [u8] {
        self.file
    }

    /// Where the first byte of the file is in guest memory.
    pub(crate) fn address(&self) -> u64 {
        u64::try_from(self.file.len()).map_or(0, |size| (1_u64 << 32).saturating_sub(size))
    }

    /// Where all processors but the first begin.
    pub(crate) const fn reset_address(&self) -> Option<u32> {
        self.reset_block
    }

    pub(crate) fn sev_sections(&self) -> &[SevSection] {
        &self.sev
    }

    pub(crate) fn tdx_sections(&self) -> &[TdxSection<'a>] {
        &self.tdx
    }
}

/// Entries are read backwards: data, length of the whole entry, GUID.
fn table(file: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let end = file.len().checked_sub(TABLE_END)?;
    let footer = slice(file, end.checked_sub(ENTRY_HEADER)?, ENTRY_HEADER)?;
    let total = usize::from(u16_at(footer, 0)?);
    if footer.get(2..)? != FOOTER {
        return None;
    }
    let entries_end = end.checked_sub(ENTRY_HEADER)?;
    let start = end.checked_sub(total).filter(|start| *start <= entries_end)?;
    let mut rest = file.get(start..entries_end)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let header_at = rest.len().checked_sub(ENTRY_HEADER)?;
        let length = usize::from(u16_at(rest, header_at)?);
        let data_at = rest.len().checked_sub(length).filter(|_| length >= ENTRY_HEADER)?;
        entries.push((rest.get(header_at.checked_add(2)?..)?, rest.get(data_at..header_at)?));
        rest = rest.get(..data_at)?;
    }
    Some(entries)
}

/// The header at `from_end`, checked, and its descriptors of `size` bytes each.
fn descriptors<'a>(
    file: &'a [u8],
    from_end: u32,
    magic: &[u8; 4],
    size: usize,
) -> Option<impl Iterator<Item = Option<&'a [u8]>>> {
    let at = file.len().checked_sub(usize::try_from(from_end).ok()?)?;
    let header = slice(file, at, 16)?;
    let count = u32_at(header, 12)?;
    if header.get(..4)? != magic || u32_at(header, 8)? != 1 || count > MAX_SECTIONS {
        return None;
    }
    let first = at.checked_add(16)?;
    let count = usize::try_from(count).ok()?;
    Some((0..count).map(move |index| slice(file, first.checked_add(index.checked_mul(size)?)?, size)))
}

fn sev_sections(file: &[u8], from_end: u32) -> Option<Vec<SevSection>> {
    descriptors(file, from_end, b"ASEV", 12)?
        .map(|descriptor| {
            let descriptor = descriptor?;
            let kind = match u32_at(descriptor, 8)? {
                1 => SevKind::SecMemory,
                2 => SevKind::Secrets,
                3 => SevKind::Cpuid,
                4 => SevKind::SvsmCaa,
                0x10 => SevKind::KernelHashes,
                _ => return None,
            };
            let address = u64::from(u32_at(descriptor, 0)?);
            Some(SevSection { address, pages: pages(u64::from(u32_at(descriptor, 4)?))?, kind })
        })
        .collect()
}

fn tdx_sections(file: &[u8], from_end: u32) -> Option<Vec<TdxSection<'_>>> {
    descriptors(file, from_end, b"TDVF", 32)?
        .map(|descriptor| {
            let descriptor = descriptor?;
            let data = slice(file, size_at(descriptor, 0)?, size_at(descriptor, 4)?)?;
            let (memory, attributes) = (u64_at(descriptor, 16)?, u32_at(descriptor, 28)?);
            let section = TdxSection {
                data,
                address: u64_at(descriptor, 8)?,
                pages: pages(memory)?,
                extended: attributes & 1 != 0,
                augmented: attributes & 2 != 0,
            };
            let whole = !section.extended || u64::try_from(data.len()).ok()? == memory;
            whole.then_some(section)
        })
        .collect()
}

/// Bytes as whole pages; firmware's own ranges are small, memory that the guest adds is not measured.
fn pages(bytes: u64) -> Option<u64> {
    const LARGEST: u64 = 1 << 40;
    (bytes.is_multiple_of(4096) && bytes <= LARGEST).then_some(bytes >> 12)
}
