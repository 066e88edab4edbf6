//! An upstream's stream of message events in canonical deltas.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::citations;
use super::usage::Counts;
use crate::chat::citation::{Citation, MAX_CITATIONS, characters};
use crate::chat::conversation::Thought;
use crate::chat::tool_names::ToolNames;
use crate::chat::{Delta, FinishReason};
use crate::wire::dialect::{ReadStream, StreamFailure};
use crate::wire::json::Loose;
use crate::wire::sse::{Event, Splitter};

/// Most content blocks of one answer.
const MAX_BLOCKS: usize = 1024;

/// Reads events until `message_stop`.
pub(super) struct Reader {
    splitter: Splitter,
    state: State,
}

/// Apart from the splitter, so that an event can be borrowed meanwhile.
struct State {
    names: ToolNames,
    joined: Vec<u8>,
    counts: Counts,
    /// What each block is, by the upstream's index.
    blocks: Vec<Kind>,
    calls: u64,
    /// Characters of text so far, and of those before the block that is open.
    length: u64,
    begins: u64,
    /// Citations of the block that is open: where it ends is known when it does.
    cited: Vec<Citation>,
    over: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// A tool call whose arguments are the answer's text.
    Answer,
    /// A tool call, counted without other blocks.
    Call(u64),
    /// Nothing that canonical answers have.
    #[default]
    Other,
    Text,
    Thinking,
}

#[derive(Deserialize)]
struct Member<'a> {
    r#type: &'a str,
    #[serde(default)]
    index: usize,
    #[serde(default, borrow)]
    message: Option<MessageMember<'a>>,
    #[serde(default, borrow)]
    content_block: Option<BlockMember<'a>>,
    #[serde(default)]
    delta: Option<DeltaMember>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorMember>,
}

#[derive(Deserialize)]
struct MessageMember<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockMember<'a> {
    r#type: String,
    #[serde(default)]
    text: Option<Loose>,
    #[serde(default)]
    thinking: Option<Loose>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DeltaMember {
    #[serde(default)]
    text: Option<Loose>,
    #[serde(default)]
    partial_json: Option<Loose>,
    #[serde(default)]
    thinking: Option<Loose>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    citation: Option<Box<RawValue>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
}

#[derive(Deserialize)]
struct ErrorMember {
    #[serde(default)]
    r#type: Option<String>,
}

impl Reader {
    pub(super) fn new(names: ToolNames) -> Self {
        let state = State {
            names,
            joined: Vec::new(),
            counts: Counts::default(),
            blocks: Vec::new(),
            calls: 0,
            length: 0,
            begins: 0,
            cited: Vec::new(),
            over: false,
        };
        Self { splitter: Splitter::new(), state }
    }
}

impl ReadStream for Reader {
    fn feed(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        self.splitter.buffer().extend_from_slice(bytes);
        while !self.state.over {
            match self.splitter.next_event() {
                Ok(Some(event)) => self.state.event(event, deltas)?,
                Ok(None) => break,
                Err(_) => return Err(StreamFailure::Malformed),
            }
        }
        Ok(())
    }

    fn finish(&mut self, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        if let Some(event) = self.splitter.last_event() {
            // Half an event is a stream cut off, whatever it looks like.
            let half = |failure| {
                if failure == StreamFailure::Malformed { StreamFailure::Truncated } else { failure }
            };
            self.state.event(event, deltas).map_err(half)?;
        }
        if self.state.over { Ok(()) } else { Err(StreamFailure::Truncated) }
    }

    fn is_over(&self) -> bool {
        self.state.over
    }
}

impl State {
    fn event(&mut self, event: Event<'_>, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let layout = event.layout();
        let mut joined = std::mem::take(&mut self.joined);
        let data = event.data(&layout, &mut joined).trim_ascii();
        let outcome = if data.is_empty() { Ok(()) } else { self.data(data, deltas) };
        self.joined = joined;
        outcome
    }

    /// The type stands in the data as well as in the event's name; unknown ones mean nothing to us.
    fn data(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let member: Member<'_> = serde_json::from_slice(data).map_err(|_| StreamFailure::Malformed)?;
        match member.r#type {
            "content_block_delta" => self.delta(member.index, member.delta, deltas),
            "content_block_start" => return self.start(member.index, member.content_block, deltas),
            "content_block_stop" => self.cite(deltas),
            "error" => {
                let kind = member.error.and_then(|own| own.r#type);
                return Err(StreamFailure::Reported {
                    status: status(kind.as_deref().unwrap_or_default().as_bytes()),
                });
            }
            "message_delta" => {
                self.count(member.usage)?;
                self.stop(member.delta, deltas);
                deltas.extend(self.counts.total().map(Delta::Usage));
            }
            "message_start" => {
                let message = member.message.ok_or(StreamFailure::Malformed)?;
                self.count(message.usage)?;
                let (id, model) = (message.id.unwrap_or_default(), message.model.unwrap_or_default());
                deltas.push(Delta::Begin { id, model });
                deltas.extend(self.counts.total().map(Delta::Usage));
            }
            "message_stop" => self.over = true,
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, usage: Option<&RawValue>) -> Result<(), StreamFailure> {
        let Some(own) = usage else { return Ok(()) };
        self.counts.take(own.get().as_bytes()).map_err(|_| StreamFailure::Malformed)
    }

    fn start(
        &mut self,
        index: usize,
        block: Option<BlockMember<'_>>,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), StreamFailure> {
        let block = block.ok_or(StreamFailure::Malformed)?;
        if index >= MAX_BLOCKS {
            return Err(StreamFailure::Malformed);
        }
        if self.blocks.len() <= index {
            self.blocks.resize(index.saturating_add(1), Kind::Other);
        }
        let some = |text: Option<Loose>| text.map(|own| own.0).filter(|text| !text.is_empty());
        let kind = match block.r#type.as_str() {
            "text" => {
                self.begins = self.length;
                if let Some(text) = some(block.text) {
                    self.say(text, deltas);
                }
                Kind::Text
            }
            "thinking" => {
                let thought = |text| Thought { text, ..Thought::default() };
                deltas.extend(
                    some(block.thinking).map(|text| Delta::Reasoning { choice: 0, thought: thought(text) }),
                );
                Kind::Thinking
            }
            "redacted_thinking" => {
                let thought = Thought { redacted: block.data, ..Thought::default() };
                deltas.push(Delta::Reasoning { choice: 0, thought });
                Kind::Other
            }
            "tool_use" => self.tool(block, deltas)?,
            _ => Kind::Other,
        };
        if let Some(own) = self.blocks.get_mut(index) {
            *own = kind;
        }
        Ok(())
    }

    fn tool(&mut self, block: BlockMember<'_>, deltas: &mut Vec<Delta>) -> Result<Kind, StreamFailure> {
        let name = block.name.ok_or(StreamFailure::Malformed)?;
        // Usually `{}`, as a place for what follows; some servers send the whole input at once.
        let whole = block.input.map(RawValue::get).filter(|own| own.len() > 2).map(str::to_owned);
        if self.names.is_answer(&name) {
            deltas.extend(whole.map(|text| Delta::Text { choice: 0, text }));
            return Ok(Kind::Answer);
        }
        let call = self.calls;
        self.calls = call.saturating_add(1);
        let id = block.id.ok_or(StreamFailure::Malformed)?;
        let name = self.names.original(&name).to_owned();
        deltas.push(Delta::ToolCall { choice: 0, call, id, name, signature: None });
        deltas.extend(whole.map(|json| Delta::ToolArguments { choice: 0, call, json }));
        Ok(Kind::Call(call))
    }

    fn say(&mut self, text: String, deltas: &mut Vec<Delta>) {
        self.length = self.length.saturating_add(characters(&text));
        deltas.push(Delta::Text { choice: 0, text });
    }

    /// The block that is open ends.
    fn cite(&mut self, deltas: &mut Vec<Delta>) {
        let span = Some(self.begins..self.length).filter(|span| !span.is_empty());
        let cited = std::mem::take(&mut self.cited).into_iter();
        deltas.extend(cited.map(|citation| {
            let span = span.clone();
            Delta::Citation { choice: 0, citation: Citation { span, ..citation } }
        }));
    }

    fn delta(&mut self, index: usize, delta: Option<DeltaMember>, deltas: &mut Vec<Delta>) {
        let Some(delta) = delta else { return };
        let some = |text: Option<Loose>| text.map(|own| own.0).filter(|text| !text.is_empty());
        match self.blocks.get(index).copied().unwrap_or_default() {
            Kind::Answer => {
                if let Some(text) = some(delta.partial_json) {
                    self.say(text, deltas);
                }
            }
            Kind::Call(call) => {
                let json = some(delta.partial_json);
                deltas.extend(json.map(|json| Delta::ToolArguments { choice: 0, call, json }));
            }
            Kind::Other => {}
            Kind::Text => {
                if let Some(text) = some(delta.text) {
                    self.say(text, deltas);
                }
                if self.cited.len() < MAX_CITATIONS {
                    self.cited.extend(delta.citation.as_deref().and_then(citations::read));
                }
            }
            Kind::Thinking => {
                let (text, signature) = (some(delta.thinking), delta.signature.filter(|own| !own.is_empty()));
                if text.is_some() || signature.is_some() {
                    let thought = Thought { text: text.unwrap_or_default(), signature, redacted: None };
                    deltas.push(Delta::Reasoning { choice: 0, thought });
                }
            }
        }
    }

    fn stop(&self, delta: Option<DeltaMember>, deltas: &mut Vec<Delta>) {
        let Some(DeltaMember { stop_reason: Some(word), stop_sequence, .. }) = delta else { return };
        let mut reason = super::finish(word.as_bytes());
        if reason == FinishReason::ToolCalls && self.calls == 0 {
            // The tool that was called is the answer.
            reason = FinishReason::Stop;
        }
        deltas.push(Delta::Finish { choice: 0, reason, stop_sequence });
    }
}

/// The HTTP status of an error type, as the API reference pairs them.
pub(super) const fn status(kind: &[u8]) -> u16 {
    match kind {
        b"authentication_error" => 401,
        b"billing_error" => 402,
        b"invalid_request_error" => 400,
        b"not_found_error" => 404,
        b"overloaded_error" => 529,
        b"permission_error" => 403,
        b"rate_limit_error" => 429,
        b"request_too_large" => 413,
        b"timeout_error" => 504,
        _ => 500,
    }
}
