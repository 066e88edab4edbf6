//! A cursor over hostile bytes: bounded, exact, and the only place that slices.
//! It trusts nothing; every read either stays inside the input or fails.

use std::fmt;

/// A read went past the end, or bytes were left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Offset at which the read began.
    pub offset: usize,
    /// Bytes wanted (0 when bytes were left over instead).
    pub wanted: usize,
    /// Bytes that were there.
    pub left: usize,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { offset, wanted: 0, left } => write!(f, "{left} bytes left over at offset {offset}"),
            Self { offset, wanted, left } => {
                write!(f, "{wanted} bytes wanted at offset {offset}, {left} left")
            }
        }
    }
}

/// Reads forward through a byte slice.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Offset of the next byte.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Everything not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    /// Whether every byte was read.
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// The bytes from `start` up to the next unread one.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position).unwrap_or(&[])
    }

    /// The next byte, without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Reads `count` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let left = self.rest().len();
        let truncated = Truncated { offset: self.position, wanted: count, left };
        let end = self.position.checked_add(count).ok_or(truncated)?;
        let taken = self.bytes.get(self.position..end).ok_or(truncated)?;
        self.position = end;
        Ok(taken)
    }

    /// Reads exactly `N` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let truncated = Truncated { offset: self.position, wanted: N, left: self.rest().len() };
        self.take(N)?.try_into().map_err(|_| truncated)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// None is left.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Reads a big-endian 16-bit number.
    ///
    /// # Errors
    /// Fewer than two bytes are left.
    pub fn u16_be(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a big-endian 32-bit number.
    ///
    /// # Errors
    /// Fewer than four bytes are left.
    pub fn u32_be(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a big-endian 64-bit number.
    ///
    /// # Errors
    /// Fewer than eight bytes are left.
    pub fn u64_be(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads a little-endian 32-bit number.
    ///
    /// # Errors
    /// Fewer than four bytes are left.
    pub fn u32_le(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a little-endian 64-bit number.
    ///
    /// # Errors
    /// Fewer than eight bytes are left.
    pub fn u64_le(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left over.
    pub fn finish(&self) -> Result<(), Truncated> {
        let left = self.rest().len();
        if left == 0 { Ok(()) } else { Err(Truncated { offset: self.position, wanted: 0, left }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_leaves_the_input() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.u16_be(), Ok(0x0102));
        assert_eq!(cursor.u16_be(), Err(Truncated { offset: 2, wanted: 2, left: 1 }));
        assert_eq!(cursor.finish(), Err(Truncated { offset: 2, wanted: 0, left: 1 }));
        assert_eq!(cursor.take(usize::MAX), Err(Truncated { offset: 2, wanted: usize::MAX, left: 1 }));
        assert_eq!(cursor.u8(), Ok(3));
        assert_eq!(cursor.finish(), Ok(()));
        assert_eq!(cursor.since(1), &[2, 3]);
    }
}
