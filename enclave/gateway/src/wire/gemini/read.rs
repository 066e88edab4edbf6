//! A client's `generateContent` request in canonical form (Gemini API reference, "Generating content").

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::schema;
use super::shape::{Content, FunctionResponse, Part, seal_from_client, standard_base64};
use crate::chat::conversation::{
    self as canonical, Conversation, Effort, Media, MediaSource, OutputFormat, Reasoning, Role, Thought,
    Tool, ToolCall, ToolChoice, Turn, WebSearch,
};
use crate::error::Error;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::ordered_json::Json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    contents: Vec<Content<'a>>,
    #[serde(borrow, alias = "system_instruction")]
    system_instruction: Option<Content<'a>>,
    #[serde(borrow, default)]
    tools: Vec<ToolEntry<'a>>,
    #[serde(alias = "tool_config")]
    tool_config: Option<ToolConfig>,
    #[serde(borrow, default, alias = "generation_config")]
    generation_config: GenerationConfig<'a>,
    #[serde(borrow, alias = "safety_settings")]
    safety_settings: Option<&'a RawValue>,
    #[serde(borrow, alias = "cached_content")]
    cached_content: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
}

/// An entry without declarations is a tool of Google's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolEntry<'a> {
    #[serde(borrow, alias = "function_declarations")]
    function_declarations: Option<Vec<Declaration<'a>>>,
    #[serde(borrow, alias = "google_search")]
    google_search: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: String,
    description: Option<String>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, alias = "parameters_json_schema")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    #[serde(alias = "function_calling_config")]
    function_calling_config: Option<FunctionCalling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct FunctionCalling {
    mode: String,
    #[serde(alias = "allowed_function_names")]
    allowed_function_names: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GenerationConfig<'a> {
    #[serde(alias = "candidate_count")]
    candidate_count: Option<u64>,
    #[serde(alias = "stop_sequences")]
    stop_sequences: Vec<String>,
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
    temperature: Option<f64>,
    #[serde(alias = "top_p")]
    top_p: Option<f64>,
    #[serde(alias = "top_k")]
    top_k: Option<f64>,
    seed: Option<i64>,
    #[serde(alias = "presence_penalty")]
    presence_penalty: Option<f64>,
    #[serde(alias = "frequency_penalty")]
    frequency_penalty: Option<f64>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(borrow, alias = "response_schema")]
    response_schema: Option<&'a RawValue>,
    #[serde(borrow, alias = "response_json_schema")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(alias = "response_modalities")]
    response_modalities: Vec<String>,
    #[serde(alias = "response_logprobs")]
    response_logprobs: bool,
    #[serde(borrow, alias = "speech_config")]
    speech_config: Option<&'a RawValue>,
    #[serde(borrow, alias = "media_resolution")]
    media_resolution: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ThinkingConfig {
    #[serde(alias = "include_thoughts")]
    include_thoughts: bool,
    #[serde(alias = "thinking_budget")]
    thinking_budget: Option<i64>,
    #[serde(alias = "thinking_level")]
    thinking_level: Option<String>,
}

/// Reads a request's body.
pub(super) fn conversation(
    body: &[u8],
    stream: bool,
    expressible: &mut Expressible,
) -> Result<Conversation, Error> {
    let expected = "contents, tools and settings as generateContent has them";
    let body: Body<'_> =
        serde_json::from_slice(body).map_err(|_| Error::FieldInvalid { param: "contents", expected })?;
    refuse_the_rest(&body, expressible)?;
    let mut reader = Reader { calls: 0, open: VecDeque::new(), expressible };
    let mut turns = Vec::with_capacity(body.contents.len());
    for content in body.contents {
        turns.push(reader.turn(content)?);
    }
    let mut instructions = Vec::new();
    for part in body.system_instruction.into_iter().flat_map(|content| content.parts) {
        match part.text {
            Some(text) => instructions.push(text_part(text.into_owned())),
            None => expressible.cannot("systemInstruction", Weight::Meaning)?,
        }
    }
    let own = body.generation_config;
    let searches = body.tools.iter().any(|tool| tool.google_search.is_some());
    Ok(Conversation {
        web_search: searches.then(|| WebSearch { param: "tools", ..WebSearch::default() }),
        instructions,
        turns,
        tools: tools(body.tools, expressible)?,
        tool_choice: body.tool_config.and_then(|own| own.function_calling_config).and_then(tool_choice),
        max_output_tokens: own.max_output_tokens,
        choices: own.candidate_count,
        format: format(own.response_mime_type.as_deref(), own.response_schema, own.response_json_schema)?,
        reasoning: own.thinking_config.map(reasoning),
        sampling: canonical::Sampling {
            temperature: own.temperature,
            top_p: own.top_p,
            top_k: own.top_k.and_then(whole_number),
            presence_penalty: own.presence_penalty,
            frequency_penalty: own.frequency_penalty,
            seed: own.seed,
        },
        stop: own.stop_sequences,
        stream,
        ..Conversation::default()
    })
}

fn refuse_the_rest(body: &Body<'_>, expressible: &mut Expressible) -> Result<(), Error> {
    let own = &body.generation_config;
    let only_text = own.response_modalities.iter().all(|own| own.eq_ignore_ascii_case("text"));
    let given = [
        (body.cached_content.is_some(), "cachedContent", Weight::Meaning),
        (body.safety_settings.is_some(), "safetySettings", Weight::Hint),
        (body.labels.is_some(), "labels", Weight::Hint),
        (own.response_logprobs, "generationConfig.responseLogprobs", Weight::Meaning),
        (!only_text, "generationConfig.responseModalities", Weight::Meaning),
        (own.speech_config.is_some(), "generationConfig.speechConfig", Weight::Meaning),
        (own.media_resolution.is_some(), "generationConfig.mediaResolution", Weight::Hint),
    ];
    for (_, param, weight) in given.into_iter().filter(|(is_given, ..)| *is_given) {
        expressible.cannot(param, weight)?;
    }
    Ok(())
}

/// Reads turns; pairs results with calls, by id where there are ids, otherwise by name and order.
struct Reader<'e> {
    calls: u64,
    open: VecDeque<(String, String)>,
    expressible: &'e mut Expressible,
}

impl Reader<'_> {
    fn turn(&mut self, content: Content<'_>) -> Result<Turn, Error> {
        let role = match content.role.as_deref() {
            Some("model") => Role::Assistant,
            None | Some("user" | "function") => Role::User,
            Some(_) => {
                return Err(Error::FieldInvalid { param: "contents.role", expected: "'user' or 'model'" });
            }
        };
        let mut parts = Vec::with_capacity(content.parts.len());
        for part in content.parts {
            self.part(part, &mut parts)?;
        }
        Ok(Turn { role, parts })
    }

    fn part(&mut self, part: Part<'_>, into: &mut Vec<canonical::Part>) -> Result<(), Error> {
        let seal = part.thought_signature.as_deref().map(seal_from_client);
        if let Some(call) = part.function_call {
            self.calls = self.calls.saturating_add(1);
            let id = call.id.map_or_else(|| format!("call_{}", self.calls), Cow::into_owned);
            let name = call.name.into_owned();
            self.open.push_back((name.clone(), id.clone()));
            let arguments = call.args.as_deref().map_or("{}", RawValue::get).to_owned();
            into.push(canonical::Part::ToolCall(ToolCall { id, name, arguments, signature: seal }));
            return Ok(());
        }
        if let Some(response) = part.function_response {
            into.push(self.result(response));
        } else if let Some(text) = part.text {
            if part.thought {
                let text = text.into_owned();
                into.push(canonical::Part::Reasoning(Thought { text, signature: seal, redacted: None }));
                return Ok(());
            }
            if !text.is_empty() {
                into.push(text_part(text.into_owned()));
            }
        } else if let Some(blob) = part.inline_data {
            let data = standard_base64(&blob.data).into_owned();
            into.push(medium(blob.mime_type.into_owned(), MediaSource::Base64(data)));
        } else if let Some(file) = part.file_data {
            let media_type = file.mime_type.map(Cow::into_owned).unwrap_or_default();
            into.push(medium(media_type, MediaSource::Url(file.uri.into_owned())));
        } else if part.executable_code.is_some() || part.code_execution_result.is_some() {
            self.expressible.cannot("contents.parts.executableCode", Weight::Meaning)?;
        } else if seal.is_none() {
            self.expressible.cannot("contents.parts", Weight::Meaning)?;
        }
        if seal.is_some() {
            let thought = Thought { text: String::new(), signature: seal, redacted: None };
            into.push(canonical::Part::Reasoning(thought));
        }
        Ok(())
    }

    fn result(&mut self, response: FunctionResponse<'_>) -> canonical::Part {
        let wanted = |(name, id): &(String, String)| match response.id.as_deref() {
            Some(own) => id == own,
            None => *name == *response.name,
        };
        let at = self.open.iter().position(wanted);
        let open = at.and_then(|at| self.open.remove(at)).map(|(_, id)| id);
        let call_id = open.or_else(|| response.id.map(Cow::into_owned)).unwrap_or_default();
        let (text, is_error) = result_text(&response.response);
        canonical::Part::ToolResult { call_id, parts: vec![text_part(text)], is_error }
    }
}

/// A result's text: the SDKs' `{"result": "..."}`, `{"output": "..."}` and `{"error": "..."}` hold plain text; anything
/// else stays JSON.
fn result_text(response: &RawValue) -> (String, bool) {
    if let Ok(Json::Object(members)) = serde_json::from_str(response.get())
        && let [(name, Json::String(text))] = members.as_slice()
        && matches!(name.as_str(), "error" | "output" | "result")
    {
        return (text.clone(), name == "error");
    }
    (response.get().to_owned(), false)
}

const fn text_part(text: String) -> canonical::Part {
    canonical::Part::Text { text, cache: None }
}

fn medium(media_type: String, source: MediaSource) -> canonical::Part {
    let kind = media_type.split('/').next().unwrap_or_default();
    match kind {
        "image" => canonical::Part::Image { media: Media { media_type, source }, detail: None },
        "audio" => canonical::Part::Audio(Media { media_type, source }),
        _ => canonical::Part::Document { media: Media { media_type, source }, name: None },
    }
}

fn tools(entries: Vec<ToolEntry<'_>>, expressible: &mut Expressible) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    for entry in entries {
        let Some(declarations) = entry.function_declarations else {
            if entry.google_search.is_none() {
                expressible.cannot("tools", Weight::Meaning)?;
            }
            continue;
        };
        for own in declarations {
            let parameters = match (own.parameters_json_schema, own.parameters) {
                (Some(schema), _) => Some(schema.to_owned()),
                (None, Some(schema)) => Some(json_schema(schema, "tools.functionDeclarations.parameters")?),
                (None, None) => None,
            };
            let Declaration { name, description, .. } = own;
            tools.push(Tool { name, description, parameters, strict: None, cache: None });
        }
    }
    Ok(tools)
}

fn json_schema(schema: &RawValue, param: &'static str) -> Result<Box<RawValue>, Error> {
    schema::from_gemini(schema).map_err(|_| Error::FieldInvalid { param, expected: "a schema" })
}

fn tool_choice(own: FunctionCalling) -> Option<ToolChoice> {
    let mut allowed = own.allowed_function_names;
    Some(match own.mode.to_ascii_uppercase().as_str() {
        "ANY" if allowed.len() == 1 => ToolChoice::Tool(allowed.pop()?),
        "ANY" => ToolChoice::Required,
        "NONE" => ToolChoice::None,
        "AUTO" | "VALIDATED" => ToolChoice::Auto,
        _ => return None,
    })
}

fn format(
    media_type: Option<&str>,
    gemini: Option<&RawValue>,
    json: Option<&RawValue>,
) -> Result<OutputFormat, Error> {
    let schema = match (json, gemini) {
        (Some(schema), _) => schema.to_owned(),
        (None, Some(schema)) => json_schema(schema, "generationConfig.responseSchema")?,
        (None, None) if media_type == Some("application/json") => return Ok(OutputFormat::JsonObject),
        (None, None) => return Ok(OutputFormat::Text),
    };
    Ok(OutputFormat::JsonSchema { name: None, description: None, schema, strict: None })
}

fn reasoning(own: ThinkingConfig) -> Reasoning {
    let named = own.thinking_level.map(|level| match level.to_ascii_lowercase().as_str() {
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        _ => Effort::High,
    });
    let effort = if own.thinking_budget == Some(0) { Some(Effort::None) } else { named };
    // A budget of -1 leaves it to the model.
    let budget_tokens = own.thinking_budget.and_then(|own| u64::try_from(own).ok()).filter(|own| *own > 0);
    Reasoning { effort, budget_tokens, visible: own.include_thoughts }
}

/// `topK` is a whole number that some SDKs write as `40.0`.
fn whole_number(number: f64) -> Option<u64> {
    format!("{number:.0}").parse().ok()
}
