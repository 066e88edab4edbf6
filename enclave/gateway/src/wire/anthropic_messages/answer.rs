//! Whole messages, read from upstreams and written for clients.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::blocks::input;
use super::citations::{self, WrittenCitation, cut};
use super::usage::{Counts, WrittenUsage};
use crate::chat::citation::{Citation, characters};
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
    #[serde(default)]
    citations: Option<Box<RawValue>>,
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
    let (mut output, mut cited) = (Vec::new(), Vec::new());
    let mut length = 0_u64;
    for mut block in answer.content {
        let own = citations::of_block(block.citations.take().as_deref());
        let Some(read) = read_block(block, names) else { continue };
        if let Output::Text(text) = &read {
            let end = length.saturating_add(characters(text));
            cited.extend(own.into_iter().map(|citation| Citation { span: Some(length..end), ..citation }));
            length = end;
        }
        // Citations cut texts into blocks; here they are places in one text.
        match (read, output.last_mut()) {
            (Output::Text(text), Some(Output::Text(last))) => last.push_str(&text),
            (read, _) => output.push(read),
        }
    }
    let calling = output.iter().any(|own| matches!(own, Output::ToolCall(_)));
    if finish == Some(FinishReason::ToolCalls) && !calling {
        finish = Some(FinishReason::Stop);
    }
    let choice = Choice { output, finish, stop_sequence: answer.stop_sequence, citations: cited };
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
    RedactedThinking {
        data: &'a str,
    },
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<WrittenCitation<'a>>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
}

pub(super) fn write(completion: &Completion, shown: &Shown) -> Plaintext<Bytes> {
    let model = if completion.model.is_empty() { &shown.model } else { &completion.model };
    let choice = completion.choices.first();
    let output = choice.map(|choice| choice.output.as_slice()).unwrap_or_default();
    let citations = choice.map(|choice| choice.citations.as_slice()).unwrap_or_default();
    let content = written_blocks(output, citations, shown.reasoning);
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

/// Texts are cut so that each block rests on its citations as a whole; what has no place belongs to the last one.
fn written_blocks<'a>(
    output: &'a [Output],
    citations: &'a [Citation],
    reasoning: bool,
) -> Vec<WrittenBlock<'a>> {
    let mut blocks = Vec::with_capacity(output.len());
    let mut length = 0_u64;
    for own in output {
        match own {
            Output::Text(text) if !citations.is_empty() => {
                let end = length.saturating_add(characters(text));
                for piece in cut(text, length..end, citations) {
                    let citations = piece.citations.into_iter().map(WrittenCitation::new).collect();
                    blocks.push(WrittenBlock::Text { text: piece.text, citations });
                }
                length = end;
            }
            Output::Reasoning(_) | Output::Refusal(_) | Output::Text(_) | Output::ToolCall(_) => {
                blocks.extend(written_block(own, reasoning));
            }
        }
    }
    let last = blocks.iter_mut().rev().find_map(|block| match block {
        WrittenBlock::Text { citations, .. } => Some(citations),
        WrittenBlock::RedactedThinking { .. }
        | WrittenBlock::Thinking { .. }
        | WrittenBlock::ToolUse { .. } => None,
    });
    if let Some(last) = last {
        last.extend(citations.iter().filter(|own| own.span.is_none()).map(WrittenCitation::new));
    }
    blocks
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
            (!text.is_empty()).then_some(WrittenBlock::Text { text, citations: Vec::new() })
        }
        Output::ToolCall(call) => {
            Some(WrittenBlock::ToolUse { id: &call.id, name: &call.name, input: input(&call.arguments) })
        }
    }
}
