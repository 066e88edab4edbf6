//! The partition table of a disk, as firmware measures it before it boots from there.
//!
//! UEFI specification 2.10, section 5.3; event layout: TCG PC Client Platform Firmware Profile, `UEFI_GPT_DATA`.

use crate::bytes::{size_at, slice, u64_at};
use crate::error::MeasureError;
use crate::hash::{Algorithm, Digest};

/// The primary table of a disk with sectors of 512 bytes.
#[derive(Clone, Debug)]
pub struct PartitionTable {
    event: Vec<u8>,
}

const SECTOR: usize = 512;
/// Bytes of the header that are defined.
const HEADER: usize = 92;
/// More entries are not read.
const MAX_ENTRIES: usize = 128;

impl PartitionTable {
    /// Reads it from the first sectors of a disk: 34 are enough for 128 entries.
    ///
    /// # Errors
    /// [`MeasureError::Disk`].
    pub fn parse(disk: &[u8]) -> Result<Self, MeasureError> {
        Self::read(disk).ok_or(MeasureError::Disk("no partition table (GPT) with sectors of 512 bytes"))
    }

    fn read(disk: &[u8]) -> Option<Self> {
        let header = slice(disk, SECTOR, HEADER).filter(|header| header.starts_with(b"EFI PART"))?;
        let first = usize::try_from(u64_at(header, 72)?).ok()?.checked_mul(SECTOR)?;
        let (count, size) = (size_at(header, 80)?, size_at(header, 84)?);
        if count > MAX_ENTRIES || size != 128 {
            return None;
        }
        let mut entries = Vec::new();
        for index in 0..count {
            let entry = slice(disk, first.checked_add(index.checked_mul(size)?)?, size)?;
            if entry.get(..16)? != [0; 16] {
                entries.push(entry);
            }
        }
        let number = u64::try_from(entries.len()).ok()?.to_le_bytes();
        Some(Self { event: [header, &number, &entries.concat()].concat() })
    }

    pub(crate) fn event(&self, algorithm: Algorithm) -> Digest {
        algorithm.hash(&[&self.event])
    }
}
