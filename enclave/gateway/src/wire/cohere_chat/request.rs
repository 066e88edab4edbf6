//! A canonical request as Cohere wants it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::conversation::{
    Conversation, Effort, OutputFormat, Part, Reasoning, Role, ToolCall, ToolChoice, Turn,
};
use crate::chat::tool_names::{Letters, ToolNames};
use crate::error::Error;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::media_url;
use crate::wire::web_search;

/// What tool names may be made of: "must not begin with a digit".
pub(super) const LETTERS: Letters = Letters { also: "", letter_first: true, longest: 64 };

/// The body of a request.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    stream: bool,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolMember<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict_tools: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Message<'a> {
    Assistant {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_plan: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<CallMember<'a>>,
    },
    System {
        content: &'a str,
    },
    Tool {
        tool_call_id: &'a str,
        content: Vec<Block<'a>>,
    },
    User {
        content: Vec<Block<'a>>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    ImageUrl { image_url: ImageUrl<'a> },
    Text { text: &'a str },
    Thinking { thinking: &'a str },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct CallMember<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct ToolMember<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Parameters<'a>,
}

/// The API wants a schema with every tool.
#[derive(Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    Given(&'a RawValue),
    None { r#type: &'static str, properties: NoProperties },
}

#[derive(Serialize)]
struct NoProperties {}

#[derive(Serialize)]
struct FormatMember<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Thinking {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<u64>,
}

/// The body for a conversation.
pub(super) fn body<'a>(
    conversation: &'a Conversation,
    model: &'a str,
    names: &'a ToolNames,
    expressible: &mut Expressible,
) -> Result<Body<'a>, Error> {
    refuse_the_rest(conversation, expressible)?;
    let mut messages = Vec::with_capacity(conversation.turns.len().saturating_add(1));
    for part in &conversation.instructions {
        if let Part::Text { text, .. } = part {
            messages.push(Message::System { content: text });
        } else {
            expressible.cannot("system", Weight::Meaning)?;
        }
    }
    for turn in &conversation.turns {
        push_turn(turn, names, &mut messages, expressible)?;
    }
    let sampling = &conversation.sampling;
    Ok(Body {
        model,
        stream: conversation.stream,
        messages,
        tools: conversation.tools.iter().map(|tool| tool_member(tool, names)).collect(),
        strict_tools: !conversation.tools.is_empty()
            && conversation.tools.iter().all(|tool| tool.strict == Some(true)),
        tool_choice: tool_choice(conversation, expressible)?,
        response_format: format(&conversation.format),
        thinking: thinking(conversation.reasoning.as_ref(), model, expressible)?,
        max_tokens: conversation.max_output_tokens,
        stop_sequences: &conversation.stop,
        temperature: sampling.temperature,
        seed: sampling.seed,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        k: sampling.top_k,
        p: sampling.top_p,
    })
}

fn refuse_the_rest(conversation: &Conversation, expressible: &mut Expressible) -> Result<(), Error> {
    web_search::refuse(conversation.web_search.as_ref(), expressible)?;
    if conversation.choices.is_some_and(|count| count > 1) {
        expressible.cannot("n", Weight::Meaning)?;
    }
    if conversation.parallel_tool_calls == Some(false) {
        expressible.cannot("parallel_tool_calls", Weight::Meaning)?;
    }
    if conversation.end_user.is_some() {
        expressible.cannot("user", Weight::Hint)?;
    }
    Ok(())
}

fn push_turn<'a>(
    turn: &'a Turn,
    names: &'a ToolNames,
    messages: &mut Vec<Message<'a>>,
    expressible: &mut Expressible,
) -> Result<(), Error> {
    match turn.role {
        Role::Assistant => messages.push(assistant(&turn.parts, names, expressible)?),
        Role::User => {
            let mut content = Vec::with_capacity(turn.parts.len());
            for part in &turn.parts {
                if let Part::ToolResult { call_id, parts, .. } = part {
                    let mut result = Vec::with_capacity(parts.len());
                    for part in parts {
                        push_block(part, &mut result, expressible)?;
                    }
                    messages.push(Message::Tool { tool_call_id: call_id, content: result });
                } else {
                    push_block(part, &mut content, expressible)?;
                }
            }
            if !content.is_empty() {
                messages.push(Message::User { content });
            }
        }
    }
    Ok(())
}

/// What the model thought before it called tools is its plan; before it answered, its thinking.
fn assistant<'a>(
    parts: &'a [Part],
    names: &'a ToolNames,
    expressible: &mut Expressible,
) -> Result<Message<'a>, Error> {
    let (mut content, mut tool_calls) = (Vec::new(), Vec::new());
    for part in parts {
        if let Part::ToolCall(call) = part {
            tool_calls.push(call_member(call, names));
        } else {
            push_block(part, &mut content, expressible)?;
        }
    }
    if tool_calls.is_empty() {
        return Ok(Message::Assistant { content, tool_plan: None, tool_calls });
    }
    // An answer that calls tools has no content beside its plan.
    let words = content.iter().filter_map(|block| match block {
        Block::ImageUrl { .. } => None,
        Block::Text { text: words } | Block::Thinking { thinking: words } => Some(*words),
    });
    let plan = words.collect::<Vec<_>>().join("\n");
    Ok(Message::Assistant {
        content: Vec::new(),
        tool_plan: Some(plan).filter(|own| !own.is_empty()),
        tool_calls,
    })
}

fn push_block<'a>(
    part: &'a Part,
    into: &mut Vec<Block<'a>>,
    expressible: &mut Expressible,
) -> Result<(), Error> {
    match part {
        Part::Audio(_) => expressible.cannot("input_audio", Weight::Meaning)?,
        Part::Document { .. } => expressible.cannot("file", Weight::Meaning)?,
        Part::Image { media, detail } => match media_url(media) {
            Some(url) => {
                into.push(Block::ImageUrl { image_url: ImageUrl { url, detail: detail.as_deref() } });
            }
            None => expressible.cannot("image_url", Weight::Meaning)?,
        },
        Part::Reasoning(thought) if thought.text.is_empty() => {}
        Part::Reasoning(thought) => into.push(Block::Thinking { thinking: &thought.text }),
        Part::Refusal(text) | Part::Text { text, .. } if text.is_empty() => {}
        Part::Refusal(text) | Part::Text { text, .. } => into.push(Block::Text { text }),
        // Calls are the assistant's, and results the user's own messages.
        Part::ToolCall(_) | Part::ToolResult { .. } => {
            expressible.cannot("messages", Weight::Meaning)?;
        }
    }
    Ok(())
}

fn call_member<'a>(call: &'a ToolCall, names: &'a ToolNames) -> CallMember<'a> {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let function = CalledFunction { name: names.sent(&call.name), arguments };
    CallMember { id: &call.id, r#type: "function", function }
}

fn tool_member<'a>(tool: &'a crate::chat::conversation::Tool, names: &'a ToolNames) -> ToolMember<'a> {
    let none = Parameters::None { r#type: "object", properties: NoProperties {} };
    ToolMember {
        r#type: "function",
        function: Function {
            name: names.sent(&tool.name),
            description: tool.description.as_deref(),
            parameters: tool.parameters.as_deref().map_or(none, Parameters::Given),
        },
    }
}

fn tool_choice(
    conversation: &Conversation,
    expressible: &mut Expressible,
) -> Result<Option<&'static str>, Error> {
    Ok(match &conversation.tool_choice {
        None | Some(ToolChoice::Auto) => None,
        Some(ToolChoice::None) => (!conversation.tools.is_empty()).then_some("NONE"),
        Some(ToolChoice::Required) => Some("REQUIRED"),
        // With one tool, any is that one.
        Some(ToolChoice::Tool(name)) if matches!(&conversation.tools[..], [one] if one.name == *name) => {
            Some("REQUIRED")
        }
        Some(ToolChoice::Tool(_)) => {
            expressible.cannot("tool_choice", Weight::Meaning)?;
            None
        }
    })
}

fn format(format: &OutputFormat) -> Option<FormatMember<'_>> {
    let json_schema = match format {
        OutputFormat::Text => return None,
        OutputFormat::JsonObject => None,
        OutputFormat::JsonSchema { schema, .. } => Some(&**schema),
    };
    Some(FormatMember { r#type: "json_object", json_schema })
}

/// Only models that think take the member; their names say so.
fn thinking(
    reasoning: Option<&Reasoning>,
    model: &str,
    expressible: &mut Expressible,
) -> Result<Option<Thinking>, Error> {
    let Some(wanted) = reasoning else { return Ok(None) };
    let budget = wanted.budget_tokens.or_else(|| wanted.effort.map(Effort::budget));
    if model.contains("reasoning") {
        return Ok(budget.map(|budget| match budget {
            0 => Thinking { r#type: "disabled", token_budget: None },
            budget => Thinking { r#type: "enabled", token_budget: Some(budget) },
        }));
    }
    if budget.is_some_and(|budget| budget > 0) {
        expressible.cannot("reasoning_effort", Weight::Hint)?;
    }
    Ok(None)
}
