//! What the host answers, once per stream. The enclave believes none of it beyond "try, or give up".

use crate::{
    endorsements::EndorsementDocument,
    error::LinkError,
    frame::{self, Reader},
};

/// The first message from host to enclave on an egress stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Raw bytes follow, both ways.
    Connected,
    /// The connection was not made; the stream ends.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// An [`EndorsementDocument`] of exactly `length` bytes follows; then the stream ends.
    Endorsements {
        /// Bytes that follow, at most [`EndorsementDocument::MAX_BYTES`].
        length: u32,
    },
    /// The endorsement cannot be had now; the stream ends.
    Unavailable {
        /// Why.
        reason: Unavailability,
    },
}

/// Why the host did not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The destination is not on the host's allow-list.
    NotAllowed,
    /// The name did not resolve.
    Resolve,
    /// The destination refused or cannot be reached.
    Unreachable,
    /// Resolving or connecting took too long.
    TimedOut,
    /// The host is at its connection limit or draining.
    Busy,
    /// The request was not understood.
    Malformed,
}

impl Refusal {
    /// Every reason, in wire order.
    pub const ALL: [Self; 6] =
        [Self::NotAllowed, Self::Resolve, Self::Unreachable, Self::TimedOut, Self::Busy, Self::Malformed];

    /// Stable code for logs and errors.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "EGRESS_NOT_ALLOWED",
            Self::Resolve => "EGRESS_RESOLVE",
            Self::Unreachable => "EGRESS_UNREACHABLE",
            Self::TimedOut => "EGRESS_TIMED_OUT",
            Self::Busy => "EGRESS_BUSY",
            Self::Malformed => "EGRESS_MALFORMED",
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::NotAllowed => 1,
            Self::Resolve => 2,
            Self::Unreachable => 3,
            Self::TimedOut => 4,
            Self::Busy => 5,
            Self::Malformed => 6,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, LinkError> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.to_byte() == byte)
            .ok_or(LinkError::Field { field: "refusal" })
    }
}

/// Why the host has no endorsement to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailability {
    /// The host is not configured to fetch this vendor's endorsements.
    NotConfigured,
    /// The vendor does not know it (HTTP 404).
    NotFound,
    /// The vendor could not be reached or answered with an error.
    Failed,
    /// The vendor took too long.
    TimedOut,
    /// Too many fetches at once, or the vendor asked for a pause (HTTP 429).
    Busy,
    /// The vendor's answer is larger than a document may be.
    TooLarge,
}

impl Unavailability {
    /// Every reason, in wire order.
    pub const ALL: [Self; 6] =
        [Self::NotConfigured, Self::NotFound, Self::Failed, Self::TimedOut, Self::Busy, Self::TooLarge];

    /// Stable code for logs and errors.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotConfigured => "ENDORSEMENT_NOT_CONFIGURED",
            Self::NotFound => "ENDORSEMENT_NOT_FOUND",
            Self::Failed => "ENDORSEMENT_FETCH_FAILED",
            Self::TimedOut => "ENDORSEMENT_TIMED_OUT",
            Self::Busy => "ENDORSEMENT_BUSY",
            Self::TooLarge => "ENDORSEMENT_TOO_LARGE",
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::NotConfigured => 1,
            Self::NotFound => 2,
            Self::Failed => 3,
            Self::TimedOut => 4,
            Self::Busy => 5,
            Self::TooLarge => 6,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, LinkError> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.to_byte() == byte)
            .ok_or(LinkError::Field { field: "unavailability" })
    }
}

impl Reply {
    /// Longest encoded reply, without the document that may follow.
    pub const MAX_BYTES: usize = 8;

    /// Encodes the reply.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connected => frame::encode(KIND_CONNECTED, &[]),
            Self::Refused { reason } => frame::encode(KIND_REFUSED, &[reason.to_byte()]),
            Self::Endorsements { length } => frame::encode(KIND_ENDORSEMENTS, &length.to_be_bytes()),
            Self::Unavailable { reason } => frame::encode(KIND_UNAVAILABLE, &[reason.to_byte()]),
        }
    }

    /// Decodes the reply at the start of `bytes` and says how many bytes it took; what follows those is
    /// already the stream or the document.
    ///
    /// `Ok(None)` means "read more"; it is never returned once [`Self::MAX_BYTES`] bytes are there.
    ///
    /// # Errors
    /// [`LinkError`] for anything else; the stream is to be closed.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, LinkError> {
        let Some(frame) = frame::decode(bytes, limits)? else { return Ok(None) };
        let mut reader = Reader::new(frame.payload);
        let reply = match frame.kind {
            KIND_CONNECTED => Self::Connected,
            KIND_REFUSED => Self::Refused { reason: Refusal::from_byte(reader.byte("refusal")?)? },
            KIND_ENDORSEMENTS => {
                let length = u32::from_be_bytes(reader.array("length")?);
                if length > EndorsementDocument::MAX_BYTES {
                    return Err(LinkError::Field { field: "length" });
                }
                Self::Endorsements { length }
            }
            _ => Self::Unavailable { reason: Unavailability::from_byte(reader.byte("unavailability")?)? },
        };
        reader.finish()?;
        Ok(Some((reply, frame.size)))
    }
}

fn limits(kind: u8) -> Option<(u16, u16)> {
    match kind {
        KIND_CONNECTED => Some((0, 0)),
        KIND_REFUSED | KIND_UNAVAILABLE => Some((1, 1)),
        KIND_ENDORSEMENTS => Some((4, 4)),
        _ => None,
    }
}

const KIND_CONNECTED: u8 = 0x81;
const KIND_REFUSED: u8 = 0x82;
const KIND_ENDORSEMENTS: u8 = 0x83;
const KIND_UNAVAILABLE: u8 = 0x84;
