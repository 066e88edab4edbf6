//! Cohere's `POST /v2/chat` (Cohere API reference, "Chat API (v2)"). Only an upstream speaks it.
//!
//! Citations travel if their source says an address; the text they belong to is complete without them.

use bytes::Bytes;

use super::Malformed;
use super::dialect::{Dialect, Expressible, ReadStream, Target, Written};
use super::json;
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation};
use crate::error::Error;
use crate::plaintext::Plaintext;

mod request;

mod citations;

mod answer;

mod stream;

/// The chat API.
pub struct CohereChat;

impl Dialect for CohereChat {
    fn name(&self) -> &'static str {
        "cohere_chat"
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        let names = ToolNames::fitting(conversation.expose(), request::LETTERS);
        let written = request::body(conversation.expose(), target.model, &names, expressible)?;
        let body: Plaintext<Bytes> = json::body(&written);
        Ok(Written { body, names })
    }

    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        answer::read(body, names).map(Plaintext::new)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(names))
    }
}

#[cfg(test)]
mod tests;
