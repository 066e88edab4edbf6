//! The memory of a running process, as root or its tracer sees it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::canary::{Canaries, Hits};

/// What was searched of one process.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Bytes read.
    pub bytes: usize,
    /// What was found.
    pub hits: Hits,
}

/// Searches everything the process can have written to: its private writable mappings, stacks and heaps.
///
/// # Errors
/// The process is gone, or is closed to this one: reading another's memory takes root.
pub fn scan(process: u32, canaries: &Canaries) -> io::Result<Scan> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut scan = Scan::default();
    for (start, end) in writable(process)? {
        let mut bytes = vec![0; usize::try_from(end - start).expect("a mapping fits into memory")];
        let mut filled = 0;
        while filled < bytes.len() {
            match memory.read_at(&mut bytes[filled..], start + filled as u64) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        scan.bytes += filled;
        for part in written(&bytes[..filled]) {
            for (place, count) in canaries.search(part) {
                *scan.hits.entry(place).or_default() += count;
            }
        }
    }
    Ok(scan)
}

/// The stretches of pages in which anything but zeros stands. Most of a process's memory is zero, and comparing a page with
/// zeros takes a fraction of the time of searching it; no encoding of a text has a page of zeros within.
fn written(bytes: &[u8]) -> Vec<&[u8]> {
    let is_zero = |page: &[u8]| page == &ZEROS[..page.len()];
    let mut found = Vec::new();
    let mut from = None;
    for (index, page) in bytes.chunks(PAGE).enumerate() {
        let at = index * PAGE;
        match (from, is_zero(page)) {
            (None, false) => from = Some(at),
            (Some(start), true) => {
                found.push(&bytes[start..at]);
                from = None;
            }
            _ => {}
        }
    }
    found.extend(from.map(|start| &bytes[start..]));
    found
}

/// Bytes of a page.
const PAGE: usize = 4096;
/// What a page is compared with.
const ZEROS: [u8; PAGE] = [0; PAGE];

/// Start and end of each readable and writable mapping.
fn writable(process: u32) -> io::Result<Vec<(u64, u64)>> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let address = |text| u64::from_str_radix(text, 16).expect("the kernel writes hex");
        if rights.starts_with("rw") {
            found.push((address(start), address(end)));
        }
    }
    Ok(found)
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// The process is gone.
pub fn resident(process: u32) -> io::Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros_are_left_out_and_nothing_else_is() {
        assert!(written(&[0; 3 * PAGE]).is_empty() && written(&[]).is_empty());
        let mut bytes = vec![0; 5 * PAGE + 7];
        bytes[2 * PAGE - 1] = 1;
        bytes[2 * PAGE] = 1;
        bytes[5 * PAGE + 6] = 1;
        let lengths: Vec<usize> = written(&bytes).iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2 * PAGE, 7]);
    }

    #[test]
    fn a_canary_on_the_heap_is_found_until_it_is_overwritten() {
        let canaries = Canaries::new();
        let mut heap = canaries.plant("own", "heap").into_bytes();
        let Ok(found) = scan(std::process::id(), &canaries) else {
            panic!("a process may read its own memory");
        };
        assert!(found.hits.values().sum::<usize>() >= 1 && found.bytes > 0);
        heap.fill(0);
        drop(std::hint::black_box(heap));
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
    }
}
