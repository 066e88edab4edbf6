//! A client's request in canonical form (`OpenAI` API reference, "Create a model response").

use serde::Deserialize;
use serde_json::value::RawValue;

use super::seal;
use crate::chat::conversation::{
    Conversation, Effort, Media, MediaSource, OutputFormat, Part, Reasoning, Role, Sampling, Tool, ToolCall,
    ToolChoice, Turn,
};
use crate::error::Error;
use crate::wire::Request;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::{TextOr, media, member, positive, report_unread};
use crate::wire::web_search::SearchTool;

/// Members that are read here or by the parser.
const READ: &[&str] = &[
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "safety_identifier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
];
/// Other members that change what the answer means.
const WEIGHED: &[(&str, Weight)] = &[
    ("max_tool_calls", Weight::Meaning),
    ("moderation", Weight::Meaning),
    ("prompt", Weight::Meaning),
    ("context_management", Weight::Meaning),
    ("top_logprobs", Weight::Meaning),
];

/// An item of the input. Kinds have different members; what is missing shows when it is needed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    r#type: Option<String>,
    role: Option<String>,
    content: Option<TextOr<ContentPart>>,
    id: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<TextOr<ContentPart>>,
    summary: Vec<ContentPart>,
    encrypted_content: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContentPart {
    r#type: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<String>,
    detail: Option<String>,
    file_id: Option<String>,
    file_data: Option<String>,
    file_url: Option<String>,
    filename: Option<String>,
}

#[derive(Deserialize)]
struct ToolEntry {
    r#type: String,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    strict: Option<bool>,
    #[serde(flatten)]
    search: SearchTool,
}

#[derive(Deserialize)]
struct TextSettings {
    format: Option<Format>,
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct Format {
    r#type: String,
    name: Option<String>,
    description: Option<String>,
    schema: Option<Box<RawValue>>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct ReasoningSettings {
    effort: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
struct NamedTool {
    r#type: String,
    name: Option<String>,
}

/// Reads a request.
pub(super) fn conversation(request: &Request, expressible: &mut Expressible) -> Result<Conversation, Error> {
    report_unread(request, READ, WEIGHED, expressible)?;
    let mut conversation = Conversation {
        instructions: instructions(request)?,
        max_output_tokens: positive(request, "max_output_tokens")?,
        parallel_tool_calls: member(request, "parallel_tool_calls", "true or false")?,
        sampling: Sampling {
            temperature: member(request, "temperature", "a number")?,
            top_p: member(request, "top_p", "a number")?,
            ..Sampling::default()
        },
        end_user: end_user(request)?,
        stream: request.stream,
        ..Conversation::default()
    };
    let input: Option<TextOr<Item>> = member(request, "input", "a text or a list of items")?;
    match input.ok_or(Error::FieldMissing { param: "input" })? {
        TextOr::Text(text) => {
            conversation.turns.push(Turn { role: Role::User, parts: vec![text_part(text)] });
        }
        TextOr::List(items) => {
            for item in items {
                read_item(item, &mut conversation, expressible)?;
            }
        }
    }
    tools(request, &mut conversation, expressible)?;
    conversation.tool_choice = tool_choice(request, expressible)?;
    conversation.format = format(request, expressible)?;
    conversation.reasoning = reasoning(request)?;
    Ok(conversation)
}

fn instructions(request: &Request) -> Result<Vec<Part>, Error> {
    let text: Option<String> = member(request, "instructions", "a text")?;
    Ok(text.filter(|text| !text.is_empty()).map(text_part).into_iter().collect())
}

fn end_user(request: &Request) -> Result<Option<String>, Error> {
    let named = member(request, "safety_identifier", "a text")?;
    Ok(if named.is_some() { named } else { member(request, "user", "a text")? })
}

const fn text_part(text: String) -> Part {
    Part::Text { text, cache: None }
}

fn read_item(item: Item, into: &mut Conversation, expressible: &mut Expressible) -> Result<(), Error> {
    match item.r#type.as_deref() {
        None | Some("message") => return message(item, into, expressible),
        Some("function_call") => {
            let mut call = ToolCall {
                id: item.call_id.ok_or(Error::FieldMissing { param: "input.call_id" })?,
                name: item.name.ok_or(Error::FieldMissing { param: "input.name" })?,
                arguments: item.arguments.unwrap_or_default(),
                signature: None,
            };
            let parts = parts_of(Role::Assistant, into);
            // A seal of a call travels as a reasoning item without words before it.
            if let Some(Part::Reasoning(thought)) = parts.last_mut()
                && thought.text.is_empty()
                && thought.signature.as_deref().is_some_and(|seal| seal.contains(':'))
            {
                call.signature = thought.signature.take();
                parts.pop();
            }
            parts.push(Part::ToolCall(call));
        }
        Some("function_call_output") => {
            let call_id = item.call_id.ok_or(Error::FieldMissing { param: "input.call_id" })?;
            let parts = match item.output.ok_or(Error::FieldMissing { param: "input.output" })? {
                TextOr::Text(text) => vec![text_part(text)],
                TextOr::List(parts) => content(parts, expressible)?,
            };
            parts_of(Role::User, into).push(Part::ToolResult { call_id, parts, is_error: false });
        }
        Some("reasoning") => {
            let words =
                |own: Vec<ContentPart>| own.into_iter().filter_map(|part| part.text).collect::<Vec<_>>();
            let mut texts = words(item.summary);
            if let (true, Some(TextOr::List(parts))) = (texts.is_empty(), item.content) {
                texts = words(parts);
            }
            let thought = seal::read(item.id.as_deref(), texts.join("\n\n"), item.encrypted_content);
            parts_of(Role::Assistant, into).push(Part::Reasoning(thought));
        }
        Some(_) => expressible.cannot("input", Weight::Meaning)?,
    }
    Ok(())
}

fn message(item: Item, into: &mut Conversation, expressible: &mut Expressible) -> Result<(), Error> {
    let parts = match item.content.ok_or(Error::FieldMissing { param: "input.content" })? {
        TextOr::Text(text) => vec![text_part(text)],
        TextOr::List(parts) => content(parts, expressible)?,
    };
    match item.role.as_deref() {
        Some("developer" | "system") => into.instructions.extend(parts),
        Some("assistant") => parts_of(Role::Assistant, into).extend(parts),
        Some("user") => into.turns.push(Turn { role: Role::User, parts }),
        _ => {
            let expected = "'user', 'assistant', 'system' or 'developer'";
            return Err(Error::FieldInvalid { param: "input.role", expected });
        }
    }
    Ok(())
}

/// The parts of the last turn if it is of that role, or of a new one: items of one step make one turn.
fn parts_of(role: Role, into: &mut Conversation) -> &mut Vec<Part> {
    let turns = &mut into.turns;
    let same = turns.last().is_some_and(|last| {
        let results = |part: &Part| matches!(part, Part::ToolResult { .. });
        last.role == role && (role == Role::Assistant || last.parts.iter().all(results))
    });
    if !same {
        turns.push(Turn { role, parts: Vec::new() });
    }
    let last = turns.len().saturating_sub(1);
    match turns.get_mut(last) {
        Some(turn) => &mut turn.parts,
        None => &mut into.instructions,
    }
}

fn content(parts: Vec<ContentPart>, expressible: &mut Expressible) -> Result<Vec<Part>, Error> {
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        let file =
            part.file_id.map(|id| Media { media_type: String::new(), source: MediaSource::FileId(id) });
        match part.r#type.as_str() {
            "input_text" | "output_text" | "text" | "reasoning_text" => {
                out.extend(part.text.map(text_part));
            }
            "refusal" => out.extend(part.refusal.map(Part::Refusal)),
            "input_image" => {
                let media = part.image_url.map(media).or(file);
                let media = media.ok_or(Error::FieldMissing { param: "input.content.image_url" })?;
                out.push(Part::Image { media, detail: part.detail });
            }
            "input_file" => {
                let media = part.file_data.or(part.file_url).map(media).or(file);
                let media = media.ok_or(Error::FieldMissing { param: "input.content.file_data" })?;
                out.push(Part::Document { media, name: part.filename });
            }
            _ => expressible.cannot("input.content", Weight::Meaning)?,
        }
    }
    Ok(out)
}

/// Of the tools that the provider runs, only the search of the web exists elsewhere.
fn tools(request: &Request, into: &mut Conversation, expressible: &mut Expressible) -> Result<(), Error> {
    let entries: Vec<ToolEntry> = member(request, "tools", "a list of tools")?.unwrap_or_default();
    for entry in entries {
        let kind = entry.r#type.as_str();
        if kind == "web_search" || kind.starts_with("web_search_") {
            into.web_search = Some(entry.search.into_canonical("tools"));
            continue;
        }
        if kind != "function" {
            expressible.cannot("tools", Weight::Meaning)?;
            continue;
        }
        let ToolEntry { name, description, parameters, strict, .. } = entry;
        let name = name.ok_or(Error::FieldMissing { param: "tools.name" })?;
        into.tools.push(Tool { name, description, parameters, strict, cache: None });
    }
    Ok(())
}

fn tool_choice(request: &Request, expressible: &mut Expressible) -> Result<Option<ToolChoice>, Error> {
    let expected = "'auto', 'none', 'required' or a function";
    let param = "tool_choice";
    let given: Option<Box<RawValue>> = member(request, param, expected)?;
    let Some(given) = given else { return Ok(None) };
    match given.get() {
        "\"auto\"" => Ok(Some(ToolChoice::Auto)),
        "\"none\"" => Ok(Some(ToolChoice::None)),
        "\"required\"" => Ok(Some(ToolChoice::Required)),
        other => {
            let named: NamedTool =
                serde_json::from_str(other).map_err(|_| Error::FieldInvalid { param, expected })?;
            match named.name.filter(|_| named.r#type == "function") {
                Some(name) => Ok(Some(ToolChoice::Tool(name))),
                None => expressible.cannot(param, Weight::Meaning).map(|()| None),
            }
        }
    }
}

fn format(request: &Request, expressible: &mut Expressible) -> Result<OutputFormat, Error> {
    let expected = "'text', 'json_object' or 'json_schema' with its schema";
    let settings: Option<TextSettings> = member(request, "text", "an object with a format")?;
    let Some(settings) = settings else { return Ok(OutputFormat::Text) };
    if settings.verbosity.is_some() {
        expressible.cannot("text.verbosity", Weight::Hint)?;
    }
    let Some(format) = settings.format else { return Ok(OutputFormat::Text) };
    match (format.r#type.as_str(), format.schema) {
        ("text", _) => Ok(OutputFormat::Text),
        ("json_object", _) => Ok(OutputFormat::JsonObject),
        ("json_schema", Some(schema)) => {
            let Format { name, description, strict, .. } = format;
            Ok(OutputFormat::JsonSchema { name, description, schema, strict })
        }
        _ => Err(Error::FieldInvalid { param: "text.format", expected }),
    }
}

fn reasoning(request: &Request) -> Result<Option<Reasoning>, Error> {
    let settings: Option<ReasoningSettings> = member(request, "reasoning", "an object with an effort")?;
    let Some(settings) = settings else { return Ok(None) };
    let expected = "none, minimal, low, medium, high or xhigh";
    let effort = match settings.effort.as_deref() {
        None => None,
        Some(word) => {
            Some(Effort::from_word(word).ok_or(Error::FieldInvalid { param: "reasoning.effort", expected })?)
        }
    };
    Ok(Some(Reasoning { effort, budget_tokens: None, visible: settings.summary.is_some() }))
}
