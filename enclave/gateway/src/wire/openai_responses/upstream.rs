//! The API as an upstream speaks it: a canonical request in its words, its answers in canonical form.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{annotations, seal};
use crate::chat::citation::characters;
use crate::chat::completion::{Choice, Completion, Output};
use crate::chat::conversation::{
    Conversation, Effort, Media, MediaSource, OutputFormat, Part, Role, Thought, ToolCall, ToolChoice,
};
use crate::chat::{FinishReason, ServiceTier, Usage};
use crate::error::Error;
use crate::price::nano_usd_from_json;
use crate::wire::Malformed;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::media_url;
use crate::wire::openai_shape::nano_usd_of_ticks;
use crate::wire::web_search;

/// The body of a request.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    input: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextSettings<'a>>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

/// The client's tool, or one that the provider runs.
#[derive(Serialize)]
#[serde(untagged)]
enum ToolEntry<'a> {
    Function(Function<'a>),
    Server(Value),
}

#[derive(Serialize)]
struct Function<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Option<&'a RawValue>,
    strict: bool,
}

#[derive(Serialize)]
struct TextSettings<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The body for a conversation. Nothing is stored, so encrypted thoughts are asked for to come back with the next request.
pub(super) fn body<'a>(
    conversation: &'a Conversation,
    model: &'a str,
    expressible: &mut Expressible,
) -> Result<Body<'a>, Error> {
    let texts: Vec<&str> = conversation.instructions.iter().filter_map(text_of).collect();
    let mut input = Vec::new();
    for turn in &conversation.turns {
        let mut said = Vec::new();
        for part in &turn.parts {
            push_part(part, turn.role, &mut said, &mut input, expressible)?;
        }
        flush(turn.role, &mut said, &mut input);
    }
    let functions = conversation.tools.iter().map(|tool| Function {
        r#type: "function",
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: tool.parameters.as_deref(),
        strict: tool.strict.unwrap_or(false),
    });
    let mut tools: Vec<_> = functions.map(ToolEntry::Function).collect();
    if let Some(search) = &conversation.web_search {
        tools.push(ToolEntry::Server(web_search::for_responses(search, expressible)?));
    }
    Ok(Body {
        model,
        instructions: (!texts.is_empty()).then(|| texts.join("\n\n")),
        input,
        tools,
        text: format(&conversation.format),
        settings: settings(conversation, expressible)?,
    })
}

fn text_of(part: &Part) -> Option<&str> {
    let Part::Text { text, .. } = part else { return None };
    Some(text)
}

/// Ends the message that is being collected.
fn flush(role: Role, said: &mut Vec<Value>, input: &mut Vec<Value>) {
    if !said.is_empty() {
        let role = match role {
            Role::Assistant => "assistant",
            Role::User => "user",
        };
        let content = std::mem::take(said);
        input.push(json!({ "type": "message", "role": role, "content": content }));
    }
}

fn push_part(
    part: &Part,
    role: Role,
    said: &mut Vec<Value>,
    input: &mut Vec<Value>,
    expressible: &mut Expressible,
) -> Result<(), Error> {
    match part {
        Part::Reasoning(thought) => {
            if let Some((id, data)) = thought.redacted.as_deref().and_then(seal::own) {
                flush(role, said, input);
                let summary: &[Value] = &[];
                let mut item = json!({ "type": "reasoning", "summary": summary, "encrypted_content": data });
                if let Value::Object(item) = &mut item
                    && !id.is_empty()
                {
                    item.insert("id".to_owned(), id.into());
                }
                input.push(item);
            }
        }
        Part::ToolCall(call) => {
            flush(role, said, input);
            let ToolCall { id, name, arguments, .. } = call;
            input.push(
                json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments }),
            );
        }
        Part::ToolResult { call_id, parts, .. } => {
            flush(role, said, input);
            let mut output = Vec::with_capacity(parts.len());
            for part in parts {
                output.extend(content_part(part, Role::User, expressible)?);
            }
            let output = match (parts.as_slice(), output) {
                ([Part::Text { text, .. }], _) => Value::from(text.as_str()),
                (_, several) => Value::from(several),
            };
            input.push(json!({ "type": "function_call_output", "call_id": call_id, "output": output }));
        }
        Part::Audio(_)
        | Part::Document { .. }
        | Part::Image { .. }
        | Part::Refusal(_)
        | Part::Text { .. } => {
            said.extend(content_part(part, role, expressible)?);
        }
    }
    Ok(())
}

/// A part of a message; nothing for what was left out.
fn content_part(part: &Part, role: Role, expressible: &mut Expressible) -> Result<Option<Value>, Error> {
    Ok(match part {
        Part::Text { text, .. } if role == Role::Assistant => {
            Some(json!({ "type": "output_text", "text": text }))
        }
        Part::Text { text, .. } => Some(json!({ "type": "input_text", "text": text })),
        Part::Refusal(text) => Some(json!({ "type": "refusal", "refusal": text })),
        Part::Image { media, detail } => {
            let detail = detail.as_deref().unwrap_or("auto");
            Some(medium(json!({ "type": "input_image", "detail": detail }), "image_url", media))
        }
        Part::Document { media, name } => {
            let key = if matches!(media.source, MediaSource::Url(_)) { "file_url" } else { "file_data" };
            let file = match (name, key) {
                (Some(name), "file_data") => json!({ "type": "input_file", "filename": name }),
                (None, "file_data") => json!({ "type": "input_file", "filename": "document" }),
                _ => json!({ "type": "input_file" }),
            };
            Some(medium(file, key, media))
        }
        Part::Audio(_) => {
            expressible.cannot("input_audio", Weight::Meaning)?;
            None
        }
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult { .. } => None,
    })
}

fn medium(mut part: Value, key: &str, media: &Media) -> Value {
    if let Value::Object(part) = &mut part {
        match (&media.source, media_url(media)) {
            (MediaSource::FileId(id), _) => part.insert("file_id".to_owned(), id.as_str().into()),
            (_, url) => part.insert(key.to_owned(), url.into()),
        };
    }
    part
}

fn format(format: &OutputFormat) -> Option<TextSettings<'_>> {
    let format = match format {
        OutputFormat::Text => return None,
        OutputFormat::JsonObject => {
            Format { r#type: "json_object", name: None, description: None, schema: None, strict: None }
        }
        OutputFormat::JsonSchema { name, description, schema, strict } => Format {
            r#type: "json_schema",
            name: Some(name.as_deref().unwrap_or("answer")),
            description: description.as_deref(),
            schema: Some(schema),
            strict: *strict,
        },
    };
    Some(TextSettings { format })
}

fn settings(conversation: &Conversation, expressible: &mut Expressible) -> Result<Map<String, Value>, Error> {
    let sampling = &conversation.sampling;
    let lacking = [
        (conversation.choices.is_some_and(|count| count > 1), "n", Weight::Meaning),
        (!conversation.stop.is_empty(), "stop", Weight::Meaning),
        (sampling.top_k.is_some(), "top_k", Weight::Meaning),
        (sampling.presence_penalty.is_some_and(|own| own != 0.0), "presence_penalty", Weight::Meaning),
        (sampling.frequency_penalty.is_some_and(|own| own != 0.0), "frequency_penalty", Weight::Meaning),
        (sampling.seed.is_some(), "seed", Weight::Hint),
    ];
    for (_, param, weight) in lacking.into_iter().filter(|(given, ..)| *given) {
        expressible.cannot(param, weight)?;
    }
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        out.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("store", Some(false.into()));
    put("include", Some(json!(["reasoning.encrypted_content"])));
    put("stream", conversation.stream.then_some(true.into()));
    put("max_output_tokens", conversation.max_output_tokens.map(Value::from));
    put("temperature", sampling.temperature.map(Value::from));
    put("top_p", sampling.top_p.map(Value::from));
    put("safety_identifier", conversation.end_user.as_deref().map(Value::from));
    if !conversation.tools.is_empty() {
        put("parallel_tool_calls", conversation.parallel_tool_calls.map(Value::from));
        put("tool_choice", conversation.tool_choice.as_ref().map(tool_choice));
    }
    if let Some(reasoning) = &conversation.reasoning {
        let effort = reasoning.effort.or_else(|| reasoning.budget_tokens.map(Effort::of_budget));
        let mut own = Map::new();
        own.extend(effort.map(|effort| ("effort".to_owned(), effort.word().into())));
        own.extend(reasoning.visible.then(|| ("summary".to_owned(), "auto".into())));
        put("reasoning", (!own.is_empty()).then(|| own.into()));
    }
    Ok(out)
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => json!({ "type": "function", "name": name }),
    }
}

/// The response object as far as it matters.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) status: Option<String>,
    incomplete_details: Option<Incomplete>,
    output: Vec<Item>,
    usage: Option<TokenCounts>,
    service_tier: Option<String>,
    pub(super) error: Option<Failure>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incomplete {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) code: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    pub(super) r#type: String,
    pub(super) id: Option<String>,
    pub(super) call_id: String,
    pub(super) name: String,
    arguments: String,
    content: Vec<ContentPart>,
    summary: Vec<ContentPart>,
    pub(super) encrypted_content: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContentPart {
    r#type: String,
    text: String,
    refusal: String,
    annotations: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenCounts {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens_details: OutputDetails,
    /// Dollars, as `OpenRouter` says it.
    cost: Option<serde_json::Number>,
    /// As xAI says it.
    cost_in_usd_ticks: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl Response {
    /// Tokens, searches and tier, if tokens are reported.
    pub(super) fn usage(&self) -> Option<Usage> {
        let searches = self.output.iter().filter(|item| item.r#type == "web_search_call").count();
        let word = self.service_tier.as_deref().unwrap_or_default();
        self.usage.as_ref().map(TokenCounts::canonical).map(|usage| Usage {
            web_searches: u64::try_from(searches).unwrap_or(u64::MAX),
            tier: ServiceTier::from_word(word.as_bytes()),
            ..usage
        })
    }
}

impl TokenCounts {
    fn canonical(&self) -> Usage {
        let dollars = self.cost.as_ref().map(ToString::to_string);
        let reported = dollars.and_then(|own| nano_usd_from_json(own.as_bytes()));
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            total_tokens: self.total_tokens.max(self.input_tokens.saturating_add(self.output_tokens)),
            cached_input_tokens: self.input_tokens_details.cached_tokens,
            cache_write_tokens: self.input_tokens_details.cache_write_tokens,
            cache_write_1h_tokens: 0,
            reasoning_tokens: self.output_tokens_details.reasoning_tokens,
            reported_cost_nano_usd: reported.or_else(|| self.cost_in_usd_ticks.map(nano_usd_of_ticks)),
            ..Usage::default()
        }
    }
}

impl Response {
    /// Whether the model called a function.
    pub(super) fn has_calls(&self) -> bool {
        self.output.iter().any(|item| item.r#type == "function_call")
    }

    /// Why it ended.
    pub(super) fn finish(&self, calls: bool) -> FinishReason {
        match self.incomplete_details.as_ref().map(|own| own.reason.as_str()) {
            Some("max_output_tokens") => FinishReason::Length,
            Some("content_filter") => FinishReason::ContentFilter,
            Some(_) => FinishReason::Other,
            None if calls => FinishReason::ToolCalls,
            None => FinishReason::Stop,
        }
    }
}

/// Reads a whole answer.
pub(super) fn read(body: &[u8]) -> Result<Completion, Malformed> {
    let mut response: Response = serde_json::from_slice(body).map_err(|_| Malformed)?;
    if !matches!(response.status.as_deref(), Some("completed" | "incomplete")) {
        return Err(Malformed);
    }
    let usage = response.usage();
    let mut choice = Choice::default();
    let mut length = 0;
    for item in std::mem::take(&mut response.output) {
        push_item(item, &mut length, &mut choice);
    }
    let Choice { output, citations, .. } = choice;
    let calls = output.iter().any(|own| matches!(own, Output::ToolCall(_)));
    let finish = Some(response.finish(calls));
    Ok(Completion {
        choices: vec![Choice { output, finish, stop_sequence: None, citations }],
        usage,
        id: response.id,
        model: response.model,
    })
}

/// Items that do not exist yet are passed over.
fn push_item(item: Item, length: &mut u64, choice: &mut Choice) {
    let Choice { output, citations, .. } = choice;
    match item.r#type.as_str() {
        "message" => {
            for part in item.content {
                match part.r#type.as_str() {
                    "output_text" => {
                        citations.extend(annotations::of_text(part.annotations.as_deref(), *length));
                        *length = length.saturating_add(characters(&part.text));
                        output.push(Output::Text(part.text));
                    }
                    "refusal" => output.push(Output::Refusal(part.refusal)),
                    _ => {}
                }
            }
        }
        "function_call" => {
            let Item { call_id: id, name, arguments, .. } = item;
            output.push(Output::ToolCall(ToolCall { id, name, arguments, signature: None }));
        }
        "reasoning" => output.push(Output::Reasoning(thought(item))),
        _ => {}
    }
}

fn thought(item: Item) -> Thought {
    let parts = if item.summary.is_empty() { item.content } else { item.summary };
    let texts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
    seal::read(item.id.as_deref(), texts.join("\n\n"), item.encrypted_content)
}
