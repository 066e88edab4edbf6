//! A global allocator that wipes memory when it is freed.
//!
//! A stock TLS, HTTP and JSON stack leaves thousands of copies of each prompt in freed memory. Wiping every
//! block on its way back to the allocator leaves none once the connection is closed, whichever library made
//! the copy. Not covered: live buffers, the stack (the enclave wipes its own), memory that C code gets from `malloc` directly, and the
//! kernel's socket buffers.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: postern_alloc::ZeroOnFree = postern_alloc::ZeroOnFree::new();
//! # fn main() {}
//! ```
//!
//! This is the one crate of the workspace that holds `unsafe` code: implementing [`GlobalAlloc`] needs it, and so
//! does telling the C library how much freed memory to keep.

mod reuse;

use std::{
    alloc::{GlobalAlloc, Layout},
    ptr,
};

pub use reuse::{Reusing, give_back, keep_freed};

/// Wraps an allocator and overwrites each block with zeros before giving it back.
///
/// The wipe covers the whole requested size and cannot be optimised away. It costs one `memset` of the block
/// for each free.
#[derive(Debug, Default)]
pub struct ZeroOnFree<A = Reusing> {
    inner: A,
}

impl ZeroOnFree {
    /// The system allocator, wiping, with large blocks [kept](keep_freed) for the next request.
    pub const fn new() -> Self {
        Self { inner: Reusing }
    }
}

impl<A> ZeroOnFree<A> {
    /// Any allocator, wiping.
    pub const fn over(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: every block comes from `inner`, with the layout asked for, and goes back to `inner` with that same
// layout; between the two this type only writes zeros inside a block that is about to be freed. It allocates
// nothing itself, keeps no state and does not unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for ZeroOnFree<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise (non-zero size) is the one `inner` needs.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise (non-zero size) is the one `inner` needs. Passed through, since fresh
        // pages are zero already and `calloc` knows it.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller owns `layout.size()` bytes at `block` and gives them up with this call.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: `block` came from `inner` with this layout, since `alloc` and `realloc` only pass on.
        unsafe { self.inner.dealloc(block, layout) }
    }

    /// Always moves: an inner `realloc` may copy to a new place and free the old block unwiped, and the
    /// interface does not tell before the old block is gone.
    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow
        // `isize`; alignment is unchanged and was valid.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller promises a non-zero `new_size`.
        let new_block = unsafe { self.inner.alloc(new_layout) };
        if new_block.is_null() {
            return new_block;
        }
        // SAFETY: `block` holds `layout.size()` readable bytes, `new_block` `new_size` writable ones, the
        // count is the smaller, and a fresh block overlaps no live one.
        unsafe { ptr::copy_nonoverlapping(block, new_block, layout.size().min(new_size)) };
        // SAFETY: the caller gave up `block`, which came from this allocator with `layout`.
        unsafe { self.dealloc(block, layout) };
        new_block
    }
}

/// Overwrites `size` bytes with zeros, as fast as `memset`, in a way the optimiser must keep.
///
/// Without the barrier LLVM removes the store: it knows that nobody may read a block after `free`. The empty
/// assembly takes the address and is declared to read memory, so the zeros have to be there when it runs.
///
/// # Safety
/// `block` must be valid for writes of `size` bytes that nobody else reads or writes meanwhile.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
#[inline]
unsafe fn wipe(block: *mut u8, size: usize) {
    // SAFETY: the caller's promise, and bytes have no alignment.
    unsafe { ptr::write_bytes(block, 0, size) };
    // SAFETY: the template is a comment: it executes nothing and touches neither stack nor flags.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags, readonly));
    }
}

/// Overwrites `size` bytes with zeros, one volatile store each: for Miri and architectures not checked yet.
///
/// # Safety
/// `block` must be valid for writes of `size` bytes that nobody else reads or writes meanwhile.
#[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
unsafe fn wipe(block: *mut u8, size: usize) {
    for offset in 0..size {
        // SAFETY: `offset` is inside the caller's block.
        let byte = unsafe { block.add(offset) };
        // SAFETY: the caller's promise; a byte has no alignment.
        unsafe { ptr::write_volatile(byte, 0) };
    }
}
