//! A stored answer: the client's own bytes, as they went out, and where in them stands what each answer has of its own.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::replay;
use crate::chat::completion::Output;
use crate::chat::{FinishReason, Usage};
use crate::deployment::Deployment;
use crate::plaintext::Plaintext;
use crate::price::NanoUsd;
use crate::scan::{Fields, Kind};
use crate::wire::{Request, Wire};

/// Longest answer that is stored.
pub const MAX_ENTRY: usize = 1024 * 1024;

/// In which form an answer was given, or is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a stream; with an event for its usage, if there is a choice.
    Stream {
        /// Whether it has that event.
        include_usage: bool,
    },
    /// All at once.
    Whole,
}

impl Form {
    /// What a request wants.
    pub const fn of(request: &Request) -> Self {
        if request.stream { Self::Stream { include_usage: request.include_usage } } else { Self::Whole }
    }
}

/// An answer that a client got.
pub struct Given<'a> {
    /// Its API format.
    pub wire: &'static dyn Wire,
    /// Its form.
    pub form: Form,
    /// Its bytes, all of them.
    pub body: &'a [u8],
    /// Tokens.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// What it cost.
    pub cost: Option<NanoUsd>,
    /// Who gave it.
    pub at: &'a Arc<Deployment>,
}

/// A stored answer.
pub struct Kept {
    pub(super) wire: &'static dyn Wire,
    pub(super) form: Form,
    pub(super) body: Plaintext<Bytes>,
    places: Vec<Place>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// What it cost when it was made: what each further use saves.
    pub cost: Option<NanoUsd>,
    /// Who gave it.
    pub at: Arc<Deployment>,
}

/// Something in an answer that no second one has.
struct Place {
    at: Range<usize>,
    what: Own,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// An id that begins with so many bytes that all of its kind have.
    Id(usize),
    /// A time in Unix seconds.
    Time,
}

impl Kept {
    /// A stored answer, with bytes of its own; nothing if it is too long, is no answer of its API, or says that the model
    /// would not answer.
    pub fn of(given: &Given<'_>) -> Option<Self> {
        let Given { wire, form, body, usage, finish, cost, at } = *given;
        if body.len() > MAX_ENTRY {
            return None;
        }
        if replay::readable(wire).is_some() {
            let read = replay::completion(wire, form, body)?;
            let refuses = |own: &Output| matches!(own, Output::Refusal(text) if !text.is_empty());
            if read.expose().choices.iter().flat_map(|choice| &choice.output).any(refuses) {
                return None;
            }
        }
        let places = match form {
            Form::Stream { .. } => in_events(body),
            Form::Whole => in_document(body, 0),
        };
        let body = Plaintext::new(Bytes::copy_from_slice(body));
        Some(Self { wire, form, body, places, usage, finish, cost, at: Arc::clone(at) })
    }

    /// What it takes to store it.
    pub fn size(&self) -> usize {
        self.body.expose().len().saturating_add(self.places.len().saturating_mul(size_of::<Place>()))
    }

    /// Its bytes with an id and a time of their own; `id` comes without a prefix.
    pub(super) fn renewed(&self, id: &str, unix_seconds: u64) -> Vec<u8> {
        let body = self.body.expose();
        let room = self.places.len().saturating_mul(id.len().max(20));
        let mut out = Vec::with_capacity(body.len().saturating_add(room));
        let mut from = 0;
        let time = unix_seconds.to_string();
        for Place { at, what } in &self.places {
            let (end, new) = match what {
                Own::Id(prefix) => (at.start.saturating_add(*prefix), id),
                Own::Time => (at.start, time.as_str()),
            };
            out.extend_from_slice(body.get(from..end).unwrap_or_default());
            out.extend_from_slice(new.as_bytes());
            from = at.end;
        }
        out.extend_from_slice(body.get(from..).unwrap_or_default());
        out
    }
}

/// The places in the events of a stream.
fn in_events(body: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let mut start = 0_usize;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if let Some(data) = line.strip_prefix(b"data:") {
            places.extend(in_document(data, start.saturating_add(b"data:".len())));
        }
        start = start.saturating_add(line.len());
    }
    places
}

/// The places in one document, which begins at `start`: those of the outermost object, and of the message or answer right
/// inside of it. Deeper ids name tool calls and items, which clients send back.
fn in_document(document: &[u8], start: usize) -> Vec<Place> {
    let mut places = Vec::new();
    let mut fields = Fields::for_answers();
    if fields.scan(document).is_err() {
        return places;
    }
    note(&fields, document, start, &mut places);
    for field in &fields {
        if field.kind != Kind::Object || field.known(document, &["message", "response"]).is_none() {
            continue;
        }
        let mut inner = Fields::for_answers();
        let value = field.value(document);
        if inner.scan_utf8(value).is_ok() {
            note(&inner, value, start.saturating_add(field.value.start), &mut places);
        }
    }
    places.sort_by_key(|own| own.at.start);
    places
}

fn note(fields: &Fields, document: &[u8], start: usize, places: &mut Vec<Place>) {
    for field in fields {
        let at = |cut: usize| {
            let (first, last) = (field.value.start.saturating_add(cut), field.value.end.saturating_sub(cut));
            start.saturating_add(first)..start.saturating_add(last)
        };
        match (
            field.known(document, &["completed_at", "created", "created_at", "id", "responseId"]),
            field.kind,
        ) {
            (Some(name @ ("id" | "responseId")), Kind::String) => {
                let own = field.raw_string(document).unwrap_or_default();
                let mark = own.iter().position(|byte| matches!(byte, b'-' | b'_'));
                let prefix = mark.filter(|_| name == "id").map_or(0, |mark| mark.saturating_add(1));
                places.push(Place { at: at(1), what: Own::Id(prefix) });
            }
            (Some("completed_at" | "created" | "created_at"), Kind::Number) => {
                places.push(Place { at: at(0), what: Own::Time });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::Endpoint;

    fn renewed(body: &str, stream: bool) -> String {
        let places = if stream { in_events(body.as_bytes()) } else { in_document(body.as_bytes(), 0) };
        let kept = Kept {
            wire: &crate::wire::openai_chat::OpenAiChat,
            form: Form::Whole,
            body: Plaintext::new(Bytes::copy_from_slice(body.as_bytes())),
            places,
            usage: None,
            finish: None,
            cost: None,
            at: Arc::new(Deployment::service("d", "builtin", Endpoint::Builtin, "")),
        };
        String::from_utf8(kept.renewed("NEW", 77)).expect("UTF-8")
    }

    #[test]
    fn ids_and_times_are_new_and_nothing_else_is() {
        for (old, new, stream) in [
            (
                r#"{"id":"chatcmpl-a-1","created": 5,"choices":[{"id":"x","created":1}]}"#,
                r#"{"id":"chatcmpl-NEW","created": 77,"choices":[{"id":"x","created":1}]}"#,
                false,
            ),
            (
                r#"{"id":"msg_1","content":[{"id":"toolu_1"}]}"#,
                r#"{"id":"msg_NEW","content":[{"id":"toolu_1"}]}"#,
                false,
            ),
            (r#"{"responseId":"a-b_c","id":null}"#, r#"{"responseId":"NEW","id":null}"#, false),
            (
                "event: message_start\ndata: {\"message\":{\"id\":\"msg_1\"},\"index\":0}\n\n: id\ndata: {\"delta\":{\"text\":\"\\\"id\\\":\"}}\r\n\r\n",
                "event: message_start\ndata: {\"message\":{\"id\":\"msg_NEW\"},\"index\":0}\n\n: id\ndata: {\"delta\":{\"text\":\"\\\"id\\\":\"}}\r\n\r\n",
                true,
            ),
            (
                "data:{\"response\":{\"created_at\":1.5,\"id\":\"resp_1\",\"output\":[]}}\n\ndata: [DONE]\n\n",
                "data:{\"response\":{\"created_at\":77,\"id\":\"resp_NEW\",\"output\":[]}}\n\ndata: [DONE]\n\n",
                true,
            ),
            ("not JSON", "not JSON", false),
        ] {
            assert_eq!(renewed(old, stream), new);
        }
    }
}
