//! Step 1, parse: which API format a request speaks, and what the gateway needs to know of its body.
//!
//! A format is one file in `wire/` and one line in [`WIRES`].

use bytes::Bytes;

use crate::chat::{FinishReason, Usage};
use crate::error::{Error, Shape};
use crate::plaintext::Plaintext;
use crate::scan::{Fields, ScanError};

pub mod dialect;

pub mod hops;

mod json;

mod openai_shape;

mod web_search;

pub mod anthropic_messages;

pub mod anthropic_count_tokens;

pub mod openai_chat;

pub mod openai_completions;

pub mod openai_embeddings;

pub mod embedding;

pub mod model_list;

pub mod sse;

pub mod event_stream;

mod ordered_json;

pub mod bedrock_converse;

pub mod cohere_chat;

pub mod gemini;

pub mod gemini_count_tokens;

pub mod openai_responses;

pub mod openai_input_tokens;

use dialect::FrontDialect;
use model_list::percent_decode;
pub(crate) use openai_shape::is_model_name;

/// Every API format that goes upstream.
pub const WIRES: &[&dyn Wire] = &[
    &anthropic_messages::AnthropicMessages,
    &anthropic_count_tokens::AnthropicCountTokens,
    &openai_chat::OpenAiChat,
    &openai_completions::OpenAiCompletions,
    &openai_responses::OpenAiResponses,
    &openai_input_tokens::OpenAiInputTokens,
    &openai_embeddings::OpenAiEmbeddings,
    &gemini::Gemini,
    &gemini::GeminiArray,
    &gemini_count_tokens::GeminiCountTokens,
];

/// An HTTP request's head as the shell read it: borrowed, unparsed.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path without the query, as received.
    pub path: &'a str,
    /// Query without the question mark.
    pub query: Option<&'a str>,
    /// Names as received (compared ignoring ASCII case) and raw values.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What a format needs of a request's head beyond what its body says: kept while the body is read.
#[derive(Default)]
pub struct Asked {
    /// The model, decoded, for paths that name it; such a path wins over a model in the body.
    pub model: Option<String>,
    /// The path itself asks for a stream.
    pub stream: bool,
    /// What of the query a provider of the same dialect gets, with its question mark.
    pub query: Option<&'static str>,
    /// Head fields that a provider of the same dialect gets as they came (`anthropic-beta` and the like), names in lower
    /// case.
    pub passed_on: Vec<(String, Plaintext<Vec<u8>>)>,
}

/// Where a format keeps what is said, for what the gateway says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `system` beside `messages`: Anthropic's.
    Anthropic,
    /// `messages` with roles: OpenAI's chat.
    Chat,
    /// `systemInstruction` beside `contents`: Google's.
    Gemini,
    /// Nothing is said in it.
    None,
    /// `instructions` beside `input`: OpenAI's Responses.
    Responses,
    /// One `prompt` without roles.
    Text,
}

/// What a request wants, from its head alone.
pub enum Operation {
    /// Something an upstream answers.
    Inference(&'static dyn Wire, Asked),
    /// `GET /v1/models`
    ListModels(model_list::Page),
    /// `GET` or `HEAD /`: is anybody there.
    Probe,
    /// `GET /v1/models/{id}`, with the decoded id.
    ShowModel(String, model_list::Form),
}

/// `gen_ai.operation.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationName {
    /// A chat completion.
    Chat,
    /// How many tokens a prompt has.
    CountTokens,
    /// Embeddings.
    Embeddings,
    /// The continuation of a text.
    TextCompletion,
}

impl OperationName {
    /// As OpenTelemetry writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::CountTokens => "count_tokens",
            Self::Embeddings => "embeddings",
            Self::TextCompletion => "text_completion",
        }
    }
}

/// One API format: how to read its requests, and how to see what an answer in the same format says.
pub trait Wire: Sync {
    /// The format's name, as in `tests/golden/<name>/` and audit records.
    fn name(&self) -> &'static str;
    /// `gen_ai.operation.name`.
    fn operation(&self) -> OperationName;
    /// Where it keeps what is said.
    fn layout(&self) -> Layout;
    /// The path clients post to, as far as it is fixed.
    fn path(&self) -> &'static str;
    /// How errors look in this format.
    fn shape(&self) -> Shape {
        Shape::of_path(self.path())
    }
    /// Whether a path is one of this format's, and what of the head has to be kept. Compares exactly, or takes the path
    /// apart where it names a model.
    fn asked(&self, head: &RequestHead<'_>) -> Option<Result<Asked, Error>> {
        (head.path == self.path()).then(|| Ok(Asked::default()))
    }
    /// Whether a stream ends with an event that says so. If not, it is whole when its bytes end after a finish reason.
    fn has_end_mark(&self) -> bool {
        true
    }
    /// The chat API that this is, for translation; nothing if it is no chat API.
    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        None
    }
    /// Appends the event that tells of a failure in a stream that has begun; `number` is the one it has where events are
    /// numbered.
    fn append_failure(&self, error: &Error, _number: u64, out: &mut Vec<u8>) {
        error.append_event(self.shape(), out);
    }
    /// The answer to a question for a count of tokens, in formats that ask it.
    fn counted(&self, _: u64) -> Option<Vec<u8>> {
        None
    }
    /// Checks a body and finds what the gateway needs.
    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error>;
    /// Checks a whole answer and reads its usage.
    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed>;
    /// Reads one stream event's data.
    fn inspect_event(&self, data: &[u8], scratch: &mut Scratch) -> Result<Frame, Malformed>;
}

/// A checked request: its original bytes and where the fields that matter stand in them.
pub struct Request {
    /// The API format.
    pub wire: &'static dyn Wire,
    /// The model name the client asked for, decoded.
    pub model: String,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// Whether the client asked for usage in the stream.
    pub include_usage: bool,
    /// What the head said.
    pub asked: Asked,
    /// The original bytes.
    pub body: Plaintext<Bytes>,
    /// Top-level fields of `body`.
    pub fields: Fields,
}

/// Tables that inspecting reuses from event to event, so that a stream allocates nothing per chunk.
pub struct Scratch {
    /// Fields of the event itself.
    pub top: Fields,
    /// Fields of an object inside.
    pub inner: Fields,
    /// Fields of an object inside that.
    pub innermost: Fields,
    /// Token counts so far, for formats whose events report them piece by piece.
    pub counts: anthropic_messages::Counts,
    /// The stream has had content: whether a chunk has some need not be found out any more.
    pub content_seen: bool,
    /// The number of the event that comes next, for formats that number their events.
    pub next_number: u64,
}

impl Default for Scratch {
    fn default() -> Self {
        let [top, inner, innermost] = [(); 3].map(|()| Fields::for_answers());
        let counts = anthropic_messages::Counts::default();
        Self { top, inner, innermost, counts, content_seen: false, next_number: 0 }
    }
}

/// What a whole answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Tokens, if reported.
    pub usage: Option<Usage>,
    /// Why the first choice stopped.
    pub finish: Option<FinishReason>,
    /// The body is an error object under a success status.
    pub is_error: bool,
}

/// What one stream event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A piece of the answer.
    Chunk(Chunk),
    /// The regular end.
    Done,
    /// The upstream reports a failure.
    Failure {
        /// The HTTP status that fits it, 400 to 599; 502 if the upstream does not say.
        status: u16,
    },
    /// The last piece, which is the regular end as well.
    Last(Chunk),
}

/// One piece of a streamed answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Text, refusal, tool call, reasoning, audio, or a finish reason: the client has something.
    pub content: bool,
    /// Running totals so far; the last one counts.
    pub usage: Option<Usage>,
    /// Nothing but usage: dropped unless the client asked.
    pub usage_only: bool,
    /// Bytes of the data to cut so that the `usage` member is gone.
    pub usage_member: Option<std::ops::Range<usize>>,
    /// Why the first choice stopped.
    pub finish: Option<FinishReason>,
}

/// Fields by which clients of other gateways choose an upstream or bring its credential. Here only the configuration does,
/// so they are refused rather than ignored: whoever sends one expects it to count.
const CHOOSES_UPSTREAM: [&str; 4] = ["api_base", "api_key", "base_url", "custom_llm_provider"];

/// Checks a body of that format.
///
/// # Errors
/// As [`Wire::parse`]; [`Error::FieldUnsupported`] for a field that would choose the upstream.
pub fn read(wire: &'static dyn Wire, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
    let request = wire.parse(asked, body)?;
    let document = request.body.expose();
    let chosen = request
        .fields
        .iter()
        .find_map(|field| CHOOSES_UPSTREAM.into_iter().find(|name| field.is(document, name)));
    match chosen {
        Some(param) => Err(Error::FieldUnsupported { param }),
        None => Ok(request),
    }
}

/// An upstream's bytes are not its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<ScanError> for Malformed {
    fn from(_: ScanError) -> Self {
        Self
    }
}

/// The format of that name.
pub fn named(name: &str) -> Option<&'static dyn Wire> {
    WIRES.iter().copied().find(|wire| wire.name() == name)
}

/// Finds out what a request wants, from its head. Paths are compared exactly: nothing is normalised, so nothing that
/// looks different can mean the same.
pub fn operation(head: &RequestHead<'_>) -> Result<Operation, Error> {
    let head = &RequestHead { path: without_prefix(head.path), ..*head };
    if let Some((wire, asked)) = of_azure(head.path) {
        return allow(head, "POST", &["POST"], Operation::Inference(wire, asked));
    }
    for wire in WIRES {
        if let Some(asked) = wire.asked(head) {
            return allow(head, "POST", &["POST"], Operation::Inference(*wire, asked?));
        }
    }
    let read = &["GET", "HEAD"];
    if head.path == "/" {
        return allow(head, "GET, HEAD", read, Operation::Probe);
    }
    match model_list::target(head)? {
        Some(target) => allow(head, "GET", read, target),
        None => Err(Error::EndpointUnknown),
    }
}

/// Clients of Azure's newer API and of `TensorZero` ask for `/openai/v1/...`.
fn without_prefix(path: &str) -> &str {
    path.strip_prefix("/openai").filter(|rest| rest.starts_with("/v1/")).unwrap_or(path)
}

/// Clients of Azure's older API name the model in the path: `/openai/deployments/NAME/chat/completions` and the like. The
/// version in the query says nothing here.
fn of_azure(path: &str) -> Option<(&'static dyn Wire, Asked)> {
    let (name, operation) = path.strip_prefix("/openai/deployments/")?.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !is_model_name(name) || !name.bytes().all(plain) {
        return None;
    }
    let of_path = |wire: &&&'static dyn Wire| wire.path().strip_prefix("/v1/") == Some(operation);
    let wire = *WIRES.iter().filter(|wire| OF_AZURE.contains(&wire.name())).find(of_path)?;
    Some((wire, Asked { model: Some(name.to_owned()), ..Asked::default() }))
}

/// Formats that Azure's older API has under a deployment's path.
const OF_AZURE: [&str; 3] = ["openai_chat", "openai_completions", "openai_embeddings"];

fn allow(
    head: &RequestHead<'_>,
    allow: &'static str,
    methods: &[&str],
    operation: Operation,
) -> Result<Operation, Error> {
    if methods.contains(&head.method) { Ok(operation) } else { Err(Error::MethodUnsupported { allow }) }
}
