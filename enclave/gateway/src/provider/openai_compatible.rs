//! Vendors that speak `OpenAI`'s API: a table. The request's original bytes are forwarded; only what differs is spliced.

use std::sync::Arc;

use bytes::Bytes;

use super::splice::{Edit, rename, spliced};
use super::{Access, Listing, Outgoing, Provider, Refusal, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};
use crate::upstream::{BodyParts, UpstreamCall};
use crate::wire::dialect::Dialect;
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::openai_completions::OpenAiCompletions;
use crate::wire::openai_input_tokens::OpenAiInputTokens;
use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::{self, Wire};

pub mod quirks;

mod vendors;

use quirks::{AsksForUsage, Quirks, cache_salt};

pub use vendors::{Completions, VENDORS, Vendor};

/// The vendor of that name.
pub(super) fn find(name: &str) -> Option<&'static dyn Provider> {
    let vendor = VENDORS.iter().find(|vendor| vendor.name == name)?;
    Some(vendor)
}

impl Provider for Vendor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn access(&self) -> Access {
        Access { base_url: self.base_url, authentication: self.authentication }
    }

    fn speaks(&self, asked: &'static dyn Dialect, at: &Deployment) -> &'static dyn Dialect {
        let (responses, completions): (&'static dyn Dialect, &'static dyn Dialect) =
            (&OpenAiResponses, &OpenAiCompletions);
        if self.responses && asked.name() == responses.name() {
            responses
        } else if self.completions.for_model(&at.model) && asked.name() == completions.name() {
            completions
        } else {
            &OpenAiChat
        }
    }

    /// `OpenAI` alone counts for those who ask with a request for Responses.
    fn counts(&self, wire: &dyn Wire, _: &Deployment) -> bool {
        self.name == "openai" && wire.name() == Wire::name(&OpenAiInputTokens)
    }

    fn salts_by_default(&self) -> bool {
        self.quirks.cache_salt
    }

    fn reports_cost(&self) -> bool {
        self.reports_cost
    }

    fn listing(&self, at: &Deployment) -> Option<Listing> {
        Some(Listing { path: format!("{}/models", at.base_path), header: None })
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        encode_openai(outgoing, at, &self.quirks)
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}

/// Encodes a request in one of `OpenAI`'s formats.
pub(super) fn encode_openai(
    outgoing: Outgoing<'_>,
    at: &Arc<Deployment>,
    quirks: &Quirks,
) -> Result<UpstreamCall, Error> {
    let Outgoing { request, dialect, translated, tenant, expressible, .. } = outgoing;
    let wire = dialect.and_then(|dialect| wire::named(dialect.name())).unwrap_or(request.wire);
    let operation = wire.path().strip_prefix("/v1").ok_or(Error::EndpointUnknown)?;
    // Only chat has a prompt cache; servers refuse the field elsewhere.
    let salt = (at.cache_salt && dialect.is_some()).then(|| cache_salt(at, tenant));
    let abroad = !matches!(at.provider, "openai_compatible" | "openrouter");
    let mut change = |body: &Bytes, fields: &Fields| {
        quirks::apply(body, fields, quirks, salt.as_deref(), abroad, expressible)
    };
    let body = if let Some(body) = translated {
        let changed = change(body.expose(), &scanned(body.expose())?)?;
        changed.map_or(body, Plaintext::new).map(BodyParts::whole)
    } else {
        let document = request.body.expose();
        let wanted = Wanted {
            usage: request.stream && !request.include_usage && quirks.usage != AsksForUsage::Never,
            no_store: request.wire.name() == Dialect::name(&OpenAiResponses),
        };
        Plaintext::new(match change(document, &request.fields)? {
            Some(changed) => splice(&changed, &scanned(&changed)?, wanted, at)?,
            None => splice(document, &request.fields, wanted, at)?,
        })
    };
    let mut headers = super::json_headers(request.stream);
    headers.extend(super::credential(at)?);
    Ok(UpstreamCall {
        deployment: Arc::clone(at),
        method: "POST",
        path: format!("{}{operation}", at.base_path),
        headers,
        passed_on: Vec::new(),
        body,
        timeouts: at.timeouts,
    })
}

/// What a body has to ask for besides what the client asked.
#[derive(Clone, Copy)]
struct Wanted {
    /// The stream's usage.
    usage: bool,
    /// That nothing is stored.
    no_store: bool,
}

/// The body with the deployment's model name, and with usage asked for in a stream. If neither differs, it is the
/// original as one piece.
fn splice(body: &Bytes, fields: &Fields, wanted: Wanted, at: &Deployment) -> Result<BodyParts, Error> {
    let usage = if wanted.usage { ask_for_usage(body, fields)? } else { None };
    let store = if wanted.no_store { store_nothing(body, fields) } else { None };
    Ok(spliced(body, [rename(body, fields, at), usage, store]))
}

/// The fields of a body that this program wrote itself.
pub(super) fn scanned(document: &[u8]) -> Result<Fields, Error> {
    let mut fields = Fields::new();
    fields.scan_utf8(document).map_err(|_| Error::UpstreamMalformed)?;
    Ok(fields)
}

/// Responses are stored unless the request says otherwise; every request that leaves says otherwise.
fn store_nothing(document: &[u8], fields: &Fields) -> Option<Edit> {
    match fields.find(document, "store") {
        Some(field) if field.kind == Kind::False => None,
        Some(field) => Some(Edit { at: field.value.clone(), with: Bytes::from_static(b"false") }),
        None => {
            let open = memchr::memchr(b'{', document)?.saturating_add(1);
            Some(Edit { at: open..open, with: Bytes::from_static(br#""store":false,"#) })
        }
    }
}

/// Streams always ask the upstream for usage; the answer stage removes it again if the client did not.
fn ask_for_usage(document: &[u8], fields: &Fields) -> Result<Option<Edit>, Error> {
    let Some(options) = fields.find(document, "stream_options") else {
        let stream = fields.find(document, "stream").ok_or(Error::FieldMissing { param: "stream" })?;
        let with = Bytes::from_static(br#","stream_options":{"include_usage":true}"#);
        return Ok(Some(Edit { at: stream.value.end..stream.value.end, with }));
    };
    if options.kind != Kind::Object {
        let with = Bytes::from_static(br#"{"include_usage":true}"#);
        return Ok(Some(Edit { at: options.value.clone(), with }));
    }
    let object = options.value(document);
    let mut inner = Fields::new();
    let expected = "an object without duplicate fields";
    inner.scan_utf8(object).map_err(|_| Error::FieldInvalid { param: "stream_options", expected })?;
    let inside = |at: usize| options.value.start.saturating_add(at);
    if let Some(field) = inner.find(object, "include_usage") {
        let at = inside(field.value.start)..inside(field.value.end);
        return Ok(Some(Edit { at, with: Bytes::from_static(b"true") }));
    }
    let empty = inner.iter().next().is_none();
    let text: &[u8] = if empty { br#""include_usage":true"# } else { br#""include_usage":true,"# };
    Ok(Some(Edit { at: inside(1)..inside(1), with: Bytes::from_static(text) }))
}

#[cfg(test)]
mod tests;
