//! A canonical request as `generateContent` takes it (Gemini API reference, "Generating content", "Function calling",
//! "Thinking").

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::schema;
use super::shape::{Blob, Content, FileData, FunctionCall, FunctionResponse, Part, seal_for_upstream};
use crate::chat::conversation::{
    self as canonical, Conversation, Effort, Media, MediaSource, OutputFormat, Reasoning, Role, Thought,
    ToolChoice,
};
use crate::chat::tool_names::{Letters, ToolNames};
use crate::error::Error;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::web_search::{Says, report};

/// What function names may be made of.
pub(super) const LETTERS: Letters = Letters { also: ".-", letter_first: true, longest: 64 };

/// Stands for a seal that a call of another model never had; the third generation refuses calls without one (Gemini API
/// documentation, "Thought signatures").
const NO_SEAL: &str = "skip_thought_signature_validator";

/// The body of `generateContent` and `streamGenerateContent`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<Value>,
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolEntry<'a> {
    FunctionDeclarations(Vec<Declaration<'a>>),
    GoogleSearch(NoSettings),
}

/// `{}`
#[derive(Serialize)]
struct NoSettings {}

#[derive(Serialize)]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_schema: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Value>,
}

/// The body for a conversation.
pub(super) fn body<'a>(
    conversation: &'a Conversation,
    model: &str,
    names: &'a ToolNames,
    expressible: &mut Expressible,
) -> Result<Body<'a>, Error> {
    if conversation.parallel_tool_calls == Some(false) && !conversation.tools.is_empty() {
        expressible.cannot("parallel_tool_calls", Weight::Hint)?;
    }
    if conversation.end_user.is_some() {
        expressible.cannot("user", Weight::Hint)?;
    }
    if let Some(search) = &conversation.web_search {
        report(search, Says::default(), expressible)?;
    }
    let mut system = Vec::new();
    for part in &conversation.instructions {
        if let canonical::Part::Text { text, .. } = part {
            system.push(text_part(text));
        } else {
            expressible.cannot("system", Weight::Meaning)?;
        }
    }
    let mut writer = Writer {
        names,
        seals: is_third_generation(model),
        calls: Vec::new(),
        results: Vec::new(),
        contents: Vec::new(),
        expressible,
    };
    for turn in &conversation.turns {
        writer.turn(turn)?;
    }
    writer.flush_results();
    Ok(Body {
        contents: writer.contents,
        system_instruction: (!system.is_empty()).then_some(Content { role: None, parts: system }),
        tools: tools(conversation, names)?,
        tool_config: tool_config(conversation, names),
        generation_config: generation_config(conversation, model)?,
    })
}

fn is_third_generation(model: &str) -> bool {
    model.contains("gemini-3")
}

fn text_part(text: &str) -> Part<'_> {
    Part { text: Some(Cow::Borrowed(text)), ..Part::default() }
}

/// Writes turns. Results of tools stand in contents of their own, in the order of their calls.
struct Writer<'a, 'e> {
    names: &'a ToolNames,
    /// Calls need a seal.
    seals: bool,
    /// Ids and names of the calls so far.
    calls: Vec<(&'a str, &'a str)>,
    /// Results that wait, with the places of their calls.
    results: Vec<(usize, Part<'a>)>,
    contents: Vec<Content<'a>>,
    expressible: &'e mut Expressible,
}

impl<'a> Writer<'a, '_> {
    fn turn(&mut self, turn: &'a canonical::Turn) -> Result<(), Error> {
        let role = match turn.role {
            Role::Assistant => "model",
            Role::User => "user",
        };
        let mut parts = Vec::new();
        for part in &turn.parts {
            self.part(part, &mut parts)?;
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.flush_results();
        match self.contents.last_mut() {
            Some(last) if last.role.as_deref() == Some(role) && !has_results(last) => {
                last.parts.append(&mut parts);
            }
            _ => self.contents.push(Content { role: Some(role.into()), parts }),
        }
        Ok(())
    }

    /// Results wait until something else follows, so that all of one step come together.
    fn flush_results(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        results.sort_by_key(|(place, _)| *place);
        let parts: Vec<Part<'a>> = results.into_iter().map(|(_, part)| part).collect();
        if !parts.is_empty() {
            self.contents.push(Content { role: Some("user".into()), parts });
        }
    }

    fn part(&mut self, part: &'a canonical::Part, parts: &mut Vec<Part<'a>>) -> Result<(), Error> {
        match part {
            canonical::Part::Audio(media) => self.media(media, "input_audio", parts)?,
            canonical::Part::Document { media, .. } => self.media(media, "file", parts)?,
            canonical::Part::Image { media, .. } => self.media(media, "image_url", parts)?,
            canonical::Part::Reasoning(thought) => parts.extend(seal_alone(thought)),
            canonical::Part::Refusal(text) | canonical::Part::Text { text, .. } => {
                if !text.is_empty() {
                    parts.push(text_part(text));
                }
            }
            canonical::Part::ToolCall(call) => {
                self.calls.push((&call.id, &call.name));
                parts.push(self.call(call, parts));
            }
            canonical::Part::ToolResult { call_id, parts: inner, is_error } => {
                let expected = "a tool call before every tool result";
                let place = self.calls.iter().rposition(|(id, _)| *id == call_id.as_str());
                let place = place.ok_or(Error::FieldInvalid { param: "messages", expected })?;
                let name = self.calls.get(place).map_or("", |(_, name)| *name);
                let response = self.result(inner, *is_error, parts)?;
                let name = Cow::Borrowed(self.names.sent(name));
                let response = FunctionResponse { id: None, name, response };
                self.results.push((place, Part { function_response: Some(response), ..Part::default() }));
            }
        }
        Ok(())
    }

    /// A call. Of parallel ones only the first carries the seal.
    fn call(&self, call: &'a canonical::ToolCall, before: &[Part<'_>]) -> Part<'a> {
        let own = call.signature.as_deref().and_then(seal_for_upstream);
        let first = !before.iter().any(|part| part.function_call.is_some());
        let seal = own.or_else(|| (self.seals && first).then_some(NO_SEAL));
        let name = self.names.sent(&call.name).into();
        Part {
            function_call: Some(FunctionCall { id: None, name, args: Some(call.arguments_object()) }),
            thought_signature: seal.map(Cow::Borrowed),
            ..Part::default()
        }
    }

    /// What a tool answered, as an object. Pictures follow as parts of the user.
    fn result(
        &mut self,
        inner: &'a [canonical::Part],
        is_error: bool,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<Cow<'a, RawValue>, Error> {
        let mut texts = Vec::new();
        for part in inner {
            if let canonical::Part::Text { text, .. } = part {
                texts.push(text.as_str());
            } else {
                self.part(part, parts)?;
            }
        }
        if let [text] = texts.as_slice()
            && text.trim_start().starts_with('{')
            && !is_error
            && let Ok(object) = serde_json::from_str(text)
        {
            return Ok(Cow::Borrowed(object));
        }
        let name = if is_error { "error" } else { "result" };
        let object = to_raw_value(&json!({ name: texts.join("\n") }));
        object.map(Cow::Owned).map_err(|_| Error::FieldUnsupported { param: "messages" })
    }

    /// A medium's bytes, or an address that the provider fetches.
    fn media(
        &mut self,
        media: &'a Media,
        param: &'static str,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), Error> {
        match &media.source {
            MediaSource::Base64(data) if !media.media_type.is_empty() => {
                let blob = Blob { mime_type: media.media_type.as_str().into(), data: data.as_str().into() };
                parts.push(Part { inline_data: Some(blob), ..Part::default() });
            }
            MediaSource::Url(url) if media_type(media, url).is_some() => {
                let mime_type = media_type(media, url).map(Cow::Borrowed);
                let file = FileData { mime_type, uri: url.as_str().into() };
                parts.push(Part { file_data: Some(file), ..Part::default() });
            }
            MediaSource::Base64(_) | MediaSource::FileId(_) | MediaSource::Url(_) => {
                self.expressible.cannot(param, Weight::Meaning)?;
            }
        }
        Ok(())
    }
}

fn has_results(content: &Content<'_>) -> bool {
    content.parts.iter().any(|part| part.function_response.is_some())
}

/// The type of what is at an address: as stated, or by the ending of its path.
fn media_type<'a>(media: &'a Media, url: &str) -> Option<&'a str> {
    if !media.media_type.is_empty() {
        return Some(&media.media_type);
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "gif" => "image/gif",
        "heic" => "image/heic",
        "jpeg" | "jpg" => "image/jpeg",
        "mp3" => "audio/mp3",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "wav" => "audio/wav",
        "webp" => "image/webp",
        _ => return None,
    })
}

/// A thought goes back as its seal alone, and only if this vendor made it.
fn seal_alone(thought: &Thought) -> Option<Part<'_>> {
    let seal = seal_for_upstream(thought.signature.as_deref()?)?;
    let text = Some(Cow::Borrowed(""));
    Some(Part { text, thought_signature: Some(Cow::Borrowed(seal)), ..Part::default() })
}

fn tools<'a>(conversation: &'a Conversation, names: &'a ToolNames) -> Result<Vec<ToolEntry<'a>>, Error> {
    let mut function_declarations = Vec::with_capacity(conversation.tools.len());
    for tool in &conversation.tools {
        let parameters = match &tool.parameters {
            Some(own) if !takes_nothing(own) => Some(normal(own, "tools")?),
            _ => None,
        };
        let name = names.sent(&tool.name);
        function_declarations.push(Declaration {
            name,
            description: tool.description.as_deref(),
            parameters,
        });
    }
    let mut tools = Vec::new();
    if !function_declarations.is_empty() {
        tools.push(ToolEntry::FunctionDeclarations(function_declarations));
    }
    if conversation.web_search.is_some() {
        tools.push(ToolEntry::GoogleSearch(NoSettings {}));
    }
    Ok(tools)
}

/// Whether a schema is an object without members, which the API refuses; no schema says the same.
fn takes_nothing(schema: &RawValue) -> bool {
    let value: Value = serde_json::from_str(schema.get()).unwrap_or_default();
    let is_object = value.get("type").is_none_or(|own| own == "object");
    let none = |name: &str| value.get(name).is_none_or(|own| own.as_object().is_some_and(Map::is_empty));
    is_object
        && none("properties")
        && ["$ref", "allOf", "anyOf", "oneOf"].iter().all(|name| value.get(name).is_none())
}

fn normal(schema: &RawValue, param: &'static str) -> Result<Box<RawValue>, Error> {
    let expected = "a JSON Schema whose references stand in it and do not run in circles";
    schema::to_gemini(schema).map_err(|_| Error::FieldInvalid { param, expected })
}

fn tool_config(conversation: &Conversation, names: &ToolNames) -> Option<Value> {
    let config = match conversation.tool_choice.as_ref()? {
        ToolChoice::Auto => json!({ "mode": "AUTO" }),
        ToolChoice::None => json!({ "mode": "NONE" }),
        ToolChoice::Required => json!({ "mode": "ANY" }),
        ToolChoice::Tool(name) => json!({ "mode": "ANY", "allowedFunctionNames": [names.sent(name)] }),
    };
    (!conversation.tools.is_empty()).then(|| json!({ "functionCallingConfig": config }))
}

fn generation_config<'a>(conversation: &'a Conversation, model: &str) -> Result<GenerationConfig<'a>, Error> {
    let sampling = &conversation.sampling;
    let (response_mime_type, response_schema) = match &conversation.format {
        OutputFormat::Text => (None, None),
        OutputFormat::JsonObject => (Some("application/json"), None),
        OutputFormat::JsonSchema { schema, .. } => {
            (Some("application/json"), Some(normal(schema, "response_format")?))
        }
    };
    Ok(GenerationConfig {
        candidate_count: conversation.choices.filter(|count| *count > 1),
        max_output_tokens: conversation.max_output_tokens,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        seed: sampling.seed,
        stop_sequences: &conversation.stop,
        response_mime_type,
        response_schema,
        thinking_config: conversation.reasoning.as_ref().and_then(|own| thinking(own, model)),
    })
}

/// Levels for the third generation, budgets for the second; nothing where the client asks for nothing.
fn thinking(reasoning: &Reasoning, model: &str) -> Option<Value> {
    let mut config = Map::new();
    if reasoning.visible {
        config.insert("includeThoughts".to_owned(), true.into());
    }
    let budget = |effort| match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High | Effort::ExtraHigh | Effort::Max => 24_576,
    };
    let flash = model.contains("flash");
    let level = |effort| match effort {
        Effort::None | Effort::Minimal if flash => "minimal",
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium if flash => "medium",
        Effort::Medium | Effort::High | Effort::ExtraHigh | Effort::Max => "high",
    };
    match (reasoning.budget_tokens, reasoning.effort) {
        (Some(tokens), _) => {
            config.insert("thinkingBudget".to_owned(), tokens.into());
        }
        (None, Some(effort)) if is_third_generation(model) => {
            config.insert("thinkingLevel".to_owned(), level(effort).into());
        }
        (None, Some(effort)) => {
            config.insert("thinkingBudget".to_owned(), budget(effort).into());
        }
        (None, None) => {}
    }
    (!config.is_empty()).then(|| config.into())
}
