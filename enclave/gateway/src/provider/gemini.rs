//! Google's Gemini API with an API key (Gemini API reference, "Authentication"; Google AI for Developers).

use std::sync::Arc;

use bytes::Bytes;

use super::openai_compatible::scanned;
use super::path::segment;
use super::splice::{Edit, spliced};
use super::{Access, Authentication, Listing, Outgoing, Provider, Refusal, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};
use crate::upstream::{BodyParts, UpstreamCall};
use crate::wire::dialect::Dialect;
use crate::wire::embedding::EmbeddingDialect;
use crate::wire::embedding::gemini::GeminiEmbeddings;
use crate::wire::gemini_count_tokens::{GeminiCountTokens, REQUEST};
use crate::wire::{Request, Wire};

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

    fn counts(&self, wire: &dyn Wire, _: &Deployment) -> bool {
        wire.name() == Wire::name(&GeminiCountTokens)
    }

    fn listing(&self, at: &Deployment) -> Option<Listing> {
        Some(Listing { path: format!("{}/models", at.base_path), header: None })
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        if self.counts(outgoing.request.wire, at) {
            return count(outgoing.request, at, "");
        }
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

/// A call of `countTokens` for a model below `publisher`.
pub(super) fn count(request: &Request, at: &Arc<Deployment>, publisher: &str) -> Result<UpstreamCall, Error> {
    let (document, fields) = (request.body.expose(), &request.fields);
    let body = if publisher.is_empty() {
        spliced(document, [model_inside(document, fields, at)?])
    } else {
        without_envelope(document, fields)?
    };
    let mut headers = super::json_headers(false);
    headers.extend(super::credential(at)?);
    Ok(UpstreamCall {
        deployment: Arc::clone(at),
        method: "POST",
        path: format!("{}{publisher}/models/{}:countTokens", at.base_path, segment(&at.model)),
        headers,
        passed_on: Vec::new(),
        body: Plaintext::new(body),
        timeouts: at.timeouts,
    })
}

/// A whole request inside the question names the model once more.
fn model_inside(document: &Bytes, fields: &Fields, at: &Deployment) -> Result<Option<Edit>, Error> {
    let Some(field) = fields.find(document, REQUEST).filter(|field| field.kind == Kind::Object) else {
        return Ok(None);
    };
    let object = field.value(document);
    let inner = scanned(object)?;
    let name = at.model_json.strip_prefix(b"\"").unwrap_or_default();
    let with = [b"\"models/", name].concat();
    let (span, with) = match inner.find(object, "model") {
        Some(own) => (own.value.clone(), with),
        None => (1..1, [b"\"model\":".as_slice(), &with, b","].concat()),
    };
    let place = |inside: usize| field.value.start.saturating_add(inside);
    Ok(Some(Edit { at: place(span.start)..place(span.end), with: with.into() }))
}

/// Vertex AI takes the members of a whole request beside `contents`, and the model in the path alone.
fn without_envelope(document: &Bytes, fields: &Fields) -> Result<BodyParts, Error> {
    let Some(field) = fields.find(document, REQUEST).filter(|field| field.kind == Kind::Object) else {
        return Ok(BodyParts::whole(document.clone()));
    };
    let object = document.slice(field.value.clone());
    let inner = scanned(&object)?;
    let model = inner.find(&object, "model");
    let cut = model.map(|own| Edit { at: inner.member_span(own), with: Bytes::new() });
    Ok(spliced(&object, [cut]))
}
