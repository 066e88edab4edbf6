//! Whole answers of Cohere's, and what streams share with them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::citations;
use crate::chat::completion::{Choice, Completion, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::tool_names::ToolNames;
use crate::chat::{FinishReason, Usage};
use crate::wire::Malformed;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: String,
    finish_reason: String,
    message: Message,
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Vec<Block>>,
    tool_plan: Option<String>,
    tool_calls: Option<Vec<CallMember>>,
    citations: Option<Box<RawValue>>,
}

/// A block of content; kinds that do not exist yet have neither member and are passed over.
#[derive(Deserialize)]
pub(super) struct Block {
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
}

/// A call, whole or in pieces.
#[derive(Deserialize)]
pub(super) struct CallMember {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) function: CalledFunction,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CalledFunction {
    pub(super) name: String,
    pub(super) arguments: Option<String>,
}

/// What was billed, and what the model was given, which is more: the API adds texts of its own that cost nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenUsage {
    billed_units: Option<Units>,
    tokens: Option<Units>,
    cached_tokens: Option<f64>,
}

/// Counts, which the API's schema has as numbers with fractions.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Units {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

impl TokenUsage {
    /// Billed counts, since what they are for is money; nothing if nothing was counted.
    pub(super) fn canonical(&self) -> Option<Usage> {
        let counted = |units: &Units| units.input_tokens.is_some() || units.output_tokens.is_some();
        let units = self.billed_units.filter(counted).or_else(|| self.tokens.filter(counted))?;
        let input_tokens = whole(units.input_tokens);
        let output_tokens = whole(units.output_tokens);
        let given = self.tokens.unwrap_or_default();
        let all = whole(given.input_tokens).saturating_add(whole(given.output_tokens));
        Some(Usage {
            input_tokens,
            output_tokens,
            total_tokens: input_tokens.saturating_add(output_tokens).max(all),
            cached_input_tokens: whole(self.cached_tokens).min(input_tokens),
            ..Usage::default()
        })
    }
}

fn whole(count: Option<f64>) -> u64 {
    count.and_then(|count| format!("{count:.0}").parse().ok()).unwrap_or(0)
}

/// The API's word for why the model stopped; nothing for a failure.
pub(super) fn finish(word: &str) -> Option<FinishReason> {
    Some(match word {
        "COMPLETE" | "STOP_SEQUENCE" => FinishReason::Stop,
        "ERROR" | "TIMEOUT" => return None,
        "ERROR_TOXIC" => FinishReason::ContentFilter,
        "MAX_TOKENS" => FinishReason::Length,
        "TOOL_CALL" => FinishReason::ToolCalls,
        _ => FinishReason::Other,
    })
}

/// Reads a whole answer.
pub(super) fn read(body: &[u8], names: &ToolNames) -> Result<Completion, Malformed> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Malformed)?;
    let finish = finish(&answer.finish_reason).ok_or(Malformed)?;
    let thought = |text| Output::Reasoning(Thought { text, ..Thought::default() });
    let mut output = Vec::new();
    for block in answer.message.content.into_iter().flatten() {
        output.extend(block.thinking.filter(|text| !text.is_empty()).map(thought));
        output.extend(block.text.map(Output::Text));
    }
    output.extend(answer.message.tool_plan.filter(|text| !text.is_empty()).map(thought));
    for call in answer.message.tool_calls.into_iter().flatten() {
        let CalledFunction { name, arguments } = call.function;
        let arguments = arguments.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| "{}".to_owned());
        let name = names.original(&name).to_owned();
        output.push(Output::ToolCall(ToolCall { id: call.id, name, arguments, signature: None }));
    }
    let citations = citations::of_message(answer.message.citations.as_deref());
    Ok(Completion {
        id: answer.id,
        choices: vec![Choice { output, finish: Some(finish), citations, ..Choice::default() }],
        usage: answer.usage.as_ref().and_then(TokenUsage::canonical),
        ..Completion::default()
    })
}
