//! Edge-triggered epoll over standard sockets, with nanosecond time-outs (`epoll_pwait2`).
//!
//! mio rounds time-outs up to whole milliseconds, which is too coarse for a 5 ms pace.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{Timespec, epoll};

use crate::clock;

/// What happened to which registered socket.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The number given to [`Poller::add`].
    pub token: u64,
    /// The peer has closed its side or the connection is broken: reading goes on until it says so, since no other
    /// edge will come.
    pub ended: bool,
    /// Data, the peer's end of stream or an error can be read.
    pub readable: bool,
    /// Bytes can be written again.
    pub writable: bool,
}

/// One epoll instance and the events of its last wait.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poller {
    /// A poller with nothing registered.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    /// Watches a socket for both directions until it is closed.
    pub fn add(&self, source: &impl AsFd, token: u64) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
        epoll::add(&self.epoll, source, epoll::EventData::new_u64(token), flags)?;
        Ok(())
    }

    /// Waits until something is ready or the monotonic clock reaches `until_ns`, and copies what is ready to `into`.
    pub fn wait(&mut self, until_ns: Option<u64>, into: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = until_ns.map(|until| {
            let left = until.saturating_sub(clock::now_ns());
            Timespec {
                tv_sec: (left / 1_000_000_000).cast_signed(),
                tv_nsec: (left % 1_000_000_000).cast_signed(),
            }
        });
        into.clear();
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            use epoll::EventFlags as Flags;
            let flags = event.flags;
            into.push(Ready {
                token: event.data.u64(),
                ended: flags.intersects(Flags::RDHUP | Flags::HUP | Flags::ERR),
                readable: flags.intersects(Flags::IN | Flags::RDHUP | Flags::HUP | Flags::ERR),
                writable: flags.intersects(Flags::OUT | Flags::HUP | Flags::ERR),
            });
        }
        Ok(())
    }
}

const EVENTS: usize = 256;
