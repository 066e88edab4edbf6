//! Strict deterministic CBOR (RFC 8949 section 4.2.1), reading hostile bytes and writing our own.
//! Refused: indefinite lengths, longer-than-shortest heads, unsorted or repeated map keys, tags, floats,
//! negative numbers, simple values other than false, true and null, nesting below depth 8, left-over bytes.

use crate::reader::{Cursor, Truncated};
use crate::rejection::{Code, Rejection};
use std::fmt;

/// Deepest nesting of arrays and maps.
pub const MAX_DEPTH: u8 = 8;

/// Why bytes are not the CBOR they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborError {
    /// The input ends inside an item, or goes on after the last.
    Bounds(Truncated),
    /// Arrays and maps are nested too deeply at this offset.
    Depth(usize),
    /// A field a map must have is missing.
    MissingKey(u64),
    /// A text field a map must have is missing.
    MissingName(&'static str),
    /// A number, length or simple value is not in its shortest form, or the length is indefinite.
    NotDeterministic(usize),
    /// Map keys are repeated or out of order at this offset.
    KeyOrder(usize),
    /// A string, array or map is longer than its field allows at this offset.
    TooLong(usize),
    /// A text is not UTF-8 at this offset.
    Text(usize),
    /// An item of another type stands at this offset.
    Type(usize),
    /// A map has a key nobody defined, at this offset.
    UnknownKey(usize),
    /// A value is outside the set its field allows, at this offset.
    Value(usize),
}

impl From<Truncated> for CborError {
    fn from(truncated: Truncated) -> Self {
        Self::Bounds(truncated)
    }
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounds(truncated) => truncated.fmt(f),
            Self::Depth(at) => write!(f, "nested too deeply at offset {at}"),
            Self::MissingKey(key) => write!(f, "key {key} is missing"),
            Self::MissingName(name) => write!(f, "key {name} is missing"),
            Self::NotDeterministic(at) => write!(f, "not deterministically encoded at offset {at}"),
            Self::KeyOrder(at) => write!(f, "map key repeated or out of order at offset {at}"),
            Self::TooLong(at) => write!(f, "longer than allowed at offset {at}"),
            Self::Text(at) => write!(f, "text is not utf-8 at offset {at}"),
            Self::Type(at) => write!(f, "item of another type at offset {at}"),
            Self::UnknownKey(at) => write!(f, "unknown map key at offset {at}"),
            Self::Value(at) => write!(f, "value outside its set at offset {at}"),
        }
    }
}

impl std::error::Error for CborError {}

impl CborError {
    /// As a rejection of `field` with `code`.
    pub fn reject(self, code: Code, field: &'static str) -> Rejection {
        Rejection::new(code, field, "deterministic CBOR of this structure", self.to_string())
    }
}

/// The value of a key a map must have.
///
/// # Errors
/// [`CborError::MissingKey`] when it is absent.
pub fn present<T>(value: Option<T>, key: u64) -> Result<T, CborError> {
    value.ok_or(CborError::MissingKey(key))
}

/// A map key. The protocol uses small numbers and, in envelopes, names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A name.
    Text(&'a str),
    /// A number.
    Uint(u64),
}

mod writer;

pub use writer::Writer;

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// Reads one CBOR structure.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    cursor: Cursor<'a>,
    depth: u8,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes), depth: 0 }
    }

    /// Offset of the next item.
    pub const fn position(&self) -> usize {
        self.cursor.position()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left over.
    pub fn finish(&self) -> Result<(), CborError> {
        Ok(self.cursor.finish()?)
    }

    /// Reads an unsigned number.
    ///
    /// # Errors
    /// Another type, or not deterministic.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.expect_head(UINT)
    }

    /// Reads a byte string of at most `max` bytes.
    ///
    /// # Errors
    /// Another type, too long, truncated, or not deterministic.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], CborError> {
        let at = self.position();
        let length = self.expect_head(BYTES)?;
        self.content(length, max, at)
    }

    /// Reads a byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// Another type or length, truncated, or not deterministic.
    pub fn array_of<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let at = self.position();
        self.bytes(N)?.try_into().map_err(|_| CborError::Value(at))
    }

    /// Reads a text of at most `max` bytes.
    ///
    /// # Errors
    /// Another type, too long, truncated, not UTF-8, or not deterministic.
    pub fn text(&mut self, max: usize) -> Result<&'a str, CborError> {
        let at = self.position();
        let length = self.expect_head(TEXT)?;
        std::str::from_utf8(self.content(length, max, at)?).map_err(|_| CborError::Text(at))
    }

    /// Reads a truth value.
    ///
    /// # Errors
    /// Anything else.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        let at = self.position();
        match self.head()? {
            (SIMPLE, FALSE) => Ok(false),
            (SIMPLE, TRUE) => Ok(true),
            _ => Err(CborError::Type(at)),
        }
    }

    /// Reads a null if one comes next; says whether it did.
    pub fn null(&mut self) -> bool {
        let mut ahead = self.clone();
        let found = matches!(ahead.head(), Ok((SIMPLE, NULL)));
        if found {
            *self = ahead;
        }
        found
    }

    /// Reads an array of at most `max` items; `item` must read exactly one item per call.
    ///
    /// # Errors
    /// Another type, too many items, too deep, or whatever `item` returns.
    pub fn array<E: From<CborError>>(
        &mut self,
        max: u64,
        mut item: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = self.position();
        let length = self.expect_head(ARRAY)?;
        if length > max {
            return Err(CborError::TooLong(at).into());
        }
        self.enter(at)?;
        for _ in 0..length {
            item(self)?;
        }
        self.leave();
        Ok(())
    }

    /// Reads the head of an array of exactly `length` items. The caller reads that many.
    ///
    /// # Errors
    /// Another type or length.
    pub fn tuple(&mut self, length: u64) -> Result<(), CborError> {
        let at = self.position();
        if self.expect_head(ARRAY)? == length { Ok(()) } else { Err(CborError::Value(at)) }
    }

    /// Reads a map of at most `max` entries; `entry` gets the key and must read exactly one item, the value.
    ///
    /// # Errors
    /// Another type, too many entries, keys repeated or unsorted, too deep, or whatever `entry` returns.
    pub fn map<E: From<CborError>>(
        &mut self,
        max: u64,
        mut entry: impl FnMut(Key<'a>, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = self.position();
        let length = self.expect_head(MAP)?;
        if length > max {
            return Err(CborError::TooLong(at).into());
        }
        self.enter(at)?;
        let mut previous: &[u8] = &[];
        for _ in 0..length {
            let start = self.position();
            let key = self.key()?;
            let encoded = self.cursor.since(start);
            if encoded <= previous {
                return Err(CborError::KeyOrder(start).into());
            }
            previous = encoded;
            entry(key, self)?;
        }
        self.leave();
        Ok(())
    }

    /// Reads and checks one item of any type, keeping nothing.
    ///
    /// # Errors
    /// The item is not deterministic CBOR as this reader knows it.
    pub fn skip(&mut self) -> Result<(), CborError> {
        let at = self.position();
        let mut ahead = self.clone();
        match ahead.head()? {
            (UINT | NEGATIVE, _) | (SIMPLE, FALSE | TRUE | NULL) => *self = ahead,
            (BYTES, _) => {
                self.bytes(usize::MAX)?;
            }
            (TEXT, _) => {
                self.text(usize::MAX)?;
            }
            (ARRAY, _) => self.array(u64::MAX, Self::skip)?,
            (MAP, _) => self.map(u64::MAX, |_, value| value.skip())?,
            _ => return Err(CborError::Type(at)),
        }
        Ok(())
    }

    fn key(&mut self) -> Result<Key<'a>, CborError> {
        let at = self.position();
        match self.head()? {
            (UINT, value) => Ok(Key::Uint(value)),
            (TEXT, length) => {
                let text = self.content(length, MAX_KEY_BYTES, at)?;
                std::str::from_utf8(text).map(Key::Text).map_err(|_| CborError::Text(at))
            }
            _ => Err(CborError::Type(at)),
        }
    }

    fn content(&mut self, length: u64, max: usize, at: usize) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::TooLong(at))?;
        if length > max {
            return Err(CborError::TooLong(at));
        }
        Ok(self.cursor.take(length)?)
    }

    fn expect_head(&mut self, major: u8) -> Result<u64, CborError> {
        let at = self.position();
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(CborError::Type(at)),
        }
    }

    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let at = self.position();
        let first = self.cursor.u8()?;
        let major = first >> 5;
        let (value, least) = match first & 0x1f {
            short @ 0..=23 => (u64::from(short), 0),
            24 => (u64::from(self.cursor.u8()?), 24),
            25 => (u64::from(self.cursor.u16_be()?), 0x100),
            26 => (u64::from(self.cursor.u32_be()?), 0x1_0000),
            27 => (self.cursor.u64_be()?, 0x1_0000_0000),
            _ => return Err(CborError::NotDeterministic(at)),
        };
        // a simple value with an argument is a float or a long spelling: neither is deterministic here
        if value < least || (major == SIMPLE && least != 0) {
            return Err(CborError::NotDeterministic(at));
        }
        Ok((major, value))
    }

    fn enter(&mut self, at: usize) -> Result<(), CborError> {
        if self.depth >= MAX_DEPTH {
            return Err(CborError::Depth(at));
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    const fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}

/// Longest text key any of our maps defines, with room.
const MAX_KEY_BYTES: usize = 64;

#[cfg(test)]
mod tests;
