//! A client's stream of message events: the start, one content block after the other, the stop with the counts.

use serde::Serialize;

use super::citations::WrittenCitation;
use super::usage::WrittenUsage;
use crate::chat::citation::Citation;
use crate::chat::conversation::Thought;
use crate::chat::{Delta, FinishReason, Usage};
use crate::error::{Error, Shape};
use crate::wire::dialect::{Shown, WriteStream};
use crate::wire::json::append;

/// Writes events. One block is open at a time; what belongs to another tool call waits, since a closed block cannot go on.
pub(super) struct Writer {
    shown: Shown,
    begun: bool,
    /// The block that is open, and the index of the next one.
    open: Option<Open>,
    next_index: u64,
    /// The open block has citations, so that what follows stands in another one.
    cited: bool,
    waiting: Vec<Call>,
    called: bool,
    refused: bool,
    finish: Option<(FinishReason, Option<String>)>,
    usage: Usage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Call(u64),
    Text,
    Thinking,
}

/// A tool call that waits for its turn.
struct Call {
    number: u64,
    id: String,
    name: String,
    json: String,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum EventData<'a> {
    ContentBlockDelta { index: u64, delta: BlockDelta<'a> },
    ContentBlockStart { index: u64, content_block: Block<'a> },
    ContentBlockStop { index: u64 },
    MessageDelta { delta: Stop<'a>, usage: WrittenUsage },
    MessageStart { message: Message<'a> },
    MessageStop,
    Ping,
}

impl EventData<'_> {
    const fn name(&self) -> &'static [u8] {
        match self {
            Self::ContentBlockDelta { .. } => b"content_block_delta",
            Self::ContentBlockStart { .. } => b"content_block_start",
            Self::ContentBlockStop { .. } => b"content_block_stop",
            Self::MessageDelta { .. } => b"message_delta",
            Self::MessageStart { .. } => b"message_start",
            Self::MessageStop => b"message_stop",
            Self::Ping => b"ping",
        }
    }

    fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.name());
        out.extend_from_slice(b"\ndata: ");
        append(out, self);
        out.extend_from_slice(b"\n\n");
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the API's names")]
enum BlockDelta<'a> {
    CitationsDelta { citation: WrittenCitation<'a> },
    InputJsonDelta { partial_json: &'a str },
    SignatureDelta { signature: &'a str },
    TextDelta { text: &'a str },
    ThinkingDelta { thinking: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    RedactedThinking { data: &'a str },
    Text { text: &'static str },
    Thinking { thinking: &'static str, signature: &'static str },
    ToolUse { id: &'a str, name: &'a str, input: Empty },
}

/// `{}`: the input follows.
#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Message<'a> {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: WrittenUsage,
}

#[derive(Serialize)]
struct Stop<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

impl Writer {
    pub(super) fn new(shown: Shown) -> Self {
        Self {
            shown,
            begun: false,
            open: None,
            next_index: 0,
            cited: false,
            waiting: Vec::new(),
            called: false,
            refused: false,
            finish: None,
            usage: Usage::default(),
        }
    }

    fn begin(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let model = if model.is_empty() { &self.shown.model } else { model };
        let message = Message {
            id: super::answer_id(id, &self.shown.id),
            r#type: "message",
            role: "assistant",
            model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: WrittenUsage::new(&self.usage),
        };
        EventData::MessageStart { message }.append(out);
        EventData::Ping.append(out);
    }

    fn start(&mut self, open: Option<Open>, content_block: Block<'_>, out: &mut Vec<u8>) {
        self.begin("", "", out);
        self.close(out);
        EventData::ContentBlockStart { index: self.next_index, content_block }.append(out);
        self.next_index = self.next_index.saturating_add(1);
        self.open = open;
        self.cited = false;
    }

    fn delta(&self, delta: BlockDelta<'_>, out: &mut Vec<u8>) {
        EventData::ContentBlockDelta { index: self.next_index.saturating_sub(1), delta }.append(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            EventData::ContentBlockStop { index: self.next_index.saturating_sub(1) }.append(out);
        }
    }

    /// Writes the calls that waited, one after the other.
    fn flush(&mut self, out: &mut Vec<u8>) {
        for Call { number, id, name, json } in std::mem::take(&mut self.waiting) {
            let block = Block::ToolUse { id: &id, name: &name, input: Empty {} };
            self.start(Some(Open::Call(number)), block, out);
            if !json.is_empty() {
                self.delta(BlockDelta::InputJsonDelta { partial_json: &json }, out);
            }
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.open != Some(Open::Text) || self.cited {
            self.flush(out);
            self.start(Some(Open::Text), Block::Text { text: "" }, out);
        }
        self.delta(BlockDelta::TextDelta { text }, out);
    }

    /// A source of the text in the open block, which ends with it. A block that is closed cannot be given one any more.
    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        if self.open == Some(Open::Text) {
            self.cited = true;
            self.delta(BlockDelta::CitationsDelta { citation: WrittenCitation::new(citation) }, out);
        }
    }

    fn thought(&mut self, thought: &Thought, out: &mut Vec<u8>) {
        if !self.shown.reasoning {
            return;
        }
        self.flush(out);
        if let Some(data) = &thought.redacted {
            self.start(Some(Open::Thinking), Block::RedactedThinking { data }, out);
            self.close(out);
            return;
        }
        if self.open != Some(Open::Thinking) {
            self.start(Some(Open::Thinking), Block::Thinking { thinking: "", signature: "" }, out);
        }
        if !thought.text.is_empty() {
            self.delta(BlockDelta::ThinkingDelta { thinking: &thought.text }, out);
        }
        if let Some(signature) = &thought.signature {
            self.delta(BlockDelta::SignatureDelta { signature }, out);
            // A seal ends the thought.
            self.close(out);
        }
    }

    fn tool(&mut self, call: u64, id: &str, name: &str, out: &mut Vec<u8>) {
        self.called = true;
        if matches!(self.open, Some(Open::Call(_))) {
            let (id, name) = (id.to_owned(), name.to_owned());
            self.waiting.push(Call { number: call, id, name, json: String::new() });
            return;
        }
        self.start(Some(Open::Call(call)), Block::ToolUse { id, name, input: Empty {} }, out);
    }

    fn arguments(&mut self, call: u64, json: &str, out: &mut Vec<u8>) {
        if self.open == Some(Open::Call(call)) {
            self.delta(BlockDelta::InputJsonDelta { partial_json: json }, out);
        } else if let Some(waiting) = self.waiting.iter_mut().find(|own| own.number == call) {
            waiting.json.push_str(json);
        }
    }
}

impl WriteStream for Writer {
    /// This API has one answer; a second one was never asked for.
    fn write(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, model } => self.begin(id, model, out),
            Delta::Citation { choice: 0, citation } => self.cite(citation, out),
            Delta::Finish { choice: 0, reason, stop_sequence } => {
                self.finish = Some((*reason, stop_sequence.clone()));
            }
            Delta::Reasoning { choice: 0, thought } => self.thought(thought, out),
            Delta::Refusal { choice: 0, text } => {
                self.refused = true;
                self.text(text, out);
            }
            Delta::Text { choice: 0, text } => self.text(text, out),
            Delta::ToolArguments { choice: 0, call, json } => self.arguments(*call, json, out),
            Delta::ToolCall { choice: 0, call, id, name, .. } => self.tool(*call, id, name, out),
            Delta::Usage(usage) => self.usage = *usage,
            Delta::Citation { .. }
            | Delta::Finish { .. }
            | Delta::Reasoning { .. }
            | Delta::Refusal { .. }
            | Delta::Text { .. }
            | Delta::ToolArguments { .. }
            | Delta::ToolCall { .. } => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin("", "", out);
        self.flush(out);
        self.close(out);
        let natural = if self.called { FinishReason::ToolCalls } else { FinishReason::Stop };
        let (mut reason, stop_sequence) = self.finish.take().unwrap_or((natural, None));
        if self.refused {
            reason = FinishReason::ContentFilter;
        }
        let stop_sequence = stop_sequence.as_deref();
        let delta = Stop { stop_reason: super::stop_word(reason, stop_sequence), stop_sequence };
        EventData::MessageDelta { delta, usage: WrittenUsage::new(&self.usage) }.append(out);
        EventData::MessageStop.append(out);
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        error.append_event(Shape::Anthropic, out);
    }
}
