//! An upstream's stream. Kinds of events that are not translated are passed over.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::annotations;
use super::upstream::{Failure, Item, Response};
use crate::chat::citation::characters;
use crate::chat::completion::Delta;
use crate::chat::conversation::Thought;
use crate::wire::dialect::{ReadStream, StreamFailure};
use crate::wire::openai_responses::seal;
use crate::wire::openai_shape::status_of_code;
use crate::wire::sse::{Event, Splitter};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    r#type: String,
    response: Option<Response>,
    item: Option<Item>,
    output_index: u64,
    summary_index: u64,
    delta: Option<String>,
    annotation: Option<Box<RawValue>>,
    code: Option<String>,
    error: Option<Failure>,
}

/// Reads one answer's stream.
pub(super) struct Reader {
    splitter: Splitter,
    joined: Vec<u8>,
    /// Places of the calls in the output, in order: their index is the call's number.
    calls: Vec<u64>,
    /// Characters of text so far, and of those before the part that is open.
    length: u64,
    begins: u64,
    over: bool,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self {
            splitter: Splitter::new(),
            joined: Vec::new(),
            calls: Vec::new(),
            length: 0,
            begins: 0,
            over: false,
        }
    }

    fn event(&mut self, event: Event<'_>, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let layout = event.layout();
        if layout.data_lines == 0 {
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.joined);
        let payload = serde_json::from_slice(event.data(&layout, &mut joined));
        self.joined = joined;
        self.payload(payload.map_err(|_| StreamFailure::Malformed)?, deltas)
    }

    fn payload(&mut self, payload: Payload, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let text = payload.delta.unwrap_or_default();
        match payload.r#type.as_str() {
            "response.created" => {
                let response = payload.response.unwrap_or_default();
                deltas.push(Delta::Begin { id: response.id, model: response.model });
            }
            "response.content_part.added" => self.begins = self.length,
            "response.output_text.delta" => {
                self.length = self.length.saturating_add(characters(&text));
                deltas.push(Delta::Text { choice: 0, text });
            }
            "response.output_text.annotation.added" => {
                let cited = payload.annotation.as_deref().and_then(|own| annotations::read(own, self.begins));
                deltas.extend(cited.map(|citation| Delta::Citation { choice: 0, citation }));
            }
            "response.refusal.delta" => deltas.push(Delta::Refusal { choice: 0, text }),
            "response.reasoning_summary_part.added" if payload.summary_index > 0 => {
                deltas.push(think("\n\n".to_owned()));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                deltas.push(think(text));
            }
            "response.output_item.added" => {
                let item = payload.item.unwrap_or_default();
                if item.r#type == "function_call" {
                    let call = u64::try_from(self.calls.len()).unwrap_or(u64::MAX);
                    self.calls.push(payload.output_index);
                    let (id, name) = (item.call_id, item.name);
                    deltas.push(Delta::ToolCall { choice: 0, call, id, name, signature: None });
                }
            }
            "response.function_call_arguments.delta" => {
                let at = self.calls.iter().position(|place| *place == payload.output_index);
                let call = at.and_then(|at| u64::try_from(at).ok()).ok_or(StreamFailure::Malformed)?;
                deltas.push(Delta::ToolArguments { choice: 0, call, json: text });
            }
            "response.output_item.done" => {
                let item = payload.item.unwrap_or_default();
                if item.r#type == "reasoning" && item.encrypted_content.is_some() {
                    let thought = seal::read(item.id.as_deref(), String::new(), item.encrypted_content);
                    deltas.push(Delta::Reasoning { choice: 0, thought });
                }
            }
            "response.completed" | "response.incomplete" => {
                let response = payload.response.ok_or(StreamFailure::Malformed)?;
                let reason = response.finish(!self.calls.is_empty());
                deltas.push(Delta::Finish { choice: 0, reason, stop_sequence: None });
                deltas.extend(response.usage().map(Delta::Usage));
                self.over = true;
            }
            "error" | "response.failed" => {
                let inside = payload.response.and_then(|own| own.error).or(payload.error);
                let code = payload.code.or_else(|| inside.map(|own| own.code)).unwrap_or_default();
                return Err(StreamFailure::Reported { status: status_of_code(&code) });
            }
            _ => {}
        }
        Ok(())
    }
}

const fn think(text: String) -> Delta {
    Delta::Reasoning { choice: 0, thought: Thought { text, signature: None, redacted: None } }
}

impl ReadStream for Reader {
    fn feed(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.buffer().extend_from_slice(bytes);
        let outcome = loop {
            if self.over {
                break Ok(());
            }
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
        if !self.over
            && let Some(event) = splitter.last_event()
        {
            self.event(event, deltas).map_err(|failure| match failure {
                StreamFailure::Malformed | StreamFailure::Truncated => StreamFailure::Truncated,
                StreamFailure::Reported { status } => StreamFailure::Reported { status },
            })?;
        }
        if self.over { Ok(()) } else { Err(StreamFailure::Truncated) }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
