//! The response object and its items, as they are written (`OpenAI` API reference, "The response object").

use serde::Serialize;

use super::annotations::Annotation;
use super::seal;
use crate::chat::citation::{Citation, characters};
use crate::chat::completion::{Completion, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::{FinishReason, Usage};
use crate::wire::dialect::Shown;

/// The whole object.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    id: String,
    object: &'static str,
    created_at: u64,
    status: Status,
    background: bool,
    error: Option<Failure<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: &'a [Item],
    previous_response_id: Option<()>,
    store: bool,
    usage: Option<TokenCounts>,
    #[serde(flatten)]
    settings: Settings,
}

/// Settings that SDKs expect in every answer. What the client set is not repeated: it knows.
#[derive(Serialize)]
struct Settings {
    instructions: Option<()>,
    metadata: serde_json::Map<String, serde_json::Value>,
    parallel_tool_calls: bool,
    temperature: Option<f64>,
    tool_choice: &'static str,
    tools: [(); 0],
    top_p: Option<f64>,
    truncation: &'static str,
}

/// Where a response or an item stands.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Completed,
    Failed,
    InProgress,
    Incomplete,
}

#[derive(Serialize)]
pub(super) struct Failure<'a> {
    pub(super) code: &'static str,
    pub(super) message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct TokenCounts {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for TokenCounts {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_input_tokens,
                cache_write_tokens: usage.cache_write_tokens,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning_tokens },
            total_tokens: usage.total_tokens,
        }
    }
}

/// A piece of the output.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    FunctionCall {
        id: String,
        status: Status,
        arguments: String,
        call_id: String,
        name: String,
    },
    Message {
        id: String,
        status: Status,
        role: &'static str,
        content: Vec<ContentPart>,
    },
    Reasoning {
        id: String,
        summary: Vec<SummaryPart>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
    },
}

/// A piece of a message.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentPart {
    OutputText { text: String, annotations: Vec<Annotation>, logprobs: [(); 0] },
    Refusal { refusal: String },
}

/// A piece of what the model thought.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SummaryPart {
    SummaryText { text: String },
}

impl ContentPart {
    pub(super) const fn text(text: String) -> Self {
        Self::OutputText { text, annotations: Vec::new(), logprobs: [] }
    }
}

/// Ids of a response and of its items, all from the one that the answer has.
pub(super) fn id(prefix: &str, shown: &Shown, place: usize) -> String {
    format!("{prefix}_{}{place:02}", shown.id.replace(|own: char| !own.is_ascii_alphanumeric(), ""))
}

/// The whole object as it stands.
pub(super) fn response<'a>(
    shown: &'a Shown,
    status: Status,
    finish: Option<FinishReason>,
    output: &'a [Item],
    usage: Option<&Usage>,
    error: Option<Failure<'a>>,
) -> Response<'a> {
    let reason = match finish {
        Some(FinishReason::ContentFilter) => Some("content_filter"),
        Some(FinishReason::Length) => Some("max_output_tokens"),
        _ => None,
    };
    Response {
        id: id("resp", shown, 0),
        object: "response",
        created_at: shown.created,
        status,
        background: false,
        error,
        incomplete_details: reason
            .filter(|_| status == Status::Incomplete)
            .map(|reason| Incomplete { reason }),
        model: &shown.model,
        output,
        previous_response_id: None,
        store: false,
        usage: usage.map(TokenCounts::from),
        settings: Settings {
            instructions: None,
            metadata: serde_json::Map::new(),
            parallel_tool_calls: true,
            temperature: None,
            tool_choice: "auto",
            tools: [],
            top_p: None,
            truncation: "disabled",
        },
    }
}

/// How a response ends whose model stopped like this.
pub(super) const fn ended(finish: Option<FinishReason>) -> Status {
    match finish {
        Some(FinishReason::ContentFilter | FinishReason::Length) => Status::Incomplete,
        _ => Status::Completed,
    }
}

/// A finished reasoning item; nothing if the client wants no thoughts and there is nothing to bring back.
pub(super) fn reasoning_item(id: String, thought: &Thought, visible: bool) -> Option<Item> {
    let encrypted_content = seal::for_client(thought);
    let text = Some(&thought.text).filter(|text| visible && !text.is_empty());
    if text.is_none() && encrypted_content.is_none() {
        return None;
    }
    let summary = text.map(|text| SummaryPart::SummaryText { text: text.clone() }).into_iter().collect();
    Some(Item::Reasoning { id, summary, encrypted_content })
}

/// A call's seal as an item of its own before it.
pub(super) fn call_seal(id: String, signature: Option<&str>) -> Option<Item> {
    let signature = Some(signature?.to_owned());
    reasoning_item(id, &Thought { signature, ..Thought::default() }, false)
}

/// A whole answer.
pub(super) fn whole(completion: &Completion, shown: &Shown) -> Vec<u8> {
    let mut items: Vec<Item> = Vec::new();
    let choice = completion.choices.first();
    let cited: &[Citation] = choice.map(|choice| choice.citations.as_slice()).unwrap_or_default();
    let mut length = 0_u64;
    for output in choice.into_iter().flat_map(|choice| &choice.output) {
        let place = items.len().saturating_add(1);
        match output {
            Output::Reasoning(thought) => {
                items.extend(reasoning_item(id("rs", shown, place), thought, shown.reasoning));
            }
            Output::Refusal(text) => {
                push_content(ContentPart::Refusal { refusal: text.clone() }, shown, &mut items);
            }
            Output::Text(text) => {
                let end = length.saturating_add(characters(text));
                let annotations = cited.iter().filter_map(|own| Annotation::new(own, &(length..end)));
                let (text, annotations) = (text.clone(), annotations.collect());
                let part = ContentPart::OutputText { text, annotations, logprobs: [] };
                push_content(part, shown, &mut items);
                length = end;
            }
            Output::ToolCall(call) => push_call(call, shown, &mut items),
        }
    }
    let finish = choice.and_then(|choice| choice.finish);
    let object = response(shown, ended(finish), finish, &items, completion.usage.as_ref(), None);
    serde_json::to_vec(&object).unwrap_or_default()
}

fn push_content(part: ContentPart, shown: &Shown, items: &mut Vec<Item>) {
    if let Some(Item::Message { content, .. }) = items.last_mut() {
        content.push(part);
        return;
    }
    let id = id("msg", shown, items.len().saturating_add(1));
    items.push(Item::Message { id, status: Status::Completed, role: "assistant", content: vec![part] });
}

fn push_call(call: &ToolCall, shown: &Shown, items: &mut Vec<Item>) {
    items.extend(call_seal(id("rs", shown, items.len().saturating_add(1)), call.signature.as_deref()));
    let arguments = if call.arguments.trim().is_empty() { "{}".to_owned() } else { call.arguments.clone() };
    items.push(Item::FunctionCall {
        id: id("fc", shown, items.len().saturating_add(1)),
        status: Status::Completed,
        arguments,
        call_id: call.id.clone(),
        name: call.name.clone(),
    });
}
