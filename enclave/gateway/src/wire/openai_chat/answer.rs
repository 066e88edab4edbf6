//! Whole chat completions, read from upstreams and written for clients.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ExtraContent;
use super::annotations::{self, WrittenAnnotation};
use super::reasoning_details::{self, Detail, WrittenDetail};
use crate::chat::citation::characters;
use crate::chat::completion::{Choice, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, FinishReason, ServiceTier, Usage};
use crate::plaintext::Plaintext;
use crate::scan::Fields;
use crate::wire::Malformed;
use crate::wire::dialect::Shown;
use crate::wire::json::{Loose, TextOr, body};
use crate::wire::openai_shape::usage_object;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    choices: Vec<ChoiceMember>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    service_tier: Option<String>,
    /// Perplexity's: what was found, for the first answer.
    #[serde(default, borrow)]
    search_results: Option<&'a RawValue>,
    #[serde(default, borrow)]
    citations: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChoiceMember {
    message: MessageMember,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct MessageMember {
    #[serde(default)]
    content: Option<TextOr<PartMember>>,
    #[serde(default)]
    refusal: Option<Loose>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<Loose>,
    #[serde(default)]
    reasoning_details: Option<Vec<Detail>>,
    #[serde(default)]
    tool_calls: Option<Vec<CallMember>>,
    #[serde(default)]
    annotations: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PartMember {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct CallMember {
    #[serde(default)]
    id: Option<String>,
    function: CalledMember,
    #[serde(default)]
    extra_content: Option<super::ExtraRead>,
}

#[derive(Deserialize)]
struct CalledMember {
    name: String,
    #[serde(default)]
    arguments: Loose,
}

pub(super) fn read(whole: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
    let answer: Answer<'_> = serde_json::from_slice(whole).map_err(|_| Malformed)?;
    if answer.error.is_some() {
        return Err(Malformed);
    }
    let id = answer.id.unwrap_or_default();
    let usage = match answer.usage {
        Some(own) => usage_object(own.get().as_bytes(), &mut Fields::for_answers())?,
        None => None,
    };
    let tier = ServiceTier::from_word(answer.service_tier.unwrap_or_default().as_bytes());
    let usage = usage.map(|usage| Usage { tier, ..usage });
    let mut choices: Vec<Choice> = answer.choices.into_iter().map(|own| choice(own, &id, names)).collect();
    if let Some(first) = choices.first_mut().filter(|own| own.citations.is_empty()) {
        first.citations = annotations::found(answer.search_results, answer.citations);
    }
    Ok(Plaintext::new(Completion { model: answer.model.unwrap_or_default(), choices, usage, id }))
}

fn choice(member: ChoiceMember, id: &str, names: &ToolNames) -> Choice {
    let ChoiceMember { message, finish_reason } = member;
    let mut output = Vec::new();
    let plain = message.reasoning_content.filter(|text| !text.0.is_empty());
    let thoughts = match message.reasoning_details {
        Some(details) => reasoning_details::thoughts(details),
        None => plain.into_iter().map(|text| Thought { text: text.0, ..Thought::default() }).collect(),
    };
    output.extend(thoughts.into_iter().map(Output::Reasoning));
    match message.content {
        None => {}
        Some(TextOr::Text(text)) => output.extend((!text.is_empty()).then_some(Output::Text(text))),
        Some(TextOr::List(parts)) => {
            output.extend(parts.into_iter().filter_map(|own| own.text).map(Output::Text));
        }
    }
    output.extend(message.refusal.map(|text| Output::Refusal(text.0)));
    let calls = message.tool_calls.unwrap_or_default();
    let calling = !calls.is_empty();
    for (place, call) in calls.into_iter().enumerate() {
        let own = call.id.filter(|id| !id.is_empty());
        output.push(Output::ToolCall(ToolCall {
            id: own.unwrap_or_else(|| super::made_up_call_id(id, place)),
            name: names.original(&call.function.name).to_owned(),
            arguments: call.function.arguments.0,
            signature: call.extra_content.and_then(super::ExtraRead::signature),
        }));
    }
    let finish = finish_reason.map(|word| super::finish(&word, calling));
    let citations = annotations::citations(message.annotations.as_deref()).collect();
    Choice { output, finish, stop_sequence: None, citations }
}

#[derive(Serialize)]
struct WrittenAnswer<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WrittenChoice<'a>>,
    usage: Option<WrittenUsage>,
}

#[derive(Serialize)]
struct WrittenChoice<'a> {
    index: usize,
    message: WrittenMessage<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<WrittenDetail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WrittenCall<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<WrittenAnnotation<'a>>,
}

#[derive(Serialize)]
struct WrittenCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: WrittenCalled<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct WrittenCalled<'a> {
    name: &'a str,
    arguments: &'a str,
}

pub(super) fn write(completion: &Completion, shown: &Shown) -> Plaintext<Bytes> {
    let model = if completion.model.is_empty() { &shown.model } else { &completion.model };
    let choices = completion.choices.iter().enumerate();
    body(&WrittenAnswer {
        id: super::answer_id(&completion.id, &shown.id),
        object: "chat.completion",
        created: shown.created,
        model,
        choices: choices.map(|(index, choice)| written_choice(index, choice, shown.reasoning)).collect(),
        usage: completion.usage.as_ref().map(WrittenUsage::new),
    })
}

fn written_choice(index: usize, choice: &Choice, reasoning: bool) -> WrittenChoice<'_> {
    let mut message = WrittenMessage {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        reasoning_details: Vec::new(),
        tool_calls: Vec::new(),
        annotations: Vec::new(),
    };
    for output in &choice.output {
        match output {
            Output::Reasoning(thought) if reasoning => {
                message.reasoning_content.get_or_insert_default().push_str(&thought.text);
                let place = message.reasoning_details.len();
                message.reasoning_details.push(WrittenDetail::new(thought, place));
            }
            Output::Reasoning(_) => {}
            Output::Refusal(text) => message.refusal = Some(text),
            Output::Text(text) => message.content.get_or_insert_default().push_str(text),
            Output::ToolCall(call) => message.tool_calls.push(written_call(call)),
        }
    }
    if !choice.citations.is_empty() {
        let length = characters(message.content.as_deref().unwrap_or_default());
        message.annotations =
            choice.citations.iter().map(|own| WrittenAnnotation::new(own, length)).collect();
    }
    let calling = !message.tool_calls.is_empty();
    if message.content.is_none() && message.refusal.is_none() && !calling {
        message.content = Some(String::new());
    }
    let natural = if calling { FinishReason::ToolCalls } else { FinishReason::Stop };
    let finish_reason = choice.finish.unwrap_or(natural).to_openai();
    WrittenChoice { index, message, logprobs: None, finish_reason }
}

fn written_call(call: &ToolCall) -> WrittenCall<'_> {
    let arguments = if call.arguments.is_empty() { "{}" } else { call.arguments.as_str() };
    WrittenCall {
        id: &call.id,
        r#type: "function",
        function: WrittenCalled { name: &call.name, arguments },
        extra_content: ExtraContent::new(call.signature.as_deref()),
    }
}

/// The usage object with all details, as the API reference has it.
#[derive(Serialize)]
pub(in crate::wire) struct WrittenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: InputDetails,
    completion_tokens_details: OutputDetails,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct OutputDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl WrittenUsage {
    pub(in crate::wire) const fn new(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.total_tokens,
            prompt_tokens_details: InputDetails {
                cached_tokens: usage.cached_input_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                audio_tokens: 0,
            },
            completion_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning_tokens,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
        }
    }
}
