//! HTTP/1.1 framing (RFC 9112) for both legs, as pure functions over bytes.
//!
//! Decides where a message starts and ends; trusts nothing it reads. Whatever two parsers could read in two
//! ways (both length headers, repeated lengths, unknown codings, bare line feeds) is refused, because a
//! disagreement about framing is how requests are smuggled.

use std::io::Write;

pub mod chunked;
pub mod head;
pub mod response;

pub use chunked::ChunkedDecoder;
pub use head::{Framing, HeadError, RequestMessage};
pub use response::ResponseMessage;

/// Most header fields in one message head.
pub const MAX_FIELDS: usize = 64;

/// One header field as received: name, value.
pub type Field<'a> = (&'a str, &'a [u8]);

/// Appends a number in decimal. Writing to a `Vec` cannot fail.
pub fn decimal(out: &mut Vec<u8>, number: usize) {
    drop(write!(out, "{number}"));
}
