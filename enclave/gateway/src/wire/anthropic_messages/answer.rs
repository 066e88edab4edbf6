//! Whole messages, read from upstreams and written for clients.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::blocks::input;
use super::usage::{Counts, WrittenUsage};
use crate::chat::completion::{Choice, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, FinishReason};
use crate::plaintext::Plaintext;
use crate::wire::Malformed;
use crate::wire::dialect::Shown;
use crate::wire::json::body;

#[derive(Deserialize)]
struct Answer<'a> {
    r#type: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

pub(super) fn read(whole: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
    let answer: Answer<'_> = serde_json::from_slice(whole).map_err(|_| Malformed)?;
    if answer.r#type != "message" {
        return Err(Malformed);
    }
    let mut counts = Counts::default();
    if let Some(own) = answer.usage {
        counts.take(own.get().as_bytes())?;
    }
    let mut finish = answer.stop_reason.as_deref().map(|word| super::finish(word.as_bytes()));
    let output: Vec<_> = answer.content.into_iter().filter_map(|block| read_block(block, names)).collect();
    let calling = output.iter().any(|own| matches!(own, Output::ToolCall(_)));
    if finish == Some(FinishReason::ToolCalls) && !calling {
        finish = Some(FinishReason::Stop);
    }
    let choice = Choice { output, finish, stop_sequence: answer.stop_sequence };
    Ok(Plaintext::new(Completion {
        id: answer.id.unwrap_or_default(),
        model: answer.model.unwrap_or_default(),
        choices: vec![choice],
        usage: counts.total(),
    }))
}

/// Blocks of the provider's own tools are not the client's to answer; what they found is in the text.
fn read_block(block: Block, names: &ToolNames) -> Option<Output> {
    match block.r#type.as_str() {
        "text" => block.text.filter(|text| !text.is_empty()).map(Output::Text),
        "thinking" => Some(Output::Reasoning(Thought {
            text: block.thinking.unwrap_or_default(),
            signature: block.signature,
            redacted: None,
        })),
        "redacted_thinking" => {
            Some(Output::Reasoning(Thought { redacted: block.data, ..Thought::default() }))
        }
        "tool_use" => {
            let name = block.name?;
            let arguments = block.input.map_or_else(|| "{}".to_owned(), |own| own.get().to_owned());
            if names.is_answer(&name) {
                return Some(Output::Text(arguments));
            }
            let name = names.original(&name).to_owned();
            Some(Output::ToolCall(ToolCall { id: block.id?, name, arguments, signature: None }))
        }
        _ => None,
    }
}

#[derive(Serialize)]
struct WrittenAnswer<'a> {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<WrittenBlock<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: WrittenUsage,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WrittenBlock<'a> {
    RedactedThinking { data: &'a str },
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Cow<'a, RawValue> },
}

pub(super) fn write(completion: &Completion, shown: &Shown) -> Plaintext<Bytes> {
    let model = if completion.model.is_empty() { &shown.model } else { &completion.model };
    let choice = completion.choices.first();
    let output = choice.map(|choice| choice.output.as_slice()).unwrap_or_default();
    let content: Vec<_> = output.iter().filter_map(|own| written_block(own, shown.reasoning)).collect();
    let calling = content.iter().any(|block| matches!(block, WrittenBlock::ToolUse { .. }));
    let natural = if calling { FinishReason::ToolCalls } else { FinishReason::Stop };
    let stop_sequence = choice.and_then(|choice| choice.stop_sequence.as_deref());
    let refused = output.iter().any(|own| matches!(own, Output::Refusal(_)));
    let told = choice.and_then(|choice| choice.finish).unwrap_or(natural);
    let finish = if refused { FinishReason::ContentFilter } else { told };
    body(&WrittenAnswer {
        id: super::answer_id(&completion.id, &shown.id),
        r#type: "message",
        role: "assistant",
        model,
        content,
        stop_reason: super::stop_word(finish, stop_sequence),
        stop_sequence,
        usage: WrittenUsage::new(&completion.usage.unwrap_or_default()),
    })
}

fn written_block(output: &Output, reasoning: bool) -> Option<WrittenBlock<'_>> {
    match output {
        Output::Reasoning(_) if !reasoning => None,
        Output::Reasoning(Thought { redacted: Some(data), .. }) => {
            Some(WrittenBlock::RedactedThinking { data })
        }
        Output::Reasoning(Thought { text, signature, .. }) => {
            let signature = signature.as_deref().unwrap_or_default();
            Some(WrittenBlock::Thinking { thinking: text, signature })
        }
        Output::Refusal(text) | Output::Text(text) => {
            (!text.is_empty()).then_some(WrittenBlock::Text { text })
        }
        Output::ToolCall(call) => {
            Some(WrittenBlock::ToolUse { id: &call.id, name: &call.name, input: input(&call.arguments) })
        }
    }
}
