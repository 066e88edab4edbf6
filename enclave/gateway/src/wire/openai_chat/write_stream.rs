//! A client's stream of chunks: role first, then what the model says, the finish, the usage if asked for, `[DONE]`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ExtraContent;
use super::annotations::WrittenAnnotation;
use super::answer::WrittenUsage;
use super::reasoning_details::WrittenDetail;
use crate::chat::citation::characters;
use crate::chat::conversation::Thought;
use crate::chat::{Delta, FinishReason, Usage};
use crate::error::{Error, Shape};
use crate::wire::dialect::{Shown, WriteStream};
use crate::wire::json::append;

/// Writes chunks. What all of them begin with is written once.
pub(super) struct Writer {
    shown: Shown,
    /// `data: {"id":...,"choices":[`
    head: Vec<u8>,
    choices: BTreeMap<u64, Choice>,
    usage: Option<Usage>,
}

#[derive(Default)]
struct Choice {
    begun: bool,
    finished: bool,
    /// For each tool call whether it has arguments.
    calls: Vec<bool>,
    /// Thoughts that are sealed.
    thoughts: usize,
    /// Characters of its text so far.
    length: u64,
}

#[derive(Serialize)]
struct Head<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
}

#[derive(Default, Serialize)]
struct DeltaMember<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[WrittenDetail<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallMember<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<[WrittenAnnotation<'a>; 1]>,
}

#[derive(Serialize)]
struct CallMember<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: CalledMember<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct CalledMember<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Writer {
    pub(super) fn new(shown: Shown) -> Self {
        let mut writer = Self { shown, head: Vec::new(), choices: BTreeMap::new(), usage: None };
        writer.name("", "");
        writer
    }

    /// Fixes what every chunk begins with.
    fn name(&mut self, id: &str, model: &str) {
        let Self { shown, head, .. } = self;
        let model = if model.is_empty() { &shown.model } else { model };
        let id = super::answer_id(id, &shown.id);
        head.clear();
        head.extend_from_slice(b"data: ");
        append(head, &Head { id, object: "chat.completion.chunk", created: shown.created, model });
        // The object stays open for the choices.
        head.pop();
        head.extend_from_slice(br#","system_fingerprint":null,"choices":["#);
    }

    /// One chunk of one choice, after its role if that has not been told.
    fn chunk(
        &mut self,
        choice: u64,
        delta: &DeltaMember<'_>,
        finish: Option<FinishReason>,
        out: &mut Vec<u8>,
    ) {
        if !std::mem::replace(&mut self.choice(choice).begun, true) {
            let first = DeltaMember { role: Some("assistant"), content: Some(""), ..DeltaMember::default() };
            self.append(choice, &first, None, out);
        }
        self.append(choice, delta, finish, out);
    }

    fn append(&self, choice: u64, delta: &DeltaMember<'_>, finish: Option<FinishReason>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"{"index":"#);
        append(out, &choice);
        out.extend_from_slice(br#","delta":"#);
        append(out, delta);
        out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
        append(out, &finish.map(FinishReason::to_openai));
        let tail: &[u8] = if self.shown.include_usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" };
        out.extend_from_slice(tail);
    }

    /// The state of a choice; readers bound how many there are.
    fn choice(&mut self, choice: u64) -> &mut Choice {
        self.choices.entry(choice).or_default()
    }

    fn call(&mut self, choice: u64, call: CallMember<'_>, out: &mut Vec<u8>) {
        let delta = DeltaMember { tool_calls: Some([call]), ..DeltaMember::default() };
        self.chunk(choice, &delta, None, out);
    }

    fn arguments(&mut self, choice: u64, index: usize, arguments: &str, out: &mut Vec<u8>) {
        let function = CalledMember { name: None, arguments };
        self.call(choice, CallMember { index, id: None, r#type: None, function, extra_content: None }, out);
    }

    fn thought(&mut self, choice: u64, thought: &Thought, out: &mut Vec<u8>) {
        if !self.shown.reasoning {
            return;
        }
        let state = self.choice(choice);
        let place = state.thoughts;
        if thought.signature.is_some() || thought.redacted.is_some() {
            state.thoughts = place.saturating_add(1);
        }
        let text = (!thought.text.is_empty()).then_some(thought.text.as_str());
        let details = Some([WrittenDetail::new(thought, place)]);
        let delta =
            DeltaMember { reasoning_content: text, reasoning_details: details, ..DeltaMember::default() };
        self.chunk(choice, &delta, None, out);
    }

    /// Calls without arguments get `{}`; then the finish.
    fn close(&mut self, choice: u64, reason: FinishReason, out: &mut Vec<u8>) {
        for index in 0..self.choice(choice).calls.len() {
            if self.choice(choice).calls.get(index) == Some(&false) {
                self.arguments(choice, index, "{}", out);
            }
        }
        self.choice(choice).finished = true;
        self.chunk(choice, &DeltaMember::default(), Some(reason), out);
    }
}

impl WriteStream for Writer {
    fn write(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, model } => self.name(id, model),
            Delta::Citation { choice, citation } => {
                let annotations = Some([WrittenAnnotation::new(citation, self.choice(*choice).length)]);
                self.chunk(*choice, &DeltaMember { annotations, ..DeltaMember::default() }, None, out);
            }
            Delta::Finish { choice, reason, .. } => self.close(*choice, *reason, out),
            Delta::Reasoning { choice, thought } => self.thought(*choice, thought, out),
            Delta::Refusal { choice, text } => {
                self.chunk(
                    *choice,
                    &DeltaMember { refusal: Some(text), ..DeltaMember::default() },
                    None,
                    out,
                );
            }
            Delta::Text { choice, text } => {
                let state = self.choice(*choice);
                state.length = state.length.saturating_add(characters(text));
                self.chunk(
                    *choice,
                    &DeltaMember { content: Some(text), ..DeltaMember::default() },
                    None,
                    out,
                );
            }
            Delta::ToolArguments { choice, call, json } => {
                let index = usize::try_from(*call).unwrap_or_default();
                if let Some(any) = self.choice(*choice).calls.get_mut(index) {
                    *any |= !json.is_empty();
                }
                self.arguments(*choice, index, json, out);
            }
            Delta::ToolCall { choice, id, name, signature, .. } => {
                let calls = &mut self.choice(*choice).calls;
                let index = calls.len();
                calls.push(false);
                let function = CalledMember { name: Some(name), arguments: "" };
                let extra_content = ExtraContent::new(signature.as_deref());
                let call =
                    CallMember { index, id: Some(id), r#type: Some("function"), function, extra_content };
                self.call(*choice, call, out);
            }
            Delta::Usage(usage) => self.usage = Some(*usage),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.choice(0);
        let open = |(choice, state): (&u64, &Choice)| {
            (!state.finished).then_some((*choice, !state.calls.is_empty()))
        };
        let open: Vec<_> = self.choices.iter().filter_map(open).collect();
        for (choice, calling) in open {
            let reason = if calling { FinishReason::ToolCalls } else { FinishReason::Stop };
            self.close(choice, reason, out);
        }
        if let Some(usage) = self.usage.filter(|_| self.shown.include_usage) {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#"],"usage":"#);
            append(out, &WrittenUsage::new(&usage));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        error.append_event(Shape::OpenAi, out);
    }
}
