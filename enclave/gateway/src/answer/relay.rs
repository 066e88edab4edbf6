//! A stream on its way from an upstream to the client, whichever way it goes, and what has been seen of it.

use bytes::Bytes;

use super::forward::Forward;
use super::translate::Translation;
use crate::chat::{Delta, FinishReason, Usage};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::upstream::UpstreamBody;
use crate::wire::Wire;

/// A stream from upstream, on its way to the client.
pub(crate) enum Relay<B> {
    /// In the dialect it came in.
    Same(Forward<B>),
    /// In another one.
    Translated(Translation<B>),
    /// From a cache.
    Replayed(Replayed),
}

/// A stored stream on its way to the client, event by event.
pub(crate) struct Replayed {
    events: Plaintext<Bytes>,
    at: usize,
    wire: &'static dyn Wire,
    seen: Seen,
}

impl Replayed {
    /// The events of a complete stream.
    pub(crate) fn new(
        events: Plaintext<Bytes>,
        usage: Option<Usage>,
        finish: Option<FinishReason>,
        wire: &'static dyn Wire,
    ) -> Self {
        let seen = Seen { usage, finish, content: true, ..Seen::default() };
        Self { events, at: 0, wire, seen }
    }

    fn advance(&mut self, out: &mut Vec<u8>) {
        let rest = self.events.expose().get(self.at..).unwrap_or_default();
        let end = memchr::memmem::find(rest, b"\n\n").map_or(rest.len(), |at| at.saturating_add(2));
        out.extend_from_slice(rest.get(..end).unwrap_or_default());
        self.at = self.at.saturating_add(end);
        self.seen.events = self.seen.events.saturating_add(1);
        if self.at >= self.events.expose().len() {
            self.seen.end_mark = if self.wire.has_end_mark() { end } else { 0 };
            self.seen.end = Some(End::Complete);
        }
    }
}

/// What has been seen of a stream.
#[derive(Default)]
pub(crate) struct Seen {
    /// The latest report.
    pub(super) usage: Option<Usage>,
    /// Why the first choice stopped.
    pub(super) finish: Option<FinishReason>,
    /// The client has something: the commit point is reached.
    pub(super) content: bool,
    /// Events or deltas so far.
    pub(super) events: usize,
    /// The stream is over.
    pub(super) end: Option<End>,
    /// Bytes of the end mark, which is the last thing that was appended.
    pub(super) end_mark: usize,
}

/// How the stream ended.
pub(crate) enum End {
    /// With the dialect's end mark.
    Complete,
    /// Otherwise; `told` if the client has an error event already.
    Failed { error: Error, told: bool },
}

impl<B: UpstreamBody> Relay<B> {
    /// Passes on what is buffered; if that is nothing, reads once.
    pub(crate) async fn advance(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Same(forward) => forward.advance(out).await,
            Self::Translated(translation) => translation.advance(out).await,
            Self::Replayed(replayed) => replayed.advance(out),
        }
    }
}

impl<B> Relay<B> {
    const fn seen(&self) -> &Seen {
        match self {
            Self::Same(forward) => forward.seen(),
            Self::Translated(translation) => translation.seen(),
            Self::Replayed(replayed) => &replayed.seen,
        }
    }

    const fn seen_mut(&mut self) -> &mut Seen {
        match self {
            Self::Same(forward) => forward.seen_mut(),
            Self::Translated(translation) => translation.seen_mut(),
            Self::Replayed(replayed) => &mut replayed.seen,
        }
    }

    pub(crate) const fn end(&self) -> Option<&End> {
        self.seen().end.as_ref()
    }

    /// Bytes of the end mark of a complete stream: the last ones that were appended.
    pub(crate) const fn end_mark(&self) -> usize {
        self.seen().end_mark
    }

    pub(crate) const fn has_content(&self) -> bool {
        self.seen().content
    }

    pub(crate) const fn events(&self) -> usize {
        self.seen().events
    }

    pub(crate) const fn usage(&self) -> Option<Usage> {
        self.seen().usage
    }

    pub(crate) const fn finish(&self) -> Option<FinishReason> {
        self.seen().finish
    }

    /// A failure before the first content, as an error of the attempt.
    pub(crate) fn take_early_failure(&mut self) -> Option<Error> {
        let seen = self.seen_mut();
        match seen.end.take() {
            Some(End::Failed { error, .. }) => Some(error),
            other => {
                seen.end = other;
                None
            }
        }
    }

    /// How it ended.
    pub(crate) fn into_end(mut self) -> Option<End> {
        self.seen_mut().end.take()
    }

    /// Appends the event that tells how a failed stream ended, if the client has not been told.
    pub(crate) fn tell_failure(&mut self, out: &mut Vec<u8>) {
        let Self::Same(forward) = self else { return };
        if let Some(End::Failed { error, told: false }) = &forward.seen().end {
            forward.append_failure(error, out);
        }
    }

    /// Appends the event that tells of a failure, which ends the stream.
    pub(crate) fn append_failure(&mut self, error: &Error, out: &mut Vec<u8>) {
        match self {
            Self::Same(forward) => forward.append_failure(error, out),
            Self::Translated(translation) => translation.append_failure(error, out),
            Self::Replayed(replayed) => {
                let number = u64::try_from(replayed.seen.events).unwrap_or(u64::MAX);
                replayed.wire.append_failure(error, number, out);
            }
        }
    }

    pub(crate) fn into_body(self) -> Option<B> {
        match self {
            Self::Same(forward) => Some(forward.into_body()),
            Self::Translated(translation) => Some(translation.into_body()),
            Self::Replayed(_) => None,
        }
    }
}

impl Seen {
    /// Takes note of one delta of a translated stream.
    pub(super) fn note(&mut self, delta: &Delta) {
        self.events = self.events.saturating_add(1);
        match delta {
            Delta::Begin { .. } | Delta::Citation { .. } => {}
            Delta::Usage(usage) => self.usage = Some(*usage),
            Delta::Finish { choice, reason, .. } => {
                self.content = true;
                if *choice == 0 {
                    self.finish = Some(*reason);
                }
            }
            Delta::Refusal { text, .. } | Delta::Text { text, .. } => self.content |= !text.is_empty(),
            Delta::Reasoning { .. } | Delta::ToolArguments { .. } | Delta::ToolCall { .. } => {
                self.content = true;
            }
        }
    }
}
