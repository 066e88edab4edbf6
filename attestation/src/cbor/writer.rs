//! The other half of [`Reader`](super::Reader): writes deterministic CBOR.

use super::{ARRAY, BYTES, FALSE, MAP, NULL, SIMPLE, TEXT, TRUE, UINT};

/// Writes deterministic CBOR. The caller writes map keys in order (tests read everything back strictly).
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Writes an unsigned number.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value)
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, length(bytes.len()));
        self.out.extend_from_slice(bytes);
        self
    }

    /// Writes a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, length(text.len()));
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    /// Writes the head of an array of `items` items, which follow.
    pub fn array(&mut self, items: usize) -> &mut Self {
        self.head(ARRAY, length(items))
    }

    /// Writes the head of a map of `entries` entries, which follow: key, value, key, value.
    pub fn map(&mut self, entries: usize) -> &mut Self {
        self.head(MAP, length(entries))
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.head(SIMPLE, if value { TRUE } else { FALSE })
    }

    /// Writes a null.
    pub fn null(&mut self) -> &mut Self {
        self.head(SIMPLE, NULL)
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        let [.., b4, b5, b6, b7] = value.to_be_bytes();
        match value {
            0..=23 => self.out.push(major | b7),
            24..=0xff => self.out.extend_from_slice(&[major | 0x18, b7]),
            0x100..=0xffff => self.out.extend_from_slice(&[major | 0x19, b6, b7]),
            0x1_0000..=0xffff_ffff => self.out.extend_from_slice(&[major | 0x1a, b4, b5, b6, b7]),
            _ => {
                self.out.push(major | 0x1b);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
        }
        self
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
