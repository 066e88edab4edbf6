//! Large blocks that come and go must not cost fresh pages each time once memory is kept, and must go when given
//! back, also when memory is locked. One test, because the settings belong to the whole process.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::undocumented_unsafe_blocks,
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
        // As the enclave does. A machine that does not allow it still has the rest of this test.
        let all = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
        if unsafe { libc::mlockall(all) } != 0 {
            eprintln!("skipped: memory cannot be locked here, so giving back is tried unlocked only");
        }
        postern_alloc::keep_freed(32 << 20);
        faults_of_twenty_requests();
        let with = faults_of_twenty_requests();
        assert!(with < 100, "{with} faults although memory is kept");
        let kept = resident();
        postern_alloc::give_back();
        let left = resident();
        assert!(left + (8 << 20) < kept, "{kept} bytes before giving back, {left} after");
        many_at_once_leave_no_more_than_the_limit();
        sizes_of_one_class_share_their_blocks();
    })
    .join()
    .unwrap();
}

fn many_at_once_leave_no_more_than_the_limit() {
    postern_alloc::keep_freed(4 << 20);
    let before = resident();
    drop(black_box([1_u8; 40].map(|fill| vec![fill; 1 << 20])));
    let after = resident();
    assert!(after < before + (6 << 20), "{before} bytes before, {after} after a burst of 40 MiB");
}

#[derive(Clone)]
#[repr(align(4096))]
struct Page([u8; 4096]);

fn sizes_of_one_class_share_their_blocks() {
    let filled = vec![7_u8; 100_000];
    let place = filled.as_ptr() as usize;
    drop(filled);
    // Freed and taken again, the longer one's end was never wiped by the shorter one's free.
    let zeroed = black_box(vec![0_u8; 131_000]);
    assert_eq!(zeroed.as_ptr() as usize, place, "the block is used again");
    assert!(zeroed.iter().all(|&byte| byte == 0));
    drop(zeroed);
    // Above the largest class and of odd alignment: straight from the system.
    drop(black_box(vec![1_u8; 40 << 20]));
    let pages = black_box(vec![Page([1; 4096]); 32]);
    assert!(pages.iter().all(|page| page.0 == [1; 4096]));
}
