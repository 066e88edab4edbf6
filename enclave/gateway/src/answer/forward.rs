//! Same-dialect streams: original events go through as they came, less the usage nobody asked for and comments.
//!
//! Comments are dropped because some of them mean something to our clients (receipts) and an upstream must not be able
//! to say it. Buffers and tables are reused: a chunk allocates nothing.

use std::sync::Arc;

use super::relay::{End, Seen};
use crate::deployment::Deployment;
use crate::error::{Error, Fault};
use crate::plaintext::Plaintext;
use crate::provider;
use crate::upstream::{Progress, UpstreamBody};
use crate::wire::sse::{Event, Layout, Splitter};
use crate::wire::{Chunk, Frame, Request, Scratch, Wire};

/// A stream from upstream, on its way to a client of the same dialect.
pub(crate) struct Forward<B> {
    body: B,
    splitter: Plaintext<Splitter>,
    reader: Reader,
}

/// Reads events one by one; apart from the splitter, so that an event can be borrowed meanwhile.
struct Reader {
    wire: &'static dyn Wire,
    at: Arc<Deployment>,
    include_usage: bool,
    scratch: Box<Scratch>,
    joined: Plaintext<Vec<u8>>,
    seen: Seen,
}

impl<B: UpstreamBody> Forward<B> {
    pub(crate) fn new(body: B, request: &Request, at: Arc<Deployment>) -> Self {
        Self::of(body, request.wire, request.include_usage, at)
    }

    /// In that format; usage that comes in events of its own goes through if it is to be included.
    pub(crate) fn of(body: B, wire: &'static dyn Wire, include_usage: bool, at: Arc<Deployment>) -> Self {
        let reader = Reader {
            wire,
            at,
            include_usage,
            scratch: Box::default(),
            joined: Plaintext::default(),
            seen: Seen::default(),
        };
        Self { body, splitter: Plaintext::new(Splitter::new()), reader }
    }

    /// Passes on what is buffered; if that is nothing, reads once.
    pub(crate) async fn advance(&mut self, out: &mut Vec<u8>) {
        let before = self.reader.seen.events;
        self.pass_on(out);
        if self.reader.seen.end.is_some() || self.reader.seen.events != before {
            return;
        }
        match self.body.read(self.splitter.expose_mut().buffer()).await {
            Ok(Progress::Data) => self.pass_on(out),
            Ok(Progress::End) => self.finish_input(out),
            Err(error) => self.reader.fail(error.into()),
        }
    }

    fn pass_on(&mut self, out: &mut Vec<u8>) {
        while self.reader.seen.end.is_none() {
            match self.splitter.expose_mut().next_event() {
                Ok(Some(event)) => self.reader.event(event, out),
                Ok(None) => return,
                Err(_) => self.reader.fail(Error::UpstreamMalformed),
            }
        }
    }

    /// The upstream has no more bytes: what is left may still be an event.
    fn finish_input(&mut self, out: &mut Vec<u8>) {
        if let Some(event) = self.splitter.expose_mut().last_event() {
            self.reader.event(event, out);
        }
        let half = matches!(self.reader.seen.end, Some(End::Failed { error: Error::UpstreamMalformed, .. }));
        let unmarked = !self.reader.wire.has_end_mark() && self.reader.seen.finish.is_some();
        if unmarked && self.reader.seen.end.is_none() {
            self.reader.seen.end = Some(End::Complete);
        } else if half || self.reader.seen.end.is_none() {
            self.reader.fail(Error::UpstreamTruncated);
        }
    }
}

impl<B> Forward<B> {
    pub(crate) const fn seen(&self) -> &Seen {
        &self.reader.seen
    }

    pub(crate) const fn seen_mut(&mut self) -> &mut Seen {
        &mut self.reader.seen
    }

    /// Appends the event that tells of a failure.
    pub(crate) fn append_failure(&self, error: &Error, out: &mut Vec<u8>) {
        self.reader.wire.append_failure(error, self.reader.scratch.next_number, out);
    }

    pub(crate) fn into_body(self) -> B {
        self.body
    }
}

impl Reader {
    fn fail(&mut self, error: Error) {
        self.seen.end = Some(End::Failed { error, told: false });
    }

    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        self.seen.events = self.seen.events.saturating_add(1);
        let layout = event.layout();
        if layout.data_lines == 0 {
            return;
        }
        let Self { scratch, joined, wire, .. } = self;
        let data = event.data(&layout, joined.expose_mut());
        if data.trim_ascii().is_empty() {
            return;
        }
        match wire.inspect_event(data, scratch) {
            Ok(Frame::Chunk(_)) if layout.named_error => self.fail(Error::UpstreamFailed),
            Ok(Frame::Chunk(chunk)) => self.chunk(event, &layout, &chunk, out),
            Ok(Frame::Done) => self.end(event, &layout, out),
            Ok(Frame::Last(chunk)) => {
                self.note(&chunk);
                self.end(event, &layout, out);
            }
            Ok(Frame::Failure { status }) => {
                let error = provider::explain_event(status, data, &self.at);
                // That our own credential is not good is none of the client's business.
                let ours = error.fault() == Fault::Gateway;
                let told = self.seen.content && !ours && provider::may_pass_on(data, &self.at);
                if told {
                    append(event, &layout, out);
                }
                self.seen.end = Some(End::Failed { error, told });
            }
            Err(_) => self.fail(Error::UpstreamMalformed),
        }
    }

    /// Appends the end mark.
    fn end(&mut self, event: Event<'_>, layout: &Layout, out: &mut Vec<u8>) {
        let before = out.len();
        append(event, layout, out);
        self.seen.end_mark = out.len().saturating_sub(before);
        self.seen.end = Some(End::Complete);
    }

    fn note(&mut self, chunk: &Chunk) {
        self.seen.usage = chunk.usage.or(self.seen.usage);
        self.seen.finish = chunk.finish.or(self.seen.finish);
        self.seen.content |= chunk.content;
        self.scratch.content_seen = self.seen.content;
    }

    fn chunk(&mut self, event: Event<'_>, layout: &Layout, chunk: &Chunk, out: &mut Vec<u8>) {
        self.note(chunk);
        match &chunk.usage_member {
            _ if self.include_usage => append(event, layout, out),
            _ if chunk.usage_only => {}
            None => append(event, layout, out),
            Some(cut) => self.append_cut(event, layout, cut, out),
        }
    }

    /// Appends an event whose data loses the bytes of `cut`.
    fn append_cut(
        &mut self,
        event: Event<'_>,
        layout: &Layout,
        cut: &std::ops::Range<usize>,
        out: &mut Vec<u8>,
    ) {
        let simple = !layout.comment && layout.terminated;
        if let Some(data) = layout.data.as_ref().filter(|_| simple) {
            let (first, second) = (data.start.saturating_add(cut.start), data.start.saturating_add(cut.end));
            out.extend_from_slice(event.raw.get(..first).unwrap_or_default());
            out.extend_from_slice(event.raw.get(second..).unwrap_or_default());
            return;
        }
        // Rare: data over several lines, or between comments. Line breaks in JSON are white space.
        let data = event.data(layout, self.joined.expose_mut());
        let kept = [data.get(..cut.start), data.get(cut.end..)];
        out.extend_from_slice(b"data: ");
        for byte in kept.into_iter().flatten().flatten() {
            out.push(if *byte == b'\n' { b' ' } else { *byte });
        }
        out.extend_from_slice(b"\n\n");
    }
}

/// Appends an event as it came, or without comments, and always ended by an empty line.
fn append(event: Event<'_>, layout: &Layout, out: &mut Vec<u8>) {
    if layout.comment || !layout.terminated {
        event.append_without_comments(out);
    } else {
        out.extend_from_slice(event.raw);
    }
}
