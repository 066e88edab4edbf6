//! What the enclave asks of the host, once per stream.

use crate::{
    endorsements::EndorsementQuery,
    error::LinkError,
    frame::{self, Reader},
    host_name::HostName,
};

/// The first and only message from enclave to host on an egress stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open a TCP connection to an allow-listed destination and splice it to this stream.
    Connect {
        /// Whom to dial; the host resolves it and the enclave trusts none of that.
        host: HostName,
        /// TCP port, not 0.
        port: u16,
    },
    /// Fetch one vendor endorsement.
    Endorsements(EndorsementQuery),
}

impl Request {
    /// Longest encoded request; a receive buffer of this size always suffices.
    pub const MAX_BYTES: usize = 4 + 2 + HostName::MAX_BYTES;

    /// Encodes the request.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connect { host, port } => {
                let mut payload = port.to_be_bytes().to_vec();
                payload.extend_from_slice(host.as_str().as_bytes());
                frame::encode(KIND_CONNECT, &payload)
            }
            Self::Endorsements(query) => frame::encode(KIND_ENDORSEMENTS, &query.payload()),
        }
    }

    /// Decodes the request at the start of `bytes` and says how many bytes it took.
    ///
    /// `Ok(None)` means "read more"; it is never returned once [`Self::MAX_BYTES`] bytes are there.
    ///
    /// # Errors
    /// Any [`LinkError`] except [`LinkError::Document`]; the stream is to be closed.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, LinkError> {
        let Some(frame) = frame::decode(bytes, limits)? else { return Ok(None) };
        let request = if frame.kind == KIND_CONNECT {
            connect_from_payload(frame.payload)?
        } else {
            Self::Endorsements(EndorsementQuery::from_payload(frame.payload)?)
        };
        Ok(Some((request, frame.size)))
    }
}

fn connect_from_payload(payload: &[u8]) -> Result<Request, LinkError> {
    let mut reader = Reader::new(payload);
    let port = u16::from_be_bytes(reader.array("port")?);
    let host = HostName::from_wire(reader.remaining())?;
    if port == 0 {
        return Err(LinkError::Port);
    }
    Ok(Request::Connect { host, port })
}

fn limits(kind: u8) -> Option<(u16, u16)> {
    match kind {
        KIND_CONNECT => Some((3, 255)),
        KIND_ENDORSEMENTS => Some((1, EndorsementQuery::MAX_PAYLOAD)),
        _ => None,
    }
}

const KIND_CONNECT: u8 = 0x01;
const KIND_ENDORSEMENTS: u8 = 0x02;
