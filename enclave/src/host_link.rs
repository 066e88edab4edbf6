//! The enclave's only way out: one stream to the host per outgoing connection or endorsement.
//!
//! The host chooses whom it really connects to and what it really fetched. Connections are therefore TLS
//! inside, and endorsements are signed by their vendors; nothing here is believed.

use std::io;

use link::{EndorsementDocument, EndorsementQuery, HEADER_BYTES, HostName, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transport::{Address, Transport};

/// Why the host did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostLinkError {
    /// The destination cannot be named on the link.
    BadName,
    /// The host could not be reached, or hung up in the middle.
    Io(io::ErrorKind),
    /// The host answered something that is no answer to the question.
    Protocol,
    /// The host refused, with its reason as a stable code.
    Refused(&'static str),
}

impl HostLinkError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadName => "LINK_NAME",
            Self::Io(_) => "LINK_IO",
            Self::Protocol => "LINK_PROTOCOL",
            Self::Refused(code) => code,
        }
    }
}

impl From<io::Error> for HostLinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Where the host takes requests from this enclave.
#[derive(Clone, Debug)]
pub struct HostLink {
    address: Address,
}

/// One endorsement as the host delivered it: untrusted.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// PEM certificates that the vendor sends beside the body; empty where there are none.
    pub issuer_chain: Vec<u8>,
    /// The vendor's bytes.
    pub body: Vec<u8>,
}

impl HostLink {
    /// The host's egress listener is at `address`.
    pub const fn new(address: Address) -> Self {
        Self { address }
    }

    /// A stream that the host says leads to `host:port`.
    ///
    /// # Errors
    /// [`HostLinkError`]; deadlines are the caller's.
    pub async fn connect(&self, host: &str, port: u16) -> Result<Transport, HostLinkError> {
        let host = HostName::new(host).map_err(|_| HostLinkError::BadName)?;
        let (stream, reply) = self.ask(&Request::Connect { host, port }).await?;
        match reply {
            Reply::Connected => Ok(stream),
            Reply::Refused { reason } => Err(HostLinkError::Refused(reason.code())),
            Reply::Endorsements { .. } | Reply::Unavailable { .. } => Err(HostLinkError::Protocol),
        }
    }

    /// One vendor endorsement, at most 256 KiB.
    ///
    /// # Errors
    /// [`HostLinkError`]; deadlines are the caller's.
    pub async fn endorsement(&self, query: EndorsementQuery) -> Result<Fetched, HostLinkError> {
        let (mut stream, reply) = self.ask(&Request::Endorsements(query)).await?;
        let length = match reply {
            Reply::Endorsements { length } => usize::try_from(length).map_err(|_| HostLinkError::Protocol)?,
            Reply::Unavailable { reason } => return Err(HostLinkError::Refused(reason.code())),
            Reply::Connected | Reply::Refused { .. } => return Err(HostLinkError::Protocol),
        };
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        let document = EndorsementDocument::decode(&bytes).map_err(|_| HostLinkError::Protocol)?;
        Ok(Fetched { issuer_chain: document.issuer_chain.to_vec(), body: document.body.to_vec() })
    }

    async fn ask(&self, request: &Request) -> Result<(Transport, Reply), HostLinkError> {
        let mut stream = Transport::dial(&self.address).await?;
        stream.write_all(&request.encode()).await?;
        // Exactly one frame is read: what follows a Connected belongs to the far end.
        let mut frame = vec![0; HEADER_BYTES];
        stream.read_exact(&mut frame).await?;
        let payload = match frame.as_slice() {
            [_, _, high, low] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        if HEADER_BYTES.saturating_add(payload) > Reply::MAX_BYTES {
            return Err(HostLinkError::Protocol);
        }
        frame.resize(HEADER_BYTES.saturating_add(payload), 0);
        if let Some(rest) = frame.get_mut(HEADER_BYTES..) {
            stream.read_exact(rest).await?;
        }
        match Reply::decode(&frame) {
            Ok(Some((reply, _))) => Ok((stream, reply)),
            Ok(None) | Err(_) => Err(HostLinkError::Protocol),
        }
    }
}
