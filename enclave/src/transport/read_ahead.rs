//! What stands between a socket and the TLS library that reads from it.
//!
//! Large transfers are read in large pieces. The TLS library asks for 4 KiB at a time, which makes 256 system calls of a
//! 1 MiB prompt; small messages, the ordinary case, must not pay for a large buffer. Measured with a 1 MiB prompt over
//! loopback TLS: 256 reads become 17, and a fifth of the CPU time goes.
//!
//! What was decrypted is wiped when there is nothing more to read. The TLS library decrypts records where it received them,
//! and keeps that buffer until the next record comes. It lends the buffer to every read, less what is not decrypted yet; so
//! a read that has to wait is the place to wipe it.

use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Reads ahead once a read has filled all the room there was, which means that more is waiting.
#[derive(Debug)]
pub struct ReadAhead<S> {
    inner: S,
    /// Received and not handed on yet; ciphertext. Without memory while the stream is quiet.
    held: Vec<u8>,
    /// How much of `held` has been handed on.
    taken: usize,
    /// The last read filled its room.
    bulk: bool,
    /// Bytes were read since the room for them was last wiped.
    dirty: bool,
}

impl<S> ReadAhead<S> {
    /// Nothing read yet.
    pub const fn new(inner: S) -> Self {
        Self { inner, held: Vec::new(), taken: 0, bulk: false, dirty: false }
    }

    /// Hands on what is held, as far as there is room for it.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.held.get(self.taken..).unwrap_or_default();
        let now = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(now);
        self.dirty = true;
        self.taken = self.taken.saturating_add(now.len());
        if self.taken >= self.held.len() {
            self.taken = 0;
            if self.bulk {
                self.held.clear();
            } else {
                self.held = Vec::new();
            }
        }
    }

    /// Wipes the room that the reader lends, once after each time that something was read.
    fn wipe(&mut self, buf: &mut ReadBuf<'_>) {
        if std::mem::take(&mut self.dirty) {
            let lent = buf.initialize_unfilled();
            lent.fill(0);
            black_box(lent);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            this.hand_on(buf);
            return Poll::Ready(Ok(()));
        }
        if !this.bulk {
            let before = buf.filled().len();
            let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(cx, buf) else {
                this.wipe(buf);
                return Poll::Pending;
            };
            read?;
            this.dirty = true;
            this.bulk = buf.remaining() == 0 && buf.filled().len() > before;
            return Poll::Ready(Ok(()));
        }
        this.held.reserve_exact(AHEAD_BYTES);
        let Poll::Ready(read) = pin!(this.inner.read_buf(&mut this.held)).poll(cx) else {
            this.held = Vec::new();
            this.bulk = false;
            this.wipe(buf);
            return Poll::Pending;
        };
        let received = read?;
        this.bulk = received >= AHEAD_BYTES;
        this.hand_on(buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// How much one system call reads of a large transfer, in bytes.
const AHEAD_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out its bytes in pieces of at most what is asked for and counts the calls; then is pending.
    struct Source {
        bytes: Vec<u8>,
        at: usize,
        calls: usize,
    }

    impl AsyncRead for Source {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            this.calls += 1;
            let rest = &this.bytes[this.at..];
            if rest.is_empty() {
                return Poll::Pending;
            }
            let count = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..count]);
            this.at += count;
            Poll::Ready(Ok(()))
        }
    }

    fn read_all(size: usize) -> (usize, bool) {
        let bytes: Vec<u8> = (0..size).map(|at: usize| u8::try_from(at % 251).unwrap()).collect();
        let mut ahead = ReadAhead::new(Source { bytes: bytes.clone(), at: 0, calls: 0 });
        let mut seen = Vec::new();
        let mut room = [0; 4096];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            let mut buf = ReadBuf::new(&mut room);
            match Pin::new(&mut ahead).poll_read(&mut cx, &mut buf) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => break,
            }
            assert!(!buf.filled().is_empty(), "an empty read means the end of the stream");
            seen.extend_from_slice(buf.filled());
        }
        assert!(seen == bytes, "{size} bytes came out differently");
        assert_eq!(ahead.held.capacity(), 0, "a quiet stream keeps no buffer");
        (ahead.inner.calls, ahead.bulk)
    }

    #[test]
    fn a_read_that_waits_wipes_the_room_it_was_lent() {
        for size in [1, 4096, 200_000] {
            let mut ahead = ReadAhead::new(Source { bytes: vec![7; size], at: 0, calls: 0 });
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let mut read = |room: &mut [u8]| {
                let mut buf = ReadBuf::new(room);
                Pin::new(&mut ahead)
                    .poll_read(&mut cx, &mut buf)
                    .map(|read| (read.unwrap(), buf.filled().len()))
            };
            let mut room = [0; 4096];
            while read(&mut room).is_ready() {
                assert!(room.contains(&7), "control: what was read is there until a read waits");
            }
            assert_eq!(room, [0; 4096], "{size}");
            room.fill(9);
            assert!(read(&mut room).is_pending());
            assert_eq!(room, [9; 4096], "it is wiped once, not over and over");
        }
    }

    #[test]
    fn every_byte_comes_once_and_large_transfers_take_few_reads() {
        for size in [0, 1, 4095, 4096, 4097, 8192, 69_631, 69_632, 69_633, 1 << 20] {
            let (calls, bulk) = read_all(size);
            assert!(!bulk, "after silence reading starts small");
            let most = 3 + size / AHEAD_BYTES;
            assert!(calls <= most, "{calls} reads of {size} bytes, expected at most {most}");
        }
    }
}
