//! A canonical request in the chat completions format.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::Conversation;
use crate::chat::conversation::{
    Effort, Media, MediaSource, OutputFormat, Part, Reasoning, Role, Tool, ToolCall, ToolChoice, Turn,
};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::dialect::{Expressible, Target, Weight};
use crate::wire::json::{body, media_url};
use crate::wire::web_search;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ChoiceMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_search_options: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Longest `user` that vendors accept.
const MAX_USER: usize = 64;
/// Most stop texts that vendors accept.
const MAX_STOPS: usize = 4;

pub(super) fn write(
    conversation: &Conversation,
    target: &Target<'_>,
    expressible: &mut Expressible,
) -> Result<Plaintext<Bytes>, Error> {
    let Conversation { sampling, stop, .. } = conversation;
    if sampling.top_k.is_some() {
        expressible.cannot("top_k", Weight::Hint)?;
    }
    if stop.len() > MAX_STOPS {
        expressible.cannot("stop", Weight::Meaning)?;
    }
    let user = conversation.end_user.as_deref();
    if user.is_some_and(|user| user.len() > MAX_USER) {
        expressible.cannot("user", Weight::Hint)?;
    }
    let tools = !conversation.tools.is_empty();
    let search = conversation.web_search.as_ref();
    let search = search.map(|own| web_search::for_chat(own, target.model, expressible)).transpose()?;
    Ok(body(&Body {
        model: target.model,
        messages: messages(conversation, expressible)?,
        tools: conversation.tools.iter().map(ToolMember::new).collect(),
        tool_choice: conversation.tool_choice.as_ref().filter(|_| tools).map(ChoiceMember::new),
        parallel_tool_calls: conversation.parallel_tool_calls.filter(|_| tools),
        max_completion_tokens: conversation.max_output_tokens,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        seed: sampling.seed,
        stop: stop.get(..MAX_STOPS).unwrap_or(stop),
        n: conversation.choices.filter(|count| *count > 1),
        response_format: FormatMember::new(&conversation.format),
        reasoning_effort: conversation.reasoning.as_ref().and_then(effort),
        web_search_options: search.flatten(),
        user: user.filter(|user| user.len() <= MAX_USER),
        stream: conversation.stream,
        stream_options: conversation.stream.then_some(StreamOptions { include_usage: true }),
    }))
}

fn effort(reasoning: &Reasoning) -> Option<&'static str> {
    Some(match reasoning.effort.or_else(|| reasoning.budget_tokens.map(Effort::of_budget))? {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh | Effort::Max => "xhigh",
    })
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// `null` where an assistant only calls tools.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl<'a> Message<'a> {
    const fn new(role: &'static str, content: Option<Content<'a>>) -> Self {
        Self { role, content, refusal: None, tool_calls: Vec::new(), tool_call_id: None }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Parts(Vec<PartMember<'a>>),
    Text(Cow<'a, str>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartMember<'a> {
    File { file: FileMember<'a> },
    ImageUrl { image_url: ImageMember<'a> },
    InputAudio { input_audio: AudioMember<'a> },
    Text { text: &'a str },
}

#[derive(Serialize)]
struct FileMember<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<String>,
}

#[derive(Serialize)]
struct ImageMember<'a> {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct AudioMember<'a> {
    data: &'a str,
    format: &'a str,
}

#[derive(Serialize)]
struct CallMember<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CalledMember<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<super::ExtraContent<'a>>,
}

#[derive(Serialize)]
struct CalledMember<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> CallMember<'a> {
    fn new(call: &'a ToolCall) -> Self {
        let arguments = if call.arguments.is_empty() { "{}" } else { call.arguments.as_str() };
        Self {
            id: &call.id,
            r#type: "function",
            function: CalledMember { name: &call.name, arguments },
            extra_content: super::ExtraContent::new(call.signature.as_deref()),
        }
    }
}

fn messages<'a>(
    conversation: &'a Conversation,
    expressible: &mut Expressible,
) -> Result<Vec<Message<'a>>, Error> {
    let mut messages = Vec::with_capacity(conversation.turns.len().saturating_add(1));
    if !conversation.instructions.is_empty() {
        messages.push(Message::new("system", Some(Content::Text(text(&conversation.instructions, "\n\n")))));
    }
    for turn in &conversation.turns {
        match turn.role {
            Role::Assistant => messages.push(assistant(turn)),
            Role::User => user(turn, &mut messages, expressible)?,
        }
    }
    Ok(messages)
}

/// Thoughts stay behind: the format has no place for another provider's.
fn assistant(turn: &Turn) -> Message<'_> {
    let texts = text(&turn.parts, "");
    let (mut tool_calls, mut refusal) = (Vec::new(), None);
    for part in &turn.parts {
        if let Part::ToolCall(call) = part {
            tool_calls.push(CallMember::new(call));
        } else if let Part::Refusal(text) = part {
            refusal = Some(text.as_str());
        }
    }
    let silent = texts.is_empty() && (!tool_calls.is_empty() || refusal.is_some());
    let content = (!silent).then_some(Content::Text(texts));
    Message { role: "assistant", content, refusal, tool_calls, tool_call_id: None }
}

/// Results come first, since they have to follow the calls at once; pictures in them follow as the user's own, since a
/// tool message holds text only.
fn user<'a>(
    turn: &'a Turn,
    messages: &mut Vec<Message<'a>>,
    expressible: &mut Expressible,
) -> Result<(), Error> {
    let mut rest = Vec::new();
    let mut any_rest = turn.parts.is_empty();
    for part in &turn.parts {
        if let Part::ToolResult { call_id, parts, is_error } = part {
            if *is_error {
                expressible.cannot("is_error", Weight::Hint)?;
            }
            let mut message = Message::new("tool", Some(Content::Text(text(parts, "\n"))));
            message.tool_call_id = Some(call_id);
            messages.push(message);
            for inner in parts.iter().filter(|inner| !matches!(inner, Part::Text { .. })) {
                rest.extend(member(inner, expressible)?);
            }
            any_rest |= !rest.is_empty();
        } else {
            any_rest = true;
            rest.extend(member(part, expressible)?);
        }
    }
    if any_rest {
        messages.push(Message::new("user", Some(content(rest))));
    }
    Ok(())
}

/// One text goes as a string, which every vendor understands.
fn content(mut parts: Vec<PartMember<'_>>) -> Content<'_> {
    match parts.as_mut_slice() {
        [] => Content::Text(Cow::Borrowed("")),
        [PartMember::Text { text }] => Content::Text(Cow::Borrowed(*text)),
        _ => Content::Parts(parts),
    }
}

fn member<'a>(part: &'a Part, expressible: &mut Expressible) -> Result<Option<PartMember<'a>>, Error> {
    let found = match part {
        Part::Text { text, .. } | Part::Refusal(text) => Some(PartMember::Text { text }),
        Part::Image { media, detail } => {
            let image =
                |url| PartMember::ImageUrl { image_url: ImageMember { url, detail: detail.as_deref() } };
            media_url(media).map(image)
        }
        Part::Audio(media) => audio(media),
        Part::Document { media, name } => document(media, name.as_deref()),
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult { .. } => return Ok(None),
    };
    if found.is_none() {
        expressible.cannot("messages.content", Weight::Meaning)?;
    }
    Ok(found)
}

fn audio(media: &Media) -> Option<PartMember<'_>> {
    let MediaSource::Base64(data) = &media.source else { return None };
    let format = match media.media_type.strip_prefix("audio/")? {
        "mpeg" => "mp3",
        "x-wav" => "wav",
        other => other,
    };
    Some(PartMember::InputAudio { input_audio: AudioMember { data, format } })
}

fn document<'a>(media: &'a Media, name: Option<&'a str>) -> Option<PartMember<'a>> {
    let file = match &media.source {
        MediaSource::Base64(_) => FileMember {
            file_id: None,
            // The API wants a name with the data.
            filename: Some(name.unwrap_or("document.pdf")),
            file_data: media_url(media),
        },
        MediaSource::FileId(id) => FileMember { file_id: Some(id), filename: None, file_data: None },
        MediaSource::Url(_) => return None,
    };
    Some(PartMember::File { file })
}

/// All texts of some parts, joined.
fn text<'a>(parts: &'a [Part], between: &str) -> Cow<'a, str> {
    let mut joined = Cow::Borrowed("");
    for part in parts {
        let Part::Text { text, .. } = part else { continue };
        if joined.is_empty() {
            joined = Cow::Borrowed(text);
        } else if !text.is_empty() {
            let own = joined.to_mut();
            own.push_str(between);
            own.push_str(text);
        }
    }
    joined
}

#[derive(Serialize)]
struct ToolMember<'a> {
    r#type: &'static str,
    function: FunctionMember<'a>,
}

#[derive(Serialize)]
struct FunctionMember<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> ToolMember<'a> {
    fn new(tool: &'a Tool) -> Self {
        let function = FunctionMember {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.parameters.as_deref(),
            strict: tool.strict,
        };
        Self { r#type: "function", function }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ChoiceMember<'a> {
    Named { r#type: &'static str, function: NameMember<'a> },
    Word(&'static str),
}

#[derive(Serialize)]
struct NameMember<'a> {
    name: &'a str,
}

impl<'a> ChoiceMember<'a> {
    fn new(choice: &'a ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Self::Word("auto"),
            ToolChoice::None => Self::Word("none"),
            ToolChoice::Required => Self::Word("required"),
            ToolChoice::Tool(name) => Self::Named { r#type: "function", function: NameMember { name } },
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FormatMember<'a> {
    JsonObject,
    JsonSchema { json_schema: SchemaMember<'a> },
}

#[derive(Serialize)]
struct SchemaMember<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> FormatMember<'a> {
    fn new(format: &'a OutputFormat) -> Option<Self> {
        match format {
            OutputFormat::JsonObject => Some(Self::JsonObject),
            OutputFormat::JsonSchema { name, description, schema, strict } => {
                // The API wants a name.
                let name = name.as_deref().unwrap_or("answer");
                let description = description.as_deref();
                Some(Self::JsonSchema {
                    json_schema: SchemaMember { name, description, schema, strict: *strict },
                })
            }
            OutputFormat::Text => None,
        }
    }
}
