//! The outer shape of every message, and the cursor that reads inside it.
//!
//! Decides nothing about meaning; refuses a wrong version, kind or length from the header alone, before any
//! payload is waited for.

use crate::error::LinkError;

/// The only version of the boundary protocol.
pub const VERSION: u8 = 1;

/// Bytes before the payload: version, kind, length.
pub const HEADER_BYTES: usize = 4;

/// One frame, borrowed from the receive buffer.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the whole frame.
    pub(crate) size: usize,
}

/// Reads the frame at the start of `bytes`; `Ok(None)` when more bytes are needed.
///
/// `limits` names the smallest and largest payload of each known kind, both inclusive.
pub(crate) fn decode(
    bytes: &[u8],
    limits: impl Fn(u8) -> Option<(u16, u16)>,
) -> Result<Option<Frame<'_>>, LinkError> {
    let Some((&version, rest)) = bytes.split_first() else { return Ok(None) };
    if version != VERSION {
        return Err(LinkError::Version { found: version });
    }
    let Some((&kind, rest)) = rest.split_first() else { return Ok(None) };
    let (least, most) = limits(kind).ok_or(LinkError::Kind { found: kind })?;
    let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
    let length = u16::from_be_bytes(*length);
    if length < least || length > most {
        return Err(LinkError::Length { found: length });
    }
    let Some(payload) = rest.get(..usize::from(length)) else { return Ok(None) };
    Ok(Some(Frame { kind, payload, size: HEADER_BYTES.saturating_add(payload.len()) }))
}

/// Writes a frame. Every payload in this crate is bounded by its types far below 64 KiB.
pub(crate) fn encode(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES.saturating_add(payload.len()));
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Cursor over one payload; whoever uses it ends with [`Reader::finish`].
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Takes the next byte, named `field` in the error.
    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, LinkError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// Takes the next `N` bytes, named `field` in the error.
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], LinkError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(LinkError::Field { field })?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes everything that is left.
    pub(crate) fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Fails when bytes are left over.
    pub(crate) fn finish(self) -> Result<(), LinkError> {
        if self.rest.is_empty() { Ok(()) } else { Err(LinkError::Field { field: "trailing bytes" }) }
    }
}
