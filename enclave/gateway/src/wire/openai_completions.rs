//! `POST /v1/completions` (`OpenAI` API reference, "Completions", the API from before chat): a prompt in, what follows it
//! out.
//!
//! Servers that have it get the client's own bytes. For all others the prompt becomes what a user says, and what only a
//! continuation has (several prompts, tokens in place of text, `suffix`, `echo`, `logprobs`, `best_of`) is refused.

use bytes::Bytes;

use super::dialect::{Dialect, Expressible, FrontDialect, ReadStream, Shown, Target, WriteStream, Written};
use super::openai_chat::{choices, include_usage};
use super::openai_shape::{boolean, error_status, is_error, model, scan_request, usage};
use super::{Asked, Chunk, Frame, Layout, Malformed, OperationName, Request, Scratch, Whole, Wire};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation, FinishReason};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind, elements};

mod read;

mod write;

/// The completions format.
pub struct OpenAiCompletions;

impl Wire for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai_completions"
    }

    fn operation(&self) -> OperationName {
        OperationName::TextCompletion
    }

    fn layout(&self) -> Layout {
        Layout::Text
    }

    fn path(&self) -> &'static str {
        "/v1/completions"
    }

    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        Some(&Self)
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let fields = scan_request(&body)?;
        let document = body.expose();
        let model = model(&asked, &body, &fields)?;
        let prompt = fields.find(document, "prompt").ok_or(Error::FieldMissing { param: "prompt" })?;
        if !matches!(prompt.kind, Kind::Array | Kind::String) {
            return Err(Error::FieldInvalid { param: "prompt", expected: "a string or an array" });
        }
        let stream = boolean(document, &fields, "stream")?.unwrap_or(false);
        let include_usage = include_usage(document, &fields, stream)?;
        Ok(Request { wire: &Self, model, stream, include_usage, asked, body, fields })
    }

    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed> {
        scratch.top.scan(body)?;
        let mut whole = Whole { is_error: is_error(body, scratch), ..Whole::default() };
        if let Some(field) = scratch.top.find(body, "usage") {
            whole.usage = usage(body, field, &mut scratch.inner)?;
        }
        if let Some(choices) = choices(body, &scratch.top) {
            whole.finish = seen(choices, &mut scratch.inner)?.finish;
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
            let seen = seen(choices, &mut scratch.inner)?;
            (any_choice, chunk.content, chunk.finish) = (seen.any, seen.content, seen.finish);
        }
        if let Some(field) = scratch.top.find(data, "usage") {
            chunk.usage_member = Some(scratch.top.member_span(field));
            chunk.usage = usage(data, field, &mut scratch.inner)?;
            chunk.usage_only = !any_choice && chunk.usage.is_some();
        }
        Ok(Frame::Chunk(chunk))
    }
}

/// What the choices of an answer or of a chunk say together.
#[derive(Default)]
struct Seen {
    any: bool,
    content: bool,
    finish: Option<FinishReason>,
}

fn seen(choices: &[u8], fields: &mut Fields) -> Result<Seen, Malformed> {
    let mut seen = Seen::default();
    let mut outcome = Ok(());
    elements(choices, |element, kind| {
        seen.any = true;
        if kind != Kind::Object || outcome.is_err() {
            return;
        }
        outcome = fields.scan_utf8(element);
        let word = |name| fields.find(element, name).and_then(|field| field.raw_string(element));
        if let Some(word) = word("finish_reason") {
            seen.finish.get_or_insert_with(|| FinishReason::from_openai(word));
            seen.content = true;
        }
        seen.content |= word("text").is_some_and(|text| !text.is_empty());
    })?;
    outcome?;
    Ok(seen)
}

/// Whoever has this API has chat as well, so nothing is translated into it.
impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        Wire::name(self)
    }

    fn write_request(
        &self,
        _: &Plaintext<Conversation>,
        _: &Target<'_>,
        _: &mut Expressible,
    ) -> Result<Written, Error> {
        Err(Error::OperationUnsupported)
    }

    fn read_answer(&self, _: &[u8], _: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        Err(Malformed)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        super::openai_chat::OpenAiChat.stream_reader(names)
    }
}

impl FrontDialect for OpenAiCompletions {
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error> {
        read::conversation(request, expressible)
    }

    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes> {
        write::whole(completion.expose(), shown)
    }

    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream> {
        Box::new(write::Writer::new(shown))
    }
}

#[cfg(test)]
mod tests;
