//! A non-blocking stream, plain or TLS: one `read` into a large buffer per wake-up, one `write` per message, the rest
//! queued until the socket takes it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use rustls::Connection;

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// The peer closed its sending side.
    End,
    /// All that was there has been read; the next edge tells of more.
    Drained,
    /// The buffer was full; more is likely there.
    More,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Transport {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    queued: Vec<u8>,
    sent: usize,
}

impl Transport {
    /// Takes over a connected or connecting non-blocking socket and switches Nagle's algorithm off.
    pub fn new(socket: TcpStream, tls: Option<Connection>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut tls = tls;
        if let Some(tls) = &mut tls {
            // A whole 1 MiB prompt is handed over at once.
            tls.set_buffer_limit(None);
        }
        Ok(Self { socket, tls: tls.map(Box::new), queued: Vec::new(), sent: 0 })
    }

    /// The socket, for registration.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// True while the TLS handshake is not complete.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// True if bytes wait for the socket to take them.
    pub fn is_blocked(&self) -> bool {
        self.sent < self.queued.len()
    }

    /// Reads once into `scratch` and appends the plain bytes to `into`.
    pub fn read(&mut self, scratch: &mut [u8], into: &mut Vec<u8>) -> io::Result<Filled> {
        let count = match self.socket.read(scratch) {
            Ok(0) => return Ok(Filled::End),
            Ok(count) => count,
            Err(error) if is_not_yet(&error) => return Ok(Filled::Drained),
            Err(error) => return Err(error),
        };
        let mut received = &scratch[..count];
        if let Some(tls) = &mut self.tls {
            let mut closed = false;
            while !received.is_empty() {
                tls.read_tls(&mut received)?;
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                closed |= state.peer_has_closed();
                take_plain(tls, state.plaintext_bytes_to_read(), into)?;
            }
            if tls.wants_write() {
                self.seal()?;
                self.flush()?;
            }
            if closed {
                return Ok(Filled::End);
            }
        } else {
            into.extend_from_slice(received);
        }
        Ok(if count < scratch.len() { Filled::Drained } else { Filled::More })
    }

    /// Sends `bytes` now if the socket takes them, the rest later.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            self.seal()?;
            return self.flush();
        }
        let mut rest = bytes;
        while !self.is_blocked() && !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_not_yet(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.queued.extend_from_slice(rest);
        Ok(())
    }

    /// Starts a client's handshake: sends what the TLS state has ready.
    pub fn start(&mut self) -> io::Result<()> {
        self.seal()?;
        self.flush()
    }

    /// Sends queued bytes as far as the socket takes them.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.is_blocked() {
            match self.socket.write(&self.queued[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.queued.clear();
        self.sent = 0;
        Ok(())
    }

    /// Says goodbye in TLS; the socket closes on drop.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The peer may be gone already; nothing is lost then.
            let _sealed = self.seal().and_then(|()| self.flush());
        }
    }

    fn seal(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.queued)?;
            }
        }
        Ok(())
    }
}

fn take_plain(tls: &mut Connection, count: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let start = into.len();
    into.resize(start + count, 0);
    tls.reader().read_exact(&mut into[start..])
}

fn is_not_yet(error: &io::Error) -> bool {
    // A connect that has not completed answers NotConnected; the edge comes when it has.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}
