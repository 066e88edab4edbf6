//! Over an arena that never reuses memory, freed blocks can be looked at: all of them must be zero.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::large_stack_arrays,
    clippy::multiple_unsafe_ops_per_block,
    clippy::naive_bytecount,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "each test is the caller that keeps GlobalAlloc's contract, in a few lines"
)]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::{Cell, UnsafeCell},
};

use postern_alloc::ZeroOnFree;

/// Miri looks at each byte in thousands of steps, so it gets less to look at.
const SIZE: usize = if cfg!(miri) { 1 << 13 } else { 1 << 16 };
/// Sizes of blocks that are tried: all small ones, and large ones.
const SMALL: usize = if cfg!(miri) { 4 } else { 70 };
const LARGE: &[usize] =
    if cfg!(miri) { &[255, 4096] } else { &[127, 128, 255, 256, 1000, 4095, 4096, 16384] };
const FILL: u8 = 0xA5;

/// Hands out memory front to back, takes none back, and counts.
struct Arena {
    memory: Box<UnsafeCell<[u8; SIZE]>>,
    used: Cell<usize>,
    freed: Cell<usize>,
    limit: usize,
}

impl Arena {
    fn new(limit: usize) -> Self {
        let memory = Box::new(UnsafeCell::new([0; SIZE]));
        Self { memory, used: Cell::new(0), freed: Cell::new(0), limit }
    }

    fn residue(&self) -> usize {
        let touched = unsafe { &*self.memory.get() }.iter().take(self.used.get());
        touched.filter(|&&byte| byte == FILL).count()
    }
}

unsafe impl GlobalAlloc for &Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.memory.get().cast::<u8>();
        let start = (base as usize + self.used.get()).next_multiple_of(layout.align()) - base as usize;
        if start + layout.size() > self.limit {
            return std::ptr::null_mut();
        }
        self.used.set(start + layout.size());
        unsafe { base.add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, layout: Layout) {
        self.freed.set(self.freed.get() + layout.size());
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

unsafe fn filled(allocator: &impl GlobalAlloc, layout: Layout) -> *mut u8 {
    let block = unsafe { allocator.alloc(layout) };
    assert!(!block.is_null());
    unsafe { block.write_bytes(FILL, layout.size()) };
    block
}

#[test]
fn control_a_plain_allocator_leaves_residue() {
    let arena = Arena::new(SIZE);
    unsafe { (&arena).dealloc(filled(&&arena, layout(100, 8)), layout(100, 8)) };
    assert_eq!(arena.residue(), 100);
}

#[test]
fn a_freed_block_is_zero_at_every_size_and_alignment() {
    for align in [1, 2, 8, 16, 64, 4096] {
        for size in (1..SMALL).chain(LARGE.iter().copied()) {
            let arena = Arena::new(SIZE);
            let allocator = ZeroOnFree::over(&arena);
            let block = unsafe { filled(&allocator, layout(size, align)) };
            assert_eq!((block as usize % align, arena.residue()), (0, size));
            unsafe { allocator.dealloc(block, layout(size, align)) };
            assert_eq!((arena.residue(), arena.freed.get()), (0, size), "size {size} align {align}");
        }
    }
}

#[test]
fn only_the_freed_block_is_wiped() {
    let arena = Arena::new(SIZE);
    let allocator = ZeroOnFree::over(&arena);
    let blocks = [(); 3].map(|()| unsafe { filled(&allocator, layout(33, 1)) });
    unsafe { allocator.dealloc(blocks[1], layout(33, 1)) };
    assert_eq!(arena.residue(), 66, "the neighbours keep every byte");
}

#[test]
fn growing_and_shrinking_keep_the_content_and_wipe_the_old_block() {
    for (old, new) in [(100, 1000), (1000, 100), (100, 100), (1, 4096), (4096, 1)] {
        let arena = Arena::new(SIZE);
        let allocator = ZeroOnFree::over(&arena);
        let block = unsafe { filled(&allocator, layout(old, 16)) };
        let moved = unsafe { allocator.realloc(block, layout(old, 16), new) };
        let kept = old.min(new);
        let content = unsafe { std::slice::from_raw_parts(moved, kept) };
        assert!(content.iter().all(|&byte| byte == FILL));
        assert_eq!((arena.residue(), arena.freed.get()), (kept, old), "{old} -> {new}");
        unsafe { allocator.dealloc(moved, layout(new, 16)) };
        assert_eq!(arena.residue(), 0);
    }
}

#[test]
fn a_failed_growth_leaves_the_block_alone() {
    let arena = Arena::new(150);
    let allocator = ZeroOnFree::over(&arena);
    let block = unsafe { filled(&allocator, layout(100, 1)) };
    assert!(unsafe { allocator.realloc(block, layout(100, 1), 100) }.is_null());
    assert_eq!((arena.residue(), arena.freed.get()), (100, 0));
}

#[test]
fn zeroed_blocks_are_zero() {
    let arena = Arena::new(SIZE);
    let allocator = ZeroOnFree::over(&arena);
    let block = unsafe { allocator.alloc_zeroed(layout(100, 8)) };
    assert!(unsafe { std::slice::from_raw_parts(block, 100) }.iter().all(|&byte| byte == 0));
}
