//! Vendors that speak `OpenAI`'s API: a table. The request's original bytes are forwarded; only what differs is spliced.

use std::sync::Arc;

use bytes::Bytes;

use super::{Access, Authentication, Outgoing, Provider, Refusal, explain_openai};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};
use crate::upstream::{BodyParts, HeaderValue, UpstreamCall};
use crate::wire::dialect::Dialect;
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::{self, Request};

/// One vendor.
pub struct Vendor {
    /// `gen_ai.provider.name`.
    pub name: &'static str,
    /// Public address, up to and including the version.
    pub base_url: Option<&'static str>,
    /// How the credential is sent.
    pub authentication: Authentication,
    /// Has the Responses API beside chat completions.
    pub responses: bool,
}

/// Every compatible vendor; addresses from the vendors' own API references.
pub const VENDORS: &[Vendor] = &[
    vendor("deepseek", "https://api.deepseek.com/v1"),
    vendor("fireworks", "https://api.fireworks.ai/inference/v1"),
    vendor("groq", "https://api.groq.com/openai/v1"),
    Vendor { responses: true, ..vendor("openai", "https://api.openai.com/v1") },
    // Any other: vLLM, Ollama, llama.cpp, a private gateway. The configuration names the address.
    Vendor {
        name: "openai_compatible",
        base_url: None,
        authentication: Authentication::OptionalBearer,
        responses: false,
    },
    vendor("openrouter", "https://openrouter.ai/api/v1"),
    vendor("together", "https://api.together.xyz/v1"),
    Vendor { responses: true, ..vendor("x_ai", "https://api.x.ai/v1") },
];

const fn vendor(name: &'static str, base_url: &'static str) -> Vendor {
    Vendor { name, base_url: Some(base_url), authentication: Authentication::Bearer, responses: false }
}

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

    fn speaks(&self, asked: &'static dyn Dialect, _: &Deployment) -> &'static dyn Dialect {
        let responses: &'static dyn Dialect = &OpenAiResponses;
        if self.responses && asked.name() == responses.name() { responses } else { &OpenAiChat }
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        encode_openai(outgoing, at)
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_openai(refusal, at)
    }
}

/// Encodes a request in one of `OpenAI`'s formats.
pub(super) fn encode_openai(outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
    let Outgoing { request, dialect, translated, .. } = outgoing;
    let wire = dialect.and_then(|dialect| wire::named(dialect.name())).unwrap_or(request.wire);
    let operation = wire.path().strip_prefix("/v1").ok_or(Error::EndpointUnknown)?;
    let body = match translated {
        Some(body) => body.map(BodyParts::whole),
        None => Plaintext::new(splice(request, at)?),
    };
    let mut headers = Vec::with_capacity(5);
    headers.push(("content-type", HeaderValue::Static("application/json")));
    headers.push((
        "accept",
        HeaderValue::Static(if request.stream { "text/event-stream" } else { "application/json" }),
    ));
    headers.push(("accept-encoding", HeaderValue::Static("identity")));
    headers.push(("user-agent", HeaderValue::Static("postern")));
    if let Some(credential) = &at.credential {
        headers.push((credential.header, HeaderValue::Secret(Arc::clone(&credential.value))));
    }
    Ok(UpstreamCall {
        deployment: Arc::clone(at),
        method: "POST",
        path: format!("{}{operation}", at.base_path),
        headers,
        body,
        timeouts: at.timeouts,
    })
}

/// One replacement: the original's bytes in `at` give way to `with`.
struct Edit {
    at: std::ops::Range<usize>,
    with: Bytes,
}

/// The body with the deployment's model name, and with usage asked for in a stream. If neither differs, it is the
/// original as one piece.
fn splice(request: &Request, at: &Deployment) -> Result<BodyParts, Error> {
    let body = request.body.expose();
    let mut edits = [rename(request, at), ask_for_usage(request)?, store_nothing(request)];
    edits.sort_by_key(|edit| edit.as_ref().map_or(0, |edit| edit.at.start));
    let mut parts = BodyParts::default();
    let mut done = 0;
    for edit in edits.into_iter().flatten() {
        parts.push(body.slice(done..edit.at.start));
        parts.push(edit.with);
        done = edit.at.end;
    }
    parts.push(body.slice(done..));
    Ok(parts)
}

fn rename(request: &Request, at: &Deployment) -> Option<Edit> {
    let document = request.body.expose();
    let Some(field) = request.fields.find(document, "model") else {
        // The path named it.
        let open = memchr::memchr(b'{', document)?.saturating_add(1);
        let comma = if request.fields.iter().next().is_some() { "," } else { "" };
        let with = [br#""model":"#.as_slice(), &at.model_json, comma.as_bytes()].concat();
        return Some(Edit { at: open..open, with: with.into() });
    };
    let differs = field.raw_string(document) != Some(at.model.as_bytes());
    differs.then(|| Edit { at: field.value.clone(), with: at.model_json.clone() })
}

/// Responses are stored unless the request says otherwise; every request that leaves says otherwise.
fn store_nothing(request: &Request) -> Option<Edit> {
    if request.wire.name() != Dialect::name(&OpenAiResponses) {
        return None;
    }
    let document = request.body.expose();
    match request.fields.find(document, "store") {
        Some(field) if field.kind == Kind::False => None,
        Some(field) => Some(Edit { at: field.value.clone(), with: Bytes::from_static(b"false") }),
        None => {
            let open = memchr::memchr(b'{', document)?.saturating_add(1);
            Some(Edit { at: open..open, with: Bytes::from_static(br#""store":false,"#) })
        }
    }
}

/// Streams always ask the upstream for usage; the answer stage removes it again if the client did not.
fn ask_for_usage(request: &Request) -> Result<Option<Edit>, Error> {
    if !request.stream || request.include_usage {
        return Ok(None);
    }
    let document = request.body.expose();
    let Some(options) = request.fields.find(document, "stream_options") else {
        let stream =
            request.fields.find(document, "stream").ok_or(Error::FieldMissing { param: "stream" })?;
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
