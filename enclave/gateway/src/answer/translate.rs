//! Streams that change their dialect on the way: the upstream's bytes become deltas, deltas become the client's events.

use super::relay::{End, Seen};
use crate::chat::Delta;
use crate::error::{Error, Reason};
use crate::plaintext::Plaintext;
use crate::refusal;
use crate::upstream::{Progress, UpstreamBody};
use crate::wire::dialect::{ReadStream, StreamFailure, WriteStream};

/// A stream from upstream, on its way to a client of another dialect.
pub(crate) struct Translation<B> {
    body: B,
    reader: Box<dyn ReadStream>,
    writer: Box<dyn WriteStream>,
    /// Bytes and deltas on their way; both keep their memory.
    received: Plaintext<Vec<u8>>,
    deltas: Plaintext<Vec<Delta>>,
    /// Bytes that may still come: writers keep what they need for the end, so that no answer may be endless.
    left: usize,
    seen: Seen,
}

impl<B: UpstreamBody> Translation<B> {
    /// A stream of at most `max_bytes`, as the upstream writes it.
    pub(crate) fn new(
        body: B,
        reader: Box<dyn ReadStream>,
        writer: Box<dyn WriteStream>,
        max_bytes: usize,
    ) -> Self {
        Self {
            body,
            reader,
            writer,
            received: Plaintext::default(),
            deltas: Plaintext::default(),
            left: max_bytes,
            seen: Seen::default(),
        }
    }

    /// Reads once and passes on what that completes.
    pub(crate) async fn advance(&mut self, out: &mut Vec<u8>) {
        match self.body.read(self.received.expose_mut()).await {
            Ok(Progress::Data) => {
                let Some(left) = self.left.checked_sub(self.received.expose().len()) else {
                    return self.fail(Error::AnswerTooLarge, out);
                };
                self.left = left;
                let fed = self.reader.feed(self.received.expose(), self.deltas.expose_mut());
                self.received.expose_mut().clear();
                self.pass_on(out);
                self.close(fed, false, out);
            }
            Ok(Progress::End) => {
                let finished = self.reader.finish(self.deltas.expose_mut());
                self.pass_on(out);
                self.close(finished, true, out);
            }
            Err(error) => self.fail(error.into(), out),
        }
    }

    fn pass_on(&mut self, out: &mut Vec<u8>) {
        for delta in self.deltas.expose_mut().drain(..) {
            self.seen.note(&delta);
            self.writer.write(&delta, out);
        }
    }

    fn close(&mut self, read: Result<(), StreamFailure>, at_end: bool, out: &mut Vec<u8>) {
        match read {
            Ok(()) if at_end || self.reader.is_over() => {
                self.writer.end(out);
                self.seen.end_mark = last_event(out);
                self.seen.end = Some(End::Complete);
            }
            Ok(()) => {}
            Err(failure) => self.fail(failure.into(), out),
        }
    }

    /// Before the commit point what this appends is thrown away with the attempt.
    fn fail(&mut self, error: Error, out: &mut Vec<u8>) {
        self.writer.fail(&error, out);
        self.seen.end = Some(End::Failed { error, told: true });
    }
}

impl<B> Translation<B> {
    pub(crate) const fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(crate) const fn seen_mut(&mut self) -> &mut Seen {
        &mut self.seen
    }

    /// Appends the event that tells of a failure.
    pub(crate) fn append_failure(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.writer.fail(error, out);
    }

    pub(crate) fn into_body(self) -> B {
        self.body
    }
}

/// Bytes of the last event: every event ends with an empty line and has none inside.
pub(super) fn last_event(events: &[u8]) -> usize {
    let inside = events.strip_suffix(b"\n\n").unwrap_or(events);
    let start = memchr::memmem::rfind(inside, b"\n\n").map_or(0, |at| at.saturating_add(2));
    events.len().saturating_sub(start)
}

impl From<StreamFailure> for Error {
    fn from(failure: StreamFailure) -> Self {
        match failure {
            StreamFailure::Malformed => Self::UpstreamMalformed,
            StreamFailure::Reported { status } => {
                let reason = refusal::reason(status, &[], &[]);
                if matches!(reason, Reason::Credential | Reason::Quota) {
                    // Ours is refused, not the client's.
                    return Self::UpstreamCredential;
                }
                Self::UpstreamStatus { status, reason, retry_after_ms: None, body: None }
            }
            StreamFailure::Truncated => Self::UpstreamTruncated,
        }
    }
}
