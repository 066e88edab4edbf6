//! New connections to upstreams: through the host, and TLS inside unless the deployment is plain.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use gateway::deployment::{Endpoint, TlsRoots};
use gateway::upstream::SendError;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::host_link::HostLink;
use crate::transport::{ReadAhead, Transport};
use crate::upstream::web_pki;

/// Makes connections for one worker.
pub struct Connector {
    host: Option<HostLink>,
    /// Made when first needed, one for each set of authorities.
    connectors: RefCell<Vec<(TlsRoots, TlsConnector)>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Connector").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Connector {
    /// Connections go through `host`; without one there are none.
    pub fn new(host: Option<HostLink>) -> Self {
        Self { host, connectors: RefCell::default() }
    }

    /// A fresh connection, ready for a request.
    ///
    /// # Errors
    /// [`SendError::Connection`] whatever failed: a host that refuses and a certificate that does not fit
    /// look the same to the client, and both say "try elsewhere".
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<UpstreamStream, SendError> {
        let link = self.host.as_ref().ok_or(SendError::Connection)?;
        let dial = async |host: &str, port| link.connect(host, port).await.map_err(|_| SendError::Connection);
        match endpoint {
            Endpoint::Builtin => Err(SendError::Connection),
            Endpoint::Http { host, port } => dial(host, *port).await.map(UpstreamStream::Plain),
            Endpoint::Https { host, port, roots } => {
                let name = ServerName::try_from(host.as_ref()).map_err(|_| SendError::Connection)?.to_owned();
                let connector = self.connector(roots).ok_or(SendError::Connection)?;
                let stream = connector.connect(name, ReadAhead::new(dial(host, *port).await?)).await;
                stream.map(|stream| UpstreamStream::Tls(Box::new(stream))).map_err(|_| SendError::Connection)
            }
        }
    }

    /// What shakes hands with those for whom these authorities vouch.
    fn connector(&self, roots: &TlsRoots) -> Option<TlsConnector> {
        let mut made = self.connectors.borrow_mut();
        if let Some((_, connector)) = made.iter().find(|(own, _)| own == roots) {
            return Some(connector.clone());
        }
        let connector = web_pki::connector(roots).ok()?;
        if made.len() >= CONNECTORS {
            // Most are of configurations that were replaced.
            made.clear();
        }
        made.push((roots.clone(), connector.clone()));
        Some(connector)
    }
}

/// Most sets of authorities that are kept ready.
const CONNECTORS: usize = 64;

/// A connection to an upstream.
#[derive(Debug)]
pub enum UpstreamStream {
    /// Plain bytes, for loopback and private networks that the configuration allows.
    Plain(Transport),
    /// TLS 1.3.
    Tls(Box<TlsStream<ReadAhead<Transport>>>),
}

impl UpstreamStream {
    /// Whether one write of many slices is one system call.
    pub fn gathers(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(_) => true,
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.gathers()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
