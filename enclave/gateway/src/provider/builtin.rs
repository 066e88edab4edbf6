//! The built-in model: a small deterministic text generator for quickstart, tests and benches. It is not intelligent
//! and says so in its first words.
//!
//! It stands behind the same port as any upstream: the shell calls [`respond`] where it would otherwise open a
//! connection. The same request always gets the same text.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::openai_compatible::{encode_openai, quirks};
use super::{Access, Authentication, Outgoing, Provider, Refusal, explain_any};
use crate::clock::Now;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::upstream::UpstreamCall;
use crate::wire::dialect::Dialect;
use crate::wire::openai_chat::OpenAiChat;

mod generator;

mod chat;

mod embeddings;
mod words;

pub use chat::Events;
pub(crate) use generator::mix;

/// The provider of the built-in model.
pub struct Builtin;

impl Provider for Builtin {
    fn name(&self) -> &'static str {
        "builtin"
    }

    fn access(&self) -> Access {
        Access { base_url: None, authentication: Authentication::Internal }
    }

    fn speaks(&self, _: &'static dyn Dialect, _: &Deployment) -> &'static dyn Dialect {
        &OpenAiChat
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        encode_openai(outgoing, at, &quirks::NONE)
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}

/// The built-in model's answer: what an upstream would send.
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `content-type` of the answer.
    pub content_type: &'static str,
    /// The body.
    pub body: ReplyBody,
}

/// The body of a [`Reply`].
pub enum ReplyBody {
    /// Server-sent events, one at a time.
    Stream(Plaintext<Events>),
    /// All at once.
    Whole(Plaintext<Vec<u8>>),
}

impl Reply {
    /// Head fields, as an upstream's response has them.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        vec![("content-type".to_owned(), self.content_type.as_bytes().to_vec())]
    }

    fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", body: ReplyBody::Whole(Plaintext::new(body)) }
    }
}

/// Answers a call that was encoded for a built-in deployment.
pub fn respond(call: &UpstreamCall, now: Now) -> Reply {
    let body = call.body.expose().to_bytes();
    let pace = call.deployment.tokens_per_second.and_then(|rate| Duration::from_secs(1).checked_div(rate));
    answer(&call.path, &body, now, pace)
}

/// The same for a path and body that did not come through the pipeline.
pub fn answer(path: &str, body: &Bytes, now: Now, pace: Option<Duration>) -> Reply {
    if path.ends_with("/chat/completions") {
        chat::answer(body, now, pace)
    } else if path.ends_with("/embeddings") {
        embeddings::answer(body)
    } else {
        refuse(404, "the built-in model has no such endpoint", None)
    }
}

/// An error in `OpenAI`'s shape; texts are fixed and need no escaping.
fn refuse(status: u16, message: &str, param: Option<&str>) -> Reply {
    let param = param.map_or_else(|| "null".to_owned(), |name| format!("\"{name}\""));
    let body = format!(
        r#"{{"error":{{"message":"{message}","type":"invalid_request_error","param":{param},"code":"unsupported_value"}}}}"#
    );
    Reply::json(status, body.into_bytes())
}

#[cfg(test)]
mod tests;
