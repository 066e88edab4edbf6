//! Disks as clouds want them. Amazon imports the raw file as it is.

use std::io::Write;
use std::path::Path;

use ring::digest::{SHA256, digest};

use crate::disk::{BYTES, Disk};
use crate::failure::Failure;

/// Azure: a fixed VHD, which is the disk and one sector behind it. Time and identity are fixed, unlike other tools'.
///
/// # Errors
/// [`Failure`].
pub fn write_vhd(disk: &Disk, path: &Path) -> Result<(), Failure> {
    disk.write(path)?;
    let identity: Vec<u8> =
        disk.pieces.iter().flat_map(|(_, bytes)| digest(&SHA256, bytes).as_ref().to_vec()).collect();
    let footer = vhd_footer(&digest(&SHA256, &identity).as_ref()[..16]);
    let append = || -> std::io::Result<()> {
        let mut file = std::fs::File::options().append(true).open(path)?;
        file.write_all(&footer)
    };
    append().map_err(Failure::file(path))
}

/// Microsoft "Virtual Hard Disk Image Format Specification" 1.0.
fn vhd_footer(identity: &[u8]) -> [u8; 512] {
    let mut footer = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    put(8, &2_u32.to_be_bytes());
    put(12, &0x1_0000_u32.to_be_bytes());
    put(16, &u64::MAX.to_be_bytes());
    put(28, b"pstn");
    put(32, &0x1_0000_u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &BYTES.to_be_bytes());
    put(48, &BYTES.to_be_bytes());
    put(56, &geometry());
    put(60, &2_u32.to_be_bytes());
    put(68, identity);
    let sum = footer.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

/// Cylinders, heads, sectors: as the specification's appendix computes them for this size.
fn geometry() -> [u8; 4] {
    let sectors = BYTES / 512;
    let (per_track, heads) = (17, (sectors / 17).div_ceil(1024).max(4));
    let (per_track, heads) =
        if heads > 16 || sectors / per_track >= heads * 1024 { (63, 16) } else { (per_track, heads) };
    let cylinders = (sectors / per_track / heads) as u16;
    let [high, low] = cylinders.to_be_bytes();
    [high, low, heads as u8, per_track as u8]
}

/// Google: `disk.raw` in a sparse tar archive of GNU's old format, compressed.
///
/// # Errors
/// [`Failure`].
pub fn write_gcp(disk: &Disk, path: &Path) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let file = std::fs::File::create(path)?;
        let mut out = flate2::GzBuilder::new().mtime(0).write(file, flate2::Compression::best());
        sparse_tar(disk, &mut out)?;
        out.finish()?.flush()
    };
    write().map_err(Failure::file(path))
}

/// GNU tar manual, "Storing Sparse Files", old format: four pieces in the header, twenty-one in each further block.
fn sparse_tar(disk: &Disk, out: &mut impl Write) -> std::io::Result<()> {
    let mut map: Vec<(u64, u64)> = disk.pieces.iter().map(|(at, bytes)| (*at, bytes.len() as u64)).collect();
    // A last piece without bytes states the size.
    map.push((BYTES, 0));
    let stored: u64 = map.iter().map(|(_, length)| length).sum();
    let mut header = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"disk.raw");
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, &octal(stored));
    put(136, &octal(0));
    put(148, b"        ");
    put(156, b"S");
    put(257, b"ustar  \0");
    let (first, rest) = map.split_at(map.len().min(4));
    for (index, (at, length)) in first.iter().enumerate() {
        put(386 + 24 * index, &[octal(*at), octal(*length)].concat());
    }
    put(482, &[u8::from(!rest.is_empty())]);
    put(483, &octal(BYTES));
    let sum = header.iter().fold(0_u32, |sum, byte| sum + u32::from(*byte));
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&header)?;
    let mut blocks = rest.chunks(21).peekable();
    while let Some(block) = blocks.next() {
        let mut extension = [0_u8; 512];
        for (index, (at, length)) in block.iter().enumerate() {
            extension[24 * index..24 * index + 24].copy_from_slice(&[octal(*at), octal(*length)].concat());
        }
        extension[504] = u8::from(blocks.peek().is_some());
        out.write_all(&extension)?;
    }
    for (_, bytes) in &disk.pieces {
        out.write_all(bytes)?;
    }
    let padding = stored.next_multiple_of(512) - stored;
    out.write_all(&vec![0; padding as usize + 1024])
}

/// Eleven octal digits and an end.
fn octal(number: u64) -> Vec<u8> {
    format!("{number:011o}\0").into_bytes()
}
