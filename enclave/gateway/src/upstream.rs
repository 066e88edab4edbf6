//! The one I/O port: send an encoded call, receive a byte stream. The shell implements it, tests fake it.
//!
//! Everything runs on one thread per core, so nothing here has to be `Send`.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::deployment::{Deployment, Timeouts};
use crate::error::Error;
use crate::plaintext::{Plaintext, Secret};
use crate::refusal;

/// Sends calls upstream.
pub trait Upstream {
    /// The answer's body.
    type Body: UpstreamBody;

    /// Connects as [`crate::deployment::Endpoint`] and [`crate::deployment::Confidentiality`] demand, sends the call and
    /// reads the answer's head. Dropping the future abandons the call.
    fn send(
        &self,
        call: UpstreamCall,
    ) -> impl Future<Output = Result<UpstreamResponse<Self::Body>, SendError>>;
}

/// The body of an upstream's answer. Dropping it cancels the upstream request.
pub trait UpstreamBody {
    /// Waits for the next piece and appends it. Keeps [`Timeouts::stall`] and [`Timeouts::total`].
    ///
    /// Must be cancel safe: if the future is dropped while it waits, no byte is lost. [`Progress::End`] only when the
    /// framing of HTTP says that the body is complete; a connection that just ends is an error.
    fn read(&mut self, into: &mut Vec<u8>) -> impl Future<Output = Result<Progress, ReadError>>;
}

/// What a read did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Appended at least one byte.
    Data,
    /// The body is complete; nothing was appended.
    End,
}

/// A request, encoded for one deployment.
pub struct UpstreamCall {
    /// Where to, and how.
    pub deployment: Arc<Deployment>,
    /// HTTP method.
    pub method: &'static str,
    /// Path with the deployment's prefix.
    pub path: String,
    /// All headers but `host`, `content-length` and those of the connection, names in lower case.
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// Head fields of the client's that a provider of the same dialect gets as they came, names in lower case.
    pub passed_on: Vec<(String, Plaintext<Vec<u8>>)>,
    /// The body.
    pub body: Plaintext<BodyParts>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// A header's value; secret ones must not be logged, indexed by HPACK or compared.
#[derive(Clone)]
pub enum HeaderValue {
    /// A credential.
    Secret(Arc<Secret<Vec<u8>>>),
    /// Fixed text.
    Static(&'static str),
}

impl HeaderValue {
    /// The bytes to send.
    pub fn expose(&self) -> &[u8] {
        match self {
            Self::Secret(secret) => secret.expose(),
            Self::Static(text) => text.as_bytes(),
        }
    }

    /// Whether it is a credential.
    pub const fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }
}

/// A body as ordered slices of shared buffers: the original bytes with small pieces spliced in.
#[derive(Default)]
pub struct BodyParts {
    parts: Vec<Bytes>,
    length: usize,
}

impl BodyParts {
    /// A body of one piece.
    pub fn whole(bytes: Bytes) -> Self {
        let length = bytes.len();
        Self { parts: vec![bytes], length }
    }

    /// Appends a piece; empty ones are left out.
    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.length = self.length.saturating_add(part.len());
            self.parts.push(part);
        }
    }

    /// The pieces in order, for vectored writes.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Bytes of all pieces together.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// One contiguous copy; no copy if it is one piece already.
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            parts => {
                let mut joined = Vec::with_capacity(self.length);
                for part in parts {
                    joined.extend_from_slice(part);
                }
                joined.into()
            }
        }
    }
}

/// Whether a header of an answer with that status is looked at; the shell need not copy any other.
pub fn is_read(status: u16, name: &str) -> bool {
    let is = |read: &&str| read.eq_ignore_ascii_case(name);
    let counted = status < 300 && (is(&"x-amzn-bedrock-input-token-count") || is(&"postern-signature"));
    is(&"content-type")
        || counted
        || status >= 400 && (is(&"x-amzn-errortype") || refusal::HEADERS.iter().any(is))
}

/// The head of an upstream's answer, and its body to read.
pub struct UpstreamResponse<B> {
    /// HTTP status.
    pub status: u16,
    /// Names (any case) and raw values, at least those that [`is_read`].
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: B,
}

/// Why no head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The upstream has not proved itself as demanded.
    Attestation,
    /// No connection: refused, unreachable, not allowed by the host, TLS failed, or broke off before the head.
    Connection,
    /// What came is not HTTP.
    Protocol,
    /// A timeout passed.
    Timeout,
}

/// Why a body did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection ended before the body did.
    Broken,
    /// What came is not HTTP.
    Protocol,
    /// A timeout passed.
    Timeout,
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Attestation => Self::UpstreamAttestation,
            SendError::Connection => Self::UpstreamConnection,
            SendError::Protocol => Self::UpstreamMalformed,
            SendError::Timeout => Self::UpstreamTimeout,
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Broken => Self::UpstreamTruncated,
            ReadError::Protocol => Self::UpstreamMalformed,
            ReadError::Timeout => Self::UpstreamTimeout,
        }
    }
}
