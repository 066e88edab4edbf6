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
