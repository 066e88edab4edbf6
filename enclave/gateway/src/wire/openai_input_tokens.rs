//! `POST /v1/responses/input_tokens` (`OpenAI` API reference, "Get input token counts").

use bytes::Bytes;

use super::openai_responses::check_request;
use super::{Asked, Frame, Layout, Malformed, OperationName, Request, Scratch, Whole, Wire};
use crate::error::Error;
use crate::plaintext::Plaintext;

/// The format of questions for a count, in the words of Responses.
pub struct OpenAiInputTokens;

impl Wire for OpenAiInputTokens {
    fn name(&self) -> &'static str {
        "openai_input_tokens"
    }

    fn operation(&self) -> OperationName {
        OperationName::CountTokens
    }

    fn layout(&self) -> Layout {
        Layout::Responses
    }

    fn path(&self) -> &'static str {
        "/v1/responses/input_tokens"
    }

    fn counted(&self, tokens: u64) -> Option<Vec<u8>> {
        Some(format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#).into_bytes())
    }

    /// The API lets the model be left out; here it says who is asked.
    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let (model, fields) = check_request(&asked, &body)?;
        Ok(Request { wire: &Self, model, stream: false, include_usage: false, asked, body, fields })
    }

    /// Counting uses up nothing.
    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed> {
        scratch.top.scan(body)?;
        let counted = scratch.top.find(body, "input_tokens").and_then(|field| field.unsigned(body));
        Ok(Whole { is_error: counted.is_none(), ..Whole::default() })
    }

    fn inspect_event(&self, _: &[u8], _: &mut Scratch) -> Result<Frame, Malformed> {
        Err(Malformed)
    }
}
