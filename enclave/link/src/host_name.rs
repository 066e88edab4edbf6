//! A host name the enclave may ask for: bounded, and of characters that cannot break a log line.

use std::fmt;

use crate::error::LinkError;

/// A DNS name or IP address literal in lower case, 1 to 253 bytes of `a-z 0-9 - . _ :`.
///
/// Whether it exists, and whether it may be reached, is for the host to say; that the peer behind it is the
/// right one is for the enclave's TLS to prove.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// Longest host name (RFC 1035 s2.3.4, in presentation form without the final dot).
    pub const MAX_BYTES: usize = 253;

    /// Accepts a host name as configured: ASCII upper case is folded to lower case.
    ///
    /// # Errors
    /// [`LinkError::HostName`] for anything that is not a [`HostName`] after folding.
    pub fn new(name: &str) -> Result<Self, LinkError> {
        Self::from_wire(name.to_ascii_lowercase().as_bytes())
    }

    /// Accepts bytes from the other side; upper case is refused, so that each name has one encoding.
    pub(crate) fn from_wire(bytes: &[u8]) -> Result<Self, LinkError> {
        let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':');
        if bytes.is_empty() || bytes.len() > Self::MAX_BYTES || !bytes.iter().all(allowed) {
            return Err(LinkError::HostName);
        }
        let name = std::str::from_utf8(bytes).map_err(|_| LinkError::HostName)?;
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
