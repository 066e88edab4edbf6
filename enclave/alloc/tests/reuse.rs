//! Large blocks that come and go must not cost fresh pages each time once memory is kept, and must go when given
//! back. One test, because the settings belong to the whole process.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test code"
)]

use std::fs;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: postern_alloc::ZeroOnFree = postern_alloc::ZeroOnFree::new();

const LARGE: usize = 3 << 20;

/// Pages touched for the first time so far, without I/O (`minflt`, proc(5)).
fn faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Resident set, in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn faults_of_twenty_requests() -> u64 {
    let before = faults();
    for _ in 0..20 {
        // More at a time than twice the largest block, which is what glibc keeps by itself.
        let blocks = [1_u8, 2, 3, 4].map(|fill| vec![fill; LARGE]);
        black_box(&blocks);
    }
    faults() - before
}

#[test]
fn large_blocks_are_reused_until_given_back() {
    // The worker threads of a server are not the main thread and have heaps of their own.
    std::thread::spawn(|| {
        let without = faults_of_twenty_requests();
        assert!(without > 5_000, "the control: the C library's own settings take fresh pages, saw {without}");
        postern_alloc::keep_freed(32 << 20);
        faults_of_twenty_requests();
        let with = faults_of_twenty_requests();
        assert!(with < 100, "{with} faults although memory is kept");
        let kept = resident();
        postern_alloc::give_back();
        let left = resident();
        assert!(left + (8 << 20) < kept, "{kept} bytes before giving back, {left} after");
    })
    .join()
    .unwrap();
}
