//! Streams of `streamGenerateContent`: server-sent events without an end mark.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::answer::{
    Ending, Piece, call_id, call_part, ending, identified, last, piece, pieces, text_part, thought_part,
    visible,
};
use super::grounding::{self, Parts};
use super::shape::{Response, UsageMetadata};
use crate::chat::citation::{Citation, MAX_CITATIONS};
use crate::chat::completion::Delta;
use crate::chat::conversation::ToolCall;
use crate::chat::tool_names::ToolNames;
use crate::chat::{FinishReason, Usage};
use crate::error::{Error, Shape};
use crate::wire::dialect::{ReadStream, Shown, StreamFailure, WriteStream};
use crate::wire::sse::{Event, Splitter};

/// Reads an upstream's stream of events.
pub(super) struct Reader {
    splitter: Splitter,
    joined: Vec<u8>,
    names: ToolNames,
    /// The answer's id, or its first event if it has none.
    named_by: Option<String>,
    /// Calls so far, by candidate.
    calls: BTreeMap<u64, u64>,
    /// Text so far, by candidate: what it rests on comes at its end.
    texts: BTreeMap<u64, Parts>,
    /// The latest of that: some pieces repeat it.
    cited: BTreeMap<u64, Vec<Citation>>,
    model: String,
    web_searches: u64,
    finished: bool,
}

impl Reader {
    pub(super) const fn new(names: ToolNames) -> Self {
        Self {
            splitter: Splitter::new(),
            joined: Vec::new(),
            names,
            named_by: None,
            calls: BTreeMap::new(),
            texts: BTreeMap::new(),
            cited: BTreeMap::new(),
            model: String::new(),
            web_searches: 0,
            finished: false,
        }
    }

    fn event(&mut self, event: Event<'_>, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let layout = event.layout();
        if layout.data_lines == 0 {
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.joined);
        let outcome = self.data(event.data(&layout, &mut joined), deltas);
        self.joined = joined;
        outcome
    }

    fn data(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let text = std::str::from_utf8(data).map_err(|_| StreamFailure::Malformed)?;
        let response: Response<'_> = serde_json::from_str(text).map_err(|_| StreamFailure::Malformed)?;
        if let Some(error) = response.error {
            return Err(StreamFailure::Reported { status: status(error) });
        }
        let id = response.id.map(Cow::into_owned).unwrap_or_default();
        if self.named_by.is_none() {
            self.named_by = Some(if id.is_empty() { text.to_owned() } else { id.clone() });
            let model = response.model_version.map(Cow::into_owned).unwrap_or_default();
            self.model.clone_from(&model);
            deltas.push(Delta::Begin { id, model });
        }
        let blocked = response.prompt_feedback.is_some_and(|own| own.block_reason.is_some());
        if response.candidates.is_empty() && blocked {
            self.finished = true;
            deltas.push(Delta::Finish {
                choice: 0,
                reason: FinishReason::ContentFilter,
                stop_sequence: None,
            });
        }
        for own in response.candidates {
            for part in own.content.into_iter().flat_map(|content| content.parts) {
                self.texts.entry(own.index).or_default().extend(visible(&part));
                self.part(own.index, part, deltas);
            }
            self.cite(own.index, own.grounding_metadata, own.citation_metadata);
            if let Some(word) = own.finish_reason {
                let called = self.calls.contains_key(&own.index);
                let Ending::Finish(reason) = ending(&word, called) else {
                    return Err(StreamFailure::Reported { status: 502 });
                };
                self.finished = true;
                let choice = own.index;
                let cited = self.cited.remove(&choice).into_iter().flatten();
                deltas.extend(cited.map(|citation| Delta::Citation { choice, citation }));
                deltas.push(Delta::Finish { choice, reason, stop_sequence: None });
            }
        }
        let web_searches = self.web_searches;
        let usage = response.usage_metadata.map(|own| Usage { web_searches, ..own.canonical() });
        deltas.extend(usage.map(Delta::Usage));
        Ok(())
    }

    /// What a candidate rests on stands in one of its pieces, which is one of the last.
    fn cite(&mut self, choice: u64, found: Option<&RawValue>, recited: Option<&RawValue>) {
        if found.is_none() && recited.is_none() {
            return;
        }
        self.web_searches = self.web_searches.max(grounding::searches(found, &self.model));
        let parts = self.texts.entry(choice).or_default();
        let cited = grounding::citations(found, recited, parts);
        if !cited.is_empty() {
            self.cited.insert(choice, cited);
        }
    }

    fn part(&mut self, choice: u64, part: super::shape::Part<'_>, deltas: &mut Vec<Delta>) {
        let call = self.calls.get(&choice).copied().unwrap_or(0);
        let all: u64 = self.calls.values().fold(1, |sum, own| own.saturating_add(sum));
        let named_by = self.named_by.as_deref().unwrap_or_default();
        for piece in pieces(part, &self.names, || call_id(named_by, all)) {
            match piece {
                Piece::Call(ToolCall { id, name, arguments: json, signature }) => {
                    self.calls.insert(choice, call.saturating_add(1));
                    deltas.push(Delta::ToolCall { choice, call, id, name, signature });
                    deltas.push(Delta::ToolArguments { choice, call, json });
                }
                Piece::Thought(thought) => deltas.push(Delta::Reasoning { choice, thought }),
                Piece::Text(text) => deltas.push(Delta::Text { choice, text }),
            }
        }
    }
}

impl ReadStream for Reader {
    fn feed(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.buffer().extend_from_slice(bytes);
        let outcome = loop {
            match splitter.next_event() {
                Ok(Some(event)) => {
                    if let Err(failure) = self.event(event, deltas) {
                        break Err(failure);
                    }
                }
                Ok(None) => break Ok(()),
                Err(_) => break Err(StreamFailure::Malformed),
            }
        };
        self.splitter = splitter;
        outcome
    }

    fn finish(&mut self, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let mut splitter = std::mem::take(&mut self.splitter);
        if let Some(event) = splitter.last_event() {
            // Half an event says that the bytes were cut, not that they are of another API.
            self.event(event, deltas).map_err(|failure| match failure {
                StreamFailure::Malformed | StreamFailure::Truncated => StreamFailure::Truncated,
                StreamFailure::Reported { status } => StreamFailure::Reported { status },
            })?;
        }
        if self.finished { Ok(()) } else { Err(StreamFailure::Truncated) }
    }

    /// There is no end mark: usage may follow the finish reason, so the end of the bytes decides.
    fn is_over(&self) -> bool {
        false
    }
}

/// The status inside an error object; 502 if there is none that fits.
pub(super) fn status(error: &RawValue) -> u16 {
    #[derive(serde::Deserialize)]
    struct Code {
        code: u16,
    }
    let code = serde_json::from_str(error.get()).map_or(0, |own: Code| own.code);
    if (400..=599).contains(&code) { code } else { 502 }
}

/// Writes a client's stream. A call goes out whole: the API has no pieces of calls.
pub(super) struct Writer {
    shown: Shown,
    id: String,
    /// The call whose arguments are still coming.
    open: Option<(u64, ToolCall)>,
    ends: Vec<(u64, FinishReason)>,
    /// Text so far and what it rests on, by candidate.
    texts: BTreeMap<u64, (Parts, Vec<Citation>)>,
    usage: Option<Usage>,
}

impl Writer {
    pub(super) const fn new(shown: Shown) -> Self {
        let texts = BTreeMap::new();
        Self { shown, id: String::new(), open: None, ends: Vec::new(), texts, usage: None }
    }

    fn parts(&mut self, choice: u64, part: super::shape::Part<'_>, out: &mut Vec<u8>) {
        let candidates = vec![piece(choice, part)];
        let response = Response { candidates, ..identified(&self.shown, &self.id) };
        append(&response, out);
    }

    fn close_call(&mut self, out: &mut Vec<u8>) {
        if let Some((choice, call)) = self.open.take() {
            self.parts(choice, call_part(&call), out);
        }
    }
}

fn append(response: &Response<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&serde_json::to_vec(response).unwrap_or_default());
    out.extend_from_slice(b"\r\n\r\n");
}

impl WriteStream for Writer {
    fn write(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, .. } => self.id.clone_from(id),
            Delta::Citation { choice, citation } => {
                let (_, cited) = self.texts.entry(*choice).or_default();
                if cited.len() < MAX_CITATIONS {
                    cited.push(citation.clone());
                }
            }
            Delta::Finish { choice, reason, .. } => {
                self.close_call(out);
                self.ends.push((*choice, *reason));
            }
            Delta::Reasoning { choice, thought } => self.parts(*choice, thought_part(thought), out),
            Delta::Refusal { choice, text } | Delta::Text { choice, text } => {
                self.close_call(out);
                if matches!(delta, Delta::Text { .. }) {
                    self.texts.entry(*choice).or_default().0.extend(text);
                }
                self.parts(*choice, text_part(text), out);
            }
            Delta::ToolArguments { json, .. } => {
                if let Some((_, call)) = &mut self.open {
                    call.arguments.push_str(json);
                }
            }
            Delta::ToolCall { choice, id, name, signature, .. } => {
                self.close_call(out);
                let (id, name, signature) = (id.clone(), name.clone(), signature.clone());
                self.open = Some((*choice, ToolCall { id, name, arguments: String::new(), signature }));
            }
            Delta::Usage(usage) => self.usage = Some(*usage),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close_call(out);
        let ends = std::mem::take(&mut self.ends);
        let texts = std::mem::take(&mut self.texts);
        let none = (Parts::default(), Vec::new());
        let finish = |(choice, reason): &(u64, FinishReason)| {
            let (parts, cited) = texts.get(choice).unwrap_or(&none);
            last(*choice, *reason, cited, parts)
        };
        let response = Response {
            candidates: ends.iter().map(finish).collect(),
            usage_metadata: self.usage.as_ref().map(UsageMetadata::of),
            ..identified(&self.shown, &self.id)
        };
        append(&response, out);
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        error.append_event(Shape::Google, out);
    }
}
