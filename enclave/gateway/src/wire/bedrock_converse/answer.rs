//! Whole answers of `Converse`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::completion::{Choice, Completion, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::tool_names::ToolNames;
use crate::chat::{FinishReason, ServiceTier, Usage};
use crate::wire::Malformed;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    output: OutputMessage<'a>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    usage: Option<TokenUsage>,
    service_tier: Option<TierMember>,
}

/// How the request was served.
#[derive(Deserialize)]
pub(super) struct TierMember {
    r#type: String,
}

impl TierMember {
    /// Of an answer that may not say.
    pub(super) fn of(member: Option<&Self>) -> ServiceTier {
        ServiceTier::from_word(member.map_or(b"", |own| own.r#type.as_bytes()))
    }
}

#[derive(Deserialize)]
struct OutputMessage<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// A union: one member is set. Kinds that do not exist yet have none of these and are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    text: Option<String>,
    #[serde(borrow)]
    tool_use: Option<ToolCallBlock<'a>>,
    reasoning_content: Option<ReasoningContent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolCallBlock<'a> {
    #[serde(rename = "toolUseId")]
    id: String,
    name: String,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningContent {
    reasoning_text: Option<ReasoningText>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    #[serde(default)]
    text: String,
    signature: Option<String>,
}

/// Tokens as the API counts them: the input without what was read from or written to the cache.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TokenUsage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    cache_details: Option<Vec<CacheDetail>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    #[serde(default)]
    ttl: String,
    #[serde(default)]
    input_tokens: u64,
}

impl TokenUsage {
    pub(super) fn canonical(&self) -> Usage {
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let write = self.cache_write_input_tokens.unwrap_or(0);
        let input = self.input_tokens.saturating_add(read).saturating_add(write);
        let details = self.cache_details.iter().flatten().filter(|own| own.ttl == "1h");
        Usage {
            input_tokens: input,
            output_tokens: self.output_tokens,
            total_tokens: self.total_tokens.max(input.saturating_add(self.output_tokens)),
            cached_input_tokens: read,
            cache_write_tokens: write,
            cache_write_1h_tokens: details
                .fold(0, |sum, own| own.input_tokens.saturating_add(sum))
                .min(write),
            ..Usage::default()
        }
    }
}

/// The API's word for why the model stopped.
pub(super) fn finish(word: &str) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "content_filtered" | "guardrail_intervened" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// Reads a whole answer.
pub(super) fn read(body: &[u8], names: &ToolNames) -> Result<Completion, Malformed> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| Malformed)?;
    let mut output = Vec::new();
    for block in answer.output.message.content {
        if let Some(reasoning) = block.reasoning_content {
            let redacted = reasoning.redacted_content;
            let (text, signature) =
                reasoning.reasoning_text.map_or_else(Default::default, |own| (own.text, own.signature));
            output.push(Output::Reasoning(Thought { text, signature, redacted }));
        }
        if let Some(text) = block.text {
            output.push(Output::Text(text));
        }
        if let Some(call) = block.tool_use {
            output.push(Output::ToolCall(ToolCall {
                id: call.id,
                name: names.original(&call.name).to_owned(),
                arguments: call.input.map_or("{}", RawValue::get).to_owned(),
                signature: None,
            }));
        }
    }
    let finish = answer.stop_reason.as_deref().map(finish);
    let tier = TierMember::of(answer.service_tier.as_ref());
    Ok(Completion {
        choices: vec![Choice { output, finish, ..Choice::default() }],
        usage: answer.usage.as_ref().map(|own| Usage { tier, ..own.canonical() }),
        ..Completion::default()
    })
}
