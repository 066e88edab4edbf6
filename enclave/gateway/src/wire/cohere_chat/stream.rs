//! Streams of Cohere's: typed events, of which `message-end` is the last that means anything.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{Block, CallMember, TokenUsage, finish};
use super::citations;
use crate::chat::completion::Delta;
use crate::chat::conversation::Thought;
use crate::chat::tool_names::ToolNames;
use crate::wire::dialect::{ReadStream, StreamFailure};
use crate::wire::sse::{Event, Splitter};

/// Reads an upstream's stream.
pub(super) struct Reader {
    splitter: Splitter,
    joined: Vec<u8>,
    names: ToolNames,
    /// The API's numbers of the calls so far, in order.
    calls: Vec<u64>,
    over: bool,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    index: u64,
    delta: Option<DeltaMember>,
}

#[derive(Deserialize)]
struct DeltaMember {
    message: Option<Piece>,
    finish_reason: Option<String>,
    usage: Option<TokenUsage>,
}

/// Where a whole message has lists, a piece has one element; a first event has empty lists.
#[derive(Deserialize)]
struct Piece {
    content: Option<OneOrMany<Block>>,
    tool_plan: Option<String>,
    tool_calls: Option<OneOrMany<CallMember>>,
    citations: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    // First: an empty list would do for an element of which nothing has to be there.
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl Reader {
    pub(super) const fn new(names: ToolNames) -> Self {
        Self { splitter: Splitter::new(), joined: Vec::new(), names, calls: Vec::new(), over: false }
    }

    fn event(&mut self, event: Event<'_>, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let layout = event.layout();
        if layout.data_lines == 0 || self.over {
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.joined);
        let outcome = self.data(event.data(&layout, &mut joined), deltas);
        self.joined = joined;
        outcome
    }

    fn data(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let message: Message = serde_json::from_slice(data).map_err(|_| StreamFailure::Malformed)?;
        let Message { r#type, id, index, delta } = message;
        if r#type == "message-start" {
            deltas.push(Delta::Begin { id, model: String::new() });
        }
        // A refusal in the place of an event has no type, and a message that is text.
        let delta = match delta {
            Some(delta) => delta,
            None if r#type.is_empty() => return Err(StreamFailure::Reported { status: 502 }),
            None => return Ok(()),
        };
        if let Some(piece) = delta.message {
            self.piece(index, piece, deltas);
        }
        deltas.extend(delta.usage.as_ref().and_then(TokenUsage::canonical).map(Delta::Usage));
        if r#type == "message-end" {
            let word = delta.finish_reason.unwrap_or_default();
            let status = if word == "TIMEOUT" { 504 } else { 502 };
            let reason = finish(&word).ok_or(StreamFailure::Reported { status })?;
            deltas.push(Delta::Finish { choice: 0, reason, stop_sequence: None });
            self.over = true;
        }
        Ok(())
    }

    fn piece(&mut self, index: u64, piece: Piece, deltas: &mut Vec<Delta>) {
        let think =
            |text: Option<String>, deltas: &mut Vec<Delta>| {
                let text = text.filter(|text| !text.is_empty());
                deltas.extend(text.map(|text| Delta::Reasoning {
                    choice: 0,
                    thought: Thought { text, ..Thought::default() },
                }));
            };
        think(piece.tool_plan, deltas);
        for block in piece.content.map(OneOrMany::into_vec).into_iter().flatten() {
            think(block.thinking, deltas);
            let text = block.text.filter(|text| !text.is_empty());
            deltas.extend(text.map(|text| Delta::Text { choice: 0, text }));
        }
        let cited = piece.citations.as_deref().map(citations::of_piece).unwrap_or_default();
        deltas.extend(cited.into_iter().map(|citation| Delta::Citation { choice: 0, citation }));
        for member in piece.tool_calls.map(OneOrMany::into_vec).into_iter().flatten() {
            let known = self.calls.iter().position(|own| *own == index);
            let place = known.unwrap_or(self.calls.len());
            let call = u64::try_from(place).unwrap_or(u64::MAX);
            if known.is_none() {
                self.calls.push(index);
                let name = self.names.original(&member.function.name).to_owned();
                deltas.push(Delta::ToolCall { choice: 0, call, id: member.id, name, signature: None });
            }
            let json = member.function.arguments.filter(|json| !json.is_empty());
            deltas.extend(json.map(|json| Delta::ToolArguments { choice: 0, call, json }));
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
            self.event(event, deltas).map_err(|failure| match failure {
                // The last event may have been cut.
                StreamFailure::Malformed => StreamFailure::Truncated,
                other @ (StreamFailure::Reported { .. } | StreamFailure::Truncated) => other,
            })?;
        }
        if self.over { Ok(()) } else { Err(StreamFailure::Truncated) }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
