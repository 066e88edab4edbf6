//! A canonical answer in the completions format: its text alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::chat::completion::{Choice, Output};
use crate::chat::{Completion, Delta, FinishReason, Usage};
use crate::error::{Error, Shape};
use crate::plaintext::Plaintext;
use crate::wire::dialect::{Shown, WriteStream};
use crate::wire::json::{append, body};
use crate::wire::openai_chat::WrittenUsage;

#[derive(Serialize)]
struct Answer<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ChoiceMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WrittenUsage>,
}

#[derive(Serialize)]
struct ChoiceMember<'a> {
    text: &'a str,
    index: u64,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

const OBJECT: &str = "text_completion";

/// The id shown for an answer: the upstream's own if it looks like this API's.
fn answer_id(upstream: &str, own: &str) -> String {
    if upstream.starts_with("cmpl-") { upstream.to_owned() } else { format!("cmpl-{own}") }
}

pub(super) fn whole(completion: &Completion, shown: &Shown) -> Plaintext<Bytes> {
    let texts: Vec<String> = completion.choices.iter().map(text).collect();
    let choices = completion.choices.iter().zip(&texts).zip(0..).map(|((choice, text), index)| {
        let finish_reason = Some(word(choice.finish.unwrap_or(FinishReason::Stop)));
        ChoiceMember { text, index, logprobs: None, finish_reason }
    });
    body(&Answer {
        id: answer_id(&completion.id, &shown.id),
        object: OBJECT,
        created: shown.created,
        model: if completion.model.is_empty() { &shown.model } else { &completion.model },
        choices: choices.collect(),
        usage: completion.usage.as_ref().map(WrittenUsage::new),
    })
}

/// What a choice says; a refusal is said in words too.
fn text(choice: &Choice) -> String {
    let said = choice.output.iter().filter_map(|output| match output {
        Output::Refusal(text) | Output::Text(text) => Some(text.as_str()),
        Output::Reasoning(_) | Output::ToolCall(_) => None,
    });
    said.collect()
}

/// The API knows three reasons.
const fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Length => "length",
        FinishReason::FunctionCall | FinishReason::Other | FinishReason::Stop | FinishReason::ToolCalls => {
            "stop"
        }
    }
}

/// Writes one client's stream.
pub(super) struct Writer {
    shown: Shown,
    id: String,
    model: String,
    /// For each choice whether it has been finished.
    choices: BTreeMap<u64, bool>,
    usage: Option<Usage>,
}

impl Writer {
    pub(super) fn new(shown: Shown) -> Self {
        let (id, model) = (answer_id("", &shown.id), shown.model.clone());
        Self { shown, id, model, choices: BTreeMap::new(), usage: None }
    }

    fn chunk(&self, choice: Option<(u64, &str, Option<FinishReason>)>, out: &mut Vec<u8>) {
        let choice = choice.map(|(index, text, finish)| ChoiceMember {
            text,
            index,
            logprobs: None,
            finish_reason: finish.map(word),
        });
        // The chunk without choices is the one with the usage.
        let usage = self.usage.filter(|_| choice.is_none());
        let (id, created) = (self.id.clone(), self.shown.created);
        let usage = usage.as_ref().map(WrittenUsage::new);
        let choices = choice.into_iter().collect();
        out.extend_from_slice(b"data: ");
        append(out, &Answer { id, object: OBJECT, created, model: &self.model, choices, usage });
        out.extend_from_slice(b"\n\n");
    }

    fn say(&mut self, choice: u64, text: &str, out: &mut Vec<u8>) {
        self.choices.entry(choice).or_default();
        self.chunk(Some((choice, text, None)), out);
    }

    fn close(&mut self, choice: u64, reason: FinishReason, out: &mut Vec<u8>) {
        if !std::mem::replace(self.choices.entry(choice).or_default(), true) {
            self.chunk(Some((choice, "", Some(reason))), out);
        }
    }
}

impl WriteStream for Writer {
    fn write(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, model } => {
                self.id = answer_id(id, &self.shown.id);
                if !model.is_empty() {
                    self.model.clone_from(model);
                }
            }
            Delta::Finish { choice, reason, .. } => self.close(*choice, *reason, out),
            Delta::Refusal { choice, text } | Delta::Text { choice, text } => self.say(*choice, text, out),
            Delta::Citation { .. }
            | Delta::Reasoning { .. }
            | Delta::ToolArguments { .. }
            | Delta::ToolCall { .. } => {}
            Delta::Usage(usage) => self.usage = Some(*usage),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.choices.entry(0).or_default();
        let choices: Vec<u64> = self.choices.keys().copied().collect();
        for choice in choices {
            self.close(choice, FinishReason::Stop, out);
        }
        if self.shown.include_usage && self.usage.is_some() {
            self.chunk(None, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        error.append_event(Shape::OpenAi, out);
    }
}
