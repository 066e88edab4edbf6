//! `POST /v1/chat/completions` (`OpenAI` API reference, "Create chat completion"; chunk shapes as the official SDKs
//! read them).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::dialect::{Dialect, Expressible, FrontDialect, ReadStream, Shown, Target, WriteStream, Written};
use super::openai_shape::{
    boolean, check_messages, check_tools, error_status, is_error, model, scan_request, tier, usage,
};
use super::{Asked, Chunk, Frame, Layout, Malformed, OperationName, Request, Scratch, Whole, Wire};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation, FinishReason, Usage};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Field, Fields, Kind, elements};

mod annotations;

mod reasoning_details;

mod read_request;

mod write_request;

mod answer;

mod read_stream;

mod write_stream;

pub(super) use answer::WrittenUsage;

/// The chat completions format.
pub struct OpenAiChat;

impl Wire for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai_chat"
    }

    fn operation(&self) -> OperationName {
        OperationName::Chat
    }

    fn layout(&self) -> Layout {
        Layout::Chat
    }

    fn path(&self) -> &'static str {
        "/v1/chat/completions"
    }

    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        Some(&Self)
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let fields = scan_request(&body)?;
        let document = body.expose();
        let model = model(&asked, &body, &fields)?;
        check_messages(document, &fields)?;
        check_tools(document, &fields)?;
        let stream = boolean(document, &fields, "stream")?.unwrap_or(false);
        let include_usage = include_usage(document, &fields, stream)?;
        Ok(Request { wire: &Self, model, stream, include_usage, asked, body, fields })
    }

    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed> {
        scratch.top.scan(body)?;
        let mut whole = Whole { is_error: is_error(body, scratch), ..Whole::default() };
        if let Some(field) = scratch.top.find(body, "usage") {
            let usage = usage(body, field, &mut scratch.inner)?;
            whole.usage = usage.map(|usage| Usage { tier: tier(body, &scratch.top), ..usage });
        }
        if let Some(choices) = choices(body, &scratch.top) {
            whole.finish = inspect_choices(choices, &mut scratch.inner, &mut scratch.innermost)?.finish;
        }
        Ok(whole)
    }

    fn inspect_event(&self, data: &[u8], scratch: &mut Scratch) -> Result<Frame, Malformed> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Frame::Done);
        }
        scratch.top.scan(data)?;
        if is_error(data, scratch) {
            return Ok(Frame::Failure { status: error_status(data, &scratch.top) });
        }
        let mut chunk = Chunk::default();
        let mut any_choice = false;
        if let Some(choices) = choices(data, &scratch.top) {
            if scratch.content_seen && has_no_finish(choices) {
                any_choice = choices.get(1..).is_some_and(|rest| !rest.trim_ascii_start().starts_with(b"]"));
            } else {
                let seen = inspect_choices(choices, &mut scratch.inner, &mut scratch.innermost)?;
                (any_choice, chunk.content, chunk.finish) = (seen.any, seen.content, seen.finish);
            }
        }
        if let Some(field) = scratch.top.find(data, "usage") {
            chunk.usage_member = Some(scratch.top.member_span(field));
            let usage = usage(data, field, &mut scratch.inner)?;
            chunk.usage = usage.map(|usage| Usage { tier: tier(data, &scratch.top), ..usage });
            chunk.usage_only = !any_choice && chunk.usage.is_some();
        }
        if chunk.usage.is_none() {
            chunk.usage = usage_of_groq(data, scratch)?;
        }
        Ok(Frame::Chunk(chunk))
    }
}

/// Usage where Groq puts it unless asked otherwise: beside the choices of the last chunk, in `x_groq`.
fn usage_of_groq(data: &[u8], scratch: &mut Scratch) -> Result<Option<Usage>, Malformed> {
    let Some(beside) = scratch.top.find(data, "x_groq").filter(|field| field.kind == Kind::Object) else {
        return Ok(None);
    };
    let object = beside.value(data);
    scratch.inner.scan_utf8(object)?;
    match scratch.inner.find(object, "usage") {
        Some(field) => usage(object, field, &mut scratch.innermost),
        None => Ok(None),
    }
}

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        Wire::name(self)
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        let body = write_request::write(conversation.expose(), target, expressible)?;
        Ok(Written { body, names: ToolNames::default() })
    }

    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        answer::read(body, names)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        Box::new(read_stream::Reader::new(names))
    }
}

impl FrontDialect for OpenAiChat {
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error> {
        read_request::read(request, expressible)
    }

    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes> {
        answer::write(completion.expose(), shown)
    }

    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream> {
        Box::new(write_stream::Writer::new(shown))
    }
}

/// The reason for an upstream's word. Some vendors say `stop` although tools are called.
fn finish(word: &str, calling: bool) -> FinishReason {
    let reason = FinishReason::from_openai(word.as_bytes());
    if calling && reason == FinishReason::Stop { FinishReason::ToolCalls } else { reason }
}

/// The id shown for an answer: the upstream's own if it looks like this API's.
fn answer_id(upstream: &str, own: &str) -> String {
    if upstream.starts_with("chatcmpl-") { upstream.to_owned() } else { format!("chatcmpl-{own}") }
}

/// An id for a tool call that the upstream gave none.
fn made_up_call_id(answer: &str, place: usize) -> String {
    format!("call_{answer}_{place}")
}

/// `extra_content`, where Google's compatible endpoint puts the seal over the thought behind a tool call.
#[derive(Serialize)]
struct ExtraContent<'a> {
    google: Seal<'a>,
}

#[derive(Serialize)]
struct Seal<'a> {
    thought_signature: &'a str,
}

impl<'a> ExtraContent<'a> {
    fn new(signature: Option<&'a str>) -> Option<Self> {
        signature.map(|thought_signature| Self { google: Seal { thought_signature } })
    }
}

/// The same as it is read.
#[derive(Deserialize)]
struct ExtraRead {
    #[serde(default)]
    google: Option<SealRead>,
}

#[derive(Deserialize)]
struct SealRead {
    #[serde(default)]
    thought_signature: Option<String>,
}

impl ExtraRead {
    fn signature(self) -> Option<String> {
        self.google?.thought_signature
    }
}

/// Whether the client asked for usage in its stream.
pub(super) fn include_usage(document: &[u8], fields: &Fields, stream: bool) -> Result<bool, Error> {
    let Some(options) = fields.find(document, "stream_options") else { return Ok(false) };
    match options.kind {
        Kind::Null => return Ok(false),
        Kind::Object if stream => {}
        Kind::Object => return Err(Error::FieldUnsupported { param: "stream_options" }),
        Kind::Array | Kind::False | Kind::Number | Kind::String | Kind::True => {
            return Err(Error::FieldInvalid { param: "stream_options", expected: "an object" });
        }
    }
    let object = options.value(document);
    let mut inner = Fields::new();
    let expected = "an object without duplicate fields";
    inner.scan_utf8(object).map_err(|_| Error::FieldInvalid { param: "stream_options", expected })?;
    Ok(boolean(object, &inner, "include_usage")?.unwrap_or(false))
}

/// The `choices` array's bytes.
pub(super) fn choices<'d>(document: &'d [u8], fields: &Fields) -> Option<&'d [u8]> {
    let field = fields.find(document, "choices").filter(|field| field.kind == Kind::Array)?;
    Some(field.value(document))
}

/// Whether every `finish_reason` in these bytes is plainly `null`. Saves looking into most chunks of a stream: about a
/// third of their cost (`benches/pipeline.rs`). May say no where a full look would say yes, never the other way round
/// for names written without escapes.
fn has_no_finish(choices: &[u8]) -> bool {
    let mut rest = choices;
    while let Some(at) = memchr::memmem::find(rest, FINISH) {
        rest = rest.get(at.saturating_add(FINISH.len())..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        if !value.is_some_and(|value| value.starts_with(b"null")) {
            return false;
        }
    }
    true
}

const FINISH: &[u8] = b"\"finish_reason\"";

/// What all choices of one chunk say together.
#[derive(Default)]
struct Seen {
    any: bool,
    content: bool,
    finish: Option<FinishReason>,
}

fn inspect_choices(array: &[u8], choice: &mut Fields, delta: &mut Fields) -> Result<Seen, Malformed> {
    let mut seen = Seen::default();
    let mut outcome = Ok(());
    elements(array, |element, kind| {
        seen.any = true;
        if kind == Kind::Object && outcome.is_ok() {
            outcome = inspect_choice(element, choice, delta, &mut seen);
        }
    })?;
    outcome.map(|()| seen)
}

fn inspect_choice(
    element: &[u8],
    choice: &mut Fields,
    delta: &mut Fields,
    seen: &mut Seen,
) -> Result<(), Malformed> {
    choice.scan_utf8(element)?;
    let finish = choice.find(element, "finish_reason").and_then(|field| field.raw_string(element));
    if let Some(word) = finish {
        seen.finish.get_or_insert_with(|| FinishReason::from_openai(word));
        seen.content = true;
    }
    if seen.content {
        return Ok(());
    }
    if let Some(field) = choice.find(element, "delta").filter(|field| field.kind == Kind::Object) {
        let object = field.value(element);
        delta.scan_utf8(object)?;
        seen.content = delta.iter().any(|field| is_content(object, field));
    }
    Ok(())
}

/// Whether a member of a delta gives the client something: a role alone does not.
fn is_content(delta: &[u8], field: &Field) -> bool {
    if field.is(delta, "role") {
        return false;
    }
    match field.kind {
        Kind::String | Kind::Array => field.value.len() > 2,
        Kind::Object => true,
        Kind::False | Kind::Null | Kind::Number | Kind::True => false,
    }
}
