//! What somebody on the wire sees of a TLS connection: sizes and times of records, and nothing else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One TLS record from the enclave.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Bytes, without the five of the record's head.
    pub size: usize,
    /// When its last byte was read.
    pub at: Instant,
}

/// What was seen since it was last taken.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Wire>>);

#[derive(Debug, Default)]
struct Wire {
    records: Vec<Record>,
    /// The beginning of a record.
    held: Vec<u8>,
}

impl Seen {
    /// The records since the last call.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().unwrap().records)
    }

    fn read(&self, bytes: &[u8]) {
        let mut wire = self.0.lock().unwrap();
        wire.held.extend_from_slice(bytes);
        while let [_, _, _, high, low, rest @ ..] = wire.held.as_slice() {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            if rest.len() < size {
                return;
            }
            wire.held.drain(..5 + size);
            wire.records.push(Record { size, at: Instant::now() });
        }
    }
}

/// A connection whose incoming records are noted.
#[derive(Debug)]
pub struct Tapped {
    stream: TcpStream,
    seen: Seen,
}

impl Tapped {
    /// Notes what comes in on `stream`.
    pub fn new(stream: TcpStream) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { stream, seen: seen.clone() }, seen)
    }
}

impl AsyncRead for Tapped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.seen.read(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
