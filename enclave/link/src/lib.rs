//! What host and enclave say to each other: pure messages, no I/O.
//!
//! **Ingress** needs no message: the host connects to the enclave's listener and copies bytes.
//!
//! **Egress**: the enclave dials the host, writes one [`Request`], reads one [`Reply`]. After
//! [`Reply::Connected`] the stream carries raw bytes both ways; after [`Reply::Endorsements`] exactly
//! `length` bytes of an [`EndorsementDocument`] follow; after any other reply the stream is over.
//!
//! ```text
//! frame    = version (1 byte, 1) kind (1 byte) length (2 bytes, big-endian) payload (length bytes)
//! request  = frame, kind 0x01 connect | 0x02 endorsements
//! reply    = frame, kind 0x81 connected | 0x82 refused | 0x83 endorsements | 0x84 unavailable
//! ```
//!
//! Both ends decode incrementally: `decode` returns `Ok(None)` until a whole message is there, and an error
//! as soon as no continuation could be valid, so that neither end ever buffers more than one small frame.
//! The enclave trusts nothing that comes back: addresses are the host's word, endorsements are checked by
//! signature.
//!
//! ```
//! use link::{HostName, Reply, Request};
//!
//! let request = Request::Connect { host: HostName::new("api.example.com")?, port: 443 };
//! let bytes = request.encode();
//! assert_eq!(Request::decode(&bytes)?, Some((request, bytes.len())));
//! assert_eq!(Reply::decode(&Reply::Connected.encode())?, Some((Reply::Connected, 4)));
//! # Ok::<(), link::LinkError>(())
//! ```

mod error;
mod frame;
mod host_name;
mod endorsements;
mod request;
mod reply;

pub use endorsements::{AmdProduct, ChipId, EndorsementDocument, EndorsementQuery, IntelCa};
pub use error::LinkError;
pub use frame::{HEADER_BYTES, VERSION};
pub use host_name::HostName;
pub use reply::{Refusal, Reply, Unavailability};
pub use request::Request;
