//! Step 6, encode: a planned request as one vendor's bytes, and a vendor's refusal in our words.
//!
//! A vendor that speaks `OpenAI`'s API is one line in [`openai_compatible::VENDORS`]; any other is one file in
//! `provider/` and one line in [`PROVIDERS`].

use std::sync::Arc;

use bytes::Bytes;

use crate::chat::tool_names::ToolNames;
use crate::clock::Now;
use crate::deployment::{Deployment, Endpoint};
use crate::error::{Error, Forwarded, Reason};
use crate::plaintext::Plaintext;
use crate::refusal;
use crate::route::Routed;
use crate::route::features::Features;
use crate::scan::{Fields, Kind};
use crate::upstream::{HeaderValue, UpstreamCall};
use crate::wire::dialect::{Dialect, Expressible, FrontDialect, Target};
use crate::wire::embedding::{self, EmbeddingDialect};
use crate::wire::openai_embeddings::OpenAiEmbeddings;
use crate::wire::{Asked, OperationName, Request, Wire};

mod splice;

pub mod anthropic;

pub mod openai_compatible;

pub mod azure_openai;

pub mod builtin;

mod path;

pub mod bedrock;

pub mod cohere;

pub mod gemini;

pub mod vertex;

pub mod grant;

/// Every provider with a file of its own; [`find`] also looks into the table of compatible vendors.
pub const PROVIDERS: &[&dyn Provider] = &[
    &anthropic::Anthropic,
    &azure_openai::AzureOpenAi,
    &bedrock::Bedrock,
    &builtin::Builtin,
    &cohere::Cohere,
    &gemini::Gemini,
    &vertex::Vertex,
];

/// A vendor of models.
pub trait Provider: Sync {
    /// `gen_ai.provider.name`, and `provider` in the configuration.
    fn name(&self) -> &'static str;
    /// Where its API is and how it authenticates.
    fn access(&self) -> Access;
    /// The chat API in which it wants a request that came as `asked`: that one if it has it, or else the best it has.
    fn speaks(&self, asked: &'static dyn Dialect, at: &Deployment) -> &'static dyn Dialect;
    /// The API in which it wants requests for embeddings, if it is not `OpenAI`'s.
    fn embeds(&self, _: &Deployment) -> Option<&'static dyn EmbeddingDialect> {
        None
    }
    /// Whether it answers a question for a count of tokens in this format; if not, the gateway estimates.
    fn counts(&self, _: &dyn Wire, _: &Deployment) -> bool {
        false
    }
    /// The address of its API where the configuration does not state one.
    ///
    /// # Errors
    /// Which key is wrong, and what would be right.
    fn base_url(&self, _: &Naming<'_>) -> Result<Option<String>, Wanted> {
        Ok(self.access().base_url.map(str::to_owned))
    }
    /// The path before the API's own paths, from the address's.
    ///
    /// # Errors
    /// Which key is wrong, and what would be right.
    fn base_path(&self, configured: String, _: &Naming<'_>) -> Result<String, Wanted> {
        Ok(configured)
    }
    /// Checks a deployment that is complete otherwise.
    ///
    /// # Errors
    /// Which key is wrong, and what would be right.
    fn check(&self, _: &Deployment) -> Result<(), Wanted> {
        Ok(())
    }
    /// Whether its prompt cache is shared by all clients unless they are told apart by a salt.
    fn salts_by_default(&self) -> bool {
        false
    }
    /// Whether its answers say what they cost.
    fn reports_cost(&self) -> bool {
        false
    }
    /// Where its list of models is, which costs nothing to ask for; nothing if there is none behind the same credential.
    fn listing(&self, _: &Deployment) -> Option<Listing> {
        None
    }
    /// Encodes a planned request for one deployment.
    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error>;
    /// Understands an answer with an error status.
    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error;
}

/// Where a vendor's list of models is.
pub struct Listing {
    /// The path.
    pub path: String,
    /// A header that it wants besides the credential.
    pub header: Option<(&'static str, &'static str)>,
}

/// What a deployment's addresses may be made of.
pub struct Naming<'a> {
    /// What the provider calls the model.
    pub model: &'a str,
    /// The version of its API, where that is in the address.
    pub api_version: Option<&'a str>,
    /// The customer's project, where that is in the address.
    pub project: Option<&'a str>,
    /// Where it runs.
    pub region: Option<&'a str>,
}

/// What a key of a deployment's configuration should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The key.
    pub key: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

/// Where a vendor's API is and how it authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The public address of the API, if there is one; the configuration may name another.
    pub base_url: Option<&'static str>,
    /// How the credential is sent.
    pub authentication: Authentication,
}

/// How a vendor wants its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `authorization: Bearer`, required.
    Bearer,
    /// The credential alone in a header of this name, required.
    Header(&'static str),
    /// `authorization: Bearer` if configured.
    OptionalBearer,
    /// Not at all: AWS keys sign every call; or `authorization: Bearer` with a Bedrock API key. One of the two.
    AwsKeys,
    /// `authorization: Bearer` with an access token for which the credential is traded.
    Tokens(Issuer),
    /// None: it runs in here.
    Internal,
}

/// Who gives access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Microsoft Entra, for the secret of an application.
    Entra,
    /// Google, for a statement signed by a service account.
    Google,
}

/// An upstream's answer with an error status.
pub struct Refusal<'a> {
    /// HTTP status.
    pub status: u16,
    /// Head fields.
    pub headers: &'a [(String, Vec<u8>)],
    /// The body, bounded by the caller.
    pub body: Plaintext<Bytes>,
    /// When it came.
    pub now: Now,
}

/// The provider of that name.
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    let own = PROVIDERS.iter().copied().find(|provider| provider.name() == name);
    own.or_else(|| openai_compatible::find(name))
}

/// All provider names, for the configuration's suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    let own = PROVIDERS.iter().map(|provider| provider.name());
    own.chain(openai_compatible::VENDORS.iter().map(|vendor| vendor.name))
}

/// A planned request in the API that its provider wants. Made by [`encode`] only.
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// What the client sent.
    pub request: &'a Request,
    /// The chat API to send; nothing for other operations, which go in the client's own format.
    pub dialect: Option<&'static dyn Dialect>,
    /// The embeddings API to send, if it is not the client's own.
    pub embedding: Option<&'static dyn EmbeddingDialect>,
    /// The body in that API if it had to be translated; otherwise the client's own bytes are to be sent.
    pub translated: Option<Plaintext<Bytes>>,
    /// The key's public id: what keeps one client's traces at the provider apart from another's.
    pub tenant: &'a str,
    /// Takes note of what the provider cannot be told.
    pub expressible: &'a mut Expressible,
    /// The time, for calls that are signed.
    pub now: Now,
}

/// A call to send, and how to read its answer.
pub struct Encoded {
    /// The call.
    pub call: UpstreamCall,
    /// The way back.
    pub reading: Reading,
}

/// How an upstream's answer becomes the client's.
pub enum Reading {
    /// It speaks the client's dialect.
    Same {
        /// What was left out and is to be told.
        dropped: Vec<&'static str>,
    },
    /// It does not.
    Translated(Translated),
    /// It gives embeddings in an API of its own.
    Embedded(Embedded),
}

/// The way back of a translated request.
pub struct Translated {
    /// What the upstream speaks.
    pub from: &'static dyn Dialect,
    /// What the client speaks.
    pub to: &'static dyn FrontDialect,
    /// Tools that the upstream knows under another name.
    pub names: ToolNames,
    /// The client asked to see the model's thoughts.
    pub reasoning: bool,
    /// What was left out and is to be told.
    pub dropped: Vec<&'static str>,
}

/// The way back of a translated request for embeddings.
pub struct Embedded {
    /// What the upstream speaks.
    pub from: &'static dyn EmbeddingDialect,
    /// How many vectors there have to be.
    pub texts: usize,
    /// The client wants base64.
    pub base64: bool,
    /// The model as the client named it.
    pub model: String,
    /// An estimate of the input's tokens, for an upstream that does not count them.
    pub tokens: u64,
    /// What was left out and is to be told.
    pub dropped: Vec<&'static str>,
}

impl Reading {
    /// The content type of a stream.
    pub fn stream_type(&self) -> &'static str {
        match self {
            // Embeddings never stream.
            Self::Embedded(_) | Self::Same { .. } => "text/event-stream",
            Self::Translated(way) => way.from.stream_type(),
        }
    }
}

/// Encodes for the provider of `at`: the original bytes if it speaks the client's dialect, or else a translation.
pub fn encode(routed: &Routed, at: &Arc<Deployment>, now: Now) -> Result<Encoded, Error> {
    let provider = find(at.provider).ok_or(Error::NoCompliantDeployment)?;
    let admitted = routed.missed().screened().admitted();
    let (request, tenant) = (admitted.request(), &*admitted.key().id);
    if request.wire.operation() == OperationName::Embeddings
        && let Some(from) = provider.embeds(at)
    {
        return embed((request, tenant), provider, from, at, now);
    }
    let asked = request.wire.dialect();
    let dialect = asked.map(|asked| provider.speaks(asked, at));
    let mut expressible = Expressible::new(at.on_unsupported);
    let Some((to, from)) = asked.zip(dialect).filter(|(to, from)| to.name() != from.name()) else {
        let expressible = &mut expressible;
        let outgoing =
            Outgoing { request, dialect, embedding: None, translated: None, tenant, expressible, now };
        let call = provider.encode(outgoing, at)?;
        return Ok(Encoded { call, reading: Reading::Same { dropped: expressible.told().to_vec() } });
    };
    let conversation = to.read_request(request, &mut expressible)?;
    let own_limit = conversation.expose().max_output_tokens.is_some();
    let most = if own_limit { at.max_output_tokens } else { most_output(request, at) };
    let target = Target { model: &at.model, max_output_tokens: most };
    let written = from.write_request(&conversation, &target, &mut expressible)?;
    let (translated, names) = (Some(written.body), written.names);
    let told = &mut expressible;
    let outgoing = Outgoing { request, dialect, embedding: None, translated, tenant, expressible: told, now };
    let call = provider.encode(outgoing, at)?;
    let reasoning = conversation.expose().reasoning.as_ref().is_some_and(|own| own.visible);
    let dropped = expressible.told().to_vec();
    Ok(Encoded { call, reading: Reading::Translated(Translated { from, to, names, reasoning, dropped }) })
}

/// Encodes a request for embeddings in the API of a provider that does not speak `OpenAI`'s.
fn embed(
    (request, tenant): (&Request, &str),
    provider: &dyn Provider,
    from: &'static dyn EmbeddingDialect,
    at: &Arc<Deployment>,
    now: Now,
) -> Result<Encoded, Error> {
    let mut expressible = Expressible::new(at.on_unsupported);
    let wanted = embedding::read_request(request, &mut expressible)?;
    let translated = Some(from.write_request(&wanted, &at.model, &mut expressible)?);
    let told = &mut expressible;
    let (dialect, embedding) = (None, Some(from));
    let outgoing = Outgoing { request, dialect, embedding, translated, tenant, expressible: told, now };
    let call = provider.encode(outgoing, at)?;
    let embedded = Embedded {
        from,
        texts: wanted.expose().texts.len(),
        base64: wanted.expose().base64,
        model: request.model.clone(),
        tokens: wanted.expose().estimated_tokens(),
        dropped: expressible.told().to_vec(),
    };
    Ok(Encoded { call, reading: Reading::Embedded(embedded) })
}

/// Encodes a question of the gateway's own: what a text means. Not a client's request, so nothing of routing applies; who
/// configures the deployment says that it may see every client's text.
///
/// # Errors
/// As [`encode`].
pub fn encode_text(text: &str, at: &Arc<Deployment>, tenant: &str, now: Now) -> Result<Encoded, Error> {
    let provider = find(at.provider).ok_or(Error::NoCompliantDeployment)?;
    let body =
        serde_json::json!({ "model": *at.model, "input": text, "encoding_format": "float" }).to_string();
    let request = OpenAiEmbeddings.parse(Asked::default(), Plaintext::new(body.into()))?;
    if let Some(from) = provider.embeds(at) {
        return embed((&request, tenant), provider, from, at, now);
    }
    let expressible = &mut Expressible::new(at.on_unsupported);
    let (request, dialect, embedding, translated) = (&request, None, None, None);
    let outgoing = Outgoing { request, dialect, embedding, translated, tenant, expressible, now };
    let call = provider.encode(outgoing, at)?;
    Ok(Encoded { call, reading: Reading::Same { dropped: Vec::new() } })
}

/// The most that an answer to this prompt can have: what the model gives, less what the context does not hold beside the
/// prompt, since some APIs refuse a limit that the two exceed together. Scripts differ in bytes for each token, so the
/// prompt is counted a third longer than estimated.
fn most_output(request: &Request, at: &Deployment) -> Option<u64> {
    let most = at.max_output_tokens?;
    let Some(context) = at.context_tokens else { return Some(most) };
    let prompt = Features::of(request).input_tokens;
    let room = context.saturating_sub(prompt.saturating_add(prompt.wrapping_div(3)));
    Some(most.min(room.max(LEAST_ROOM)))
}

/// Room for an answer that is always asked for: the upstream knows better whether the prompt leaves it.
const LEAST_ROOM: u64 = 4096;

/// The headers of every call with a JSON body.
fn json_headers(stream: bool) -> Vec<(&'static str, HeaderValue)> {
    let accept = if stream { "text/event-stream" } else { "application/json" };
    let mut headers = Vec::with_capacity(7);
    headers.push(("content-type", HeaderValue::Static("application/json")));
    headers.push(("accept", HeaderValue::Static(accept)));
    headers.push(("accept-encoding", HeaderValue::Static("identity")));
    headers.push(("user-agent", HeaderValue::Static("postern")));
    headers
}

/// The header with the credential of a deployment that sends one; its token, if it has to have one, is held by now
/// ([`grant::ready`]).
fn credential(at: &Deployment) -> Result<Option<(&'static str, HeaderValue)>, Error> {
    if let Some(tokens) = &at.tokens {
        let value = tokens.header().ok_or(Error::UpstreamCredential)?;
        return Ok(Some(("authorization", HeaderValue::Secret(value))));
    }
    let credential = at.credential.as_ref();
    Ok(credential.map(|own| (own.header, HeaderValue::Secret(Arc::clone(&own.value)))))
}

/// A call for the list of models of a deployment's vendor; nothing if there is none, or no credential for it yet.
pub fn listing(at: &Arc<Deployment>) -> Option<UpstreamCall> {
    let Listing { path, header } = find(at.provider)?.listing(at)?;
    let mut headers = vec![
        ("accept", HeaderValue::Static("application/json")),
        ("accept-encoding", HeaderValue::Static("identity")),
        ("user-agent", HeaderValue::Static("postern")),
    ];
    headers.extend(header.map(|(name, value)| (name, HeaderValue::Static(value))));
    headers.extend(credential(at).ok()?);
    Some(UpstreamCall {
        deployment: Arc::clone(at),
        method: "GET",
        path,
        headers,
        passed_on: Vec::new(),
        body: Plaintext::default(),
        timeouts: at.timeouts,
    })
}

/// An estimate of the prompt's tokens, if that was the question and the provider of the first choice cannot answer it.
pub fn estimate(routed: &Routed) -> Option<u64> {
    let request = routed.missed().screened().admitted().request();
    let first = routed.leaf(0).filter(|_| request.wire.operation() == OperationName::CountTokens)?;
    let counts = find(first.deployment.provider)
        .is_some_and(|provider| provider.counts(request.wire, &first.deployment));
    (!counts).then(|| Features::of(request).input_tokens.max(1))
}

/// Understands an error status of the provider of `at`.
pub fn explain(refusal: Refusal<'_>, at: &Deployment) -> Error {
    match find(at.provider) {
        Some(provider) => provider.explain(refusal, at),
        None => Error::UpstreamMalformed,
    }
}

/// The rule for all vendors with an error body in JSON. A refusal of our own credential is never the client's business;
/// any other refusal below 500 is passed on unchanged when it names neither our credential nor the host.
fn explain_any(refusal: Refusal<'_>, at: &Deployment) -> Error {
    let Refusal { status, headers, body, now } = refusal;
    if !(400..=599).contains(&status) {
        return Error::UpstreamMalformed;
    }
    let reason = refusal::reason(status, headers, body.expose());
    if let Some(tokens) = at.tokens.as_ref().filter(|_| reason == Reason::Credential) {
        tokens.refused(now.monotonic);
    }
    if matches!(reason, Reason::Credential | Reason::Quota) {
        return Error::UpstreamCredential;
    }
    let retry_after_ms = refusal::retry_after_ms(headers, body.expose(), now);
    let may_pass = status < 500 && is_error_object(body.expose()) && may_pass_on(body.expose(), at);
    let body = may_pass.then(|| Forwarded::new(body));
    Error::UpstreamStatus { status, reason, retry_after_ms, body }
}

/// Understands an error that came inside a stream under a status of success: what an error body of the same dialect would
/// have said passes by the same rule.
pub(crate) fn explain_event(status: u16, data: &[u8], at: &Deployment) -> Error {
    let reason = refusal::reason(status, &[], data);
    if matches!(reason, Reason::Credential | Reason::Quota) {
        return Error::UpstreamCredential;
    }
    if status == 502 && reason == Reason::Server {
        // It does not say what failed.
        return Error::UpstreamFailed;
    }
    let mut fields = Fields::new();
    let readable = fields.scan(data).is_ok()
        && fields.find(data, "error").is_some_and(|field| field.kind == Kind::Object);
    let may_pass = status < 500 && readable && may_pass_on(data, at);
    let body = may_pass.then(|| Forwarded::new(Plaintext::new(Bytes::copy_from_slice(data))));
    Error::UpstreamStatus { status, reason, retry_after_ms: None, body }
}

/// An object with `error`, or with the `message` of those vendors that leave the envelope out.
fn is_error_object(body: &[u8]) -> bool {
    let mut fields = Fields::new();
    let has = |fields: &Fields, name| fields.find(body, name).is_some_and(|field| field.kind != Kind::Null);
    fields.scan(body).is_ok() && (has(&fields, "error") || has(&fields, "message"))
}

/// Whether an upstream's own words may go to the client: they name neither our credential nor the host.
pub(crate) fn may_pass_on(body: &[u8], at: &Deployment) -> bool {
    let contains = |needle: &[u8]| !needle.is_empty() && memchr::memmem::find(body, needle).is_some();
    let host = match &at.endpoint {
        Endpoint::Builtin => "",
        Endpoint::Http { host, .. } | Endpoint::Https { host, .. } => host,
    };
    !at.names_credential(body) && !contains(host.as_bytes())
}
