//! Splits a byte stream into AWS event-stream messages ("Event stream encoding", Smithy AWS protocols; Amazon
//! Transcribe Developer Guide, "Event stream encoding"), whatever the pieces it arrives in.
//!
//! A message is: total length and header length (big-endian u32 each), CRC-32 of those eight bytes, headers, payload,
//! CRC-32 of everything before. Both checksums are checked, every length is bounded before it is believed.

/// Longest message accepted, in bytes; Bedrock's own limit.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Longest header block accepted, in bytes.
const MAX_HEADERS: usize = 128 * 1024;
/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// Prelude and final checksum: the shortest message.
const OVERHEAD: usize = 16;

/// Collects bytes and gives out complete messages.
#[derive(Default)]
pub struct Messages {
    buffer: Vec<u8>,
    start: usize,
}

/// One message: the three headers that matter, and the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub message_type: &'a [u8],
    /// `:event-type`, `:exception-type` or `:error-code`.
    pub name: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// The bytes are no event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFraming;

impl Messages {
    /// The buffer to append received bytes to; earlier bytes must stay as they are.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether no half message waits.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.buffer.len()
    }

    /// The next complete message, if there is one.
    ///
    /// # Errors
    /// [`BadFraming`] for a wrong checksum, a length that cannot be, or headers that do not parse.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, BadFraming> {
        let Some(length) = self.next_length()? else {
            self.compact();
            return Ok(None);
        };
        let end = self.start.saturating_add(length);
        let whole = self.buffer.get(self.start..end).ok_or(BadFraming)?;
        self.start = end;
        let (covered, check) = whole.split_last_chunk::<4>().ok_or(BadFraming)?;
        if crc32(covered) != u32::from_be_bytes(*check) {
            return Err(BadFraming);
        }
        let header_length = number(covered, 4)?;
        let (headers, payload) =
            covered.get(PRELUDE..).and_then(|rest| rest.split_at_checked(header_length)).ok_or(BadFraming)?;
        let mut message = Message { payload, ..Message::default() };
        read_headers(headers, &mut message)?;
        Ok(Some(message))
    }

    /// Length of the pending message once all of it is here.
    fn next_length(&self) -> Result<Option<usize>, BadFraming> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let Some(prelude) = pending.get(..PRELUDE) else { return Ok(None) };
        let (total, headers) = (number(prelude, 0)?, number(prelude, 4)?);
        let fits = headers.checked_add(OVERHEAD).is_some_and(|least| least <= total);
        let check = prelude.last_chunk::<4>().ok_or(BadFraming)?;
        let intact = crc32(prelude.get(..8).unwrap_or_default()) == u32::from_be_bytes(*check);
        if !intact || !fits || total > MAX_MESSAGE || headers > MAX_HEADERS {
            return Err(BadFraming);
        }
        Ok((pending.len() >= total).then_some(total))
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Result<usize, BadFraming> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(BadFraming)?;
    usize::try_from(u32::from_be_bytes(*four)).map_err(|_| BadFraming)
}

/// Reads all headers, so that a malformed one is never overlooked.
fn read_headers<'a>(mut rest: &'a [u8], message: &mut Message<'a>) -> Result<(), BadFraming> {
    while let Some((length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*length)).ok_or(BadFraming)?;
        let (kind, after) = after.split_first().ok_or(BadFraming)?;
        let (size, after) = match kind {
            0 | 1 => (0, after),
            2 => (1, after),
            3 => (2, after),
            4 => (4, after),
            5 | 8 => (8, after),
            6 | 7 => {
                let (size, after) = after.split_first_chunk::<2>().ok_or(BadFraming)?;
                (usize::from(u16::from_be_bytes(*size)), after)
            }
            9 => (16, after),
            _ => return Err(BadFraming),
        };
        let (value, after) = after.split_at_checked(size).ok_or(BadFraming)?;
        match name {
            b":message-type" => message.message_type = value,
            b":event-type" | b":exception-type" | b":error-code" => message.name = value,
            _ => {}
        }
        rest = after;
    }
    Ok(())
}

/// CRC-32 as in IEEE 802.3 (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0)
    };
    !bytes.iter().fold(u32::MAX, step)
}

const TABLE: [u32; 256] = table();

#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, with constants"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Writes one message, as an upstream would; for tests and simulators.
#[doc(hidden)]
pub fn encode(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let word = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let total = block.len().saturating_add(payload.len()).saturating_add(OVERHEAD);
    let mut out = [word(total), word(block.len())].concat();
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

#[cfg(test)]
mod tests;
