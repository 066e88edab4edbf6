//! `POST /v1/messages/count_tokens` (Anthropic API reference, "Count tokens in a message").

use bytes::Bytes;

use super::openai_shape::{check_messages, check_tools, model, scan_request};
use super::{Asked, Frame, Layout, Malformed, OperationName, Request, RequestHead, Scratch, Whole, Wire};
use crate::error::Error;
use crate::plaintext::Plaintext;

/// The format of questions for a count.
pub struct AnthropicCountTokens;

impl Wire for AnthropicCountTokens {
    fn name(&self) -> &'static str {
        "anthropic_count_tokens"
    }

    fn operation(&self) -> OperationName {
        OperationName::CountTokens
    }

    fn layout(&self) -> Layout {
        Layout::Anthropic
    }

    fn path(&self) -> &'static str {
        "/v1/messages/count_tokens"
    }

    fn asked(&self, head: &RequestHead<'_>) -> Option<Result<Asked, Error>> {
        (head.path == self.path()).then(|| Ok(super::anthropic_messages::passed_on(head)))
    }

    fn counted(&self, tokens: u64) -> Option<Vec<u8>> {
        Some(format!(r#"{{"input_tokens":{tokens}}}"#).into_bytes())
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let fields = scan_request(&body)?;
        let model = model(&asked, &body, &fields)?;
        check_messages(body.expose(), &fields)?;
        check_tools(body.expose(), &fields)?;
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
