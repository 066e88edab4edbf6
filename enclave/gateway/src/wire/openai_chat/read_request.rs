//! A client's chat completions request in canonical form.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ExtraRead;
use super::reasoning_details::{self, Detail};
use crate::chat::Conversation;
use crate::chat::conversation::{
    Effort, Media, MediaSource, OutputFormat, Part, Reasoning, Role, Sampling, Thought, Tool, ToolCall,
    ToolChoice, Turn,
};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Request;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::{CacheControl, TextOr, media, member, positive, report_unread};
use crate::wire::web_search::SearchTool;

/// Members that the canonical form has.
const READ: &[&str] = &[
    "frequency_penalty",
    "include_reasoning",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user",
    "web_search_options",
];

/// Members that it does not have, and how much they matter.
const UNREAD: &[(&str, Weight)] = &[
    ("audio", Weight::Meaning),
    ("function_call", Weight::Meaning),
    ("functions", Weight::Meaning),
    ("logit_bias", Weight::Meaning),
    ("logprobs", Weight::Meaning),
    ("metadata", Weight::Hint),
    ("modalities", Weight::Meaning),
    ("prediction", Weight::Hint),
    ("prompt_cache_key", Weight::Hint),
    ("prompt_cache_options", Weight::Hint),
    ("prompt_cache_retention", Weight::Hint),
    ("service_tier", Weight::Hint),
    ("store", Weight::Hint),
    ("top_logprobs", Weight::Meaning),
    ("verbosity", Weight::Hint),
];

pub(super) fn read(
    request: &Request,
    expressible: &mut Expressible,
) -> Result<Plaintext<Conversation>, Error> {
    report_unread(request, READ, UNREAD, expressible)?;
    let messages = member::<Vec<Message>>(request, "messages", "an array of messages")?.unwrap_or_default();
    let mut conversation = Conversation { stream: request.stream, ..Conversation::default() };
    for message in messages {
        message.read_into(&mut conversation, expressible)?;
    }
    let tools = member::<Vec<ToolMember>>(request, "tools", "an array of tools")?.unwrap_or_default();
    for tool in tools {
        conversation.tools.extend(tool.read(expressible)?);
    }
    let expected = "'none', 'auto', 'required' or a named function";
    if let Some(choice) = member::<ChoiceMember>(request, "tool_choice", expected)? {
        conversation.tool_choice = choice.read(expressible)?;
    }
    conversation.parallel_tool_calls = member(request, "parallel_tool_calls", "true or false")?;
    let (new, old) = (positive(request, "max_completion_tokens")?, positive(request, "max_tokens")?);
    conversation.max_output_tokens = new.or(old);
    conversation.sampling = sampling(request)?;
    conversation.stop = match member::<TextOr<String>>(request, "stop", "a string or an array of strings")? {
        None => Vec::new(),
        Some(TextOr::List(list)) => list,
        Some(TextOr::Text(text)) => vec![text],
    };
    conversation.choices = positive(request, "n")?;
    conversation.format = format(request)?;
    conversation.reasoning = reasoning(request)?;
    let search = member::<SearchTool>(request, "web_search_options", "an object")?;
    conversation.web_search = search.map(|own| own.into_canonical("web_search_options"));
    let end_user = member(request, "safety_identifier", "a string")?;
    conversation.end_user = end_user.or(member(request, "user", "a string")?);
    Ok(Plaintext::new(conversation))
}

fn sampling(request: &Request) -> Result<Sampling, Error> {
    let number = |param| member::<f64>(request, param, "a number");
    Ok(Sampling {
        temperature: number("temperature")?,
        top_p: number("top_p")?,
        top_k: member(request, "top_k", "a whole number")?,
        presence_penalty: number("presence_penalty")?,
        frequency_penalty: number("frequency_penalty")?,
        seed: member(request, "seed", "a whole number")?,
    })
}

#[derive(Deserialize)]
struct FormatMember {
    r#type: String,
    json_schema: Option<SchemaMember>,
}

#[derive(Deserialize)]
struct SchemaMember {
    name: Option<String>,
    description: Option<String>,
    schema: Option<Box<RawValue>>,
    strict: Option<bool>,
}

fn format(request: &Request) -> Result<OutputFormat, Error> {
    let expected = "'text', 'json_object', or 'json_schema' with a schema";
    let invalid = Error::FieldInvalid { param: "response_format", expected };
    let Some(member) = member::<FormatMember>(request, "response_format", expected)? else {
        return Ok(OutputFormat::Text);
    };
    match (member.r#type.as_str(), member.json_schema) {
        ("text", _) => Ok(OutputFormat::Text),
        ("json_object", _) => Ok(OutputFormat::JsonObject),
        ("json_schema", Some(SchemaMember { name, description, schema: Some(schema), strict })) => {
            Ok(OutputFormat::JsonSchema { name, description, schema, strict })
        }
        _ => Err(invalid),
    }
}

/// `reasoning` as `OpenRouter` has it; it also says whether the client wants to see thoughts.
#[derive(Default, Deserialize)]
struct ReasoningMember {
    effort: Option<String>,
    max_tokens: Option<u64>,
    enabled: Option<bool>,
    exclude: Option<bool>,
}

fn reasoning(request: &Request) -> Result<Option<Reasoning>, Error> {
    let effort = member::<String>(request, "reasoning_effort", EFFORTS)?;
    let object = member::<ReasoningMember>(request, "reasoning", "an object with effort or max_tokens")?;
    let shown = member::<bool>(request, "include_reasoning", "true or false")?;
    if effort.is_none() && object.is_none() && shown.is_none() {
        return Ok(None);
    }
    let visible = shown.unwrap_or_else(|| object.as_ref().is_some_and(|own| own.exclude != Some(true)));
    let object = object.unwrap_or_default();
    let wish = effort.or(object.effort);
    let invalid = Error::FieldInvalid { param: "reasoning_effort", expected: EFFORTS };
    let mut effort = match wish.as_deref().map(Effort::from_word) {
        None => None,
        Some(None) => return Err(invalid),
        Some(known) => known,
    };
    if object.enabled == Some(false) {
        effort = Some(Effort::None);
    } else if object.enabled == Some(true) && effort.is_none() && object.max_tokens.is_none() {
        effort = Some(Effort::Medium);
    }
    Ok(Some(Reasoning { effort, budget_tokens: object.max_tokens, visible }))
}

const EFFORTS: &str = "'none', 'minimal', 'low', 'medium', 'high' or 'xhigh'";

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<TextOr<PartMember>>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallMember>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    function_call: Option<Box<RawValue>>,
    #[serde(default)]
    audio: Option<Box<RawValue>>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning_details: Option<Vec<Detail>>,
}

impl Message {
    fn read_into(self, conversation: &mut Conversation, expressible: &mut Expressible) -> Result<(), Error> {
        if self.function_call.is_some() {
            expressible.cannot("messages.function_call", Weight::Meaning)?;
        }
        if self.audio.is_some() {
            expressible.cannot("messages.audio", Weight::Meaning)?;
        }
        match self.role.as_str() {
            "assistant" => {
                let parts = self.assistant(expressible)?;
                conversation.turns.push(Turn { role: Role::Assistant, parts });
            }
            "developer" | "system" => conversation.instructions.extend(parts(self.content, expressible)?),
            "tool" => {
                let expected = "a tool message with a tool_call_id";
                let invalid = Error::FieldInvalid { param: "messages", expected };
                let call_id = self.tool_call_id.ok_or(invalid)?;
                let parts = parts(self.content, expressible)?;
                let result = Part::ToolResult { call_id, parts, is_error: false };
                conversation.turns.push(Turn { role: Role::User, parts: vec![result] });
            }
            "user" => {
                let parts = parts(self.content, expressible)?;
                conversation.turns.push(Turn { role: Role::User, parts });
            }
            "function" => expressible.cannot("messages.role", Weight::Meaning)?,
            _ => {
                let expected = "messages with role developer, system, user, assistant or tool";
                return Err(Error::FieldInvalid { param: "messages", expected });
            }
        }
        Ok(())
    }

    fn assistant(self, expressible: &mut Expressible) -> Result<Vec<Part>, Error> {
        let mut said = Vec::new();
        let plain = self.reasoning_content.filter(|text| !text.is_empty());
        let thoughts = match self.reasoning_details {
            Some(details) => reasoning_details::thoughts(details),
            None => plain.into_iter().map(|text| Thought { text, ..Thought::default() }).collect(),
        };
        said.extend(thoughts.into_iter().map(Part::Reasoning));
        said.extend(parts(self.content, expressible)?);
        said.extend(self.refusal.map(Part::Refusal));
        for call in self.tool_calls.unwrap_or_default() {
            match call.function {
                Some(function) => said.push(Part::ToolCall(ToolCall {
                    id: call.id,
                    name: function.name,
                    arguments: function.arguments,
                    signature: call.extra_content.and_then(ExtraRead::signature),
                })),
                None => expressible.cannot("messages.tool_calls", Weight::Meaning)?,
            }
        }
        Ok(said)
    }
}

#[derive(Deserialize)]
struct CallMember {
    id: String,
    function: Option<CalledMember>,
    #[serde(default)]
    extra_content: Option<ExtraRead>,
}

#[derive(Deserialize)]
struct CalledMember {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct PartMember {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    image_url: Option<ImageMember>,
    #[serde(default)]
    input_audio: Option<AudioMember>,
    #[serde(default)]
    file: Option<FileMember>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
struct ImageMember {
    url: String,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct AudioMember {
    data: String,
    format: String,
}

#[derive(Deserialize)]
struct FileMember {
    file_id: Option<String>,
    filename: Option<String>,
    file_data: Option<String>,
}

fn parts(content: Option<TextOr<PartMember>>, expressible: &mut Expressible) -> Result<Vec<Part>, Error> {
    match content {
        None => Ok(Vec::new()),
        Some(TextOr::Text(text)) => Ok(vec![Part::Text { text, cache: None }]),
        Some(TextOr::List(list)) => {
            let mut parts = Vec::with_capacity(list.len());
            for member in list {
                parts.extend(part(member, expressible)?);
            }
            Ok(parts)
        }
    }
}

fn part(member: PartMember, expressible: &mut Expressible) -> Result<Option<Part>, Error> {
    let PartMember { r#type, text, image_url, input_audio, file, refusal, cache_control } = member;
    let cache = cache_control.map(|control| control.hint());
    let read = match r#type.as_str() {
        "text" => text.map(|text| Part::Text { text, cache }),
        "image_url" => image_url.map(|own| Part::Image { media: media(own.url), detail: own.detail }),
        "input_audio" => input_audio.map(|own| {
            let media_type =
                if own.format == "mp3" { "audio/mpeg".to_owned() } else { format!("audio/{}", own.format) };
            Part::Audio(Media { media_type, source: MediaSource::Base64(own.data) })
        }),
        "file" => file.and_then(document),
        "refusal" => refusal.map(Part::Refusal),
        _ => {
            expressible.cannot("messages.content", Weight::Meaning)?;
            return Ok(None);
        }
    };
    let expected = "content parts that have the member their type names";
    read.map(Some).ok_or(Error::FieldInvalid { param: "messages", expected })
}

fn document(file: FileMember) -> Option<Part> {
    let media = match (file.file_data, file.file_id) {
        (Some(data), _) if data.starts_with("data:") => media(data),
        (Some(data), _) => {
            Media { media_type: "application/pdf".to_owned(), source: MediaSource::Base64(data) }
        }
        (None, Some(id)) => Media { media_type: String::new(), source: MediaSource::FileId(id) },
        (None, None) => return None,
    };
    Some(Part::Document { media, name: file.filename })
}

#[derive(Deserialize)]
struct ToolMember {
    function: Option<FunctionMember>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
struct FunctionMember {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    strict: Option<bool>,
}

impl ToolMember {
    /// Only functions exist outside `OpenAI`.
    fn read(self, expressible: &mut Expressible) -> Result<Option<Tool>, Error> {
        let Some(FunctionMember { name, description, parameters, strict }) = self.function else {
            expressible.cannot("tools", Weight::Meaning)?;
            return Ok(None);
        };
        let cache = self.cache_control.map(|control| control.hint());
        Ok(Some(Tool { name, description, parameters, strict, cache }))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ChoiceMember {
    Named { function: NameMember },
    Word(String),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct NameMember {
    name: String,
}

impl ChoiceMember {
    fn read(self, expressible: &mut Expressible) -> Result<Option<ToolChoice>, Error> {
        let word = match self {
            Self::Named { function } => return Ok(Some(ToolChoice::Tool(function.name))),
            Self::Word(word) => word,
            Self::Other(_) => String::new(),
        };
        match word.as_str() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => {
                expressible.cannot("tool_choice", Weight::Meaning)?;
                Ok(None)
            }
        }
    }
}
