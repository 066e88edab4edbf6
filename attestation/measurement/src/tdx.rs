//! Registers of an Intel TDX guest: `MRTD`, `RTMR1`, `RTMR2`.
//!
//! `RTMR0` covers the machine's shape (memory map, ACPI tables, boot variables) and is recorded on hardware; `RTMR3` stays
//! zero unless the guest extends it. Intel TDX Module ABI, `TDH.MEM.PAGE.ADD` and `TDH.MR.EXTEND`; event order as in
//! recorded event logs of real machines.

use crate::bytes::put;
use crate::error::MeasureError;
use crate::firmware::{Firmware, PAGE, TdxSection};
use crate::gpt::PartitionTable;
use crate::hash::{Algorithm, Digest, Hasher, register};
use crate::uki::{Boot, Uki};

/// The order in which the hypervisor adds and measures firmware's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// Each page is measured when it is added: QEMU 9 and later with upstream kernels.
    SinglePass,
    /// All pages of a section are added, then measured: QEMU 8 with Intel's early kernels.
    TwoPass,
}

/// `MRTD`: the firmware.
///
/// # Errors
/// [`MeasureError::Firmware`] where it is not built for TDX.
pub fn mrtd(firmware: &Firmware<'_>, order: PageOrder) -> Result<Digest, MeasureError> {
    if !firmware.supports_tdx() {
        return Err(MeasureError::Firmware("it is not built for TDX: no TDX metadata"));
    }
    let mut hasher = Hasher::new(Algorithm::Sha384);
    for section in firmware.tdx_sections().iter().filter(|own| !own.augmented) {
        for page in 0..section.pages {
            add(&mut hasher, section, page);
            if order == PageOrder::SinglePass {
                extend(&mut hasher, section, page);
            }
        }
        if order == PageOrder::TwoPass {
            for page in 0..section.pages {
                extend(&mut hasher, section, page);
            }
        }
    }
    Ok(hasher.finish())
}

fn record(name: &[u8], address: u64) -> [u8; 128] {
    let mut record = [0; 128];
    put(&mut record, 0, name);
    put(&mut record, 16, &address.to_le_bytes());
    record
}

fn address(section: &TdxSection<'_>, page: u64) -> u64 {
    section.address.saturating_add(page.saturating_mul(4096))
}

fn add(hasher: &mut Hasher, section: &TdxSection<'_>, page: u64) {
    hasher.update(&record(b"MEM.PAGE.ADD", address(section, page)));
}

fn extend(hasher: &mut Hasher, section: &TdxSection<'_>, page: u64) {
    let start = usize::try_from(page).ok().and_then(|page| page.checked_mul(PAGE));
    let content = start.and_then(|start| crate::bytes::slice(section.data, start, PAGE));
    let Some(content) = content.filter(|_| section.extended) else { return };
    let mut at = address(section, page);
    for chunk in content.chunks(256) {
        hasher.update(&record(b"MR.EXTEND", at));
        hasher.update(chunk);
        at = at.saturating_add(256);
    }
}

/// `RTMR1`: the image as a program, and around it what firmware logs. A disk's partition table counts.
///
/// # Errors
/// [`MeasureError::Image`]; [`MeasureError::Disk`] where a boot from disk comes without a table.
pub fn rtmr1(uki: &Uki<'_>, boot: Boot, table: Option<&PartitionTable>) -> Result<Digest, MeasureError> {
    if (boot == Boot::Disk) != table.is_some() {
        return Err(MeasureError::Disk("a partition table belongs to a boot from disk, and to no other"));
    }
    let mut events = uki.application_events(Algorithm::Sha384, boot, table)?;
    events.extend(Uki::exit_events(Algorithm::Sha384));
    Ok(register(Algorithm::Sha384, &events))
}

/// `RTMR2`: the image's sections, then command line and initial RAM disk as the kernel finds them.
pub fn rtmr2(uki: &Uki<'_>) -> Digest {
    let mut events = uki.section_events(Algorithm::Sha384);
    events.extend(uki.kernel_events(Algorithm::Sha384));
    register(Algorithm::Sha384, &events)
}
