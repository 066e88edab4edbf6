//! A client's messages request in canonical form.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::Conversation;
use crate::chat::conversation::{
    CacheHint, Effort, Media, MediaSource, OutputFormat, Part, Reasoning, Role, Sampling, Thought, Tool,
    ToolCall, ToolChoice, Turn,
};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Request;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::{CacheControl, TextOr, member, positive, report_unread};
use crate::wire::web_search::SearchTool;

/// Members that the canonical form has.
const READ: &[&str] = &[
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// Members that it does not have, and how much they matter.
const UNREAD: &[(&str, Weight)] = &[
    ("cache_control", Weight::Hint),
    ("container", Weight::Meaning),
    ("context_management", Weight::Hint),
    ("inference_geo", Weight::Meaning),
    ("mcp_servers", Weight::Meaning),
    ("service_tier", Weight::Hint),
];

pub(super) fn read(
    request: &Request,
    expressible: &mut Expressible,
) -> Result<Plaintext<Conversation>, Error> {
    report_unread(request, READ, UNREAD, expressible)?;
    let limit = positive(request, "max_tokens")?.ok_or(Error::FieldMissing { param: "max_tokens" })?;
    let mut conversation = Conversation {
        stream: request.stream,
        max_output_tokens: Some(limit),
        sampling: sampling(request)?,
        reasoning: reasoning(request)?,
        ..Conversation::default()
    };
    let system = member(request, "system", "a string or an array of text blocks")?;
    conversation.instructions = parts(system, expressible)?;
    for message in member::<Vec<Message>>(request, "messages", "an array of messages")?.unwrap_or_default() {
        let Message { role, content } = message;
        let parts = parts(Some(content), expressible)?;
        match role.as_str() {
            "assistant" => conversation.turns.push(Turn { role: Role::Assistant, parts }),
            "system" => conversation.instructions.extend(parts),
            "user" => conversation.turns.push(Turn { role: Role::User, parts }),
            _ => {
                let expected = "messages with role user or assistant";
                return Err(Error::FieldInvalid { param: "messages", expected });
            }
        }
    }
    for tool in member::<Vec<ToolMember>>(request, "tools", "an array of tools")?.unwrap_or_default() {
        tool.read_into(&mut conversation, expressible)?;
    }
    let choice =
        member::<ChoiceMember>(request, "tool_choice", "an object with type auto, any, tool or none")?;
    if let Some(choice) = choice {
        conversation.parallel_tool_calls = choice.disable_parallel_tool_use.map(|disabled| !disabled);
        conversation.tool_choice = Some(choice.read()?);
    }
    conversation.stop = member(request, "stop_sequences", "an array of strings")?.unwrap_or_default();
    conversation.format = format(request)?;
    conversation.end_user = member::<Metadata>(request, "metadata", "an object")?.and_then(|own| own.user_id);
    Ok(Plaintext::new(conversation))
}

#[derive(Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

fn sampling(request: &Request) -> Result<Sampling, Error> {
    Ok(Sampling {
        temperature: member(request, "temperature", "a number")?,
        top_p: member(request, "top_p", "a number")?,
        top_k: member(request, "top_k", "a whole number")?,
        ..Sampling::default()
    })
}

#[derive(Deserialize)]
struct OutputConfig {
    effort: Option<String>,
    format: Option<FormatMember>,
}

#[derive(Deserialize)]
struct FormatMember {
    schema: Option<Box<RawValue>>,
}

fn output_config(request: &Request) -> Result<Option<OutputConfig>, Error> {
    member(request, "output_config", "an object with effort or format")
}

/// `output_config.format`, or `output_format` where it stood before.
fn format(request: &Request) -> Result<OutputFormat, Error> {
    let expected = "an object with type json_schema and a schema";
    let older = member::<FormatMember>(request, "output_format", expected)?;
    let Some(format) = output_config(request)?.and_then(|own| own.format).or(older) else {
        return Ok(OutputFormat::Text);
    };
    let schema = format.schema.ok_or(Error::FieldInvalid { param: "output_config", expected })?;
    Ok(OutputFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) })
}

#[derive(Deserialize)]
struct ThinkingMember {
    r#type: String,
    budget_tokens: Option<u64>,
}

fn reasoning(request: &Request) -> Result<Option<Reasoning>, Error> {
    let expected = "an object with type enabled, adaptive or disabled";
    let thinking = member::<ThinkingMember>(request, "thinking", expected)?;
    let word = output_config(request)?.and_then(|own| own.effort);
    let invalid = Error::FieldInvalid { param: "output_config", expected: "a known effort" };
    let effort = match word.as_deref().map(Effort::from_word) {
        Some(None) => return Err(invalid),
        None => None,
        Some(known) => known,
    };
    match thinking {
        None => Ok(effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() })),
        Some(ThinkingMember { r#type, budget_tokens }) => match r#type.as_str() {
            "enabled" => Ok(Some(Reasoning { effort, budget_tokens, visible: true })),
            "adaptive" => Ok(Some(Reasoning { effort, budget_tokens: None, visible: true })),
            "disabled" => Ok(effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() })),
            _ => Err(Error::FieldInvalid { param: "thinking", expected }),
        },
    }
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: TextOr<Block>,
}

/// A content block of any type.
#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    source: Option<SourceMember>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    content: Option<TextOr<Self>>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
    /// Of a document whether they are wanted; of a text those that it had.
    #[serde(default)]
    citations: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct SourceMember {
    r#type: String,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
    file_id: Option<String>,
}

/// What a document says of its citations.
#[derive(Deserialize)]
struct Wanted {
    enabled: bool,
}

fn parts(content: Option<TextOr<Block>>, expressible: &mut Expressible) -> Result<Vec<Part>, Error> {
    match content {
        None => Ok(Vec::new()),
        Some(TextOr::Text(text)) => Ok(vec![Part::Text { text, cache: None }]),
        Some(TextOr::List(blocks)) => {
            let mut parts = Vec::with_capacity(blocks.len());
            for block in blocks {
                parts.extend(part(block, expressible)?);
            }
            Ok(parts)
        }
    }
}

/// One block; results hold blocks of their own, as deep as the scan of the whole body allows.
fn part(block: Block, expressible: &mut Expressible) -> Result<Option<Part>, Error> {
    let cache = block.cache_control.as_ref().map(CacheControl::hint);
    let wanted = block.citations.as_deref().and_then(|own| serde_json::from_str::<Wanted>(own.get()).ok());
    if wanted.is_some_and(|own| own.enabled) {
        expressible.cannot("messages.content.citations", Weight::Hint)?;
    }
    let read = match block.r#type.as_str() {
        "text" => block.text.map(|text| Part::Text { text, cache }),
        "image" => block.source.and_then(media).map(|media| Part::Image { media, detail: None }),
        "document" => document(block.source, block.title, cache),
        "tool_use" => block.id.zip(block.name).map(|(id, name)| {
            let arguments = block.input.map_or_else(|| "{}".to_owned(), |own| own.get().to_owned());
            Part::ToolCall(ToolCall { id, name, arguments, signature: None })
        }),
        "tool_result" => {
            let parts = parts(block.content, expressible)?;
            let is_error = block.is_error.unwrap_or(false);
            block.tool_use_id.map(|call_id| Part::ToolResult { call_id, parts, is_error })
        }
        // Claude Code's tool search answers with names of tools.
        "tool_reference" => {
            block.tool_name.map(|name| Part::Text { text: format!("Tool available: {name}"), cache })
        }
        "thinking" => block.thinking.map(|text| {
            let signature = block.signature.filter(|own| !own.is_empty());
            Part::Reasoning(Thought { text, signature, redacted: None })
        }),
        "redacted_thinking" => {
            block.data.map(|data| Part::Reasoning(Thought { redacted: Some(data), ..Thought::default() }))
        }
        _ => {
            expressible.cannot("messages.content", Weight::Meaning)?;
            return Ok(None);
        }
    };
    let expected = "content blocks that have the members their type needs";
    read.map(Some).ok_or(Error::FieldInvalid { param: "messages", expected })
}

fn media(source: SourceMember) -> Option<Media> {
    let media_type = source.media_type.unwrap_or_default();
    let source = match source.r#type.as_str() {
        "base64" => MediaSource::Base64(source.data?),
        "file" => MediaSource::FileId(source.file_id?),
        "url" => MediaSource::Url(source.url?),
        _ => return None,
    };
    Some(Media { media_type, source })
}

/// A document of plain text is text, whatever the model's API.
fn document(source: Option<SourceMember>, name: Option<String>, cache: Option<CacheHint>) -> Option<Part> {
    let source = source?;
    if source.r#type == "text" {
        return source.data.map(|text| Part::Text { text, cache });
    }
    media(source).map(|media| Part::Document { media, name })
}

#[derive(Deserialize)]
struct ToolMember {
    #[serde(default)]
    r#type: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Box<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
    #[serde(flatten)]
    search: SearchTool,
}

impl ToolMember {
    /// Of the tools that the provider itself runs or knows by heart, only the search of the web exists elsewhere.
    fn read_into(self, conversation: &mut Conversation, expressible: &mut Expressible) -> Result<(), Error> {
        match self.r#type.as_deref() {
            None | Some("custom") => {
                let cache = self.cache_control.as_ref().map(CacheControl::hint);
                let Self { name, description, input_schema, strict, .. } = self;
                conversation.tools.push(Tool { name, description, parameters: input_schema, strict, cache });
            }
            Some(own) if own.starts_with("web_search_") => {
                conversation.web_search = Some(self.search.into_canonical("tools"));
            }
            Some(_) => expressible.cannot("tools", Weight::Meaning)?,
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct ChoiceMember {
    r#type: String,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

impl ChoiceMember {
    fn read(self) -> Result<ToolChoice, Error> {
        match (self.r#type.as_str(), self.name) {
            ("auto", _) => Ok(ToolChoice::Auto),
            ("any", _) => Ok(ToolChoice::Required),
            ("none", _) => Ok(ToolChoice::None),
            ("tool", Some(name)) => Ok(ToolChoice::Tool(name)),
            _ => Err(Error::FieldInvalid { param: "tool_choice", expected: "type auto, any, tool or none" }),
        }
    }
}
