//! How much freed memory stays with the process.
//!
//! A large prompt is a few blocks of megabytes. The C library gives such blocks back to the kernel with every
//! request and takes fresh pages for the next, and each page fault costs more than the work done on that page:
//! a third of the CPU time of a 1 MiB prompt. Memory kept for reuse has been wiped like all that is freed.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::hint::black_box;
    use std::sync::atomic::{AtomicI32, Ordering};

    use libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int};

    /// See [`super::keep_freed`].
    pub(crate) fn keep_freed(bytes: u32) {
        let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        KEPT.store(bytes, Ordering::Relaxed);
        // SAFETY: takes the allocator's own lock, touches no memory of ours, and an unknown value is refused.
        unsafe { libc::mallopt(M_MMAP_THRESHOLD, bytes.min(LARGEST_THRESHOLD)) };
        trim_threshold(bytes);
    }

    /// See [`super::give_back`].
    pub(crate) fn give_back() {
        // `malloc_trim` leaves the end of the heap of a thread other than the first alone; a free of a block of this
        // size looks at it.
        trim_threshold(0);
        drop(black_box(Vec::<u8>::with_capacity(256 * 1024)));
        trim_threshold(KEPT.load(Ordering::Relaxed));
        // SAFETY: takes the allocator's own locks and releases pages that hold no live block.
        unsafe { libc::malloc_trim(0) };
    }

    fn trim_threshold(bytes: c_int) {
        // SAFETY: takes the allocator's own lock and touches no memory of ours.
        unsafe { libc::mallopt(M_TRIM_THRESHOLD, bytes) };
    }

    /// glibc's own value until another is set.
    static KEPT: AtomicI32 = AtomicI32::new(128 * 1024);

    /// Larger thresholds are refused (`HEAP_MAX_SIZE / 2` on 64 bits).
    const LARGEST_THRESHOLD: c_int = 32 << 20;
}

/// Keeps up to `bytes` of freed memory per thread for the next request, and serves blocks up to that size from it.
///
/// Called once at start. Without effect on C libraries other than glibc.
pub fn keep_freed(bytes: u32) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_freed(bytes);
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _no_such_setting = bytes;
}

/// Gives the calling thread's freed memory, and what lies free between live blocks of all threads, back to the
/// kernel: for the time when nothing is under way. Takes about a millisecond.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::give_back();
}
