//! Google's Gemini API with an API key (Gemini API reference, "Authentication"; Google AI for Developers).

use std::sync::Arc;

use super::path::segment;
use super::{Access, Authentication, Outgoing, Provider, Refusal, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::upstream::{BodyParts, UpstreamCall};
use crate::wire::dialect::Dialect;
use crate::wire::embedding::EmbeddingDialect;
use crate::wire::embedding::gemini::GeminiEmbeddings;

/// The Gemini API.
pub struct Gemini;

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn access(&self) -> Access {
        Access {
            base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
            authentication: Authentication::Header("x-goog-api-key"),
        }
    }

    fn speaks(&self, _: &'static dyn Dialect, _: &Deployment) -> &'static dyn Dialect {
        &crate::wire::gemini::Gemini
    }

    fn embeds(&self, _: &Deployment) -> Option<&'static dyn EmbeddingDialect> {
        Some(&GeminiEmbeddings)
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        generate(outgoing, at, "")
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}

/// A call of `generateContent`, or of what embeds, for a model below `publisher`, which is empty or begins with a slash.
pub(super) fn generate(
    outgoing: Outgoing<'_>,
    at: &Arc<Deployment>,
    publisher: &str,
) -> Result<UpstreamCall, Error> {
    let Outgoing { request, dialect, embedding, translated, .. } = outgoing;
    let method = match (embedding, dialect) {
        (Some(embedding), _) => embedding.method(),
        (None, Some(_)) if request.stream => "streamGenerateContent?alt=sse",
        (None, Some(_)) => "generateContent",
        (None, None) => return Err(Error::OperationUnsupported),
    };
    let body = translated.map_or_else(
        || Plaintext::new(BodyParts::whole(request.body.expose().clone())),
        |body| body.map(BodyParts::whole),
    );
    let mut headers = super::json_headers(request.stream);
    headers.extend(super::credential(at)?);
    Ok(UpstreamCall {
        deployment: Arc::clone(at),
        method: "POST",
        path: format!("{}{publisher}/models/{}:{method}", at.base_path, segment(&at.model)),
        headers,
        passed_on: Vec::new(),
        body,
        timeouts: at.timeouts,
    })
}
