//! Chat completions of the built-in model, buffered and streamed, in `OpenAI`'s exact shapes.

use std::time::Duration;

use bytes::Bytes;

use super::generator::Generator;
use super::{Reply, ReplyBody, refuse};
use crate::clock::Now;
use crate::plaintext::Plaintext;
use crate::scan::{Field, Fields, Kind, elements, strings, unescape};

/// Most tokens of one answer.
const MAX_TOKENS: usize = 4096;

/// What a request asks of the model.
struct Wanted {
    model: String,
    stream: bool,
    usage: bool,
    max_tokens: usize,
    stops: Vec<String>,
}

/// A finished text and its numbers.
struct Text {
    tokens: Vec<&'static str>,
    finish: &'static str,
    prompt_tokens: usize,
}

/// Streamed events, one at a time.
pub struct Events {
    text: Text,
    head: String,
    usage: bool,
    place: usize,
    pace: Option<Duration>,
}

/// Answers one request body.
pub(super) fn answer(body: &Bytes, now: Now, pace: Option<Duration>) -> Reply {
    let mut fields = Fields::new();
    if fields.scan(body).is_err() {
        return refuse(400, "the body is not a JSON object", None);
    }
    let wanted = match Wanted::read(body, &fields) {
        Ok(wanted) => wanted,
        Err(param) => return refuse(400, "the built-in model does not support this value", Some(param)),
    };
    let text = Text::write(body, &fields, &wanted);
    let id = format!("chatcmpl-builtin-{:016x}", text.fingerprint());
    let created = now.unix_seconds();
    let model = &wanted.model;
    if wanted.stream {
        let head = format!(
            r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":{created},"model":"{model}","system_fingerprint":"postern-builtin-1","choices":["#
        );
        let events = Events { text, head, usage: wanted.usage, place: 0, pace };
        return Reply {
            status: 200,
            content_type: "text/event-stream",
            body: ReplyBody::Stream(Plaintext::new(events)),
        };
    }
    let body = format!(
        r#"{{"id":"{id}","object":"chat.completion","created":{created},"model":"{model}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}","refusal":null}},"logprobs":null,"finish_reason":"{finish}"}}],"usage":{usage},"system_fingerprint":"postern-builtin-1"}}"#,
        content = text.tokens.concat(),
        finish = text.finish,
        usage = text.usage(),
    );
    Reply::json(200, body.into_bytes())
}

impl Wanted {
    /// Reads the fields; names the first one whose value the model cannot honour.
    fn read(body: &[u8], fields: &Fields) -> Result<Self, &'static str> {
        let find = |name| fields.find(body, name).filter(|field| field.kind != Kind::Null);
        let is_true = |name| find(name).is_some_and(|field| field.kind == Kind::True);
        if find("n").is_some_and(|field| field.unsigned(body) != Some(1)) {
            return Err("n");
        }
        if is_true("logprobs") {
            return Err("logprobs");
        }
        if find("tool_choice").is_some_and(|field| !is_soft_choice(body, field)) {
            return Err("tool_choice");
        }
        if find("response_format").is_some_and(|field| !is_text_format(body, field)) {
            return Err("response_format");
        }
        let model = find("model").and_then(|field| field.raw_string(body)).and_then(unescape);
        let options = find("stream_options").map(|field| field.value(body)).unwrap_or_default();
        let mut inner = Fields::new();
        let usage = inner.scan_utf8(options).is_ok()
            && inner.find(options, "include_usage").is_some_and(|field| field.kind == Kind::True);
        Ok(Self {
            model: model.filter(|name| crate::wire::is_model_name(name)).ok_or("model")?,
            stream: is_true("stream"),
            usage,
            max_tokens: max_tokens(body, fields)?,
            stops: stops(body, find("stop"))?,
        })
    }
}

/// `"none"` and `"auto"`: the model never calls a tool, so nothing stronger can be honoured.
fn is_soft_choice(body: &[u8], field: &Field) -> bool {
    matches!(field.raw_string(body), Some(b"none" | b"auto"))
}

fn is_text_format(body: &[u8], field: &Field) -> bool {
    let object = field.value(body);
    let mut inner = Fields::new();
    let kind = inner.scan_utf8(object).ok().and_then(|()| inner.find(object, "type")?.raw_string(object));
    kind == Some(b"text")
}

fn max_tokens(body: &[u8], fields: &Fields) -> Result<usize, &'static str> {
    let mut most = MAX_TOKENS;
    for name in ["max_completion_tokens", "max_tokens"] {
        if let Some(field) = fields.find(body, name).filter(|field| field.kind != Kind::Null) {
            let own = field.unsigned(body).filter(|own| *own > 0).ok_or(name)?;
            most = most.min(usize::try_from(own).unwrap_or(MAX_TOKENS));
        }
    }
    Ok(most)
}

fn stops(body: &[u8], field: Option<&Field>) -> Result<Vec<String>, &'static str> {
    let Some(field) = field else { return Ok(Vec::new()) };
    let mut stops = Vec::new();
    let mut all_strings = true;
    let mut push = |raw: &[u8]| stops.extend(unescape(raw).filter(|stop| !stop.is_empty()));
    match field.kind {
        Kind::String => push(field.raw_string(body).unwrap_or_default()),
        Kind::Array => {
            let visited = elements(field.value(body), |value, kind| {
                all_strings &= kind == Kind::String;
                push(value.get(1..value.len().saturating_sub(1)).unwrap_or_default());
            });
            all_strings &= visited.is_ok();
        }
        Kind::False | Kind::Null | Kind::Number | Kind::Object | Kind::True => all_strings = false,
    }
    if all_strings && stops.len() <= 4 { Ok(stops) } else { Err("stop") }
}

impl Text {
    fn write(body: &[u8], fields: &Fields, wanted: &Wanted) -> Self {
        let messages = fields.find(body, "messages").map(|field| field.value(body)).unwrap_or_default();
        let mut text = String::new();
        let mut tokens = Vec::new();
        let mut finish = "stop";
        for token in Generator::new(messages) {
            if tokens.len() >= wanted.max_tokens {
                finish = "length";
                break;
            }
            text.push_str(token);
            if wanted.stops.iter().any(|stop| text.contains(stop.as_str())) {
                break;
            }
            tokens.push(token);
        }
        Self { tokens, finish, prompt_tokens: count_words(messages) }
    }

    /// A number for the id that differs between texts.
    fn fingerprint(&self) -> u64 {
        let bytes = self.tokens.iter().flat_map(|token| token.bytes());
        bytes.fold(0, |state, byte| super::generator::mix(state ^ u64::from(byte)))
    }

    fn usage(&self) -> String {
        let (prompt, completion) = (self.prompt_tokens, self.tokens.len());
        let total = prompt.saturating_add(completion);
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
        )
    }
}

/// The model's tokens of a prompt: words of its strings, at least one.
fn count_words(messages: &[u8]) -> usize {
    let mut words: usize = 0;
    strings(messages, |raw| {
        let count = raw.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
        words = words.saturating_add(count);
    });
    words.max(1)
}

impl Events {
    /// How long to wait before each event, if the deployment is paced.
    pub const fn pace(&self) -> Option<Duration> {
        self.pace
    }

    /// Appends the next event; false when there is none left.
    pub fn append_next(&mut self, out: &mut Vec<u8>) -> bool {
        let place = self.place;
        self.place = place.saturating_add(1);
        let count = self.text.tokens.len();
        let tail = if self.usage { r#"],"usage":null}"# } else { "]}" };
        if place == 0 {
            let first = r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}"#;
            self.append(out, &[first, tail]);
        } else if let Some(token) = self.text.tokens.get(place.saturating_sub(1)).copied() {
            let before = r#"{"index":0,"delta":{"content":""#;
            self.append(out, &[before, token, r#""},"logprobs":null,"finish_reason":null}"#, tail]);
        } else {
            match place.saturating_sub(count) {
                1 => {
                    let before = r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":""#;
                    self.append(out, &[before, self.text.finish, r#""}"#, tail]);
                }
                2 if self.usage => {
                    let usage = self.text.usage();
                    self.append(out, &[r#"],"usage":"#, &usage, "}"]);
                }
                2 | 3 if place == self.last() => out.extend_from_slice(b"data: [DONE]\n\n"),
                _ => return false,
            }
        }
        true
    }

    /// The place of `[DONE]`.
    fn last(&self) -> usize {
        self.text.tokens.len().saturating_add(if self.usage { 3 } else { 2 })
    }

    fn append(&self, out: &mut Vec<u8>, parts: &[&str]) {
        out.extend_from_slice(self.head.as_bytes());
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\n\n");
    }
}
