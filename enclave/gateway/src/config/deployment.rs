//! One deployment in the configuration file.

use serde::Deserialize;

use super::SecretReference;
use super::routing::BreakerConfig;
use crate::deployment::{Capability, Exposure};
use crate::price::CostSource;
use crate::wire::dialect::OnUnsupported;

/// One model at one provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentConfig {
    /// A registered provider.
    pub provider: String,
    /// What the provider calls the model.
    pub model: String,
    /// Address of the API up to its version, such as `https://api.example.com/v1`; the provider's own if absent.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Reference to the provider's credential.
    #[serde(default)]
    pub credential: Option<SecretReference>,
    /// How far content sent there is exposed; `provider_visible` unless stated.
    #[serde(default)]
    pub exposure: Option<Exposure>,
    /// Allows plain HTTP to an address that is not loopback.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Certificates in PEM of the only authorities that may vouch for the address, in place of the public web's. Text and not
    /// a file's name, so that nobody can exchange them behind the configuration's back.
    #[serde(default)]
    pub tls_roots: Option<String>,
    /// How long to wait.
    #[serde(default)]
    pub timeouts: TimeoutsConfig,
    /// For `azure_openai`: the version of the API with deployments in its paths, such as `2024-10-21`; absent for the API
    /// without versions.
    #[serde(default)]
    pub api_version: Option<String>,
    /// For `azure_openai`: how the credential is sent; `api_key` unless stated.
    #[serde(default)]
    pub authentication: Option<AuthenticationConfig>,
    /// For `vertex`: the Google Cloud project that pays.
    #[serde(default)]
    pub project: Option<String>,
    /// For credentials that are traded for access tokens: where; the issuer's own address if absent.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Whether each tenant gets a salt of its own for the provider's prompt cache (`cache_salt` of vLLM), without which
    /// the time of an answer tells one tenant what another has asked. For `vllm` and `sglang` it does unless this is
    /// `false`.
    #[serde(default)]
    pub cache_salt: Option<bool>,
    /// The model whose price and limits it has, where `model` does not say it: an Azure deployment, a model of one's own.
    #[serde(default)]
    pub base_model: Option<String>,
    /// What its tokens cost; the catalogue's price if absent, and unknown if it has none.
    #[serde(default)]
    pub price: Option<PriceConfig>,
    /// Whose word counts about what an exchange cost; the provider's for `openrouter`, `perplexity` and `x_ai` without a
    /// `price`, otherwise ours.
    #[serde(default)]
    pub cost_source: Option<CostSource>,
    /// What to do about something that the provider's API cannot say; `error` unless stated.
    #[serde(default)]
    pub on_unsupported: OnUnsupported,
    /// What the model can do; requests that need something else are not sent to it. Anything, if absent.
    #[serde(default)]
    pub capabilities: Option<Vec<Capability>>,
    /// Most tokens of prompt and answer together; the catalogue's if absent.
    #[serde(default)]
    pub context_tokens: Option<u64>,
    /// Most tokens of an answer; the catalogue's if absent.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// Where it runs, such as `eu` or `swedencentral`; policies name it. For `bedrock` and `vertex` also where it is called,
    /// unless `base_url` says so.
    #[serde(default)]
    pub region: Option<String>,
    /// Words by which strategies and policies can choose.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How much may be sent there; without bounds if absent.
    #[serde(default)]
    pub limits: DeploymentLimitsConfig,
    /// When it is taken out because it fails.
    #[serde(default)]
    pub breaker: BreakerConfig,
    /// Asks for the provider's list of models from time to time, which costs nothing, and takes the deployment out while that
    /// fails; only clients' calls tell unless stated.
    #[serde(default)]
    pub probe: Option<ProbeConfig>,
    /// Built-in model only: events per second.
    #[serde(default)]
    pub tokens_per_second: Option<u32>,
}

/// How a credential is sent, where a provider takes more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationConfig {
    /// In the `api-key` header.
    ApiKey,
    /// As `authorization: Bearer`, for gateways in front of Azure.
    Bearer,
    /// Not at all: the secret of an Entra application, which is traded for access tokens.
    Entra,
}

/// How long to wait, in milliseconds; 1 to 3,600,000.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// To connect, TLS included; 5,000 unless stated.
    pub connect_ms: Option<u64>,
    /// To the answer's head; 60,000 unless stated.
    pub response_head_ms: Option<u64>,
    /// To the first content of a stream; 60,000 unless stated.
    pub first_content_ms: Option<u64>,
    /// Between two pieces of an answer; 30,000 unless stated.
    pub stall_ms: Option<u64>,
    /// For everything; 1,800,000 unless stated.
    pub total_ms: Option<u64>,
}

/// What tokens cost, in dollars for a million of them, as decimal text such as `"2.50"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Input.
    pub input: String,
    /// Output.
    pub output: String,
    /// Input that the provider had cached; `input` if absent.
    #[serde(default)]
    pub cached_input: Option<String>,
    /// Input written to the provider's cache for five minutes; `input` if absent.
    #[serde(default)]
    pub cache_write_5m: Option<String>,
    /// Input written to the provider's cache for an hour; `cache_write_5m` if absent.
    #[serde(default)]
    pub cache_write_1h: Option<String>,
    /// Output that was reasoning; `output` if absent.
    #[serde(default)]
    pub reasoning: Option<String>,
    /// Dollars for each answered request, besides its tokens.
    #[serde(default)]
    pub per_request: Option<String>,
    /// Dollars for each search of the web that the provider does for a request.
    #[serde(default)]
    pub per_search: Option<String>,
    /// Prices of requests served otherwise than usual; those above hold for tiers that are not stated.
    #[serde(default)]
    pub tiers: TiersConfig,
    /// Prices of requests with long prompts, shortest first.
    #[serde(default)]
    pub long_context: Vec<LongContextConfig>,
}

/// What tokens cost by tier of service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TiersConfig {
    /// Served when there is time, with others.
    pub batch: Option<TierPriceConfig>,
    /// Served when there is room.
    pub flex: Option<TierPriceConfig>,
    /// Served before others.
    pub priority: Option<TierPriceConfig>,
}

/// What tokens cost in one tier of service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierPriceConfig {
    /// As [`PriceConfig::input`].
    pub input: String,
    /// As [`PriceConfig::output`].
    pub output: String,
    /// As [`PriceConfig::cached_input`].
    #[serde(default)]
    pub cached_input: Option<String>,
    /// As [`PriceConfig::cache_write_5m`].
    #[serde(default)]
    pub cache_write_5m: Option<String>,
    /// As [`PriceConfig::cache_write_1h`].
    #[serde(default)]
    pub cache_write_1h: Option<String>,
    /// As [`PriceConfig::reasoning`].
    #[serde(default)]
    pub reasoning: Option<String>,
    /// As [`PriceConfig::long_context`].
    #[serde(default)]
    pub long_context: Vec<LongContextConfig>,
}

/// What tokens cost when the prompt is long: the whole request costs this.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContextConfig {
    /// Holds for prompts of more tokens than these.
    pub above_input_tokens: u64,
    /// As [`PriceConfig::input`].
    pub input: String,
    /// As [`PriceConfig::output`].
    pub output: String,
    /// As [`PriceConfig::cached_input`].
    #[serde(default)]
    pub cached_input: Option<String>,
    /// As [`PriceConfig::cache_write_5m`].
    #[serde(default)]
    pub cache_write_5m: Option<String>,
    /// As [`PriceConfig::cache_write_1h`].
    #[serde(default)]
    pub cache_write_1h: Option<String>,
    /// As [`PriceConfig::reasoning`].
    #[serde(default)]
    pub reasoning: Option<String>,
}

/// Looking into a deployment's health, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// How often; 30,000 unless stated, 1,000 at least.
    pub interval_ms: Option<u64>,
    /// How long what a probe says counts; three intervals unless stated.
    pub counts_ms: Option<u64>,
}

/// How much may be sent to one deployment.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeploymentLimitsConfig {
    /// Most requests at the same time.
    pub max_in_flight: Option<u32>,
    /// Lowers `max_in_flight` by a fifth when the provider refuses a call for its load or is too slow to begin one, and
    /// raises it again with calls that it answers.
    pub adaptive: bool,
    /// Most requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Most tokens in a minute, prompt and answer together.
    pub tokens_per_minute: Option<u64>,
}
