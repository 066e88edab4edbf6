//! Response heads on HTTP/1.1, written straight into the send buffer.

use crate::http1::decimal;

/// How the body that follows is delimited.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Chunks follow.
    Chunked,
    /// This many bytes follow.
    Length(usize),
}

/// Appends a whole response head to `out`.
///
/// There is no `date`: the only clock here is the host's, and RFC 9110 section 6.6.1 asks an origin without
/// a clock of its own not to invent one.
pub fn write_head<'h>(
    out: &mut Vec<u8>,
    status: u16,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    body: Body,
    close: bool,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, usize::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    for (name, value) in headers {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    match body {
        Body::Chunked => out.extend_from_slice(b"\r\ntransfer-encoding: chunked"),
        Body::Length(length) => {
            out.extend_from_slice(b"\r\ncontent-length: ");
            decimal(out, length);
        }
    }
    if close {
        out.extend_from_slice(b"\r\nconnection: close");
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Bytes that [`begin_chunk`] reserves: eight hex digits and a line ending. Leading zeros are allowed in a
/// chunk size, so the size can be filled in after the data.
const CHUNK_HEAD: usize = 10;

/// Starts a chunk whose size is not known yet; returns where it starts.
pub fn begin_chunk(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(b"00000000\r\n");
    start
}

/// Ends the chunk begun at `start`; takes it back when it is empty, since an empty chunk ends the body.
pub fn end_chunk(out: &mut Vec<u8>, start: usize) {
    let size = out.len().saturating_sub(start).saturating_sub(CHUNK_HEAD);
    if size == 0 {
        out.truncate(start);
        return;
    }
    let mut rest = size;
    let digits = out.get_mut(start..start.saturating_add(8)).unwrap_or_default();
    for slot in digits.iter_mut().rev() {
        let digit = u32::try_from(rest & 15).unwrap_or_default();
        *slot = char::from_digit(digit, 16).and_then(|c| u8::try_from(c).ok()).unwrap_or(b'0');
        rest >>= 4;
    }
    out.extend_from_slice(b"\r\n");
}

/// The chunk that ends a complete body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_framed_after_the_fact_and_empty_ones_vanish() {
        let mut out = b"head".to_vec();
        let start = begin_chunk(&mut out);
        out.extend_from_slice(&[b'x'; 300]);
        end_chunk(&mut out, start);
        assert_eq!(&out[..14], b"head0000012c\r\n");
        assert!(out.ends_with(b"xx\r\n"));
        let before = out.clone();
        let start = begin_chunk(&mut out);
        end_chunk(&mut out, start);
        assert_eq!(out, before);
    }

    #[test]
    fn heads_are_complete() {
        let mut out = Vec::new();
        write_head(&mut out, 200, [("content-type", "a/b")].into_iter(), Body::Length(12), true);
        assert_eq!(
            out,
            b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: 12\r\nconnection: close\r\n\r\n"
        );
    }
}
