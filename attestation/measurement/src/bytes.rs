//! Little-endian numbers at offsets, or nothing.

/// `length` bytes at `at`.
pub(crate) fn slice(data: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(length)?)
}

/// Sixteen bits at `at`.
pub(crate) fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    slice(data, at, 2)?.try_into().ok().map(u16::from_le_bytes)
}

/// Thirty-two bits at `at`.
pub(crate) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    slice(data, at, 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Thirty-two bits at `at`, as a size.
pub(crate) fn size_at(data: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(data, at)?).ok()
}

/// Sixty-four bits at `at`.
pub(crate) fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    slice(data, at, 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// Overwrites `into` from `at` on, as far as it reaches. For tables whose layout is fixed in this crate.
pub(crate) fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    for (slot, byte) in into.iter_mut().skip(at).zip(bytes) {
        *slot = *byte;
    }
}
