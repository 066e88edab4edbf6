//! A canonical request as `Converse` wants it (Amazon Bedrock API reference, "Converse").

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::conversation::{
    CacheHint, Conversation, Media, MediaSource, OutputFormat, Part, Role, Seal, Thought, ToolChoice, Turn,
};
use crate::chat::tool_names::{Letters, ToolNames, short_digest};
use crate::error::Error;
use crate::wire::bedrock_converse::models;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::web_search;

/// What tool names and call ids may be made of.
pub(super) const LETTERS: Letters = Letters { also: "-", letter_first: false, longest: 64 };

/// The body of `Converse` and `ConverseStream`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    additional_model_request_fields: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Block<'a> {
    CachePoint(CachePoint),
    #[serde(rename_all = "camelCase")]
    Document {
        format: &'static str,
        name: String,
        source: Source<'a>,
    },
    Image {
        format: &'static str,
        source: Source<'a>,
    },
    ReasoningContent(ReasoningBlock<'a>),
    Text(&'a str),
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Self>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
}

#[derive(Serialize)]
struct CachePoint {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ReasoningBlock<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Source<'a> {
    Bytes(&'a str),
    S3Location { uri: &'a str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolEntry<'a> {
    CachePoint(CachePoint),
    #[serde(rename_all = "camelCase")]
    ToolSpec {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: InputSchema<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

#[derive(Serialize)]
struct InputSchema<'a> {
    json: Cow<'a, RawValue>,
}

/// The body for a conversation.
pub(super) fn body<'a>(
    conversation: &'a Conversation,
    model: &str,
    names: &'a ToolNames,
    expressible: &mut Expressible,
) -> Result<Body<'a>, Error> {
    refuse_the_rest(conversation, expressible)?;
    let mut system = Vec::new();
    for part in &conversation.instructions {
        if let Part::Text { text, cache } = part {
            push_text(text, *cache, &mut system);
        } else {
            expressible.cannot("system", Weight::Meaning)?;
        }
    }
    let tuned = models::tune(conversation, model, expressible)?;
    let inference_config = InferenceConfig {
        max_tokens: tuned.max_tokens,
        temperature: tuned.temperature,
        top_p: conversation.sampling.top_p,
        stop_sequences: &conversation.stop,
    };
    Ok(Body {
        messages: messages(conversation, names, expressible)?,
        system,
        inference_config,
        tool_config: tool_config(conversation, names, expressible)?,
        output_config: output_config(&conversation.format, expressible)?,
        additional_model_request_fields: tuned.additional,
    })
}

/// What no model of this API can be told.
fn refuse_the_rest(conversation: &Conversation, expressible: &mut Expressible) -> Result<(), Error> {
    web_search::refuse(conversation.web_search.as_ref(), expressible)?;
    let sampling = &conversation.sampling;
    if conversation.choices.is_some_and(|count| count > 1) {
        expressible.cannot("n", Weight::Meaning)?;
    }
    if sampling.presence_penalty.is_some_and(|own| own != 0.0) {
        expressible.cannot("presence_penalty", Weight::Meaning)?;
    }
    if sampling.frequency_penalty.is_some_and(|own| own != 0.0) {
        expressible.cannot("frequency_penalty", Weight::Meaning)?;
    }
    if sampling.seed.is_some() {
        expressible.cannot("seed", Weight::Hint)?;
    }
    if conversation.end_user.is_some() {
        expressible.cannot("user", Weight::Hint)?;
    }
    Ok(())
}

/// Turns in strict alternation: neighbours of the same role are one message.
fn messages<'a>(
    conversation: &'a Conversation,
    names: &'a ToolNames,
    expressible: &mut Expressible,
) -> Result<Vec<Message<'a>>, Error> {
    let mut messages: Vec<Message<'a>> = Vec::new();
    let mut documents = 0;
    for turn in &conversation.turns {
        let role = match turn.role {
            Role::Assistant => "assistant",
            Role::User => "user",
        };
        let mut content = Vec::with_capacity(turn.parts.len());
        for part in &turn.parts {
            push_part(part, names, &mut documents, &mut content, expressible)?;
        }
        match messages.last_mut() {
            _ if content.is_empty() => {}
            Some(last) if last.role == role => last.content.append(&mut content),
            _ => messages.push(Message { role, content }),
        }
    }
    Ok(messages)
}

fn push_part<'a>(
    part: &'a Part,
    names: &'a ToolNames,
    documents: &mut usize,
    into: &mut Vec<Block<'a>>,
    expressible: &mut Expressible,
) -> Result<(), Error> {
    match part {
        Part::Audio(_) => expressible.cannot("input_audio", Weight::Meaning)?,
        Part::Document { media, name } => {
            *documents = documents.saturating_add(1);
            match (document_format(&media.media_type), source(media)) {
                (Some(format), Some(source)) => {
                    into.push(Block::Document {
                        format,
                        name: document_name(name.as_deref(), *documents),
                        source,
                    });
                }
                _ => expressible.cannot("file", Weight::Meaning)?,
            }
        }
        Part::Image { media, .. } => match (image_format(&media.media_type), source(media)) {
            (Some(format), Some(source)) => into.push(Block::Image { format, source }),
            _ => expressible.cannot("image_url", Weight::Meaning)?,
        },
        Part::Reasoning(thought) => into.extend(reasoning(thought)),
        Part::Refusal(text) => push_text(text, None, into),
        Part::Text { text, cache } => push_text(text, *cache, into),
        Part::ToolCall(call) => into.push(Block::ToolUse {
            tool_use_id: call_id(&call.id),
            name: names.sent(&call.name),
            input: call.arguments_object(),
        }),
        Part::ToolResult { call_id: id, parts, is_error } => {
            let mut content = Vec::with_capacity(parts.len());
            for part in parts {
                push_part(part, names, documents, &mut content, expressible)?;
            }
            let status = is_error.then_some("error");
            into.push(Block::ToolResult { tool_use_id: call_id(id), content, status });
        }
    }
    Ok(())
}

/// A call's id as the API allows it. The same for the call and its result, so no table is needed.
fn call_id(id: &str) -> Cow<'_, str> {
    if LETTERS.allow(id) { Cow::Borrowed(id) } else { Cow::Owned(format!("call_{}", short_digest(id, 32))) }
}

/// Text that is not blank, which the API refuses, and a cache point after it.
fn push_text<'a>(text: &'a str, cache: Option<CacheHint>, into: &mut Vec<Block<'a>>) {
    if !text.trim().is_empty() {
        into.push(Block::Text(text));
        into.extend(cache.map(|hint| Block::CachePoint(cache_point(hint))));
    }
}

const fn cache_point(hint: CacheHint) -> CachePoint {
    let ttl = match hint {
        CacheHint::Default => None,
        CacheHint::Hour => Some("1h"),
    };
    CachePoint { r#type: "default", ttl }
}

/// Thought goes back only with the seal of the vendor that made it; the API refuses any other.
fn reasoning(thought: &Thought) -> Option<Block<'_>> {
    Some(Block::ReasoningContent(match thought.unmarked_seal()? {
        Seal::Encrypted(data) => ReasoningBlock::RedactedContent(data),
        Seal::Signature(signature) => ReasoningBlock::ReasoningText { text: &thought.text, signature },
    }))
}

fn source(media: &Media) -> Option<Source<'_>> {
    match &media.source {
        MediaSource::Base64(data) => Some(Source::Bytes(data)),
        MediaSource::Url(url) if url.starts_with("s3://") => Some(Source::S3Location { uri: url }),
        MediaSource::FileId(_) | MediaSource::Url(_) => None,
    }
}

fn image_format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/gif" => "gif",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/png" => "png",
        "image/webp" => "webp",
        _ => return None,
    })
}

fn document_format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "application/msword" => "doc",
        "application/pdf" => "pdf",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/markdown" => "md",
        "text/plain" => "txt",
        _ => return None,
    })
}

/// Names may have letters, digits, single spaces, hyphens and brackets, and differ within a request.
fn document_name(name: Option<&str>, number: usize) -> String {
    let keep =
        |letter: char| if letter.is_ascii_alphanumeric() || "-()[]".contains(letter) { letter } else { ' ' };
    let cleaned: String = name.unwrap_or("document").chars().take(180).map(keep).collect();
    let words: Vec<&str> = cleaned.split_whitespace().collect();
    format!("{} {number}", words.join(" ")).trim().to_owned()
}

/// Tools. The API wants them named whenever the history has calls or results, even if none may be called now.
fn tool_config<'a>(
    conversation: &'a Conversation,
    names: &'a ToolNames,
    expressible: &mut Expressible,
) -> Result<Option<ToolConfig<'a>>, Error> {
    let in_history = has_tool_parts(&conversation.turns);
    let tool_choice = match &conversation.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(serde_json::json!({ "auto": {} })),
        Some(ToolChoice::None) if in_history => {
            expressible.cannot("tool_choice", Weight::Meaning)?;
            None
        }
        Some(ToolChoice::None) => return Ok(None),
        Some(ToolChoice::Required) => Some(serde_json::json!({ "any": {} })),
        Some(ToolChoice::Tool(name)) => Some(serde_json::json!({ "tool": { "name": names.sent(name) } })),
    };
    let mut tools = Vec::with_capacity(conversation.tools.len());
    for tool in &conversation.tools {
        tools.push(ToolEntry::ToolSpec {
            name: names.sent(&tool.name),
            description: tool.description.as_deref().filter(|text| !text.trim().is_empty()),
            input_schema: InputSchema {
                json: tool.parameters.as_deref().map_or_else(any_object, Cow::Borrowed),
            },
            strict: tool.strict.filter(|strict| *strict),
        });
        tools.extend(tool.cache.map(|hint| ToolEntry::CachePoint(cache_point(hint))));
    }
    if tools.is_empty() && in_history {
        tools.extend(names.all_sent().map(|name| ToolEntry::ToolSpec {
            name,
            description: None,
            input_schema: InputSchema { json: any_object() },
            strict: None,
        }));
    }
    Ok((!tools.is_empty()).then_some(ToolConfig { tools, tool_choice }))
}

fn has_tool_parts(turns: &[Turn]) -> bool {
    let is_tool = |part: &Part| matches!(part, Part::ToolCall(_) | Part::ToolResult { .. });
    turns.iter().any(|turn| turn.parts.iter().any(is_tool))
}

/// The schema of a tool whose client gave none.
fn any_object<'a>() -> Cow<'a, RawValue> {
    let schema = to_raw_value(&serde_json::json!({ "type": "object", "properties": {} }));
    schema.map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Owned)
}

fn output_config(
    format: &OutputFormat,
    expressible: &mut Expressible,
) -> Result<Option<serde_json::Value>, Error> {
    match format {
        OutputFormat::Text => Ok(None),
        OutputFormat::JsonObject => {
            expressible.cannot("response_format", Weight::Meaning)?;
            Ok(None)
        }
        OutputFormat::JsonSchema { name, description, schema, .. } => {
            let mut own = serde_json::Map::new();
            own.insert("schema".to_owned(), schema.get().into());
            own.extend(name.as_deref().map(|name| ("name".to_owned(), name.into())));
            own.extend(description.as_deref().map(|text| ("description".to_owned(), text.into())));
            Ok(Some(serde_json::json!({
                "textFormat": { "type": "json_schema", "structure": { "jsonSchema": own } }
            })))
        }
    }
}
