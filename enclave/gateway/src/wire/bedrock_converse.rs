//! Amazon Bedrock's `Converse` and `ConverseStream` (Amazon Bedrock API reference). Only an upstream speaks it.

use bytes::Bytes;

use super::Malformed;
use super::dialect::{Dialect, Expressible, ReadStream, Target, Written};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation};
use crate::error::Error;
use crate::plaintext::Plaintext;

mod models;

mod request;

mod answer;

mod stream;

/// The Converse API.
pub struct BedrockConverse;

impl Dialect for BedrockConverse {
    fn name(&self) -> &'static str {
        "bedrock_converse"
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        let names = ToolNames::fitting(conversation.expose(), request::LETTERS);
        let body = request::body(conversation.expose(), target.model, &names, expressible)?;
        let body = serde_json::to_vec(&body).map_err(|_| Error::FieldUnsupported { param: "messages" })?;
        Ok(Written { body: Plaintext::new(Bytes::from(body)), names })
    }

    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        answer::read(body, names).map(Plaintext::new)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(names))
    }

    fn stream_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }
}

#[cfg(test)]
mod tests;
