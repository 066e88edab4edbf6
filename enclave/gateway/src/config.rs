//! The configuration: parsed and checked once, then the immutable [`Gateway`] that the stages borrow from.
//!
//! Secrets appear as references only (`file:/run/...`); the shell resolves them through [`SecretSource`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cache::rules::Sharing;
use crate::deployment::Exposure;
use crate::plaintext::Secret;

mod parse;

mod deployment;

pub mod routing;

mod prompts;

mod gateway;

mod build;

pub mod problems;

pub use build::{Address, build, parse_url};
pub use deployment::{
    AuthenticationConfig, DeploymentConfig, DeploymentLimitsConfig, LongContextConfig, PriceConfig,
    TierPriceConfig, TiersConfig, TimeoutsConfig,
};
pub use gateway::Gateway;
use parse::parse_table;
pub use parse::{Invalid, parse};
pub use prompts::{
    DecorationConfig, MessageConfig, ParametersConfig, PromptConfig, PromptFile, ToolConfig, VariableConfig,
    VersionConfig,
};
pub use routing::ModelConfig;

use routing::KeyRoutingConfig;

pub use crate::guardrail::Settings as GuardrailConfig;

/// Version of the configuration's format that this build understands.
pub const VERSION: u32 = 1;

/// The gateway's part of the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// [`VERSION`].
    pub version: u32,
    /// Bounds on sizes.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Who may ask.
    pub admission: AdmissionConfig,
    /// Deployments by name.
    pub deployments: BTreeMap<String, DeploymentConfig>,
    /// Names that clients use, and what serves them.
    pub models: BTreeMap<String, ModelConfig>,
    /// Content checks by name; all of them apply to every request unless they say otherwise.
    #[serde(default)]
    pub guardrails: BTreeMap<String, GuardrailConfig>,
    /// Stored prompts by name, which clients refer to.
    #[serde(default)]
    pub prompts: BTreeMap<String, PromptConfig>,
    /// Messages that are added to requests, by name; no client can leave them out.
    #[serde(default)]
    pub decorations: BTreeMap<String, DecorationConfig>,
    /// Reference to a TOML file with more `[prompts]` and `[decorations]`, for texts that are nobody else's business.
    #[serde(default)]
    pub prompt_file: Option<SecretReference>,
    /// Caches; none unless configured.
    #[serde(default)]
    pub cache: CacheConfig,
    /// How far content may be exposed that a guardrail has labelled, by label, whatever model is asked for.
    #[serde(default)]
    pub sensitivity: BTreeMap<String, Exposure>,
}

/// Bounds on sizes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Most bytes of a request body; at most 100 MiB.
    pub request_body_bytes: u64,
    /// Most bytes of a buffered answer.
    pub answer_body_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { request_body_bytes: 20 * 1024 * 1024, answer_body_bytes: 64 * 1024 * 1024 }
    }
}

/// Who may ask: keys written here, or in a file of their own, or both.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// Reference to a TOML file with `[[keys]]` tables.
    pub key_file: Option<SecretReference>,
    /// Reference to the pepper of `hmac_sha256` digests.
    pub pepper: Option<SecretReference>,
    /// Issued keys.
    pub keys: Vec<KeyConfig>,
    /// Whether keys are issued through the admin API as well. They are kept in the sealed store, not in this file.
    pub virtual_keys: bool,
}

/// The contents of a key file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Issued keys.
    pub keys: Vec<KeyConfig>,
}

/// One issued key: exactly one of the two digests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Public name, unique.
    pub id: String,
    /// SHA-256 of the credential, lower-case hex: `printf %s KEY | sha256sum`.
    #[serde(default)]
    pub sha256: Option<String>,
    /// HMAC-SHA-256 of the credential under the pepper, lower-case hex.
    #[serde(default)]
    pub hmac_sha256: Option<String>,
    /// Model names it may use; `["*"]` for all.
    pub models: Vec<String>,
    /// Most requests at the same time.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// How its requests are routed.
    #[serde(default)]
    pub routing: KeyRoutingConfig,
}

/// Caches: none unless configured, and then as strict as can be unless configured otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Whose answers are shared with whom.
    pub partition: Sharing,
    /// Models whose answers are stored; those of all if absent.
    pub models: Option<Vec<String>>,
    /// Whether answers that call tools are stored.
    pub tool_calls: bool,
    /// Answers drawn at a higher temperature are not stored; who states none has 1. 0 to 2.
    pub max_temperature: f64,
    /// Answers the same request again.
    pub exact: Option<ExactCacheConfig>,
    /// Answers a question again that was asked in other words.
    pub semantic: Option<SemanticCacheConfig>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        let (partition, models, exact, semantic) = (Sharing::default(), None, None, None);
        Self { partition, models, tool_calls: false, max_temperature: 1.0, exact, semantic }
    }
}

/// Settings of the exact cache.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExactCacheConfig {
    /// How long an answer may be given again; 1 second to 30 days.
    #[serde(default = "usual_ttl")]
    pub ttl_seconds: u64,
    /// Most bytes of all that is stored; 64 KiB to 1 GiB.
    pub max_bytes: u64,
    /// Most bytes that one partition stores; an eighth of `max_bytes` if absent.
    #[serde(default)]
    pub max_partition_bytes: Option<u64>,
    /// How long a request waits for another that asks the same at the time; 0 not to wait.
    #[serde(default = "usual_wait")]
    pub wait_ms: u64,
}

/// Settings of the semantic cache.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticCacheConfig {
    /// The deployment that embeds questions. It sees all that may be cached, so it must be attested.
    pub embeddings: String,
    /// Least cosine between two questions that count as one; 0.5 to 1.
    #[serde(default = "usual_threshold")]
    pub threshold: f32,
    /// How long an answer may be given again; 1 second to 30 days.
    #[serde(default = "usual_ttl")]
    pub ttl_seconds: u64,
    /// Most bytes of all that is stored; 64 KiB to 1 GiB.
    pub max_bytes: u64,
    /// Most bytes that one partition stores; an eighth of `max_bytes` if absent.
    #[serde(default)]
    pub max_partition_bytes: Option<u64>,
    /// Longer conversations are not looked up; 1 to 100.
    #[serde(default = "usual_turns")]
    pub max_turns: u32,
    /// How many of a hundred hits are answered anew and compared; 0 to 100.
    #[serde(default)]
    pub sample_percent: u8,
    /// Least cosine between two answers that say the same; 0.5 to 1.
    #[serde(default = "usual_agreement")]
    pub agreement: f32,
}

const fn usual_ttl() -> u64 {
    300
}

const fn usual_wait() -> u64 {
    30_000
}

const fn usual_threshold() -> f32 {
    0.95
}

const fn usual_agreement() -> f32 {
    0.9
}

const fn usual_turns() -> u32 {
    3
}

/// Where a secret is, never the secret: `scheme:place`, as the shell's [`SecretSource`] understands it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretReference(String);

impl SecretReference {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Scheme and place; nothing if it has no scheme.
    pub fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once(':').filter(|(scheme, place)| !scheme.is_empty() && !place.is_empty())
    }
}

/// Shows the scheme only: somebody may have written a secret where a reference belongs.
impl std::fmt::Debug for SecretReference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.parts().map_or("?", |(scheme, _)| scheme);
        write!(out, "SecretReference({scheme}:...)")
    }
}

/// Resolves references to secrets; the shell implements it.
pub trait SecretSource {
    /// Reads the secret that a reference names.
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError>;
    /// Whether what it reads are the secrets themselves. Where not, their form says nothing, and nobody is called.
    fn are_real(&self) -> bool {
        true
    }
}

/// Why a reference could not be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// Nothing is there.
    Missing,
    /// Something is there that may not or cannot be read.
    Unreadable,
    /// No such scheme.
    UnknownScheme,
}

/// What is wrong with a configuration, and where. Contains names of keys, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which key, as `deployments.main.provider`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub problem: Invalid,
}

impl ConfigError {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        self.problem.code()
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, problem } = self;
        match path.as_str() {
            "" => write!(out, "{}: {problem}", problem.code()),
            path => write!(out, "{}: {path}: {problem}", problem.code()),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
