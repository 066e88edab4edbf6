//! The body of an answer that came over a verified channel. It ends normally only if its framing says so: a length
//! that was reached, a last chunk, and for event streams the terminal event. Everything else is an error.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::event_stream::{EventStream, Terminal};
use crate::error::{Error, Truncation};

/// Streams an answer as it arrives, without holding anything back.
#[derive(Debug)]
pub struct VerifiedBody {
    inner: Incoming,
    events: Option<EventStream>,
    deadline: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Complete,
    Failed,
    Open,
}

impl VerifiedBody {
    /// Refuses a head that announces no end for its body.
    pub(super) fn wrap(
        response: Response<Incoming>,
        head_only: bool,
        terminal: Terminal,
    ) -> Result<Response<Self>, Truncation> {
        let bodyless = head_only
            || response.status().is_informational()
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let headers = response.headers();
        if !bodyless && !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
            return Err(Truncation::Unframed);
        }
        let is_events = !bodyless
            && headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
                value.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
            });
        let mut response = response;
        if is_events {
            // The end of an event stream is its terminal event; a length would let it end without one.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        Ok(response.map(|inner| Self {
            state: if inner.is_end_stream() && !is_events { State::Complete } else { State::Open },
            events: is_events.then(|| EventStream::new(terminal)),
            deadline: Box::pin(tokio::time::sleep(HARD_LIMIT)),
            inner,
        }))
    }

    /// Whether the whole answer has been read and its end was a proper one.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.events.as_ref().is_some_and(|events| !events.is_complete()) {
            return self.fail(Truncation::TerminalEvent);
        }
        self.state = State::Complete;
        Poll::Ready(None)
    }

    fn fail(&mut self, how: Truncation) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.state = State::Failed;
        Poll::Ready(Some(Err(Error::Truncated(how))))
    }
}

impl Body for VerifiedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.state != State::Open {
            return Poll::Ready(None);
        }
        if self.deadline.as_mut().poll(context).is_ready() {
            return self.fail(Truncation::HardLimit);
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => self.end(),
            Some(Err(_)) => self.fail(Truncation::Body),
            Some(Ok(frame)) => {
                if let (Some(events), Some(data)) = (self.events.as_mut(), frame.data_ref()) {
                    events.feed(data);
                }
                if self.events.is_none() && self.inner.is_end_stream() {
                    self.state = State::Complete;
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Complete
    }

    fn size_hint(&self) -> SizeHint {
        if self.events.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

/// An answer in flight may outlive its evidence by so much (`protocol.md` A6, step 5).
const HARD_LIMIT: Duration = Duration::from_mins(30);
