//! A small HTTP/1.1 message reader for both ends of the harness: one head, then a body by length, in chunks or to the
//! end of the stream. Body bytes go to a callback as they come and are never collected here.

use memchr::memmem;

/// What a message turned out not to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "malformed HTTP message: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Which of the two messages is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Requests; without a length they have no body.
    Request,
    /// Responses; without a length they last until the connection ends.
    Response,
}

/// Where a message stands after a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The message is whole; this many bytes of the input belonged to it.
    Complete(usize),
    /// All input is consumed and more must come.
    NeedMore,
}

/// Reads one message after another.
#[derive(Debug)]
pub struct MessageReader {
    side: Side,
    state: State,
    head: Vec<u8>,
    /// Status code of the response being read, 0 before its head is whole and for requests.
    pub status: u16,
    /// First line of the request starts with `GET`.
    pub is_get: bool,
    /// `connection: close` was said.
    pub close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ChunkData(u64),
    ChunkDataEnd,
    ChunkSize { size: u64, extension: bool },
    Fixed(u64),
    Head,
    Trailer { line: usize },
    UntilEnd,
}

impl MessageReader {
    /// A reader that waits for its first head.
    pub fn new(side: Side) -> Self {
        Self { side, state: State::Head, head: Vec::new(), status: 0, is_get: false, close: false }
    }

    /// True between messages: no byte of the next head has come.
    pub fn is_idle(&self) -> bool {
        self.state == State::Head && self.head.is_empty()
    }

    /// True if the end of the stream now completes the message.
    pub fn ends_with_stream(&self) -> bool {
        self.state == State::UntilEnd
    }

    /// Takes the next bytes; body bytes go to `body`. After `Complete` the reader waits for the next head.
    pub fn feed(&mut self, input: &[u8], body: &mut impl FnMut(&[u8])) -> Result<Step, Malformed> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            if self.state == State::Fixed(0) {
                self.state = State::Head;
                return Ok(Step::Complete(at));
            }
            if rest.is_empty() {
                return Ok(Step::NeedMore);
            }
            at += match self.state {
                State::Head => self.take_head(rest)?,
                State::Fixed(left) => {
                    let count = hand_over(rest, left, body);
                    self.state = State::Fixed(left - count as u64);
                    count
                }
                State::ChunkData(left) => {
                    let count = hand_over(rest, left, body);
                    let left = left - count as u64;
                    self.state = if left == 0 { State::ChunkDataEnd } else { State::ChunkData(left) };
                    count
                }
                State::UntilEnd => {
                    body(rest);
                    rest.len()
                }
                State::ChunkDataEnd | State::ChunkSize { .. } | State::Trailer { .. } => {
                    self.take_line_byte(rest[0])?;
                    1
                }
            };
        }
    }

    fn take_head(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        if self.head.is_empty()
            && let Some(end) = memmem::find(input, b"\r\n\r\n")
        {
            self.read_head(&input[..end + 2])?;
            return Ok(end + 4);
        }
        let before = self.head.len();
        self.head.extend_from_slice(input);
        let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else {
            return if self.head.len() > HEAD_LIMIT {
                Err(Malformed("head too long"))
            } else {
                Ok(input.len())
            };
        };
        let head = std::mem::take(&mut self.head);
        self.read_head(&head[..end + 2])?;
        Ok(end + 4 - before)
    }

    fn read_head(&mut self, head: &[u8]) -> Result<(), Malformed> {
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().unwrap_or_default();
        self.is_get = first.starts_with(b"GET ");
        self.close = false;
        self.status = match self.side {
            Side::Request => 0,
            Side::Response => first
                .strip_prefix(b"HTTP/1.1 ")
                .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok())
                .ok_or(Malformed("status line"))?,
        };
        let mut framing = match self.side {
            Side::Request => State::Fixed(0),
            Side::Response => State::UntilEnd,
        };
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = memchr::memchr(b':', line).ok_or(Malformed("header without colon"))?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let text = std::str::from_utf8(value).map_err(|_| Malformed("content-length"))?;
                framing = State::Fixed(text.parse().map_err(|_| Malformed("content-length"))?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding")
                && value.eq_ignore_ascii_case(b"chunked")
            {
                framing = State::ChunkSize { size: 0, extension: false };
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.close = value.eq_ignore_ascii_case(b"close");
            }
        }
        self.state = framing;
        Ok(())
    }

    fn take_line_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::ChunkDataEnd, b'\r') => State::ChunkDataEnd,
            (State::ChunkDataEnd, b'\n') => State::ChunkSize { size: 0, extension: false },
            (State::ChunkSize { size: 0, .. }, b'\n') => State::Trailer { line: 0 },
            (State::ChunkSize { size, .. }, b'\n') => State::ChunkData(size),
            (State::ChunkSize { size, .. }, b'\r' | b';')
            | (State::ChunkSize { size, extension: true }, _) => State::ChunkSize { size, extension: true },
            (State::ChunkSize { size, extension: false }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed("chunk size"))?;
                if size > u64::from(u32::MAX) {
                    return Err(Malformed("chunk size too large"));
                }
                State::ChunkSize { size: size * 16 + u64::from(digit), extension: false }
            }
            (State::Trailer { line: 0 }, b'\n') => State::Fixed(0),
            (State::Trailer { .. }, b'\n') => State::Trailer { line: 0 },
            (State::Trailer { line }, b'\r') => State::Trailer { line },
            (State::Trailer { line }, _) => State::Trailer { line: line + 1 },
            _ => return Err(Malformed("chunk end")),
        };
        Ok(())
    }
}

fn hand_over(input: &[u8], left: u64, body: &mut impl FnMut(&[u8])) -> usize {
    let count = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    body(&input[..count]);
    count
}

const HEAD_LIMIT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=1\r\n, world...\r\n0\r\nT: v\r\n\r\n";

    fn read(input: &[u8], cut: usize) -> (Vec<u8>, u16) {
        let mut reader = MessageReader::new(Side::Response);
        let mut body = Vec::new();
        let mut sink = |bytes: &[u8]| body.extend_from_slice(bytes);
        assert_eq!(reader.feed(&input[..cut], &mut sink).unwrap(), Step::NeedMore);
        assert_eq!(reader.feed(&input[cut..], &mut sink).unwrap(), Step::Complete(input.len() - cut));
        assert!(reader.is_idle());
        (body, reader.status)
    }

    #[test]
    fn every_cut_reads_the_same() {
        let fixed: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..CHUNKED.len() {
            assert_eq!(read(CHUNKED, cut), (b"hello, world...".to_vec(), 200));
        }
        for cut in 0..fixed.len() {
            assert_eq!(read(fixed, cut), (b"abc".to_vec(), 404));
        }
    }

    #[test]
    fn bad_sizes_are_malformed() {
        let mut reader = MessageReader::new(Side::Response);
        let bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(reader.feed(bad, &mut |_| {}), Err(Malformed("chunk size")));
    }
}
