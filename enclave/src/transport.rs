//! Byte streams to and from the host: TCP, Unix socket or vsock. Everything here is in the host's hands.

mod read_ahead;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockStream};

pub use read_ahead::ReadAhead;

/// Where to listen or dial: `tcp:IP:PORT`, `unix:PATH`, `vsock:PORT` (listen) or `vsock:CID:PORT`.
///
/// IP addresses only: the enclave resolves no names, because nothing it believes may depend on DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `tcp:IP:PORT`.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `vsock:CID:PORT`.
    Vsock {
        /// Context id; 2 is the host.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once(':').ok_or(AddressError)?;
        match scheme {
            "tcp" => rest.parse().map(Self::Tcp).map_err(|_| AddressError),
            "unix" if !rest.is_empty() => Ok(Self::Unix(PathBuf::from(rest))),
            "vsock" => {
                let (cid, port) = match rest.split_once(':') {
                    Some((cid, port)) => (cid.parse().map_err(|_| AddressError)?, port),
                    None => (VMADDR_CID_ANY, rest),
                };
                Ok(Self::Vsock { cid, port: port.parse().map_err(|_| AddressError)? })
            }
            _ => Err(AddressError),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp:{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(out, "vsock:{cid}:{port}"),
        }
    }
}

/// The text is not an address of one of the three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError;

impl std::fmt::Display for AddressError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("not an address: write tcp:IP:PORT, unix:PATH or vsock:CID:PORT")
    }
}

impl std::error::Error for AddressError {}

/// A bound listening socket. Every worker accepts from a clone of the same one.
#[derive(Debug)]
pub enum Listening {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix socket.
    Unix(std::os::unix::net::UnixListener),
    /// vsock; opened by the first worker, which alone accepts.
    Vsock(VsockAddr),
}

impl Listening {
    /// Binds `address`. A stale Unix socket file that nobody listens on is replaced.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let domain = socket2::Domain::for_address(*address);
                let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
                socket.set_reuse_address(true)?;
                socket.bind(&(*address).into())?;
                socket.listen(4096)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Tcp(socket.into()))
            }
            Address::Unix(path) => {
                if std::os::unix::net::UnixStream::connect(path).is_err() {
                    // Nobody answers: what is left of an earlier run may go. A missing file is the usual case.
                    drop(std::fs::remove_file(path));
                }
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(listener))
            }
            Address::Vsock { cid, port } => Ok(Self::Vsock(VsockAddr::new(*cid, *port))),
        }
    }

    /// The address with the port the kernel chose.
    pub fn local_address(&self, asked: &Address) -> Address {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| asked.clone(), Address::Tcp),
            Self::Unix(_) | Self::Vsock(_) => asked.clone(),
        }
    }

    /// A listener on the current thread's runtime; `None` where `worker` has nothing to accept.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn on_worker(&self, worker: usize) -> io::Result<Option<Listener>> {
        Ok(match self {
            Self::Tcp(listener) => {
                Some(Listener::Tcp(tokio::net::TcpListener::from_std(listener.try_clone()?)?))
            }
            Self::Unix(listener) => {
                Some(Listener::Unix(tokio::net::UnixListener::from_std(listener.try_clone()?)?))
            }
            Self::Vsock(address) if worker == 0 => {
                Some(Listener::Vsock(tokio_vsock::VsockListener::bind(*address)?))
            }
            Self::Vsock(_) => None,
        })
    }
}

/// A listener registered with one worker's runtime.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(tokio::net::TcpListener),
    /// Unix socket.
    Unix(tokio::net::UnixListener),
    /// vsock.
    Vsock(tokio_vsock::VsockListener),
}

impl Listener {
    /// The next connection, with Nagle's algorithm off: a held-back second segment costs 40 ms.
    ///
    /// # Errors
    /// What the kernel says; most are about one connection and the listener stays good.
    pub async fn accept(&self) -> io::Result<Transport> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Transport::Tcp(stream))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Transport::Unix(stream)),
            Self::Vsock(listener) => listener.accept().await.map(|(stream, _)| Transport::Vsock(stream)),
        }
    }
}

/// One connected byte stream.
#[derive(Debug)]
pub enum Transport {
    /// TCP, without Nagle's algorithm.
    Tcp(TcpStream),
    /// Unix socket.
    Unix(UnixStream),
    /// vsock.
    Vsock(VsockStream),
}

impl Transport {
    /// Connects to `address`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn dial(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Address::Vsock { cid, port } => {
                VsockStream::connect(VsockAddr::new(*cid, *port)).await.map(Self::Vsock)
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Vsock(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            // A larger single write fails on some hypervisors' vsock back ends.
            Self::Vsock(stream) => {
                let capped = buf.get(..VSOCK_WRITE_BYTES).unwrap_or(buf);
                Pin::new(stream).poll_write(cx, capped)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            stream @ Self::Vsock(_) => {
                let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
                Pin::new(stream).poll_write(cx, first)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        !matches!(self, Self::Vsock(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Vsock(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Vsock(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

const VSOCK_WRITE_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print_the_same() {
        for text in ["tcp:127.0.0.1:8443", "tcp:[::1]:1", "unix:/run/a b.sock", "vsock:2:9000"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("vsock:5".parse(), Ok(Address::Vsock { cid: VMADDR_CID_ANY, port: 5 }));
        for bad in ["", "tcp:localhost:1", "127.0.0.1:1", "unix:", "vsock:a", "vsock:1:2:3", "http://x"] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError), "{bad}");
        }
    }
}
