//! As the process's global allocator, optimised: freed memory is read back through `/proc/self/mem`.
//!
//! The crate's tests are compiled with optimisation (root `Cargo.toml`), because only then would a wipe that
//! the compiler may drop be dropped. The file is the kernel's view: no dead pointer is dereferenced.

#![cfg(target_os = "linux")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::assertions_on_constants,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::naive_bytecount,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "the control frees memory by hand; addresses are numbers; memory is read as a file"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::{self, File},
    hint::black_box,
    os::unix::fs::FileExt,
};

#[global_allocator]
static ALLOCATOR: postern_alloc::ZeroOnFree = postern_alloc::ZeroOnFree::new();

/// Free-list links that glibc writes into the start of a freed block. They are scrambled, so any byte may be among them.
const LINKS: usize = 32;

/// Bytes of a freed block that are looked at.
const SEEN: usize = 1000;

/// Reads into a stack buffer: a heap buffer could take the very block to be looked at.
fn read_back(address: usize) -> [u8; SEEN] {
    let mut out = [0; SEEN];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut out, address as u64).unwrap();
    out
}

#[test]
fn the_tests_are_optimised() {
    assert!(!cfg!(debug_assertions), "build this crate's tests with opt-level 3 and no debug assertions");
}

#[test]
fn control_the_system_allocator_leaves_residue() {
    let layout = Layout::from_size_align(SEEN, 16).unwrap();
    let block = unsafe { System.alloc(layout) };
    unsafe { block.write_bytes(0xA5, SEEN) };
    black_box(block);
    unsafe { System.dealloc(block, layout) };
    let seen = read_back(block as usize);
    assert!(seen[LINKS..].iter().filter(|&&byte| byte == 0xA5).count() > 900);
}

#[inline(never)]
fn fill_and_drop() -> usize {
    let secret = black_box(vec![0xA5_u8; SEEN]);
    secret.as_ptr() as usize
}

#[test]
fn a_dropped_vector_is_zero() {
    let address = fill_and_drop();
    assert!(!read_back(address)[LINKS..].contains(&0xA5));
}

/// The case LLVM would love to shorten: allocation, use and free visible in one function.
#[test]
fn a_wipe_right_before_the_free_is_kept() {
    let layout = Layout::from_size_align(SEEN, 16).unwrap();
    let block = unsafe { ALLOCATOR.alloc(layout) };
    unsafe { block.write_bytes(0xA5, SEEN) };
    let address = black_box(block) as usize;
    unsafe { ALLOCATOR.dealloc(block, layout) };
    assert!(!read_back(address)[LINKS..].contains(&0xA5));
}

/// Strings grown byte by byte (every `realloc`), cloned, boxed, sorted into maps; then no copy anywhere.
#[test]
fn no_copy_of_a_canary_survives_its_owners() {
    // Assembled at run time, so that the needle itself is not in the binary; kept inverted while scanning.
    let inverted: Vec<u8> = b"postern-canary-7f3a".iter().map(|byte| !byte).collect();
    let keep = spread(&inverted);
    assert!(occurrences(&inverted) >= 100, "control: live copies are seen");
    drop(keep);
    assert_eq!(occurrences(&inverted), 0);
}

#[inline(never)]
fn spread(inverted: &[u8]) -> Vec<String> {
    let mut text = String::new();
    for _ in 0..200 {
        for &byte in inverted {
            text.push(char::from(!byte));
        }
        text.push(' ');
    }
    let mut copies: Vec<String> = text.split(' ').map(str::to_owned).collect();
    copies.push(text.clone());
    copies.sort();
    let map: std::collections::BTreeMap<usize, String> = copies.iter().cloned().enumerate().collect();
    drop(map);
    copies
}

fn occurrences(inverted: &[u8]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    let mut page = vec![0; 1 << 20];
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") || line.contains("[v") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let own = page.as_ptr() as u64..page.as_ptr() as u64 + page.len() as u64;
        let mut at = start;
        while at < end {
            let length = usize::try_from((end - at).min(page.len() as u64)).unwrap();
            if memory.read_exact_at(&mut page[..length], at).is_ok() {
                found += (0..length.saturating_sub(inverted.len()))
                    .filter(|&offset| !own.contains(&(at + offset as u64)))
                    .filter(|&offset| inverted.iter().zip(&page[offset..]).all(|(a, b)| *a == !b))
                    .count();
            }
            at += length as u64;
        }
    }
    page.fill(0);
    found
}
