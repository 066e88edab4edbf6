//! A canonical request in the messages format.

use serde::Serialize;
use serde_json::value::RawValue;

use super::abilities::Abilities;
use super::blocks::CacheMark;
use crate::chat::Conversation;
use crate::chat::conversation::{CacheHint, Effort, OutputFormat, Part, Role, Sampling, Tool, ToolChoice};
use crate::chat::tool_names::ToolNames;
use crate::error::Error;
use crate::wire::dialect::{Expressible, Target, Weight, Written};
use crate::wire::json::body;
use crate::wire::web_search;

mod messages;

mod thinking;

use messages::Message;
use thinking::Thinking;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<SystemBlock<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ChoiceMember<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingMember>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    r#type: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheMark>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingMember {
    Adaptive { display: &'static str },
    Enabled { budget_tokens: u64 },
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<FormatMember<'a>>,
}

#[derive(Serialize)]
struct FormatMember<'a> {
    r#type: &'static str,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// The client's tool, or one that the provider runs.
#[derive(Serialize)]
#[serde(untagged)]
enum ToolEntry<'a> {
    Function(ToolMember<'a>),
    Server(serde_json::Value),
}

#[derive(Serialize)]
struct ToolMember<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheMark>,
}

/// The API wants a schema with every tool.
#[derive(Serialize)]
#[serde(untagged)]
enum InputSchema<'a> {
    Given(&'a RawValue),
    None { r#type: &'static str, properties: NoProperties },
}

#[derive(Serialize)]
struct NoProperties {}

#[derive(Serialize)]
struct ChoiceMember<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

/// The API wants a limit in every request; this one if nobody names another.
const DEFAULT_MAX_TOKENS: u64 = 4096;

pub(super) fn write(
    conversation: &Conversation,
    target: &Target<'_>,
    expressible: &mut Expressible,
) -> Result<Written, Error> {
    refuse_what_is_missing(conversation, expressible)?;
    let abilities = Abilities::of(target.model);
    let limit = conversation.max_output_tokens.or(target.max_output_tokens);
    let mut max_tokens = limit.unwrap_or(DEFAULT_MAX_TOKENS);
    let thinking = Thinking::of(conversation, abilities, limit, expressible)?;
    if let Thinking::Budget(budget) = thinking {
        max_tokens = max_tokens.max(budget.saturating_add(1));
        if conversation.max_output_tokens.is_none() {
            max_tokens = max_tokens.max(budget.saturating_add(DEFAULT_MAX_TOKENS));
        }
    }
    let (temperature, top_p, top_k) = sampling(&conversation.sampling, abilities, &thinking, expressible)?;
    let mut names = ToolNames::default();
    let answer_tool = answer_tool(conversation, abilities, expressible)?;
    if let Some(tool) = &answer_tool {
        names.answer_with(tool.name);
    }
    let functions = conversation.tools.iter().map(|tool| ToolMember::new(tool, abilities));
    let mut tools: Vec<_> = functions.map(ToolEntry::Function).collect();
    let forced = answer_tool.as_ref().map(|tool| ChoiceMember::forced(tool.name));
    let tool_choice = forced.or_else(|| choice(conversation));
    tools.extend(answer_tool.map(ToolEntry::Function));
    if let Some(search) = &conversation.web_search {
        tools.push(ToolEntry::Server(web_search::for_messages(search, expressible)?));
    }
    let body = body(&Body {
        model: target.model,
        max_tokens,
        system: system(&conversation.instructions),
        messages: messages::merged(&conversation.turns, expressible)?,
        tools,
        tool_choice,
        stop_sequences: &conversation.stop,
        temperature,
        top_p,
        top_k,
        output_config: output_config(conversation, abilities, &thinking),
        thinking: thinking.member(),
        metadata: conversation.end_user.as_deref().map(|user_id| Metadata { user_id }),
        stream: conversation.stream,
    });
    Ok(Written { body, names })
}

/// What this API has no word for at all.
fn refuse_what_is_missing(conversation: &Conversation, expressible: &mut Expressible) -> Result<(), Error> {
    let Sampling { presence_penalty, frequency_penalty, seed, .. } = conversation.sampling;
    if conversation.choices.is_some_and(|count| count > 1) {
        expressible.cannot("n", Weight::Meaning)?;
    }
    // Zero is what they are without saying so.
    if presence_penalty.is_some_and(|own| own != 0.0) {
        expressible.cannot("presence_penalty", Weight::Hint)?;
    }
    if frequency_penalty.is_some_and(|own| own != 0.0) {
        expressible.cannot("frequency_penalty", Weight::Hint)?;
    }
    if seed.is_some() {
        expressible.cannot("seed", Weight::Hint)?;
    }
    if matches!(conversation.format, OutputFormat::JsonObject) {
        expressible.cannot("response_format", Weight::Meaning)?;
    }
    Ok(())
}

type Samplings = (Option<f64>, Option<f64>, Option<u64>);

/// Temperature goes to 1 here, not 2; thinking and the newest models allow none of the three.
fn sampling(
    sampling: &Sampling,
    abilities: Abilities,
    thinking: &Thinking,
    expressible: &mut Expressible,
) -> Result<Samplings, Error> {
    let Sampling { temperature, top_p, top_k, .. } = *sampling;
    if !abilities.sampling || !matches!(thinking, Thinking::Off) {
        for (given, param) in
            [(temperature.is_some(), "temperature"), (top_p.is_some(), "top_p"), (top_k.is_some(), "top_k")]
        {
            if given {
                expressible.cannot(param, Weight::Hint)?;
            }
        }
        return Ok((None, None, None));
    }
    let temperature = temperature.map(|own| own.clamp(0.0, 1.0));
    if temperature.is_some() && top_p.is_some() && !abilities.both_samplings {
        expressible.cannot("top_p", Weight::Hint)?;
        return Ok((temperature, None, top_k));
    }
    Ok((temperature, top_p, top_k))
}

fn system(instructions: &[Part]) -> Vec<SystemBlock<'_>> {
    let mut blocks = Vec::with_capacity(instructions.len());
    for part in instructions {
        if let Part::Text { text, cache } = part
            && !text.is_empty()
        {
            blocks.push(SystemBlock { r#type: "text", text, cache_control: CacheMark::new(*cache) });
        }
    }
    blocks
}

impl<'a> ToolMember<'a> {
    fn new(tool: &'a Tool, abilities: Abilities) -> Self {
        let none = InputSchema::None { r#type: "object", properties: NoProperties {} };
        Self {
            name: &tool.name,
            description: tool.description.as_deref(),
            input_schema: tool.parameters.as_deref().map_or(none, InputSchema::Given),
            strict: tool.strict.filter(|strict| *strict && abilities.output_format),
            cache_control: CacheMark::new(tool.cache),
        }
    }
}

impl<'a> ChoiceMember<'a> {
    const fn forced(name: &'a str) -> Self {
        Self { r#type: "tool", name: Some(name), disable_parallel_tool_use: Some(true) }
    }
}

fn choice(conversation: &Conversation) -> Option<ChoiceMember<'_>> {
    if conversation.tools.is_empty() {
        return None;
    }
    let alone = (conversation.parallel_tool_calls == Some(false)).then_some(true);
    let (r#type, name) = match &conversation.tool_choice {
        None if alone.is_none() => return None,
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(name.as_str())),
    };
    Some(ChoiceMember { r#type, name, disable_parallel_tool_use: alone.filter(|_| r#type != "none") })
}

/// For models without `output_config.format`: a tool that has to be called, whose arguments are the answer. Only where
/// no other tool could be meant.
fn answer_tool<'a>(
    conversation: &'a Conversation,
    abilities: Abilities,
    expressible: &mut Expressible,
) -> Result<Option<ToolMember<'a>>, Error> {
    let OutputFormat::JsonSchema { name, description, schema, .. } = &conversation.format else {
        return Ok(None);
    };
    if abilities.output_format {
        return Ok(None);
    }
    if !conversation.tools.is_empty() {
        expressible.cannot("response_format", Weight::Meaning)?;
        return Ok(None);
    }
    Ok(Some(ToolMember {
        name: name.as_deref().unwrap_or("answer"),
        description: Some(description.as_deref().unwrap_or("Gives the answer.")),
        input_schema: InputSchema::Given(schema),
        strict: None,
        cache_control: CacheMark::new(None::<CacheHint>),
    }))
}

fn output_config<'a>(
    conversation: &'a Conversation,
    abilities: Abilities,
    thinking: &Thinking,
) -> Option<OutputConfig<'a>> {
    let format = match &conversation.format {
        OutputFormat::JsonSchema { schema, .. } if abilities.output_format => {
            Some(FormatMember { r#type: "json_schema", schema })
        }
        OutputFormat::JsonObject | OutputFormat::JsonSchema { .. } | OutputFormat::Text => None,
    };
    let effort = match thinking {
        Thinking::Adaptive { effort: Some(effort), .. } => Some(word(*effort)),
        Thinking::Adaptive { effort: None, .. } | Thinking::Budget(_) | Thinking::Off => None,
    };
    (format.is_some() || effort.is_some()).then_some(OutputConfig { effort, format })
}

const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
        Effort::Max => "max",
    }
}

/// Whether the last thing that happened is a tool's answer to a call whose thought is not known any more.
fn continues_without_thought(conversation: &Conversation) -> bool {
    let after = conversation.turns.iter().rev().take_while(|turn| turn.role == Role::User);
    let answers = after.flat_map(|turn| &turn.parts).any(|part| matches!(part, Part::ToolResult { .. }));
    let calls = conversation.turns.iter().rev().find(|turn| turn.role == Role::Assistant);
    let sealed = |part: &Part| match part {
        Part::Reasoning(thought) => thought.unmarked_seal().is_some(),
        Part::Audio(_)
        | Part::Document { .. }
        | Part::Image { .. }
        | Part::Refusal(_)
        | Part::Text { .. }
        | Part::ToolCall(_)
        | Part::ToolResult { .. } => false,
    };
    answers && calls.is_some_and(|turn| !turn.parts.iter().any(sealed))
}
