//! Answers of `generateContent`, whole or in pieces: a piece has the same shape as the whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::grounding::{self, Parts};
use super::shape::{
    Candidate, Content, FunctionCall, Part, Response, UsageMetadata, seal_for_client, seal_from_upstream,
};
use crate::chat::citation::Citation;
use crate::chat::completion::{Choice, Completion, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::tool_names::{ToolNames, short_digest};
use crate::chat::{FinishReason, Usage};
use crate::wire::Malformed;
use crate::wire::dialect::Shown;

/// What the API says at the end.
pub(super) enum Ending {
    /// The model could not bring a call into form: nothing a client can use.
    Failed,
    /// Like this.
    Finish(FinishReason),
}

/// The API's word for why a candidate stopped; `calls` if it has called tools.
pub(super) fn ending(word: &str, calls: bool) -> Ending {
    Ending::Finish(match word {
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" => return Ending::Failed,
        "STOP" if calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "BLOCKLIST"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "IMAGE_SAFETY"
        | "LANGUAGE"
        | "PROHIBITED_CONTENT"
        | "RECITATION"
        | "SAFETY"
        | "SPII" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    })
}

const fn word(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::ContentFilter => "SAFETY",
        FinishReason::FunctionCall | FinishReason::Stop | FinishReason::ToolCalls => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::Other => "OTHER",
    }
}

/// A piece of a candidate as the canonical form has it.
pub(super) enum Piece {
    /// A whole call.
    Call(ToolCall),
    /// A piece of thought, or a seal.
    Thought(Thought),
    /// A piece of text.
    Text(String),
}

/// Takes a candidate's part apart. `call_id` makes an id for a call that has none, which most have not.
pub(super) fn pieces(part: Part<'_>, names: &ToolNames, mut call_id: impl FnMut() -> String) -> Vec<Piece> {
    let signature = part.thought_signature.as_deref().map(seal_from_upstream);
    if let Some(call) = part.function_call {
        let id = call.id.map_or_else(&mut call_id, Cow::into_owned);
        let arguments = call.args.as_deref().map_or("{}", RawValue::get).to_owned();
        let name = names.original(&call.name).to_owned();
        return vec![Piece::Call(ToolCall { id, name, arguments, signature })];
    }
    let text = part.text.map(Cow::into_owned).unwrap_or_default();
    if part.thought {
        return vec![Piece::Thought(Thought { text, signature, redacted: None })];
    }
    let seal = signature
        .map(|own| Piece::Thought(Thought { text: String::new(), signature: Some(own), redacted: None }));
    let text = (!text.is_empty()).then_some(Piece::Text(text));
    text.into_iter().chain(seal).collect()
}

/// An id for the `count`th call of an answer. Answers have an id of their own; one that has none is named by its bytes.
pub(super) fn call_id(answer: &str, count: u64) -> String {
    format!("call_{}_{count}", short_digest(answer, 16))
}

/// Reads a whole answer.
pub(super) fn read(body: &[u8], names: &ToolNames) -> Result<Completion, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
    let response: Response<'_> = serde_json::from_str(text).map_err(|_| Malformed)?;
    if response.error.is_some() || (response.candidates.is_empty() && response.prompt_feedback.is_none()) {
        return Err(Malformed);
    }
    let id = response.id.map(Cow::into_owned).unwrap_or_default();
    let named_by = if id.is_empty() { text } else { &id };
    let model = response.model_version.map(Cow::into_owned).unwrap_or_default();
    let mut web_searches: u64 = 0;
    let mut calls: u64 = 0;
    let mut choices = BTreeMap::new();
    for candidate in response.candidates {
        let choice: &mut Choice = choices.entry(candidate.index).or_default();
        let mut parts = Parts::default();
        for part in candidate.content.into_iter().flat_map(|content| content.parts) {
            parts.push(visible(&part));
            let made = pieces(part, names, || {
                calls = calls.saturating_add(1);
                call_id(named_by, calls)
            });
            for piece in made {
                push(piece, &mut choice.output);
            }
        }
        choice.citations =
            grounding::citations(candidate.grounding_metadata, candidate.citation_metadata, &parts);
        web_searches = web_searches.max(grounding::searches(candidate.grounding_metadata, &model));
        let called = choice.output.iter().any(|own| matches!(own, Output::ToolCall(_)));
        choice.finish = match candidate.finish_reason.as_deref().map(|word| ending(word, called)) {
            Some(Ending::Failed) => return Err(Malformed),
            Some(Ending::Finish(finish)) => Some(finish),
            None => None,
        };
    }
    let mut choices: Vec<Choice> = choices.into_values().collect();
    if choices.is_empty() && response.prompt_feedback.is_some_and(|own| own.block_reason.is_some()) {
        choices.push(Choice { finish: Some(FinishReason::ContentFilter), ..Choice::default() });
    }
    Ok(Completion {
        id,
        model,
        choices,
        usage: response.usage_metadata.map(|own| Usage { web_searches, ..own.canonical() }),
    })
}

/// The text of a part that citations may be of.
pub(super) fn visible<'a>(part: &'a Part<'_>) -> &'a str {
    if part.thought || part.function_call.is_some() { "" } else { part.text.as_deref().unwrap_or_default() }
}

/// Texts that follow each other are one.
fn push(piece: Piece, output: &mut Vec<Output>) {
    match (piece, output.last_mut()) {
        (Piece::Text(text), Some(Output::Text(last))) => last.push_str(&text),
        (Piece::Text(text), _) => output.push(Output::Text(text)),
        (Piece::Thought(thought), _) => output.push(Output::Reasoning(thought)),
        (Piece::Call(call), _) => output.push(Output::ToolCall(call)),
    }
}

/// Writes a whole answer.
pub(super) fn write(completion: &Completion, shown: &Shown) -> Vec<u8> {
    let parts: Vec<Parts> = completion.choices.iter().map(|choice| Parts::of(&choice.output)).collect();
    let mut candidates = Vec::with_capacity(completion.choices.len());
    for (index, (choice, parts)) in (0_u64..).zip(completion.choices.iter().zip(&parts)) {
        let content =
            Content { role: Some("model".into()), parts: choice.output.iter().map(output_part).collect() };
        let finish_reason = Some(word(choice.finish.unwrap_or(FinishReason::Stop)).into());
        let grounding = grounding::written(&choice.citations, parts);
        candidates.push(Candidate {
            content: Some(content),
            finish_reason,
            index,
            grounding,
            ..Candidate::default()
        });
    }
    let response = Response {
        candidates,
        usage_metadata: completion.usage.as_ref().map(UsageMetadata::of),
        ..identified(shown, &completion.id)
    };
    serde_json::to_vec(&response).unwrap_or_default()
}

/// The members that every piece repeats.
pub(super) fn identified<'a>(shown: &'a Shown, id: &'a str) -> Response<'a> {
    let id = if id.is_empty() { &shown.id } else { id };
    Response { model_version: Some(shown.model.as_str().into()), id: Some(id.into()), ..Response::default() }
}

fn output_part(output: &Output) -> Part<'_> {
    match output {
        Output::Reasoning(thought) => thought_part(thought),
        Output::Refusal(text) | Output::Text(text) => text_part(text),
        Output::ToolCall(call) => call_part(call),
    }
}

pub(super) fn text_part(text: &str) -> Part<'_> {
    Part { text: Some(text.into()), ..Part::default() }
}

pub(super) fn thought_part(thought: &Thought) -> Part<'_> {
    let thought_signature = thought.signature.as_deref().map(seal_for_client);
    Part { text: Some(thought.text.as_str().into()), thought: true, thought_signature, ..Part::default() }
}

pub(super) fn call_part(call: &ToolCall) -> Part<'_> {
    let function_call = FunctionCall {
        id: Some(call.id.as_str().into()),
        name: call.name.as_str().into(),
        args: Some(call.arguments_object()),
    };
    Part {
        function_call: Some(function_call),
        thought_signature: call.signature.as_deref().map(seal_for_client),
        ..Part::default()
    }
}

/// A candidate of a streamed piece: a part.
pub(super) fn piece(index: u64, part: Part<'_>) -> Candidate<'_> {
    let content = Some(Content { role: Some("model".into()), parts: vec![part] });
    Candidate { content, index, ..Candidate::default() }
}

/// A candidate of a streamed piece: the end, and what all its text rests on.
pub(super) fn last<'a>(
    index: u64,
    finish: FinishReason,
    citations: &'a [Citation],
    parts: &'a Parts,
) -> Candidate<'a> {
    Candidate {
        content: Some(Content { role: Some("model".into()), parts: Vec::new() }),
        finish_reason: Some(word(finish).into()),
        index,
        grounding: grounding::written(citations, parts),
        ..Candidate::default()
    }
}
