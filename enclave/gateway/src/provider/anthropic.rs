//! Anthropic (API reference, "Versions", "Beta headers", "Errors"). Requests in its own dialect go byte for byte, with every
//! `anthropic-` field of the client's head: a beta field in the head and its member in the body only work as a pair.

use std::sync::Arc;

use super::splice::{rename, spliced};
use super::{Access, Authentication, Listing, Outgoing, Provider, Refusal, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::upstream::{BodyParts, HeaderValue, UpstreamCall};
use crate::wire::Wire;
use crate::wire::anthropic_count_tokens::AnthropicCountTokens;
use crate::wire::anthropic_messages::AnthropicMessages;
use crate::wire::dialect::Dialect;

/// The vendor.
pub struct Anthropic;

/// The API's version, unless the client names another.
const VERSION: &str = "2023-06-01";

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn access(&self) -> Access {
        Access {
            base_url: Some("https://api.anthropic.com/v1"),
            authentication: Authentication::Header("x-api-key"),
        }
    }

    fn speaks(&self, _: &'static dyn Dialect, _: &Deployment) -> &'static dyn Dialect {
        &AnthropicMessages
    }

    fn counts(&self, wire: &dyn Wire, _: &Deployment) -> bool {
        wire.name() == Wire::name(&AnthropicCountTokens)
    }

    fn listing(&self, at: &Deployment) -> Option<Listing> {
        Some(Listing {
            path: format!("{}/models", at.base_path),
            header: Some(("anthropic-version", VERSION)),
        })
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        let Outgoing { request, dialect, translated, .. } = outgoing;
        let operation = match dialect {
            Some(_) => "/messages",
            None if self.counts(request.wire, at) => "/messages/count_tokens",
            None => return Err(Error::OperationUnsupported),
        };
        let own = translated.is_none();
        let body = if let Some(body) = translated {
            body.map(BodyParts::whole)
        } else {
            let document = request.body.expose();
            Plaintext::new(spliced(document, [rename(document, &request.fields, at)]))
        };
        let asked = own.then_some(&request.asked);
        let mut headers = super::json_headers(request.stream);
        headers.extend(super::credential(at)?);
        let mut passed_on = Vec::new();
        for (name, value) in asked.iter().flat_map(|asked| &asked.passed_on) {
            passed_on.push((name.clone(), Plaintext::new(value.expose().clone())));
        }
        if !passed_on.iter().any(|(name, _)| name == "anthropic-version") {
            headers.push(("anthropic-version", HeaderValue::Static(VERSION)));
        }
        let query = asked.and_then(|asked| asked.query).unwrap_or_default();
        Ok(UpstreamCall {
            deployment: Arc::clone(at),
            method: "POST",
            path: format!("{}{operation}{query}", at.base_path),
            headers,
            passed_on,
            body,
            timeouts: at.timeouts,
        })
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}
