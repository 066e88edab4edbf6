//! One model at one provider: where it is, what it is called there, and how far content is exposed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::plaintext::Secret;
use crate::price::{CostSource, Price};
use crate::wire::dialect::OnUnsupported;

mod account;

pub(crate) mod tls_roots;

mod token;

pub use account::{AwsKeys, EntraApplication, ServiceAccount};
pub use tls_roots::{OwnRoots, TlsRoots};
pub use token::{Account, Fetch, Token, TokenSource, Turn};

/// One model at one provider, from the configuration; immutable.
pub struct Deployment {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The provider's name (`gen_ai.provider.name`), as registered.
    pub provider: &'static str,
    /// What the provider calls the model.
    pub model: Arc<str>,
    /// The same as a JSON string, ready to splice.
    pub model_json: Bytes,
    /// Where to connect.
    pub endpoint: Endpoint,
    /// Path prefix before the API's own paths, such as `/v1`; no trailing slash.
    pub base_path: Arc<str>,
    /// The provider's credential, ready to send.
    pub credential: Option<Credential>,
    /// Keys that sign calls instead of being sent.
    pub aws_keys: Option<AwsKeys>,
    /// Where the credential comes from that is sent, if it has to be renewed every hour or so.
    pub tokens: Option<TokenSource>,
    /// How far the upstream has proved itself.
    pub confidentiality: Confidentiality,
    /// How far content sent there is exposed.
    pub exposure: Exposure,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The version of its API, where that is in the address.
    pub api_version: Option<Arc<str>>,
    /// Whether each tenant gets a salt of its own for the provider's prompt cache.
    pub cache_salt: bool,
    /// What its tokens cost; absent if nobody said, which is an alarm and never a price of nothing.
    pub price: Option<Arc<Price>>,
    /// Whose word counts about what an exchange cost.
    pub cost_source: CostSource,
    /// What to do about something that the provider's API cannot say.
    pub on_unsupported: OnUnsupported,
    /// What the model can do; anything, if the configuration does not say.
    pub capabilities: Option<Vec<Capability>>,
    /// Most tokens of prompt and answer together, if known.
    pub context_tokens: Option<u64>,
    /// Most tokens of an answer, if known.
    pub max_output_tokens: Option<u64>,
    /// Where it runs, in the operator's words.
    pub region: Option<Arc<str>>,
    /// Words by which strategies and policies can choose.
    pub tags: Vec<Arc<str>>,
    /// How much may be sent there.
    pub limits: Limits,
    /// How its health is looked into besides the calls of clients; not at all if absent.
    pub probe: Option<Probe>,
    /// For the built-in model: events per second, unlimited if absent.
    pub tokens_per_second: Option<u32>,
}

/// A call that costs nothing and that a deployment which is well answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How often.
    pub interval: Duration,
    /// How long what it says counts.
    pub counts: Duration,
}

impl Deployment {
    /// A service that serves no model, such as one that gives tokens.
    pub fn service(name: &str, provider: &'static str, endpoint: Endpoint, path: &str) -> Self {
        Self {
            name: name.into(),
            provider,
            model: "".into(),
            model_json: Bytes::new(),
            confidentiality: Confidentiality::of(&endpoint),
            endpoint,
            base_path: path.into(),
            credential: None,
            aws_keys: None,
            tokens: None,
            exposure: Exposure::ProviderVisible,
            timeouts: Timeouts { response_head: SERVICE_TIME, total: SERVICE_TIME, ..Timeouts::default() },
            api_version: None,
            cache_salt: false,
            price: None,
            cost_source: CostSource::Computed,
            on_unsupported: OnUnsupported::Error,
            capabilities: None,
            context_tokens: None,
            max_output_tokens: None,
            region: None,
            tags: Vec::new(),
            limits: Limits::default(),
            probe: None,
            tokens_per_second: None,
        }
    }

    /// Whether a text contains the credential that is sent now.
    pub fn names_credential(&self, text: &[u8]) -> bool {
        let contains = |needle: &[u8]| !needle.is_empty() && memchr::memmem::find(text, needle).is_some();
        let sent = self.credential.as_ref().is_some_and(|own| contains(own.bare()));
        sent || self.tokens.as_ref().and_then(|own| own.look(contains)).unwrap_or(false)
    }
}

/// How long a service that serves no model may take.
const SERVICE_TIME: Duration = Duration::from_secs(15);

/// Where a deployment's bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The model inside this program.
    Builtin,
    /// Plain HTTP; the configuration allows it for loopback only unless it says otherwise.
    Http {
        /// Name or address.
        host: Arc<str>,
        /// TCP port.
        port: u16,
    },
    /// HTTPS.
    Https {
        /// Name, checked against the certificate.
        host: Arc<str>,
        /// TCP port.
        port: u16,
        /// Who may vouch for the name.
        roots: TlsRoots,
    },
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Builtin => out.write_str("builtin"),
            Self::Http { host, port } => write!(out, "http://{host}:{port}"),
            Self::Https { host, port, .. } => write!(out, "https://{host}:{port}"),
        }
    }
}

/// A credential header. Shared, because every call of the deployment sends it; never printed.
#[derive(Clone)]
pub struct Credential {
    /// Header name, lower case.
    pub header: &'static str,
    /// Header value, scheme included.
    pub value: Arc<Secret<Vec<u8>>>,
    /// Length of the scheme before the bare credential in `value`.
    pub scheme_length: usize,
}

impl Credential {
    /// The credential without its scheme: what must not appear in anything that leaves.
    pub fn bare(&self) -> &[u8] {
        self.value.expose().get(self.scheme_length..).unwrap_or_default()
    }
}

/// How far the upstream proves itself before anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidentiality {
    /// Runs inside this enclave.
    Internal,
    /// By nothing: plain bytes.
    Plain,
    /// By a certificate of the public web.
    WebPki,
    /// By a certificate under authorities that the configuration holds.
    PrivatePki,
}

impl Confidentiality {
    /// What an address can prove.
    pub const fn of(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Builtin => Self::Internal,
            Endpoint::Http { .. } => Self::Plain,
            Endpoint::Https { roots: TlsRoots::Web, .. } => Self::WebPki,
            Endpoint::Https { roots: TlsRoots::Own(_), .. } => Self::PrivatePki,
        }
    }
}

/// How far content is exposed on a route; ordered from the narrowest.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Only attested code sees it.
    Attested,
    /// The provider sees it and has promised in a contract not to keep it.
    ContractZdr,
    /// The provider sees it.
    ProviderVisible,
}

impl Exposure {
    /// From its name in headers and in the configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Attested, Self::ContractZdr, Self::ProviderVisible]
            .into_iter()
            .find(|own| own.as_str() == name)
    }

    /// As it appears in headers and the models list.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::ContractZdr => "contract_zdr",
            Self::ProviderVisible => "provider_visible",
        }
    }
}

/// Something that not every model can do and that a request may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Hears sound.
    Audio,
    /// Reads documents such as PDF.
    Documents,
    /// Sees pictures.
    Images,
    /// Keeps to a JSON Schema.
    JsonSchema,
    /// Thinks before it answers.
    Reasoning,
    /// Calls tools.
    Tools,
}

impl Capability {
    /// For people: what a request without such a model is told is missing.
    pub const fn described(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Documents => "documents",
            Self::Images => "images",
            Self::JsonSchema => "answers that keep to a JSON schema",
            Self::Reasoning => "reasoning",
            Self::Tools => "tools",
        }
    }
}

/// How much may be sent to one deployment; no bound where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most requests at the same time.
    pub max_in_flight: Option<u32>,
    /// Whether `max_in_flight` is lowered while the provider refuses calls or is slow to begin them.
    pub adapts: bool,
    /// Most requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Most tokens in a minute, prompt and answer together.
    pub tokens_per_minute: Option<u64>,
}

/// How long one attempt may take. The shell keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the request's last byte to the answer's head.
    pub response_head: Duration,
    /// From sending to the first content of a stream; kept here, not by the shell.
    pub first_content: Duration,
    /// Between two pieces of an answer.
    pub stall: Duration,
    /// Everything.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_head: Duration::from_mins(1),
            first_content: Duration::from_mins(1),
            stall: Duration::from_secs(30),
            total: Duration::from_mins(30),
        }
    }
}
