//! Google's Vertex AI (Vertex AI API reference, "publishers.models"; "Claude on Vertex AI"; "OpenAI compatibility"): Gemini,
//! Anthropic's models and others, each behind an address of its publisher. A Google service account pays.
//!
//! Which publisher, the model's name says: `claude-…` is Anthropic's, `publisher/name` any other that Google serves behind
//! its copy of `OpenAI`'s API, everything else Google's own.

use std::sync::Arc;

use bytes::Bytes;

use super::gemini::{count, generate};
use super::openai_compatible::{encode_openai, quirks};
use super::path::segment;
use super::splice::{Edit, spliced};
use super::{Access, Authentication, Issuer, Naming, Outgoing, Provider, Refusal, Wanted, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::Fields;
use crate::upstream::{BodyParts, UpstreamCall};
use crate::wire::Wire;
use crate::wire::anthropic_count_tokens::AnthropicCountTokens;
use crate::wire::anthropic_messages::AnthropicMessages;
use crate::wire::dialect::Dialect;
use crate::wire::embedding::EmbeddingDialect;
use crate::wire::embedding::vertex::VertexEmbeddings;
use crate::wire::gemini::Gemini;
use crate::wire::gemini_count_tokens::GeminiCountTokens;
use crate::wire::openai_chat::OpenAiChat;

/// Vertex AI.
pub struct Vertex;

/// Who publishes a model, as far as its API differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Publisher {
    Anthropic,
    Google,
    /// Behind Google's copy of `OpenAI`'s API.
    Other,
}

impl Publisher {
    fn of(model: &str) -> Self {
        if model.contains('/') {
            Self::Other
        } else if model.starts_with("claude") {
            Self::Anthropic
        } else {
            Self::Google
        }
    }
}

/// The version of Anthropic's API there; it is in the body, not in the head.
const VERSION: &[u8] = br#""anthropic_version":"vertex-2023-10-16""#;

impl Provider for Vertex {
    fn name(&self) -> &'static str {
        "vertex"
    }

    fn access(&self) -> Access {
        Access { base_url: None, authentication: Authentication::Tokens(Issuer::Google) }
    }

    fn base_url(&self, naming: &Naming<'_>) -> Result<Option<String>, Wanted> {
        Ok(Some(match location(naming)? {
            "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
            several @ ("eu" | "us") => format!("https://aiplatform.{several}.rep.googleapis.com/v1"),
            region => format!("https://{region}-aiplatform.googleapis.com/v1"),
        }))
    }

    fn base_path(&self, configured: String, naming: &Naming<'_>) -> Result<String, Wanted> {
        let expected = "the id of a Google Cloud project, 6 to 30 characters of a-z 0-9 -";
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = |id: &&str| (6..=30).contains(&id.len()) && id.bytes().all(plain);
        let project = naming.project.filter(fits).ok_or(Wanted { key: "project", expected })?;
        Ok(format!("{configured}/projects/{project}/locations/{}", location(naming)?))
    }

    fn speaks(&self, _: &'static dyn Dialect, at: &Deployment) -> &'static dyn Dialect {
        match Publisher::of(&at.model) {
            Publisher::Anthropic => &AnthropicMessages,
            Publisher::Google => &Gemini,
            Publisher::Other => &OpenAiChat,
        }
    }

    fn embeds(&self, at: &Deployment) -> Option<&'static dyn EmbeddingDialect> {
        (Publisher::of(&at.model) == Publisher::Google).then_some(&VertexEmbeddings)
    }

    fn counts(&self, wire: &dyn Wire, at: &Deployment) -> bool {
        match Publisher::of(&at.model) {
            Publisher::Anthropic => wire.name() == Wire::name(&AnthropicCountTokens),
            Publisher::Google => wire.name() == Wire::name(&GeminiCountTokens),
            Publisher::Other => false,
        }
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        match Publisher::of(&at.model) {
            Publisher::Anthropic => raw_predict(outgoing, at),
            Publisher::Google if self.counts(outgoing.request.wire, at) => {
                count(outgoing.request, at, "/publishers/google")
            }
            Publisher::Google => generate(outgoing, at, "/publishers/google"),
            Publisher::Other => {
                if outgoing.dialect.is_none() {
                    return Err(Error::OperationUnsupported);
                }
                let mut call = encode_openai(outgoing, at, &quirks::NONE)?;
                call.path.insert_str(at.base_path.len(), "/endpoints/openapi");
                Ok(call)
            }
        }
    }

    /// Google refuses in its own words what it does not pass on to the publisher.
    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        let mut fields = Fields::new();
        let body = refusal.body.expose();
        let in_its_words = fields.scan(body).is_ok() && fields.find(body, "type").is_some();
        let error = explain_any(refusal, at);
        let another = Publisher::of(&at.model) == Publisher::Anthropic && !in_its_words;
        if another { error.for_another_dialect() } else { error }
    }
}

/// The location as it stands in addresses.
fn location<'a>(naming: &Naming<'a>) -> Result<&'a str, Wanted> {
    let expected = "a location such as 'europe-west1', 'eu', 'us' or 'global'";
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = |name: &&str| name.len() <= 40 && name.bytes().all(plain);
    naming.region.filter(fits).ok_or(Wanted { key: "region", expected })
}

/// A call of Anthropic's API: the model is in the path instead of the body, the version in the body instead of the head.
fn raw_predict(outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
    let Outgoing { request, dialect, translated, .. } = outgoing;
    let counts = dialect.is_none();
    if counts && request.wire.name() != Wire::name(&AnthropicCountTokens) {
        return Err(Error::OperationUnsupported);
    }
    let (document, fields, own);
    let body = if let Some(body) = &translated {
        own = super::openai_compatible::scanned(body.expose())?;
        (document, fields) = (body.expose(), &own);
        versioned(document, fields, at, counts)?
    } else {
        (document, fields) = (request.body.expose(), &request.fields);
        versioned(document, fields, at, counts)?
    };
    let mut headers = super::json_headers(request.stream);
    headers.extend(super::credential(at)?);
    let mut passed_on = Vec::new();
    let asked = translated.is_none().then_some(&request.asked);
    for (name, value) in asked.iter().flat_map(|asked| &asked.passed_on) {
        // The body has the version.
        if name != "anthropic-version" {
            passed_on.push((name.clone(), Plaintext::new(value.expose().clone())));
        }
    }
    // Counting is a model of its own there.
    let model = if counts { "count-tokens".to_owned() } else { segment(&at.model) };
    let method = if request.stream { "streamRawPredict" } else { "rawPredict" };
    Ok(UpstreamCall {
        deployment: Arc::clone(at),
        method: "POST",
        path: format!("{}/publishers/anthropic/models/{model}:{method}", at.base_path),
        headers,
        passed_on,
        body: Plaintext::new(body),
        timeouts: at.timeouts,
    })
}

/// The body with the API's version in the place of the model, or beside it where tokens are counted.
fn versioned(document: &Bytes, fields: &Fields, at: &Deployment, counts: bool) -> Result<BodyParts, Error> {
    let param = "anthropic_version";
    if fields.find(document, param).is_some() {
        return Err(Error::FieldUnsupported { param });
    }
    let model = fields.find(document, "model").ok_or(Error::FieldMissing { param: "model" })?;
    let with = if counts {
        [br#""model":"#.as_slice(), &at.model_json, b",", VERSION].concat().into()
    } else {
        Bytes::from_static(VERSION)
    };
    Ok(spliced(document, [Some(Edit { at: model.name.start..model.value.end, with })]))
}
