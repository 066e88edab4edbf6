//! Cohere (Cohere API reference, version 2).

use std::sync::Arc;

use super::{Access, Authentication, Outgoing, Provider, Refusal, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::upstream::{BodyParts, UpstreamCall};
use crate::wire::cohere_chat::CohereChat;
use crate::wire::dialect::Dialect;
use crate::wire::embedding::EmbeddingDialect;
use crate::wire::embedding::cohere::CohereEmbeddings;

/// The vendor.
pub struct Cohere;

impl Provider for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn access(&self) -> Access {
        Access { base_url: Some("https://api.cohere.com/v2"), authentication: Authentication::Bearer }
    }

    fn speaks(&self, _: &'static dyn Dialect, _: &Deployment) -> &'static dyn Dialect {
        &CohereChat
    }

    fn embeds(&self, _: &Deployment) -> Option<&'static dyn EmbeddingDialect> {
        Some(&CohereEmbeddings)
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        let Outgoing { request, embedding, translated, .. } = outgoing;
        // No client speaks this API: whatever is not translated has no path here.
        let body = translated.ok_or(Error::OperationUnsupported)?;
        let method = embedding.map_or("chat", EmbeddingDialect::method);
        let mut headers = super::json_headers(request.stream);
        headers.extend(super::credential(at)?);
        Ok(UpstreamCall {
            deployment: Arc::clone(at),
            method: "POST",
            path: format!("{}/{method}", at.base_path),
            headers,
            passed_on: Vec::new(),
            body: body.map(BodyParts::whole),
            timeouts: at.timeouts,
        })
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}
