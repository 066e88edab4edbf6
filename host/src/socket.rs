//! Listeners and streams over TCP, Unix sockets and vsock, all without Nagle's delay.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{fs::FileTypeExt, net::UnixStream as StdUnixStream},
    },
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::sleep,
};
use tokio_vsock::{VsockAddr, VsockListener, VsockStream};

use crate::address::Address;

/// A connected stream of any of the three kinds.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
    /// Vsock.
    Vsock(VsockStream),
}

impl Stream {
    /// Dials; a full accept queue of a Unix listener is waited for. The caller bounds the time.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(UNIX_RETRY).await,
                    other => return other.map(Self::Unix),
                }
            },
            Address::Vsock { cid, port } => {
                VsockStream::connect(VsockAddr::new(*cid, *port)).await.map(Self::Vsock)
            }
            Address::Hvsock { path, port } => hybrid(path, *port).await.map(Self::Unix),
        }
    }

    /// Makes the coming close an abort where the kind of socket has one (TCP: RST instead of FIN), so that
    /// a broken stream does not look like a finished one.
    pub fn abort_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // Fails only on a socket that is dead already.
            drop(stream.set_zero_linger());
        }
    }
}

/// Asks a machine monitor for a port of its guest, in its own small protocol: `CONNECT PORT`, answered by `OK` and a
/// number, each a line. Where the guest does not listen, the monitor hangs up.
async fn hybrid(path: &Path, port: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
    let mut line = Vec::new();
    // What follows the line is the guest's already, so it is read byte by byte.
    while line.last() != Some(&b'\n') {
        if line.len() == HYBRID_ANSWER_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.push(stream.read_u8().await.map_err(|_| io::ErrorKind::ConnectionRefused)?);
    }
    if line.starts_with(b"OK ") { Ok(stream) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
}

/// Longest answer to `CONNECT`.
const HYBRID_ANSWER_BYTES: usize = 32;

/// Most that is written to a vsock at once. User-space back ends stall on guests' larger packets since kernels split them
/// over several descriptors, so both sides stay below.
const VSOCK_WRITE_BYTES: usize = 32 * 1024;

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Vsock(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Vsock(stream) => {
                let capped = bytes.get(..VSOCK_WRITE_BYTES).unwrap_or(bytes);
                Pin::new(stream).poll_write(cx, capped)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Vsock(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A listener inside one worker's runtime.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix.
    Unix(UnixListener),
    /// Vsock.
    Vsock(VsockListener),
}

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP address.
    Tcp(SocketAddr),
    /// Some process on this machine.
    Unix,
    /// A virtual machine, by context.
    Vsock(u32),
}

impl Listener {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// Those of `accept(2)`.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
            Self::Vsock(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Vsock(stream), Peer::Vsock(peer.cid())))
            }
        }
    }
}

/// A bound socket that no runtime owns yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: Address,
}

impl Bound {
    /// Binds and listens. Port 0 takes a free port; [`Bound::address`] tells which.
    ///
    /// A Unix socket file whose listener is gone is replaced, a living one is not. Accepted TCP connections
    /// inherit the no-delay option from the listener (Linux).
    ///
    /// # Errors
    /// Those of `bind(2)`; `AddrInUse` when somebody listens there.
    pub fn new(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Self::tcp(*address),
            Address::Unix(path) => Self::unix(path, address),
            Address::Hvsock { path, port } => Self::unix(&Address::hvsock_listener(path, *port), address),
            Address::Vsock { cid, port } => {
                let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
                Self::listen(socket, &SockAddr::vsock(*cid, *port), address.clone())
            }
        }
    }

    /// Several workers share one TCP port (`SO_REUSEPORT`), each with its own accept queue, and so would a
    /// second program of the same user: hence the first, exclusive, attempt.
    fn tcp(address: SocketAddr) -> io::Result<Self> {
        drop(tcp_socket(address, false)?);
        let socket = tcp_socket(address, true)?;
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        socket.listen(BACKLOG)?;
        Ok(Self { socket, address: Address::Tcp(bound) })
    }

    fn unix(path: &Path, address: &Address) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        Self::listen(socket, &SockAddr::unix(path)?, address.clone())
    }

    fn listen(socket: Socket, at: &SockAddr, address: Address) -> io::Result<Self> {
        socket.bind(at)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The same address for one more worker: an accept queue of its own on TCP, a shared one otherwise.
    ///
    /// # Errors
    /// Those of `bind(2)` and `dup(2)`.
    pub fn another(&self) -> io::Result<Self> {
        let socket = match &self.address {
            Address::Tcp(address) => {
                let socket = tcp_socket(*address, true)?;
                socket.listen(BACKLOG)?;
                socket
            }
            Address::Unix(_) | Address::Vsock { .. } | Address::Hvsock { .. } => self.socket.try_clone()?,
        };
        Ok(Self { socket, address: self.address.clone() })
    }

    /// Gives the socket to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn into_listener(self) -> io::Result<Listener> {
        match self.address {
            Address::Tcp(_) => TcpListener::from_std(self.socket.into()).map(Listener::Tcp),
            Address::Unix(_) | Address::Hvsock { .. } => {
                UnixListener::from_std(self.socket.into()).map(Listener::Unix)
            }
            Address::Vsock { .. } => Ok(Listener::Vsock(VsockListener::from(OwnedFd::from(self.socket)))),
        }
    }
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => match StdUnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
        },
    }
}

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Pause before a Unix listener with a full accept queue is tried again.
const UNIX_RETRY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn loopback() -> Address {
        "tcp:127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn a_second_program_cannot_take_a_port_in_use() {
        let first = Bound::new(&loopback()).unwrap();
        assert_eq!(Bound::new(first.address()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(first.another().unwrap().address(), first.address(), "its own workers can");
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let address = Address::Unix(path.clone());
        let first = Bound::new(&address).unwrap();
        assert_eq!(Bound::new(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(path.exists(), "control: the file outlives its listener");
        drop(Bound::new(&address).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's file").unwrap();
        assert_eq!(Bound::new(&address).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    /// A monitor that answers `CONNECT 7` with `answer` and hands on what follows.
    fn monitor(path: &Path, answer: &'static str) -> thread::JoinHandle<(String, Vec<u8>)> {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 10];
            io::Read::read_exact(&mut stream, &mut asked).unwrap();
            io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
            drop(stream.shutdown(std::net::Shutdown::Write));
            let mut rest = Vec::new();
            // Whoever did not like the answer may have left some of it.
            drop(io::Read::read_to_end(&mut stream, &mut rest));
            (String::from_utf8(asked.to_vec()).unwrap(), rest)
        })
    }

    #[tokio::test]
    async fn a_guest_is_reached_through_its_monitor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v");
        let address = Address::Hvsock { path: path.clone(), port: 7 };
        let good = monitor(&path, "OK 1073741824\nfrom the guest");
        let mut stream = Stream::connect(&address).await.unwrap();
        stream.write_all(b"to the guest").await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        drop(stream);
        assert_eq!(said, b"from the guest", "nothing of it is taken for the answer");
        assert_eq!(good.join().unwrap(), ("CONNECT 7\n".to_owned(), b"to the guest".to_vec()));
        for (answer, kind) in [
            ("", io::ErrorKind::ConnectionRefused),
            ("OK 1", io::ErrorKind::ConnectionRefused),
            ("NO\n", io::ErrorKind::ConnectionRefused),
            ("OK 00000000000000000000000000000000\n", io::ErrorKind::InvalidData),
        ] {
            fs::remove_file(&path).unwrap();
            let bad = monitor(&path, answer);
            assert_eq!(Stream::connect(&address).await.unwrap_err().kind(), kind, "{answer}");
            bad.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_guest_dials_is_accepted_beside_the_monitors_socket() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Hvsock { path: folder.path().join("v"), port: 9000 };
        let listener = Bound::new(&address).unwrap().into_listener().unwrap();
        let dialled = UnixStream::connect(folder.path().join("v_9000"));
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        dialled.unwrap();
        assert_eq!(accepted.unwrap().1, Peer::Unix);
    }

    #[tokio::test]
    async fn both_ends_have_no_delay() {
        let listener = Bound::new(&loopback()).unwrap();
        let address = listener.address().clone();
        let listener = listener.into_listener().unwrap();
        let (dialled, accepted) = tokio::join!(Stream::connect(&address), listener.accept());
        for stream in [dialled.unwrap(), accepted.unwrap().0] {
            let Stream::Tcp(stream) = stream else { panic!("not TCP") };
            assert!(stream.nodelay().unwrap());
        }
    }
}
