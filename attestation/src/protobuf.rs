//! Protocol Buffers' wire format (protobuf.dev, "Encoding") over hostile bytes: numbers in their shortest form, no
//! groups, nothing that reaches past the end.

use crate::reader::{Cursor, Truncated};
use std::fmt;

/// Highest field number.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// Why bytes are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtobufError {
    /// The input ends inside a field.
    Bounds(Truncated),
    /// A number is over 64 bits or not in its shortest form.
    Number,
    /// A field number or wire type that no message has.
    Tag,
    /// This field is missing, there twice, or not a value of its type.
    Field(&'static str),
}

impl From<Truncated> for ProtobufError {
    fn from(truncated: Truncated) -> Self {
        Self::Bounds(truncated)
    }
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounds(truncated) => truncated.fmt(f),
            Self::Number => f.write_str("a number that is too long"),
            Self::Tag => f.write_str("a field number or wire type that no message has"),
            Self::Field(name) => write!(f, "{name} missing, repeated or out of range"),
        }
    }
}

/// One value as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Number(u64),
    /// Wire type 2: bytes, a text or a message.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which only unknown fields have here.
    Fixed,
}

impl<'a> Value<'a> {
    /// A number of 64 bits.
    pub(crate) const fn number(self, name: &'static str) -> Result<u64, ProtobufError> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => Err(ProtobufError::Field(name)),
        }
    }

    /// A number of 32 bits.
    pub(crate) fn number_32(self, name: &'static str) -> Result<u32, ProtobufError> {
        u32::try_from(self.number(name)?).map_err(|_| ProtobufError::Field(name))
    }

    /// Bytes of any length.
    pub(crate) const fn bytes(self, name: &'static str) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed => Err(ProtobufError::Field(name)),
        }
    }

    /// Exactly `N` bytes.
    pub(crate) fn array<const N: usize>(self, name: &'static str) -> Result<[u8; N], ProtobufError> {
        self.bytes(name)?.try_into().map_err(|_| ProtobufError::Field(name))
    }
}

/// Reads the fields of one message in their order.
pub(crate) struct Message<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Message<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes) }
    }

    /// The next field's number and value; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, ProtobufError> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = tag >> 3;
        if field == 0 || field > MAX_FIELD {
            return Err(ProtobufError::Tag);
        }
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.cursor.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::Number)?;
                Value::Bytes(self.cursor.take(length)?)
            }
            5 => self.cursor.take(4).map(|_| Value::Fixed)?,
            _ => return Err(ProtobufError::Tag),
        };
        Ok(Some((field, value)))
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.cursor.u8()?;
            let bits = u64::from(byte & 0x7f);
            // the tenth byte has room for one bit
            if shift == 63 && bits > 1 || shift > 0 && byte == 0 {
                return Err(ProtobufError::Number);
            }
            number |= bits.wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Number)
    }
}

/// Keeps the value of a field that may be there once.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), ProtobufError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ProtobufError::Field(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_wire_type_and_nothing_else() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 1, 7, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0];
        let mut message = Message::new(&bytes);
        assert_eq!(message.next(), Ok(Some((1, Value::Number(150)))));
        assert_eq!(message.next(), Ok(Some((2, Value::Bytes(&[7])))));
        assert_eq!(message.next(), Ok(Some((3, Value::Fixed))));
        assert_eq!(message.next(), Ok(Some((4, Value::Fixed))));
        assert_eq!(message.next(), Ok(None));
        for (bytes, error) in [
            (&[0x0b][..], ProtobufError::Tag),
            (&[0x0c], ProtobufError::Tag),
            (&[0x0e], ProtobufError::Tag),
            (&[0x00, 0x00], ProtobufError::Tag),
            (&[0x08, 0x80, 0x00], ProtobufError::Number),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], ProtobufError::Number),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81], ProtobufError::Number),
        ] {
            assert_eq!(Message::new(bytes).next(), Err(error), "{bytes:02x?}");
        }
        for bytes in [&[0x08][..], &[0x08, 0x80], &[0x12, 2, 0], &[0x19, 0], &[0x25, 0]] {
            assert!(matches!(Message::new(bytes).next(), Err(ProtobufError::Bounds(_))), "{bytes:02x?}");
        }
        let most = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Message::new(&most).next(), Ok(Some((1, Value::Number(u64::MAX)))));
        assert!(Value::Number(1 << 32).number_32("x").is_err() && Value::Fixed.bytes("x").is_err());
        let mut slot = Some(1);
        assert_eq!(once(&mut slot, 2, "x"), Err(ProtobufError::Field("x")));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut message = Message::new(&bytes);
            while let Ok(Some((_, value))) = message.next() {
                prop_assert!(value.bytes("x").is_ok_and(|own| own.len() < bytes.len()) || value.bytes("x").is_err());
            }
        }
    }
}
