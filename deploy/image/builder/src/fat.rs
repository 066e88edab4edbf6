//! A FAT32 file system with one file at `\EFI\BOOT\BOOTX64.EFI`, where firmware looks on a disk without boot entries.
//!
//! Microsoft "FAT: General Overview of On-Disk Format" 1.03. Sectors and clusters of 512 bytes; no times.

use crate::failure::Failure;

const SECTOR: usize = 512;
const RESERVED: usize = 32;
const END: u32 = 0x0fff_ffff;
const FOLDER: u8 = 0x10;
const FILE: u8 = 0x20;

/// Only what is not zero: pieces of the file system by offset, for a disk image with holes.
///
/// # Errors
/// [`Failure`] where the file does not fit, or the size is none for FAT32.
pub fn with_boot_file(
    file: &[u8],
    bytes: usize,
    hidden_sectors: u32,
) -> Result<Vec<(usize, Vec<u8>)>, Failure> {
    let sectors = bytes / SECTOR;
    // Each table has an entry of four bytes for every cluster, and two before them.
    let fat_sectors = ((sectors - RESERVED + 2) * 4).div_ceil(SECTOR + 8);
    let first_data = RESERVED + 2 * fat_sectors;
    let clusters = sectors - first_data;
    let used = file.len().div_ceil(SECTOR);
    if clusters < 65_525 || used + 3 > clusters {
        return Err(Failure::new("the image does not fit into its partition"));
    }
    // clusters 2 to 4 are the root, EFI and BOOT; the file follows
    let mut fat = vec![0x0fff_fff8_u32, END, END, END, END];
    for index in 0..used {
        fat.push(if index + 1 == used { END } else { 6 + index as u32 });
    }
    let fat: Vec<u8> = fat.into_iter().flat_map(u32::to_le_bytes).collect();
    let size = u32::try_from(file.len()).map_err(|_| Failure::new("the image is too large"))?;
    let at = |cluster: usize| (first_data + cluster - 2) * SECTOR;
    let boot = boot_sector(sectors as u32, fat_sectors as u32, hidden_sectors);
    let information = information_sector((clusters - used - 3) as u32, 5 + used as u32);
    Ok(vec![
        (0, boot.clone()),
        (SECTOR, information.clone()),
        (6 * SECTOR, boot),
        (7 * SECTOR, information),
        (RESERVED * SECTOR, fat.clone()),
        ((RESERVED + fat_sectors) * SECTOR, fat),
        (at(2), entry(b"EFI        ", FOLDER, 3, 0).to_vec()),
        (at(3), [dots(3, 0), entry(b"BOOT       ", FOLDER, 4, 0).to_vec()].concat()),
        (at(4), [dots(4, 3), entry(b"BOOTX64 EFI", FILE, 5, size).to_vec()].concat()),
        (at(5), file.to_vec()),
    ])
}

fn dots(own: u32, parent: u32) -> Vec<u8> {
    [entry(b".          ", FOLDER, own, 0), entry(b"..         ", FOLDER, parent, 0)].concat()
}

fn entry(name: &[u8; 11], attributes: u8, cluster: u32, size: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    // dates must not be zero: 1 January 1980
    for at in [16, 18, 24] {
        entry[at] = 0x21;
    }
    entry[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    entry[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
    entry[28..32].copy_from_slice(&size.to_le_bytes());
    entry
}

fn boot_sector(sectors: u32, fat_sectors: u32, hidden: u32) -> Vec<u8> {
    let mut sector = vec![0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]);
    put(3, b"POSTERN ");
    put(11, &512_u16.to_le_bytes());
    put(13, &[1]);
    put(14, &(RESERVED as u16).to_le_bytes());
    put(16, &[2]);
    put(21, &[0xf8]);
    put(24, &[63, 0, 255, 0]);
    put(28, &hidden.to_le_bytes());
    put(32, &sectors.to_le_bytes());
    put(36, &fat_sectors.to_le_bytes());
    put(44, &2_u32.to_le_bytes());
    put(48, &[1, 0, 6, 0]);
    put(64, &[0x80, 0, 0x29]);
    put(67, b"PSTN");
    put(71, b"NO NAME    ");
    put(82, b"FAT32   ");
    put(510, &[0x55, 0xaa]);
    sector
}

fn information_sector(free: u32, next: u32) -> Vec<u8> {
    let mut sector = vec![0; SECTOR];
    sector[..4].copy_from_slice(b"RRaA");
    sector[484..488].copy_from_slice(b"rrAa");
    sector[488..492].copy_from_slice(&free.to_le_bytes());
    sector[492..496].copy_from_slice(&next.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
