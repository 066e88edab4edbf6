//! `POST /v1/responses` (`OpenAI` API reference, "Responses"). Nothing is stored here or upstream, so what needs a stored
//! response is refused.

use bytes::Bytes;
use serde::Deserialize;

use super::dialect::{Dialect, Expressible, FrontDialect, ReadStream, Shown, Target, WriteStream, Written};
use super::openai_shape::{boolean, check_tools, model, scan_request, status_of_code};
use super::{Asked, Chunk, Frame, Layout, Malformed, OperationName, Request, Scratch, Whole, Wire};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};

mod annotations;

mod seal;

mod read;

mod shape;

mod events;

mod upstream;

mod reader;

/// The Responses format.
pub struct OpenAiResponses;

impl Wire for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    fn operation(&self) -> OperationName {
        OperationName::Chat
    }

    fn layout(&self) -> Layout {
        Layout::Responses
    }

    fn path(&self) -> &'static str {
        "/v1/responses"
    }

    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        Some(&Self)
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let (model, fields) = check_request(&asked, &body)?;
        let stream = boolean(body.expose(), &fields, "stream")?.unwrap_or(false);
        Ok(Request { wire: &Self, model, stream, include_usage: true, asked, body, fields })
    }

    fn append_failure(&self, error: &Error, number: u64, out: &mut Vec<u8>) {
        events::append_error(error, number, out);
    }

    fn inspect_whole(&self, body: &[u8], _: &mut Scratch) -> Result<Whole, Malformed> {
        let response: upstream::Response = serde_json::from_slice(body).map_err(|_| Malformed)?;
        let is_error = response.error.is_some() || response.status.as_deref() == Some("failed");
        Ok(Whole { is_error, ..seen(&response) })
    }

    fn inspect_event(&self, data: &[u8], scratch: &mut Scratch) -> Result<Frame, Malformed> {
        scratch.top.scan(data)?;
        let kind =
            scratch.top.find(data, "type").and_then(|field| field.raw_string(data)).unwrap_or_default();
        let number = scratch.top.find(data, "sequence_number").and_then(|field| field.unsigned(data));
        let number = number.unwrap_or(scratch.next_number);
        let failure = matches!(kind, b"error" | b"response.failed");
        // What tells of a failure may be told in other words, with the same number.
        scratch.next_number = if failure { number } else { number.saturating_add(1) };
        match kind {
            _ if failure => Ok(Frame::Failure { status: failed(data) }),
            b"response.completed" | b"response.incomplete" => {
                #[derive(Deserialize)]
                struct Last {
                    response: upstream::Response,
                }
                let last: Last = serde_json::from_slice(data).map_err(|_| Malformed)?;
                let whole = seen(&last.response);
                let chunk =
                    Chunk { content: true, usage: whole.usage, finish: whole.finish, ..Chunk::default() };
                Ok(Frame::Last(chunk))
            }
            _ => {
                let content = kind.ends_with(b".delta") || kind == b"response.output_item.added";
                Ok(Frame::Chunk(Chunk { content, ..Chunk::default() }))
            }
        }
    }
}

/// The status that fits a failure, wherever its code stands: in the event, its error, or its response's error.
fn failed(data: &[u8]) -> u16 {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Failed {
        code: Option<String>,
        error: Option<upstream::Failure>,
        response: Option<upstream::Response>,
    }
    let Failed { code, error, response } = serde_json::from_slice(data).unwrap_or_default();
    let inside = response.and_then(|own| own.error).or(error);
    let code = code.or_else(|| inside.map(|own| own.code)).unwrap_or_default();
    status_of_code(&code)
}

fn seen(response: &upstream::Response) -> Whole {
    Whole { usage: response.usage(), finish: Some(response.finish(response.has_calls())), is_error: false }
}

/// Checks what requests for answers and for counts have in common: the model, the input, nothing stored.
pub(super) fn check_request(asked: &Asked, body: &Plaintext<Bytes>) -> Result<(String, Fields), Error> {
    let fields = scan_request(body)?;
    let document = body.expose();
    let model = model(asked, body, &fields)?;
    refuse_stored(document, &fields)?;
    check_tools(document, &fields)?;
    let input = fields.find(document, "input").filter(|field| field.kind != Kind::Null);
    match input.map(|field| field.kind) {
        Some(Kind::Array | Kind::String) => Ok((model, fields)),
        // A stored prompt may stand for the input.
        None if fields.find(document, "prompt").is_some() => Ok((model, fields)),
        None => Err(Error::FieldMissing { param: "input" }),
        Some(_) => Err(Error::FieldInvalid { param: "input", expected: "a text or a list of items" }),
    }
}

/// Refuses what would need a stored response.
fn refuse_stored(document: &[u8], fields: &Fields) -> Result<(), Error> {
    for param in ["previous_response_id", "conversation"] {
        if fields.find(document, param).is_some_and(|field| field.kind != Kind::Null) {
            return Err(Error::FieldUnsupported { param });
        }
    }
    for param in ["background", "store"] {
        if boolean(document, fields, param)? == Some(true) {
            return Err(Error::FieldUnsupported { param });
        }
    }
    Ok(())
}

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        Wire::name(self)
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        let body = upstream::body(conversation.expose(), target.model, expressible)?;
        Ok(Written { body: super::json::body(&body), names: ToolNames::default() })
    }

    fn read_answer(&self, body: &[u8], _: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        upstream::read(body).map(Plaintext::new)
    }

    fn stream_reader(&self, _: ToolNames) -> Box<dyn ReadStream> {
        Box::new(reader::Reader::new())
    }
}

impl FrontDialect for OpenAiResponses {
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error> {
        read::conversation(request, expressible).map(Plaintext::new)
    }

    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes> {
        Plaintext::new(shape::whole(completion.expose(), shown).into())
    }

    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream> {
        Box::new(events::Writer::new(shown))
    }
}

#[cfg(test)]
mod tests;
