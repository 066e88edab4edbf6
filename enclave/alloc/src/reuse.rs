//! Large blocks that wait for the next request, and the limit of how many.
//!
//! A large prompt is a few blocks of megabytes. Giving such blocks back to the kernel with every request, and taking
//! fresh pages for the next, costs more than the work done on those pages: a third of the CPU time of a 1 MiB
//! prompt. The C library can be told to keep them, but then it can never let them go: it returns the free parts of
//! its heaps with `madvise`, which the kernel refuses for locked memory, and the enclave locks all it has. So
//! large blocks are mappings of their own here, which can always be unmapped, and a bounded number of them is kept.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{array, ptr};

/// The system allocator, which keeps some freed large blocks for the next that ask.
///
/// What is kept was wiped by [`ZeroOnFree`](crate::ZeroOnFree) before it came here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reusing;

/// Keeps up to `bytes` of freed large blocks for the next requests. Until this is called none are kept.
///
/// To be called once at start.
pub fn keep_freed(bytes: usize) {
    kept().limit = bytes;
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    map_large_blocks();
}

/// Gives kept blocks, and as far as memory is not locked what lies free between live blocks, back to the kernel: for
/// the time when nothing is under way. Takes about a millisecond.
pub fn give_back() {
    for class in 0..CLASSES {
        let size = SMALLEST << class;
        loop {
            let block = kept().take(class);
            let (Some(block), Some(layout)) = (block, layout_of(size)) else { break };
            // SAFETY: what is kept came from `System` with the layout of its class, and was just unlinked.
            unsafe { System.dealloc(block, layout) };
        }
    }
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: takes the allocator's own locks and releases pages that hold no live block.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Blocks from the smallest class on are mappings of their own, whose end is always their `munmap`.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
fn map_large_blocks() {
    let smallest = libc::c_int::try_from(SMALLEST).unwrap_or(libc::c_int::MAX);
    // SAFETY: takes the allocator's own lock, touches no memory of ours, and an unknown value is refused.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, smallest) };
}

/// The smallest block that is kept: the rooms of connections with a large body under way.
const SMALLEST: usize = 64 << 10;
/// Sizes are rounded up to 64 KiB, 128 KiB and so on to 32 MiB; pages that nobody touches are not there.
const CLASSES: usize = 10;
/// What `malloc` promises, so that no class needs room to align itself.
const ALIGNMENT: usize = 16;

static KEPT: Mutex<Kept> = Mutex::new(Kept { first: [ptr::null_mut(); CLASSES], bytes: 0, limit: 0 });

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The list of each class. A block's first bytes hold the address of the next one.
struct Kept {
    first: [*mut u8; CLASSES],
    bytes: usize,
    limit: usize,
}

// SAFETY: the blocks belong to the list alone, and whoever takes one from it owns it from then on, on any thread.
unsafe impl Send for Kept {}

impl Kept {
    /// Takes a block of this class.
    fn take(&mut self, class: usize) -> Option<*mut u8> {
        let first = self.first.get_mut(class)?;
        let block = *first;
        if block.is_null() {
            return None;
        }
        let link = link_of(block);
        // SAFETY: a block in the list begins with a link, and is aligned for one.
        *first = unsafe { link.read() };
        // SAFETY: as before; nobody else knows this block.
        unsafe { link.write(ptr::null_mut()) };
        self.bytes = self.bytes.saturating_sub(SMALLEST << class);
        Some(block)
    }

    /// Keeps a freed block if there is room.
    ///
    /// # Safety
    /// The block has the size of its class, is aligned for a pointer, and belongs to the caller, who gives it up if this
    /// says `true`.
    unsafe fn put(&mut self, class: usize, block: *mut u8) -> bool {
        let bytes = self.bytes.saturating_add(SMALLEST << class);
        let (true, Some(first)) = (bytes <= self.limit, self.first.get_mut(class)) else { return false };
        // SAFETY: the caller's promise.
        unsafe { link_of(block).write(*first) };
        *first = block;
        self.bytes = bytes;
        true
    }
}

/// Where a block of a class holds the address of the next one.
#[allow(clippy::cast_ptr_alignment, reason = "blocks of a class are aligned to 16 bytes")]
const fn link_of(block: *mut u8) -> *mut *mut u8 {
    block.cast()
}

/// The class of a block, and what it is asked from the system with; `None` for those that are never kept.
fn class_of(layout: Layout) -> Option<(usize, Layout)> {
    if layout.size() < SMALLEST || layout.align() > ALIGNMENT {
        return None;
    }
    let sizes: [usize; CLASSES] = array::from_fn(|class| SMALLEST << class);
    let class = sizes.iter().position(|size| layout.size() <= *size)?;
    Some((class, layout_of(*sizes.get(class)?)?))
}

fn layout_of(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, ALIGNMENT).ok()
}

// SAFETY: a block of a class comes from `System` or from the list, always with the layout of its class, which is at
// least as large as asked for and as aligned; it goes to one of them. Other layouts are passed on as they are. The
// list allocates nothing and does not unwind.
unsafe impl GlobalAlloc for Reusing {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, layout)) = class_of(layout) else {
            // SAFETY: the caller's promise is the one `System` needs.
            return unsafe { System.alloc(layout) };
        };
        let again = kept().take(class);
        // SAFETY: a class is never of size zero.
        again.unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((class, whole)) = class_of(layout) else {
            // SAFETY: the caller's promise is the one `System` needs.
            return unsafe { System.alloc_zeroed(layout) };
        };
        let Some(again) = kept().take(class) else {
            // SAFETY: a class is never of size zero.
            return unsafe { System.alloc_zeroed(whole) };
        };
        // Only what its last owner had asked for is known to be wiped, not the rest of its class.
        // SAFETY: the block is at least as large as asked for.
        unsafe { again.write_bytes(0, layout.size()) };
        again
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((class, layout)) = class_of(layout) else {
            // SAFETY: not of a class, so it came from `System` with this layout.
            return unsafe { System.dealloc(block, layout) };
        };
        // SAFETY: the caller gives up a block that was made for this class.
        if !unsafe { kept().put(class, block) } {
            // SAFETY: it came from `System` with the layout of its class.
            unsafe { System.dealloc(block, layout) };
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "the caller that keeps GlobalAlloc's contract, in a few lines"
)]
mod tests {
    use super::*;

    /// Also for Miri, which sees every byte that is read before it is written.
    #[test]
    fn blocks_go_round_and_zeroed_ones_are_zero() {
        keep_freed(SMALLEST << 1);
        let ask = |size| Layout::from_size_align(size, 8).unwrap();
        let first = unsafe { Reusing.alloc(ask(SMALLEST)) };
        unsafe { first.write_bytes(1, SMALLEST) };
        let others = [(); 2].map(|()| unsafe { Reusing.alloc(ask(SMALLEST)) });
        for block in others.into_iter().chain([first]) {
            unsafe { Reusing.dealloc(block, ask(SMALLEST)) };
        }
        assert_eq!(kept().bytes, SMALLEST << 1, "the third is one too many");
        let again = unsafe { Reusing.alloc_zeroed(ask(SMALLEST)) };
        assert_eq!(again, others[1], "the last that was kept");
        assert!(unsafe { std::slice::from_raw_parts(again, SMALLEST) }.iter().all(|&byte| byte == 0));
        unsafe { Reusing.dealloc(again, ask(SMALLEST)) };
        give_back();
        assert_eq!(kept().first, [ptr::null_mut(); CLASSES]);
        assert_eq!(kept().bytes, 0);
        for odd in
            [ask(100), ask((SMALLEST << CLASSES) + 1), Layout::from_size_align(SMALLEST, 4096).unwrap()]
        {
            let block = unsafe { Reusing.alloc_zeroed(odd) };
            unsafe { Reusing.dealloc(block, odd) };
        }
        assert_eq!(kept().bytes, 0, "these are never kept");
    }
}
