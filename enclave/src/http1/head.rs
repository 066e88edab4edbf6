//! Request heads: from bytes to a complete, unambiguous description of one request.

use super::{Field, MAX_FIELDS};

/// How the body of a message is delimited (RFC 9112 section 6.3, the unambiguous cases only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `transfer-encoding: chunked`.
    Chunked,
    /// `content-length`, in bytes.
    Length(u64),
    /// No body.
    None,
    /// Responses only: the body ends with the connection.
    UntilClose,
}

/// Why a head was refused. The connection cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Content-Length and Transfer-Encoding together, repeated, or not a plain number.
    AmbiguousLength,
    /// Not an HTTP/1.x head.
    Malformed,
    /// HTTP/1.1 without exactly one Host.
    MissingHost,
    /// More than [`MAX_FIELDS`] header fields.
    TooManyFields,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// HTTP/1.0, which has no keep-alive that two parties agree on.
    Version,
}

impl HeadError {
    /// Stable code, as it appears in the error body.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AmbiguousLength => "HTTP_AMBIGUOUS_LENGTH",
            Self::Malformed => "HTTP_MALFORMED",
            Self::MissingHost => "HTTP_HOST",
            Self::TooManyFields => "HTTP_TOO_MANY_FIELDS",
            Self::UnknownCoding => "HTTP_UNKNOWN_CODING",
            Self::Version => "HTTP_VERSION",
        }
    }

    /// Status that answers it.
    pub const fn status(self) -> u16 {
        match self {
            Self::AmbiguousLength | Self::Malformed | Self::MissingHost => 400,
            Self::TooManyFields => 431,
            Self::UnknownCoding => 501,
            Self::Version => 505,
        }
    }
}

/// One request head, complete and unambiguous. Borrows from the receive buffer.
#[derive(Debug)]
pub struct RequestMessage<'b> {
    /// Method as received, for example `POST`.
    pub method: &'b str,
    /// Path without the query, not decoded.
    pub path: &'b str,
    /// What follows the first `?`.
    pub query: Option<&'b str>,
    /// Header fields in order.
    pub fields: Fields<'b>,
    /// Where the body ends.
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The client asked to close after this exchange.
    pub close: bool,
    /// Length of the head in bytes, including the empty line.
    pub length: usize,
}

/// The header fields of one message, on the stack.
#[derive(Debug)]
pub struct Fields<'b> {
    entries: [Field<'b>; MAX_FIELDS],
    count: usize,
}

impl<'b> Fields<'b> {
    /// All fields in the order received.
    pub fn as_slice(&self) -> &[Field<'b>] {
        self.entries.get(..self.count).unwrap_or_default()
    }

    /// The first field of that name, ignoring ASCII case.
    pub fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.as_slice().iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    pub(super) fn from_parsed(parsed: &[httparse::Header<'b>]) -> Self {
        let mut entries: [Field<'b>; MAX_FIELDS] = [("", b""); MAX_FIELDS];
        for (slot, header) in entries.iter_mut().zip(parsed) {
            *slot = (header.name, header.value);
        }
        Self { entries, count: parsed.len().min(MAX_FIELDS) }
    }

    /// Length and coding fields of one message, refused where two readers could differ.
    pub(super) fn framing(&self) -> Result<Option<Framing>, HeadError> {
        let mut length = None;
        for value in self.all("content-length") {
            if length.replace(decimal(value).ok_or(HeadError::AmbiguousLength)?).is_some() {
                return Err(HeadError::AmbiguousLength);
            }
        }
        let mut chunked = false;
        for value in self.all("transfer-encoding") {
            if chunked || !trim(value).eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::UnknownCoding);
            }
            chunked = true;
        }
        match (length, chunked) {
            (Some(_), true) => Err(HeadError::AmbiguousLength),
            (Some(length), false) => Ok(Some(Framing::Length(length))),
            (None, true) => Ok(Some(Framing::Chunked)),
            (None, false) => Ok(None),
        }
    }

    /// Whether `connection` lists the given option.
    pub(super) fn connection_has(&self, option: &str) -> bool {
        self.all("connection")
            .any(|value| value.split(|b| *b == b',').any(|o| trim(o).eq_ignore_ascii_case(option.as_bytes())))
    }
}

/// Parses one request head from the front of `buffer`.
///
/// `Ok(None)` asks for more bytes; the caller bounds how many it will hold.
///
/// # Errors
/// [`HeadError`] when the bytes can never become an unambiguous HTTP/1.1 request.
pub fn parse_request(buffer: &[u8]) -> Result<Option<RequestMessage<'_>>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
        Err(httparse::Error::Version) => return Err(HeadError::Version),
        Err(_) => return Err(HeadError::Malformed),
    };
    if request.version != Some(1) {
        return Err(HeadError::Version);
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(HeadError::Malformed);
    };
    // Absolute and authority forms address a proxy; this is the origin.
    if !target.starts_with('/') {
        return Err(HeadError::Malformed);
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let fields = Fields::from_parsed(request.headers);
    if fields.all("host").count() != 1 {
        return Err(HeadError::MissingHost);
    }
    let framing = fields.framing()?.unwrap_or(Framing::None);
    let expects_continue =
        fields.first("expect").is_some_and(|v| trim(v).eq_ignore_ascii_case(b"100-continue"));
    let close = fields.connection_has("close");
    Ok(Some(RequestMessage { method, path, query, fields, framing, expects_continue, close, length }))
}

fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// Digits only: no sign, no space, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    let value = trim(value);
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|d| *d <= 9)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing_of(fields: &str) -> Result<Framing, HeadError> {
        let text = format!("POST /v1/x?y=1 HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        parse_request(text.as_bytes()).map(|parsed| parsed.unwrap().framing)
    }

    #[test]
    fn splits_the_target_and_keeps_the_fields() {
        let text = b"POST /v1/chat/completions?beta=true HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Close\r\n\r\nrest";
        let parsed = parse_request(text).unwrap().unwrap();
        assert_eq!(
            (parsed.method, parsed.path, parsed.query),
            ("POST", "/v1/chat/completions", Some("beta=true"))
        );
        assert!(parsed.close);
        assert_eq!(&text[parsed.length..], b"rest");
        assert_eq!(parsed.fields.first("HOST"), Some(&b"h"[..]));
    }

    #[test]
    fn every_prefix_asks_for_more() {
        let text = b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n";
        for cut in 0..text.len() {
            assert!(parse_request(&text[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        assert_eq!(parse_request(text).unwrap().unwrap().framing, Framing::Length(3));
    }

    #[test]
    fn refuses_what_two_parsers_could_read_in_two_ways() {
        assert_eq!(framing_of(""), Ok(Framing::None));
        assert_eq!(framing_of("content-length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(framing_of("transfer-encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for ambiguous in [
            "content-length: 7\r\ntransfer-encoding: chunked\r\n",
            "content-length: 7\r\ncontent-length: 7\r\n",
            "content-length: 7, 7\r\n",
            "content-length: +7\r\n",
            "content-length: 0x7\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
        ] {
            assert_eq!(framing_of(ambiguous), Err(HeadError::AmbiguousLength), "{ambiguous}");
        }
        for coding in [
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: xchunked\r\n",
        ] {
            assert_eq!(framing_of(coding), Err(HeadError::UnknownCoding), "{coding}");
        }
        for malformed in ["a b: c\r\n", "x : y\r\n", " folded: x\r\n", "a\0b: c\r\n"] {
            assert_eq!(framing_of(malformed), Err(HeadError::Malformed), "{malformed}");
        }
    }

    #[test]
    fn refuses_other_versions_targets_and_missing_hosts() {
        let code = |text: &str| parse_request(text.as_bytes()).unwrap_err();
        assert_eq!(code("GET / HTTP/1.0\r\nhost: a\r\n\r\n"), HeadError::Version);
        assert_eq!(code("GET / HTTP/2.0\r\nhost: a\r\n\r\n"), HeadError::Version);
        assert_eq!(code("GET http://x/ HTTP/1.1\r\nhost: a\r\n\r\n"), HeadError::Malformed);
        assert_eq!(code("GET / HTTP/1.1\r\n\r\n"), HeadError::MissingHost);
        assert_eq!(code("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"), HeadError::MissingHost);
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(MAX_FIELDS));
        assert_eq!(code(&many), HeadError::TooManyFields);
    }
}
