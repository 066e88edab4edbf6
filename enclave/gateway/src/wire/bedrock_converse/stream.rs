//! Streams of `ConverseStream` (Amazon Bedrock API reference, `ConverseStream`; framing in `wire/event_stream.rs`).

use serde::Deserialize;

use super::answer::{TierMember, TokenUsage, finish};
use crate::chat::Usage;
use crate::chat::completion::Delta;
use crate::chat::conversation::Thought;
use crate::chat::tool_names::ToolNames;
use crate::wire::dialect::{ReadStream, StreamFailure};
use crate::wire::event_stream::{Message, Messages};

/// Most blocks of one answer that are told apart.
const MAX_BLOCKS: u64 = 4096;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    content_block_index: u64,
    start: Option<Start>,
    delta: Option<BlockDelta>,
    stop_reason: Option<String>,
    usage: Option<TokenUsage>,
    service_tier: Option<TierMember>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    tool_use: Option<ToolStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolStart {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    text: Option<String>,
    tool_use: Option<ToolDelta>,
    reasoning_content: Option<ReasoningDelta>,
}

#[derive(Deserialize)]
struct ToolDelta {
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta {
    #[serde(default)]
    text: String,
    signature: Option<String>,
    redacted_content: Option<String>,
}

/// A tool call that has begun.
struct OpenCall {
    block: u64,
    call: u64,
    any_argument: bool,
}

/// Reads one answer's stream.
pub(super) struct Reader {
    messages: Messages,
    names: ToolNames,
    begun: bool,
    open: Vec<OpenCall>,
    calls: u64,
    stopped: bool,
    over: bool,
}

impl Reader {
    pub(super) fn new(names: ToolNames) -> Self {
        Self {
            messages: Messages::default(),
            names,
            begun: false,
            open: Vec::new(),
            calls: 0,
            stopped: false,
            over: false,
        }
    }

    fn event(&mut self, name: &[u8], event: Event, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        if !std::mem::replace(&mut self.begun, true) {
            deltas.push(Delta::Begin { id: String::new(), model: String::new() });
        }
        let block = event.content_block_index;
        match name {
            b"contentBlockStart" => {
                if let Some(tool) = event.start.and_then(|start| start.tool_use) {
                    self.start_call(block, tool, deltas)?;
                }
            }
            b"contentBlockDelta" => {
                if let Some(delta) = event.delta {
                    self.delta(block, delta, deltas)?;
                }
            }
            b"contentBlockStop" => self.close_call(block, deltas),
            b"messageStop" => {
                let word = event.stop_reason.ok_or(StreamFailure::Malformed)?;
                self.stopped = true;
                deltas.push(Delta::Finish { choice: 0, reason: finish(&word), stop_sequence: None });
            }
            b"metadata" => {
                let tier = TierMember::of(event.service_tier.as_ref());
                let usage = event.usage.as_ref().map(|own| Usage { tier, ..own.canonical() });
                deltas.extend(usage.map(Delta::Usage));
                self.over = self.stopped;
            }
            // messageStart says nothing but the role; kinds that do not exist yet are passed over.
            _ => {}
        }
        Ok(())
    }

    fn start_call(
        &mut self,
        block: u64,
        tool: ToolStart,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), StreamFailure> {
        if self.calls >= MAX_BLOCKS || self.open.iter().any(|open| open.block == block) {
            return Err(StreamFailure::Malformed);
        }
        let call = self.calls;
        self.calls = call.saturating_add(1);
        self.open.push(OpenCall { block, call, any_argument: false });
        let name = self.names.original(&tool.name).to_owned();
        deltas.push(Delta::ToolCall { choice: 0, call, id: tool.tool_use_id, name, signature: None });
        Ok(())
    }

    fn delta(&mut self, block: u64, delta: BlockDelta, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            deltas.push(Delta::Text { choice: 0, text });
        }
        if let Some(ReasoningDelta { text, signature, redacted_content }) = delta.reasoning_content {
            let thought = Thought { text, signature, redacted: redacted_content };
            deltas.push(Delta::Reasoning { choice: 0, thought });
        }
        if let Some(ToolDelta { input: json }) = delta.tool_use.filter(|tool| !tool.input.is_empty()) {
            let open = self.open.iter_mut().find(|open| open.block == block);
            let open = open.ok_or(StreamFailure::Malformed)?;
            open.any_argument = true;
            deltas.push(Delta::ToolArguments { choice: 0, call: open.call, json });
        }
        Ok(())
    }

    /// A tool without arguments streams none, but its arguments are an empty object.
    fn close_call(&mut self, block: u64, deltas: &mut Vec<Delta>) {
        let Some(at) = self.open.iter().position(|open| open.block == block) else { return };
        let open = self.open.swap_remove(at);
        if !open.any_argument {
            deltas.push(Delta::ToolArguments { choice: 0, call: open.call, json: "{}".to_owned() });
        }
    }
}

impl ReadStream for Reader {
    fn feed(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        self.messages.buffer().extend_from_slice(bytes);
        // Taken out so that a message can be borrowed while the state changes.
        let mut messages = std::mem::take(&mut self.messages);
        let outcome = loop {
            if self.over {
                break Ok(());
            }
            match messages.next_message() {
                Ok(Some(message)) => match parse(&message) {
                    Ok(event) => {
                        if let Err(failure) = self.event(message.name, event, deltas) {
                            break Err(failure);
                        }
                    }
                    Err(failure) => break Err(failure),
                },
                Ok(None) => break Ok(()),
                Err(_) => break Err(StreamFailure::Malformed),
            }
        };
        self.messages = messages;
        outcome
    }

    fn finish(&mut self, _: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        // The metadata after `messageStop` may be missing; the answer itself is complete then.
        if self.over || (self.stopped && self.messages.is_empty()) {
            Ok(())
        } else {
            Err(StreamFailure::Truncated)
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

fn parse(message: &Message<'_>) -> Result<Event, StreamFailure> {
    match message.message_type {
        b"event" => serde_json::from_slice(message.payload).map_err(|_| StreamFailure::Malformed),
        b"exception" | b"error" => Err(StreamFailure::Reported { status: status(message.name) }),
        _ => Err(StreamFailure::Malformed),
    }
}

/// The status that fits an exception, by its type: the status inside its payload is often another.
fn status(exception: &[u8]) -> u16 {
    match exception {
        b"validationException" => 400,
        b"accessDeniedException" => 403,
        b"resourceNotFoundException" => 404,
        b"throttlingException" | b"serviceQuotaExceededException" => 429,
        b"internalServerException" => 500,
        b"serviceUnavailableException" | b"modelNotReadyException" => 503,
        b"modelTimeoutException" => 504,
        // modelStreamErrorException, modelErrorException and whatever comes.
        _ => 502,
    }
}
