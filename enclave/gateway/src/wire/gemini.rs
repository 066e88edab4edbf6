//! `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent` (Gemini API reference; `/v1` too), as clients and as
//! Google's models speak it, on Vertex AI too.

use bytes::Bytes;

use super::dialect::{Dialect, Expressible, FrontDialect, ReadStream, Shown, Target, WriteStream, Written};
use super::openai_shape::scan_request;
use super::{Asked, Frame, Layout, Malformed, OperationName, Request, RequestHead, Scratch, Whole, Wire};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation};
use crate::error::Error;
use crate::plaintext::Plaintext;

mod grounding;

mod shape;

mod schema;

mod read;

mod write;

mod answer;

mod stream;

mod inspect;

pub(super) use inspect::{PREFIX, asked, check_contents};

/// `:generateContent`, and `:streamGenerateContent` as server-sent events (`alt=sse`), as upstreams are asked for it.
pub struct Gemini;

/// `:streamGenerateContent` without `alt=sse`: clients get one JSON array. It is sent at once, as an array of one piece, so
/// that it is either a whole document or an error.
pub struct GeminiArray;

impl Wire for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn operation(&self) -> OperationName {
        OperationName::Chat
    }

    fn layout(&self) -> Layout {
        Layout::Gemini
    }

    fn path(&self) -> &'static str {
        PREFIX
    }

    fn asked(&self, head: &RequestHead<'_>) -> Option<Result<Asked, Error>> {
        if let Some(asked) = asked(head, "generateContent") {
            return Some(asked);
        }
        let asked = asked(head, "streamGenerateContent").filter(|_| inspect::wants_events(head))?;
        Some(asked.map(|asked| Asked { stream: true, ..asked }))
    }

    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        Some(&Self)
    }

    fn has_end_mark(&self) -> bool {
        false
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        parse(&Self, asked, body)
    }

    fn inspect_whole(&self, body: &[u8], _: &mut Scratch) -> Result<Whole, Malformed> {
        inspect::whole(body)
    }

    fn inspect_event(&self, data: &[u8], _: &mut Scratch) -> Result<Frame, Malformed> {
        inspect::event(data)
    }
}

impl Wire for GeminiArray {
    fn name(&self) -> &'static str {
        "gemini_array"
    }

    fn operation(&self) -> OperationName {
        OperationName::Chat
    }

    fn layout(&self) -> Layout {
        Layout::Gemini
    }

    fn path(&self) -> &'static str {
        PREFIX
    }

    fn asked(&self, head: &RequestHead<'_>) -> Option<Result<Asked, Error>> {
        asked(head, "streamGenerateContent").filter(|_| !inspect::wants_events(head))
    }

    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        Some(&Self)
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        parse(&Self, asked, body)
    }

    /// No upstream speaks this form, so nothing comes back in it.
    fn inspect_whole(&self, _: &[u8], _: &mut Scratch) -> Result<Whole, Malformed> {
        Err(Malformed)
    }

    /// No upstream speaks this form, so nothing comes back in it.
    fn inspect_event(&self, _: &[u8], _: &mut Scratch) -> Result<Frame, Malformed> {
        Err(Malformed)
    }
}

fn parse(wire: &'static dyn Wire, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
    let fields = scan_request(&body)?;
    check_contents(body.expose(), &fields)?;
    let model = asked.model.clone().ok_or(Error::ModelUnknown)?;
    let stream = asked.stream;
    Ok(Request { wire, model, stream, include_usage: true, asked, body, fields })
}

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        let names = ToolNames::fitting(conversation.expose(), write::LETTERS);
        let body = write::body(conversation.expose(), target.model, &names, expressible)?;
        let body = serde_json::to_vec(&body).map_err(|_| Error::FieldUnsupported { param: "messages" })?;
        Ok(Written { body: Plaintext::new(Bytes::from(body)), names })
    }

    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        answer::read(body, names).map(Plaintext::new)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(names))
    }
}

impl FrontDialect for Gemini {
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error> {
        read::conversation(request.body.expose(), request.stream, expressible).map(Plaintext::new)
    }

    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes> {
        Plaintext::new(answer::write(completion.expose(), shown).into())
    }

    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream> {
        Box::new(stream::Writer::new(shown))
    }
}

impl Dialect for GeminiArray {
    fn name(&self) -> &'static str {
        "gemini_array"
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        Gemini.write_request(conversation, target, expressible)
    }

    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        Gemini.read_answer(body, names)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        Gemini.stream_reader(names)
    }
}

impl FrontDialect for GeminiArray {
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error> {
        Gemini.read_request(request, expressible)
    }

    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes> {
        Plaintext::new([b"[".as_slice(), &answer::write(completion.expose(), shown), b"]"].concat().into())
    }

    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream> {
        Gemini.stream_writer(shown)
    }
}

#[cfg(test)]
mod tests;
