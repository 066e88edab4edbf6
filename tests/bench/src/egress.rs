//! The host's side of the boundary, as far as the mock plays the host: a `Connect` request is answered with
//! `Connected` and the bytes that follow are the upstream's. So the enclave can be measured alone, without the host.

use anyhow::{Result, bail};
use link::{Reply, Request};

/// The reply to the request at the start of `input` and the request's length, or nothing if more must come.
///
/// # Errors
/// The bytes are no request, or one that the mock cannot serve (endorsements).
pub fn connect_reply(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    match Request::decode(input)? {
        None => Ok(None),
        Some((Request::Connect { .. }, used)) => Ok(Some((Reply::Connected.encode(), used))),
        Some((_, used)) => {
            bail!("the mock's egress only connects; a request of {used} bytes asked for something else")
        }
    }
}
