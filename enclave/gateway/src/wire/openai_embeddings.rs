//! `POST /v1/embeddings` (`OpenAI` API reference, "Create embeddings"). Never streams.

use bytes::Bytes;

use super::openai_shape::{is_error, model, scan_request, usage};
use super::{Asked, Frame, Layout, Malformed, OperationName, Request, Scratch, Whole, Wire};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::Kind;

/// The embeddings format.
pub struct OpenAiEmbeddings;

impl Wire for OpenAiEmbeddings {
    fn name(&self) -> &'static str {
        "openai_embeddings"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn layout(&self) -> Layout {
        Layout::None
    }

    fn path(&self) -> &'static str {
        "/v1/embeddings"
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let fields = scan_request(&body)?;
        let document = body.expose();
        let model = model(&asked, &body, &fields)?;
        let input = fields.find(document, "input").ok_or(Error::FieldMissing { param: "input" })?;
        if !matches!(input.kind, Kind::String | Kind::Array) {
            return Err(Error::FieldInvalid { param: "input", expected: "a string or an array" });
        }
        Ok(Request { wire: &Self, model, stream: false, include_usage: false, asked, body, fields })
    }

    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed> {
        scratch.top.scan(body)?;
        let mut whole = Whole { is_error: is_error(body, scratch), ..Whole::default() };
        if let Some(field) = scratch.top.find(body, "usage") {
            whole.usage = usage(body, field, &mut scratch.inner)?;
        }
        Ok(whole)
    }

    fn inspect_event(&self, _: &[u8], _: &mut Scratch) -> Result<Frame, Malformed> {
        Err(Malformed)
    }
}
