//! A disk with one EFI system partition: what clouds start from. UEFI specification 2.10, chapter 5.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::failure::Failure;
use crate::fat;

/// Size of the disk, the same on every cloud since the partition table is measured: a whole gibibyte, as Google wants.
pub const BYTES: u64 = 1 << 30;
const SECTOR: u64 = 512;
const FIRST: u64 = 2048;
const PARTITION_BYTES: u64 = 64 << 20;
const LAST_SECTOR: u64 = BYTES / SECTOR - 1;

/// c12a7328-f81f-11d2-ba4b-00a0c93ec93b
const SYSTEM_PARTITION: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
/// Fixed, because they are measured. Version 8, custom: "postern disk" and "postern part" in them.
const DISK: [u8; 16] = *b"postern\x80\x80disk\0\0\x01";
const PARTITION: [u8; 16] = *b"postern\x80\x80part\0\0\x01";

/// A disk as pieces that are not zero, by offset and in order.
pub struct Disk {
    /// Offset and content.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    /// A disk that boots this image.
    ///
    /// # Errors
    /// [`Failure`] where it does not fit.
    pub fn with(uki: &[u8]) -> Result<Self, Failure> {
        let entries = entries();
        let mut pieces = vec![
            (0, protective()),
            (SECTOR, header(1, LAST_SECTOR, 2, &entries)),
            (2 * SECTOR, entries[..128].to_vec()),
        ];
        let files = fat::with_boot_file(uki, PARTITION_BYTES as usize, FIRST as u32)?;
        pieces.extend(files.into_iter().map(|(at, bytes)| (FIRST * SECTOR + at as u64, bytes)));
        pieces.push(((LAST_SECTOR - 32) * SECTOR, entries[..128].to_vec()));
        pieces.push((LAST_SECTOR * SECTOR, header(LAST_SECTOR, 1, LAST_SECTOR - 32, &entries)));
        // Pieces end at whole sectors, so that holes are sectors too.
        for (_, bytes) in &mut pieces {
            bytes.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
        }
        Ok(Self { pieces })
    }

    /// The sectors that firmware reads to find the partition; enough for `measurement::PartitionTable`.
    pub fn table(&self) -> Vec<u8> {
        let mut start = vec![0; 34 * SECTOR as usize];
        for (at, bytes) in self.pieces.iter().take_while(|(at, _)| *at < 34 * SECTOR) {
            start[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
        }
        start
    }

    /// Writes it to a file with holes.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(path)?;
            for (at, bytes) in &self.pieces {
                file.seek(SeekFrom::Start(*at))?;
                file.write_all(bytes)?;
            }
            file.set_len(BYTES)
        };
        write().map_err(Failure::file(path))
    }
}

/// The old table, for tools that know no other: one partition over everything.
fn protective() -> Vec<u8> {
    let mut sector = vec![0; SECTOR as usize];
    sector[446..462].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    sector[458..462].copy_from_slice(&(LAST_SECTOR as u32).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn entries() -> Vec<u8> {
    let mut entries = vec![0; 128 * 128];
    entries[..16].copy_from_slice(&SYSTEM_PARTITION);
    entries[16..32].copy_from_slice(&PARTITION);
    entries[32..40].copy_from_slice(&FIRST.to_le_bytes());
    entries[40..48].copy_from_slice(&(FIRST + PARTITION_BYTES / SECTOR - 1).to_le_bytes());
    for (index, unit) in "postern".encode_utf16().enumerate() {
        entries[56 + 2 * index..58 + 2 * index].copy_from_slice(&unit.to_le_bytes());
    }
    entries
}

fn header(own: u64, other: u64, table: u64, entries: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 92];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"EFI PART");
    put(8, &0x1_0000_u32.to_le_bytes());
    put(12, &92_u32.to_le_bytes());
    put(24, &own.to_le_bytes());
    put(32, &other.to_le_bytes());
    put(40, &34_u64.to_le_bytes());
    put(48, &(LAST_SECTOR - 33).to_le_bytes());
    put(56, &DISK);
    put(72, &table.to_le_bytes());
    put(80, &128_u32.to_le_bytes());
    put(84, &128_u32.to_le_bytes());
    put(88, &crc32(entries).to_le_bytes());
    let own_sum = crc32(&header).to_le_bytes();
    header[16..20].copy_from_slice(&own_sum);
    header
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}
