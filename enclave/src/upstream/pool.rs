//! Connections to upstreams that are idle and may be used again, per worker thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use gateway::deployment::Endpoint;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::connection::UpstreamStream;

/// How long an idle connection is kept. Short for the same reason as on the client's side: whatever the last
/// exchange left in its buffers goes with it.
pub const IDLE_TIME: Duration = Duration::from_secs(5);
/// Idle connections kept per endpoint.
const KEPT: usize = 1024;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<Vec<(Endpoint, Vec<Idle>)>>,
}

#[derive(Debug)]
struct Idle {
    stream: UpstreamStream,
    since: Instant,
}

impl Pool {
    /// The connection used last, if one is idle, young and silent.
    pub fn take(&self, endpoint: &Endpoint) -> Option<UpstreamStream> {
        let mut idle = self.idle.borrow_mut();
        let (_, kept) = idle.iter_mut().find(|(of, _)| of == endpoint)?;
        while let Some(mut candidate) = kept.pop() {
            if candidate.since.elapsed() >= IDLE_TIME {
                // Those below it are older still.
                kept.clear();
            } else if is_silent(&mut candidate.stream) {
                return Some(candidate.stream);
            }
        }
        None
    }

    /// Keeps a connection whose last exchange is complete, if it is silent. Looking whether it is makes it wait for more,
    /// which wipes what the last answer left in the TLS library's buffer ([`crate::transport::ReadAhead`]).
    pub fn keep(&self, endpoint: &Endpoint, mut stream: UpstreamStream) {
        if !is_silent(&mut stream) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let entry = Idle { stream, since: Instant::now() };
        match idle.iter_mut().find(|(of, _)| of == endpoint) {
            Some((_, kept)) if kept.len() < KEPT => kept.push(entry),
            Some(_) => {}
            None => idle.push((endpoint.clone(), vec![entry])),
        }
    }

    /// Closes what has been idle too long; called now and then by the worker.
    pub fn sweep(&self) {
        for (_, kept) in self.idle.borrow_mut().iter_mut() {
            kept.retain(|entry| entry.since.elapsed() < IDLE_TIME);
        }
    }
}

/// An idle connection has nothing to say. Bytes, an end or an error all mean that it cannot be used.
fn is_silent(stream: &mut UpstreamStream) -> bool {
    let mut byte = [0; 1];
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let look = poll_fn(|cx| match Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)) {
        Poll::Pending => Poll::Ready(true),
        Poll::Ready(_) => Poll::Ready(false),
    });
    matches!(std::pin::pin!(look).poll(&mut context), Poll::Ready(true))
}
