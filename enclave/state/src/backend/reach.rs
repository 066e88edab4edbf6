//! How a keeper's server is reached. An enclave has no network of its own: whoever opens a store lends it a way.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Pending;

/// Bytes to and from a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A way to servers.
pub trait Reach: Send + Sync {
    /// A stream to this server, in the clear.
    ///
    /// Fails with [`crate::StateError::Unavailable`]; deadlines are the caller's.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Box<dyn Stream>>;

    /// TLS over such a stream, to a server that proves to have this name.
    ///
    /// Fails with [`crate::StateError::Tls`]; deadlines are the caller's.
    fn secure<'a>(&'a self, host: &'a str, stream: Box<dyn Stream>) -> Pending<'a, Box<dyn Stream>>;
}
