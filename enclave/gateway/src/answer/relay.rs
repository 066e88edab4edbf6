//! Same-dialect streams: original events go through as they came, less the usage nobody asked for and comments.
//!
//! Comments are dropped because some of them mean something to our clients (receipts) and an upstream must not be able
//! to say it. Buffers and tables are reused: a chunk allocates nothing.

use std::sync::Arc;

use crate::chat::{FinishReason, Usage};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::provider;
use crate::upstream::{Progress, UpstreamBody};
use crate::wire::sse::{Event, Layout, Splitter};
use crate::wire::{Chunk, Frame, Request, Scratch, Wire};

/// A stream from upstream, on its way to the client.
pub(crate) struct Relay<B> {
    body: B,
    splitter: Plaintext<Splitter>,
    reader: Reader,
}

/// How the stream ended.
pub(crate) enum End {
    /// With `[DONE]`.
    Complete,
    /// Otherwise; `told` if the client has the upstream's own error event already.
    Failed { error: Error, told: bool },
}

/// Reads events one by one; apart from the splitter, so that an event can be borrowed meanwhile.
struct Reader {
    wire: &'static dyn Wire,
    at: Arc<Deployment>,
    include_usage: bool,
    scratch: Scratch,
    joined: Plaintext<Vec<u8>>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    content: bool,
    events: usize,
    end: Option<End>,
    /// Bytes of the end mark, which is the last thing that was appended.
    end_mark: usize,
}

impl<B: UpstreamBody> Relay<B> {
    pub(crate) fn new(body: B, request: &Request, at: Arc<Deployment>) -> Self {
        let reader = Reader {
            wire: request.wire,
            at,
            include_usage: request.include_usage,
            scratch: Scratch::default(),
            joined: Plaintext::default(),
            usage: None,
            finish: None,
            content: false,
            events: 0,
            end: None,
            end_mark: 0,
        };
        Self { body, splitter: Plaintext::new(Splitter::new()), reader }
    }

    /// Passes on what is buffered; if that is nothing, reads once.
    pub(crate) async fn advance(&mut self, out: &mut Vec<u8>) {
        let before = self.reader.events;
        self.pass_on(out);
        if self.reader.end.is_some() || self.reader.events != before {
            return;
        }
        match self.body.read(self.splitter.expose_mut().buffer()).await {
            Ok(Progress::Data) => self.pass_on(out),
            Ok(Progress::End) => self.finish_input(out),
            Err(error) => self.reader.fail(error.into()),
        }
    }

    fn pass_on(&mut self, out: &mut Vec<u8>) {
        while self.reader.end.is_none() {
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
        let half = matches!(self.reader.end, Some(End::Failed { error: Error::UpstreamMalformed, .. }));
        if half || self.reader.end.is_none() {
            self.reader.fail(Error::UpstreamTruncated);
        }
    }
}

impl<B> Relay<B> {
    pub(crate) const fn end(&self) -> Option<&End> {
        self.reader.end.as_ref()
    }

    /// Bytes of the end mark of a complete stream: the last ones that were appended.
    pub(crate) const fn end_mark(&self) -> usize {
        self.reader.end_mark
    }

    pub(crate) const fn has_content(&self) -> bool {
        self.reader.content
    }

    pub(crate) const fn events(&self) -> usize {
        self.reader.events
    }

    pub(crate) const fn usage(&self) -> Option<Usage> {
        self.reader.usage
    }

    pub(crate) const fn finish(&self) -> Option<FinishReason> {
        self.reader.finish
    }

    /// A failure before the first content, as an error of the attempt.
    pub(crate) fn take_early_failure(&mut self) -> Option<Error> {
        match self.reader.end.take() {
            Some(End::Failed { error, .. }) => Some(error),
            other => {
                self.reader.end = other;
                None
            }
        }
    }

    pub(crate) fn into_body(self) -> B {
        self.body
    }
}

impl Reader {
    fn fail(&mut self, error: Error) {
        self.end = Some(End::Failed { error, told: false });
    }

    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        self.events = self.events.saturating_add(1);
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
            Ok(Frame::Done) => {
                let before = out.len();
                append(event, &layout, out);
                self.end_mark = out.len().saturating_sub(before);
                self.end = Some(End::Complete);
            }
            Ok(Frame::Failure) => {
                let told = self.content && provider::may_pass_on(data, &self.at);
                if told {
                    append(event, &layout, out);
                }
                self.end = Some(End::Failed { error: Error::UpstreamFailed, told });
            }
            Err(_) => self.fail(Error::UpstreamMalformed),
        }
    }

    fn chunk(&mut self, event: Event<'_>, layout: &Layout, chunk: &Chunk, out: &mut Vec<u8>) {
        self.usage = chunk.usage.or(self.usage);
        self.finish = chunk.finish.or(self.finish);
        self.content |= chunk.content;
        self.scratch.content_seen = self.content;
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
