//! Response heads from upstreams.

use super::MAX_FIELDS;
use super::head::{Fields, Framing, HeadError};

/// One final response head (never 1xx). Borrows from the receive buffer.
#[derive(Debug)]
pub struct ResponseMessage<'b> {
    /// Status code, 200 to 599.
    pub status: u16,
    /// Header fields in order.
    pub fields: Fields<'b>,
    /// Where the body ends.
    pub framing: Framing,
    /// The connection may carry another request after this body.
    pub reusable: bool,
    /// Length of the head in bytes, including any interim responses before it.
    pub length: usize,
}

/// Parses the response to a request that expects a body, from the front of `buffer`.
///
/// Interim (1xx) responses are skipped. `Ok(None)` asks for more bytes.
///
/// # Errors
/// [`HeadError`] when the bytes can never become an unambiguous HTTP/1.x response.
pub fn parse_response(buffer: &[u8]) -> Result<Option<ResponseMessage<'_>>, HeadError> {
    let mut skipped = 0_usize;
    loop {
        let rest = buffer.get(skipped..).unwrap_or_default();
        let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
            Err(httparse::Error::Version) => return Err(HeadError::Version),
            Err(_) => return Err(HeadError::Malformed),
        };
        let Some(status) = response.code else { return Err(HeadError::Malformed) };
        skipped = skipped.saturating_add(length);
        match status {
            // 101 would hand the connection to another protocol, which was never asked for.
            100 | 102 | 103 => {}
            200..=599 => {
                let fields = Fields::from_parsed(response.headers);
                let framing = body_framing(status, &fields)?;
                let reusable = response.version == Some(1)
                    && framing != Framing::UntilClose
                    && !fields.connection_has("close");
                return Ok(Some(ResponseMessage { status, fields, framing, reusable, length: skipped }));
            }
            _ => return Err(HeadError::Malformed),
        }
    }
}

fn body_framing(status: u16, fields: &Fields<'_>) -> Result<Framing, HeadError> {
    let stated = fields.framing()?;
    Ok(if matches!(status, 204 | 304) { Framing::None } else { stated.unwrap_or(Framing::UntilClose) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_framing_and_reuse() {
        let parsed = parse_response(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap().unwrap();
        assert_eq!((parsed.status, parsed.framing, parsed.reusable), (200, Framing::Length(2), true));
        let parsed =
            parse_response(b"HTTP/1.1 429 Slow\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
        let parsed = parsed.unwrap().unwrap();
        assert_eq!((parsed.status, parsed.framing, parsed.reusable), (429, Framing::Chunked, false));
        let parsed = parse_response(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap();
        assert_eq!((parsed.framing, parsed.reusable), (Framing::UntilClose, false));
        assert_eq!(parse_response(b"HTTP/1.1 204 No\r\n\r\n").unwrap().unwrap().framing, Framing::None);
    }

    #[test]
    fn skips_interim_responses_and_refuses_switching() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let parsed = parse_response(text).unwrap().unwrap();
        assert_eq!((parsed.status, parsed.length), (200, text.len()));
        assert!(parse_response(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2").unwrap().is_none());
        assert_eq!(parse_response(b"HTTP/1.1 101 X\r\n\r\n").unwrap_err(), HeadError::Malformed);
        assert_eq!(parse_response(b"<html>").unwrap_err(), HeadError::Version);
    }
}
