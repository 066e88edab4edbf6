//! The stream for a client (`OpenAI` API reference, "Streaming events"): each event named by its type, numbered from 0,
//! `response.created` first and one of `response.completed`, `response.incomplete`, `response.failed` last.

use serde::Serialize;
use serde_json::{Value, json};

use super::annotations::Annotation;
use super::shape::{
    ContentPart, Failure, Item, Status, SummaryPart, call_seal, ended, id, reasoning_item, response,
};
use crate::chat::citation::{Citation, characters};
use crate::chat::completion::Delta;
use crate::chat::conversation::Thought;
use crate::chat::{FinishReason, Usage};
use crate::error::Error;
use crate::wire::dialect::{Shown, WriteStream};

/// The item that is being written.
enum Open {
    /// Text or refusal, in the last part of a message.
    Message,
    Nothing,
    /// A thought; what was told of it so far stands in the thought.
    Reasoning(Thought),
}

/// Writes one client's stream.
pub(super) struct Writer {
    shown: Shown,
    sequence: u64,
    begun: bool,
    open: Open,
    /// All items, in the form that they have so far.
    output: Vec<Item>,
    /// Characters of the text parts before the last one.
    length: u64,
    /// Calls that are still open: their number and the place of their item.
    calls: Vec<(u64, usize)>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
}

/// Appends one event.
fn append(kind: &str, sequence_number: u64, payload: &impl Serialize, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Numbered<'a, T> {
        r#type: &'a str,
        sequence_number: u64,
        #[serde(flatten)]
        payload: &'a T,
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let numbered = Numbered { r#type: kind, sequence_number, payload };
    out.extend_from_slice(&serde_json::to_vec(&numbered).unwrap_or_default());
    out.extend_from_slice(b"\n\n");
}

/// Appends the event of a failure that the stream's response does not tell.
pub(super) fn append_error(error: &Error, sequence_number: u64, out: &mut Vec<u8>) {
    let payload = json!({ "code": error.code(), "message": error.message(), "param": null });
    append("error", sequence_number, &payload, out);
}

impl Writer {
    pub(super) const fn new(shown: Shown) -> Self {
        Self {
            shown,
            sequence: 0,
            begun: false,
            open: Open::Nothing,
            output: Vec::new(),
            length: 0,
            calls: Vec::new(),
            finish: None,
            usage: None,
        }
    }

    /// The next event. `payload` is an object without `type` and `sequence_number`.
    fn event(&mut self, kind: &str, payload: &impl Serialize, out: &mut Vec<u8>) {
        append(kind, self.sequence, payload, out);
        self.sequence = self.sequence.saturating_add(1);
    }

    /// An event with the whole response in it.
    fn state(&mut self, kind: &str, status: Status, error: Option<Failure<'_>>, out: &mut Vec<u8>) {
        let object = response(&self.shown, status, self.finish, &self.output, self.usage.as_ref(), error);
        let payload = serde_json::value::to_raw_value(&object).unwrap_or_default();
        self.event(kind, &json!({ "response": payload }), out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.state("response.created", Status::InProgress, None, out);
            self.state("response.in_progress", Status::InProgress, None, out);
        }
    }

    /// Place of the item that comes next.
    fn next_place(&self) -> usize {
        self.output.len()
    }

    fn item_id(&self, prefix: &str) -> String {
        id(prefix, &self.shown, self.output.len().saturating_add(1))
    }

    fn add(&mut self, item: Item, out: &mut Vec<u8>) {
        self.event(
            "response.output_item.added",
            &json!({ "output_index": self.next_place(), "item": item }),
            out,
        );
        self.output.push(item);
    }

    fn done(&mut self, place: usize, out: &mut Vec<u8>) {
        let item = self.output.get(place).cloned();
        self.event("response.output_item.done", &json!({ "output_index": place, "item": item }), out);
    }

    /// A piece of text or of a refusal, in a part of its kind.
    fn say(&mut self, text: &str, refusal: bool, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Message) {
            self.close(out);
            let id = self.item_id("msg");
            let item =
                Item::Message { id, status: Status::InProgress, role: "assistant", content: Vec::new() };
            self.add(item, out);
            self.open = Open::Message;
        }
        let last_is_refusal = self.last_part().map(|part| matches!(part, ContentPart::Refusal { .. }));
        if last_is_refusal != Some(refusal) {
            self.close_part(out);
            let part = if refusal {
                ContentPart::Refusal { refusal: String::new() }
            } else {
                ContentPart::text(String::new())
            };
            let payload = self.part_payload(&json!({ "part": part }), 1);
            if let Some(Item::Message { content, .. }) = self.output.last_mut() {
                content.push(part);
            }
            self.event("response.content_part.added", &payload, out);
        }
        match self.last_part_mut() {
            Some(ContentPart::OutputText { text: whole, .. } | ContentPart::Refusal { refusal: whole }) => {
                whole.push_str(text);
            }
            None => {}
        }
        let (kind, more) = if refusal {
            ("response.refusal.delta", json!({ "delta": text }))
        } else {
            ("response.output_text.delta", json!({ "delta": text, "logprobs": [] }))
        };
        let payload = self.part_payload(&more, 0);
        self.event(kind, &payload, out);
    }

    /// A source of the text in the open part; one that is closed cannot be given any more.
    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let begins = self.length;
        if !matches!(self.open, Open::Message) {
            return;
        }
        let Some(ContentPart::OutputText { text, annotations, .. }) = self.last_part_mut() else { return };
        let span = begins..begins.saturating_add(characters(text));
        let Some(annotation) = Annotation::new(citation, &span) else { return };
        let more = json!({ "annotation_index": annotations.len(), "annotation": annotation });
        annotations.push(annotation);
        let payload = self.part_payload(&more, 0);
        self.event("response.output_text.annotation.added", &payload, out);
    }

    fn last_part(&self) -> Option<&ContentPart> {
        let Some(Item::Message { content, .. }) = self.output.last() else { return None };
        content.last()
    }

    fn last_part_mut(&mut self) -> Option<&mut ContentPart> {
        let Some(Item::Message { content, .. }) = self.output.last_mut() else { return None };
        content.last_mut()
    }

    /// Where the last part of the open message stands (`ahead` parts further on), and `more`.
    fn part_payload(&self, more: &Value, ahead: usize) -> Value {
        let Some(Item::Message { id, content, .. }) = self.output.last() else { return Value::Null };
        let index = content.len().saturating_add(ahead).saturating_sub(1);
        let place = self.output.len().saturating_sub(1);
        let mut payload = json!({ "item_id": id, "output_index": place, "content_index": index });
        extend(&mut payload, more);
        payload
    }

    fn close_part(&mut self, out: &mut Vec<u8>) {
        let Some(part) = self.last_part().cloned() else { return };
        let (kind, more) = match &part {
            ContentPart::OutputText { text, .. } => {
                ("response.output_text.done", json!({ "text": text, "logprobs": [] }))
            }
            ContentPart::Refusal { refusal } => ("response.refusal.done", json!({ "refusal": refusal })),
        };
        let payload = self.part_payload(&more, 0);
        self.event(kind, &payload, out);
        let payload = self.part_payload(&json!({ "part": part }), 0);
        self.event("response.content_part.done", &payload, out);
        if let ContentPart::OutputText { text, .. } = &part {
            self.length = self.length.saturating_add(characters(text));
        }
    }

    /// A piece of thought. Words go out only if the client asked for them; a seal ends the item.
    fn think(&mut self, piece: &Thought, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Reasoning(_)) {
            self.close(out);
            self.open = Open::Reasoning(Thought::default());
        }
        let Open::Reasoning(thought) = &mut self.open else { return };
        let first = thought.text.is_empty();
        thought.text.push_str(&piece.text);
        if let Some(seal) = &piece.signature {
            thought.signature.get_or_insert_default().push_str(seal);
        }
        if let Some(redacted) = &piece.redacted {
            thought.redacted.get_or_insert_default().push_str(redacted);
        }
        if piece.text.is_empty() || !self.shown.reasoning {
            return;
        }
        if first {
            let id = self.item_id("rs");
            self.add(Item::Reasoning { id, summary: Vec::new(), encrypted_content: None }, out);
            let part = json!({ "part": SummaryPart::SummaryText { text: String::new() } });
            let payload = self.summary_payload(&part);
            self.event("response.reasoning_summary_part.added", &payload, out);
        }
        let payload = self.summary_payload(&json!({ "delta": piece.text }));
        self.event("response.reasoning_summary_text.delta", &payload, out);
    }

    fn summary_payload(&self, more: &Value) -> Value {
        let Some(Item::Reasoning { id, .. }) = self.output.last() else { return Value::Null };
        let place = self.output.len().saturating_sub(1);
        let mut payload = json!({ "item_id": id, "output_index": place, "summary_index": 0 });
        extend(&mut payload, more);
        payload
    }

    fn close_thought(&mut self, thought: &Thought, out: &mut Vec<u8>) {
        let told = self.shown.reasoning && !thought.text.is_empty();
        if told {
            let payload = self.summary_payload(&json!({ "text": thought.text }));
            self.event("response.reasoning_summary_text.done", &payload, out);
            let part = SummaryPart::SummaryText { text: thought.text.clone() };
            let payload = self.summary_payload(&json!({ "part": part }));
            self.event("response.reasoning_summary_part.done", &payload, out);
            self.output.pop();
        }
        let id = self.item_id("rs");
        let Some(item) = reasoning_item(id, thought, self.shown.reasoning) else { return };
        if told {
            self.output.push(item);
        } else {
            self.add(item, out);
        }
        self.done(self.output.len().saturating_sub(1), out);
    }

    fn start_call(
        &mut self,
        call: u64,
        call_id: &str,
        name: &str,
        signature: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        self.close_text(out);
        if let Some(item) = call_seal(self.item_id("rs"), signature) {
            self.add(item, out);
            self.done(self.output.len().saturating_sub(1), out);
        }
        self.calls.push((call, self.next_place()));
        let item = Item::FunctionCall {
            id: self.item_id("fc"),
            status: Status::InProgress,
            arguments: String::new(),
            call_id: call_id.to_owned(),
            name: name.to_owned(),
        };
        self.add(item, out);
    }

    fn arguments(&mut self, call: u64, json: &str, out: &mut Vec<u8>) {
        let Some((_, place)) = self.calls.iter().find(|(own, _)| *own == call).copied() else { return };
        let Some(Item::FunctionCall { id, arguments, .. }) = self.output.get_mut(place) else { return };
        arguments.push_str(json);
        let payload = json!({ "item_id": id, "output_index": place, "delta": json });
        self.event("response.function_call_arguments.delta", &payload, out);
    }

    fn close_calls(&mut self, out: &mut Vec<u8>) {
        for (_, place) in std::mem::take(&mut self.calls) {
            let Some(Item::FunctionCall { id, status, arguments, name, .. }) = self.output.get_mut(place)
            else {
                continue;
            };
            *status = Status::Completed;
            if arguments.trim().is_empty() {
                "{}".clone_into(arguments);
            }
            let payload =
                json!({ "item_id": id, "output_index": place, "name": name, "arguments": arguments });
            self.event("response.function_call_arguments.done", &payload, out);
            self.done(place, out);
        }
    }

    /// Ends what is open beside calls.
    fn close_text(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Message => {
                self.close_part(out);
                if let Some(Item::Message { status, .. }) = self.output.last_mut() {
                    *status = Status::Completed;
                }
                self.done(self.output.len().saturating_sub(1), out);
            }
            Open::Reasoning(thought) => self.close_thought(&thought, out),
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        self.close_text(out);
        self.close_calls(out);
    }
}

fn extend(payload: &mut Value, more: &Value) {
    if let (Value::Object(payload), Value::Object(more)) = (payload, more) {
        payload.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

impl WriteStream for Writer {
    fn write(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        self.begin(out);
        match delta {
            // The API has one answer.
            Delta::Citation { choice: 1.., .. }
            | Delta::Finish { choice: 1.., .. }
            | Delta::Reasoning { choice: 1.., .. }
            | Delta::Refusal { choice: 1.., .. }
            | Delta::Text { choice: 1.., .. }
            | Delta::ToolArguments { choice: 1.., .. }
            | Delta::ToolCall { choice: 1.., .. }
            | Delta::Begin { .. } => {}
            Delta::Citation { citation, .. } => self.cite(citation, out),
            Delta::Finish { reason, .. } => {
                self.close(out);
                self.finish = Some(*reason);
            }
            Delta::Reasoning { thought, .. } => self.think(thought, out),
            Delta::Refusal { text, .. } => self.say(text, true, out),
            Delta::Text { text, .. } => self.say(text, false, out),
            Delta::ToolArguments { call, json, .. } => self.arguments(*call, json, out),
            Delta::ToolCall { call, id, name, signature, .. } => {
                self.start_call(*call, id, name, signature.as_deref(), out);
            }
            Delta::Usage(usage) => self.usage = Some(*usage),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        let status = ended(self.finish);
        let kind = if status == Status::Incomplete { "response.incomplete" } else { "response.completed" };
        self.state(kind, status, None, out);
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.begin(out);
        append_error(error, self.sequence, out);
        self.sequence = self.sequence.saturating_add(1);
        let message = error.message();
        let failure = Failure { code: "server_error", message: &message };
        // What was gathered may go further than what was sent: a guardrail holds text back and then refuses it.
        self.output.clear();
        self.state("response.failed", Status::Failed, Some(failure), out);
    }
}
