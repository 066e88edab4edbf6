//! Copies bytes both ways between two streams until both directions have ended.
//!
//! One read and one write for each piece of data, through a buffer of 64 KiB that all connections of a worker
//! share: an idle connection holds no buffer. Only when the receiving side cannot take all of it, the
//! unwritten rest is kept, and nothing more is read in that direction until it is gone. A small piece costs
//! the same four system calls as the plainest relay. Once a read fills the buffer, the direction changes to
//! [`crate::splice`] until the flow ebbs. A connection so holds at most 64 KiB of memory or 256 KiB of pipe
//! each way, and only while its receiver is slow.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, ReadBuf},
    time::{Instant, sleep},
};

use crate::{
    log::Reason,
    splice::{Conduit, Endpoint},
};

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// [`Reason::Complete`], [`Reason::Idle`], [`Reason::NearAborted`] or [`Reason::FarAborted`].
    pub reason: Reason,
    /// Bytes from near to far.
    pub up: u64,
    /// Bytes from far to near.
    pub down: u64,
}

/// Bytes read and not yet written, over all connections that share it.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Relays between `near`, which opened the connection, and `far`, which was dialled for it.
///
/// `early` is what `near` sent already. The end of one direction is passed on while the other goes on; a
/// reset ends both. Without a byte either way for `idle` (up to a quarter more) the relay gives up.
pub async fn relay<N, F>(
    near: &mut N,
    far: &mut F,
    early: Vec<u8>,
    idle: Duration,
    in_flight: &InFlight,
) -> Outcome
where
    N: Endpoint,
    F: Endpoint,
{
    let mut up = Direction::new(in_flight);
    let mut down = Direction::new(in_flight);
    up.hold(early);
    let tick = idle / QUIET_TICKS;
    let mut timer = pin!(sleep(tick));
    let mut armed = false;
    let mut last = 0;
    let mut seen = 0;
    let mut quiet = 0;
    let reason = poll_fn(|cx| {
        let moved = SCRATCH.with_borrow_mut(|scratch| {
            let upward = up.advance(cx, near, far, scratch);
            let downward = down.advance(cx, far, near, scratch);
            match (upward, downward) {
                (Poll::Ready(Err(Side::From)), _) | (_, Poll::Ready(Err(Side::To))) => {
                    Poll::Ready(Reason::NearAborted)
                }
                (Poll::Ready(Err(Side::To)), _) | (_, Poll::Ready(Err(Side::From))) => {
                    Poll::Ready(Reason::FarAborted)
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Reason::Complete),
                (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
            }
        });
        if moved.is_ready() {
            return moved;
        }
        let total = up.moved.wrapping_add(down.moved);
        if armed && total != last && !timer.is_elapsed() {
            // The timer still knows this task; asking it again costs 0.2 us of the 7 of a small request.
            last = total;
            return Poll::Pending;
        }
        while timer.as_mut().poll_elapsed_at(cx, tick).is_ready() {
            quiet = if total == seen { quiet + 1 } else { 0 };
            seen = total;
            if quiet >= QUIET_TICKS {
                return Poll::Ready(Reason::Idle);
            }
        }
        armed = true;
        Poll::Pending
    })
    .await;
    Outcome { reason, up: up.moved, down: down.moved }
}

/// Polling a timer and starting it again.
trait Ticking {
    fn poll_elapsed_at(self: Pin<&mut Self>, cx: &mut Context<'_>, tick: Duration) -> Poll<()>;
}

impl Ticking for tokio::time::Sleep {
    fn poll_elapsed_at(mut self: Pin<&mut Self>, cx: &mut Context<'_>, tick: Duration) -> Poll<()> {
        ready!(self.as_mut().poll(cx));
        self.reset(Instant::now() + tick);
        Poll::Ready(())
    }
}

/// Which end of a direction failed.
#[derive(Clone, Copy)]
enum Side {
    From,
    To,
}

/// One direction of a connection.
struct Direction {
    /// Read and not yet written, from `written` on. Empty most of the time, and then without a heap block.
    rest: Vec<u8>,
    written: usize,
    /// Present while much is flowing.
    conduit: Option<Conduit>,
    /// The sender has ended its stream.
    ended: bool,
    /// The receiver has been told so.
    closed: bool,
    /// Bytes written.
    moved: u64,
    in_flight: InFlight,
}

impl Direction {
    fn new(in_flight: &InFlight) -> Self {
        let in_flight = in_flight.clone();
        Self { rest: Vec::new(), written: 0, conduit: None, ended: false, closed: false, moved: 0, in_flight }
    }

    fn hold(&mut self, bytes: Vec<u8>) {
        self.in_flight.0.fetch_add(bytes.len(), Ordering::Relaxed);
        self.rest = bytes;
        self.written = 0;
    }

    fn release(&mut self) {
        self.in_flight.0.fetch_sub(self.rest.len(), Ordering::Relaxed);
        self.rest = Vec::new();
        self.written = 0;
    }

    /// Moves what can be moved now. Ready when the direction is over, or broken on the side named.
    fn advance<A: Endpoint, B: Endpoint>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut A,
        to: &mut B,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Side>> {
        for _ in 0..ROUNDS {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            ready!(self.write_rest(cx, to)).map_err(|_| Side::To)?;
            if self.conduit.is_some() {
                ready!(self.splice(cx, from, to))?;
                continue;
            }
            if self.ended {
                // Not connected any more: then the other direction reports it.
                drop(ready!(Pin::new(&mut *to).poll_shutdown(cx)));
                self.closed = true;
                continue;
            }
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer)).map_err(|_| Side::From)?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.ended = true;
                continue;
            }
            let written = match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(result) => count(result).map_err(|_| Side::To)?,
                Poll::Pending => 0,
            };
            self.moved += u64::try_from(written).unwrap_or(0);
            if let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
                self.hold(rest.to_vec());
            }
            if bytes.len() == SCRATCH_BYTES && from.splices() && to.splices() {
                self.conduit = Conduit::lend();
            }
        }
        // Others' turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Empties the pipe, then fills it again; leaves when the sender pauses, ends, or sends little.
    fn splice<A: Endpoint, B: Endpoint>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut A,
        to: &mut B,
    ) -> Poll<Result<(), Side>> {
        let Some(conduit) = &mut self.conduit else { return Poll::Ready(Ok(())) };
        while conduit.held() > 0 {
            let moved = count(ready!(to.poll_drain(cx, conduit))).map_err(|_| Side::To)?;
            self.in_flight.0.fetch_sub(moved, Ordering::Relaxed);
            self.moved += u64::try_from(moved).unwrap_or(0);
        }
        match from.poll_fill(cx, conduit) {
            Poll::Ready(Ok(true)) => {
                self.in_flight.0.fetch_add(conduit.held(), Ordering::Relaxed);
            }
            Poll::Ready(Ok(false)) => {
                self.ended = true;
                self.return_conduit();
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Side::From)),
            Poll::Pending => {
                self.return_conduit();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn return_conduit(&mut self) {
        if let Some(conduit) = self.conduit.take() {
            self.in_flight.0.fetch_sub(conduit.held(), Ordering::Relaxed);
            conduit.give_back();
        }
    }

    fn write_rest<B: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut B,
    ) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.rest.get(self.written..).filter(|bytes| !bytes.is_empty()) {
            let written = count(ready!(Pin::new(&mut *to).poll_write(cx, bytes)))?;
            self.written += written;
            self.moved += u64::try_from(written).unwrap_or(0);
        }
        if !self.rest.is_empty() {
            self.release();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Direction {
    fn drop(&mut self) {
        self.return_conduit();
        self.release();
    }
}

/// A write of nothing would loop for ever.
fn count(result: io::Result<usize>) -> io::Result<usize> {
    result.and_then(|written| if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
}

thread_local! {
    /// What one worker reads into; never held across an await.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Largest piece moved at once, and so the most that is held each way.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Pieces moved before other connections of the worker get their turn.
const ROUNDS: usize = 16;

/// The idle timeout is counted in this many ticks, so that moving a byte never touches a timer.
const QUIET_TICKS: u32 = 4;

#[cfg(test)]
mod tests;
