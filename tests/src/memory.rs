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
        for (place, count) in canaries.search(&bytes[..filled]) {
            *scan.hits.entry(place).or_default() += count;
        }
    }
    Ok(scan)
}

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
