//! `POST /v1beta/models/{model}:countTokens` (Gemini API reference, "Counting tokens"; `/v1` too). What is counted stands in
//! `contents`, or in a whole request for an answer, `generateContentRequest`.

use bytes::Bytes;

use super::gemini::{PREFIX, asked, check_contents};
use super::openai_shape::scan_request;
use super::{Asked, Frame, Layout, Malformed, OperationName, Request, RequestHead, Scratch, Whole, Wire};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};

/// The format of questions for a count.
pub struct GeminiCountTokens;

/// The member with a whole request in it.
pub(crate) const REQUEST: &str = "generateContentRequest";

impl Wire for GeminiCountTokens {
    fn name(&self) -> &'static str {
        "gemini_count_tokens"
    }

    fn operation(&self) -> OperationName {
        OperationName::CountTokens
    }

    fn layout(&self) -> Layout {
        Layout::Gemini
    }

    fn path(&self) -> &'static str {
        PREFIX
    }

    fn asked(&self, head: &RequestHead<'_>) -> Option<Result<Asked, Error>> {
        asked(head, "countTokens")
    }

    fn counted(&self, tokens: u64) -> Option<Vec<u8>> {
        Some(format!(r#"{{"totalTokens":{tokens}}}"#).into_bytes())
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let fields = scan_request(&body)?;
        let document = body.expose();
        match fields.find(document, REQUEST).filter(|field| field.kind != Kind::Null) {
            None => check_contents(document, &fields)?,
            Some(field) => {
                let invalid = Error::FieldInvalid { param: REQUEST, expected: "a request with contents" };
                let object = field.value(document);
                let mut inner = Fields::new();
                if field.kind != Kind::Object || inner.scan_utf8(object).is_err() {
                    return Err(invalid);
                }
                check_contents(object, &inner)?;
            }
        }
        let model = asked.model.clone().ok_or(Error::ModelUnknown)?;
        Ok(Request { wire: &Self, model, stream: false, include_usage: false, asked, body, fields })
    }

    /// Counting uses up nothing.
    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed> {
        scratch.top.scan(body)?;
        let counted = scratch.top.find(body, "totalTokens").and_then(|field| field.unsigned(body));
        Ok(Whole { is_error: counted.is_none(), ..Whole::default() })
    }

    fn inspect_event(&self, _: &[u8], _: &mut Scratch) -> Result<Frame, Malformed> {
        Err(Malformed)
    }
}
