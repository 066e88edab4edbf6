//! Wipes buffers that stay in use: what one request left must not lie there while the next is awaited.

use std::hint::black_box;

/// Overwrites the content with zeros, at the speed of a memset, and empties the vector.
///
/// The black box keeps the compiler from leaving out stores to bytes that nobody reads again. Buffers that
/// are freed need no call: the allocator wipes them.
pub fn wipe(buffer: &mut Vec<u8>) {
    buffer.fill(0);
    black_box(buffer.as_slice());
    buffer.clear();
}

/// Wipes a buffer of which the first `used` bytes once held something, whatever its length is now.
pub fn wipe_used(buffer: &mut Vec<u8>, used: usize) {
    buffer.clear();
    buffer.resize(used.min(buffer.capacity()), 0);
    wipe(buffer);
}

/// Overwrites the stack below the caller, where functions that have returned left what they were working on:
/// spilled registers hold the last bytes that were searched or copied.
///
/// To be called from a place that little stands above, such as the end of a task. Takes some tens of microseconds.
#[inline(never)]
pub fn wipe_stack() {
    #[expect(clippy::large_stack_arrays, reason = "its place on the stack is the point")]
    let mut below = [0_u8; STACK_BYTES];
    black_box(&mut below);
}

/// How deep the stack is wiped, in bytes: half of what threads have. Requests need less, even unoptimised.
const STACK_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_content_is_left() {
        let mut buffer = b"a secret and more".to_vec();
        let capacity = buffer.capacity();
        buffer.truncate(4);
        wipe_used(&mut buffer, 17);
        assert_eq!((buffer.len(), buffer.capacity()), (0, capacity));
        buffer.resize(17, 1);
        wipe(&mut buffer);
        assert!(buffer.is_empty());
    }
}
