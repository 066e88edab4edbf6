//! Bifrost's configuration (`config.json`: `providers` with `keys` and `network_config`).

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::cloud::{self, Account, Names};
use super::draft::{Draft, table, weighted};
use super::source::Source;

/// Its provider names: theirs, ours.
const PROVIDERS: &[(&str, &str)] = &[
    ("anthropic", "anthropic"),
    ("azure", "azure_openai"),
    ("bedrock", "bedrock"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("mistral", "mistral_ai"),
    ("nebius", "nebius"),
    ("ollama", "ollama"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("perplexity", "perplexity"),
    ("sgl", "sglang"),
    ("vertex", "vertex"),
    ("vllm", "vllm"),
    ("xai", "x_ai"),
];

/// Where it names the parts of cloud accounts.
const VERTEX: Names = Names { project: "project_id", location: "region", secrets: &["auth_credentials"] };
const BEDROCK: Names =
    Names { project: "", location: "region", secrets: &["access_key", "secret_key", "session_token"] };
const ENTRA: Names =
    Names { project: "", location: "", secrets: &["client_secret", "client_id", "tenant_id"] };

/// What all keys of a provider share.
struct Network {
    base_url: Option<String>,
    timeout_seconds: Option<u64>,
    retries: Option<u64>,
}

pub(super) fn read(source: Json, draft: &mut Draft) {
    let mut source = Source::new(source, "", draft);
    source.ignore(&["$schema"]);
    for (theirs, value, at) in source.table("providers", draft).entries() {
        let Some((_, ours)) = PROVIDERS.iter().find(|(name, _)| *name == theirs) else {
            draft.not_carried(&at, "no such provider here, or one that has to be set up by hand");
            continue;
        };
        provider(&theirs, ours, Source::new(value, at, draft), draft);
    }
    source.finish(draft);
}

fn provider(theirs: &str, ours: &str, mut source: Source, draft: &mut Draft) {
    let mut network = source.table("network_config", draft);
    let shared = Network {
        base_url: network.text("base_url"),
        timeout_seconds: network.number("default_request_timeout_in_seconds"),
        retries: network.number("max_retries"),
    };
    network.finish(draft);
    let mut models: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (key, at) in source.list("keys") {
        for (model, member) in key_members(ours, &shared, Source::new(key, at, draft), draft) {
            models.entry(model).or_default().push(member);
        }
    }
    let at = source.path("keys");
    source.finish(draft);
    for (model, members) in models {
        let mut own = table([("strategy", "weighted".into()), ("members", Value::Array(members))]);
        if let Some(retries) = shared.retries {
            let attempts = i64::try_from(retries.saturating_add(1).min(10)).unwrap_or(10);
            own.insert("retry".to_owned(), Value::Table(table([("max_attempts", Value::Integer(attempts))])));
        }
        // Its clients say `openai/gpt-4o`; the bare name does too, unless another provider has it.
        let whole = format!("{theirs}/{model}");
        if !draft.has_model(&model) {
            let alias = table([("members", Value::Array(vec![whole.as_str().into()]))]);
            draft.model(&model, alias, &at);
        }
        draft.model(&whole, own, &at);
    }
}

/// A deployment for each model of one key.
fn key_members(ours: &str, shared: &Network, mut key: Source, draft: &mut Draft) -> Vec<(String, Value)> {
    let name = key.text("name").or_else(|| key.text("id")).unwrap_or_else(|| ours.to_owned());
    let (at, value) = (key.path("value"), key.text("value"));
    let weight = key.text("weight").and_then(|weight| weight.parse::<f64>().ok()).unwrap_or(1.0);
    let weight = format!("{:.0}", (weight * 1000.0).clamp(0.0, 1_000_000.0)).parse().unwrap_or(1000);
    let mut base = table([("provider", ours.into())]);
    let mut azure = key.table("azure_key_config", draft);
    let endpoint = azure.text("endpoint").or_else(|| shared.base_url.clone());
    let endpoint = endpoint.or_else(|| (ours == "ollama").then(|| "http://127.0.0.1:11434".to_owned()));
    base.extend(azure.text("api_version").map(|version| ("api_version".to_owned(), version.into())));
    let mut vertex = key.table("vertex_key_config", draft);
    let mut bedrock = key.table("bedrock_key_config", draft);
    let mut names = BTreeMap::new();
    for own in [&mut azure, &mut vertex, &mut bedrock] {
        names.extend(named(own.table("deployments", draft)));
    }
    names.extend(named(key.table("aliases", draft)));
    base.extend(endpoint.map(|url| ("base_url".to_owned(), versioned(ours, &url).into())));
    let mut accounts = Accounts { azure, vertex, bedrock };
    let reached = accounts.credential(&mut base, ours, (&at, value.as_deref()), &name, draft);
    accounts.finish(draft);
    if reached.is_none() {
        key.ignore(&["models"]);
        key.finish(draft);
        return Vec::new();
    }
    if let Some(ms) =
        shared.timeout_seconds.and_then(|s| i64::try_from(s.saturating_mul(1000).clamp(1, 3_600_000)).ok())
    {
        base.insert("timeouts".to_owned(), Value::Table(table([("total_ms", Value::Integer(ms))])));
    }
    let (models, place) = (key.texts("models"), key.path("models"));
    key.finish(draft);
    let named: Vec<String> = models.into_iter().filter(|model| model != "*").collect();
    if named.is_empty() {
        draft.not_carried(&place, "every model has a name of its own here: list them");
    }
    let deployment = |model: String| {
        let mut own: Table = base.clone();
        match names.get(&model) {
            Some(deployment) => {
                own.insert("model".to_owned(), deployment.as_str().into());
                own.insert("base_model".to_owned(), model.as_str().into());
            }
            None => drop(own.insert("model".to_owned(), model.as_str().into())),
        }
        let wish = format!("{name}-{model}");
        let member = weighted(&draft.deployment(&wish, own), weight);
        (model, member)
    };
    named.into_iter().map(deployment).collect()
}

/// What a key says of its account at a cloud.
struct Accounts {
    azure: Source,
    vertex: Source,
    bedrock: Source,
}

impl Accounts {
    /// What calls are paid with, and for clouds where they go; nothing if that cannot be said.
    fn credential(
        &mut self,
        base: &mut Table,
        ours: &str,
        (at, value): (&str, Option<&str>),
        name: &str,
        draft: &mut Draft,
    ) -> Option<()> {
        let Self { azure, vertex, bedrock } = self;
        let given = value.is_some_and(|value| !value.is_empty());
        match ours {
            "azure_openai" if ENTRA.secrets.iter().any(|own| azure.has(own)) => {
                base.insert("authentication".to_owned(), "entra".into());
                cloud::secrets(Account::Entra, base, azure, &ENTRA, name, draft);
                return Some(());
            }
            "bedrock" if given => {
                base.insert("region".to_owned(), bedrock.plain("region", draft)?.into());
            }
            "bedrock" => return cloud::bedrock(base, bedrock, &BEDROCK, name, draft),
            "vertex" => return cloud::vertex(base, vertex, &VERTEX, name, draft),
            "ollama" | "sglang" | "vllm" if !given => return Some(()),
            _ => {}
        }
        base.insert("credential".to_owned(), draft.secret(at, value, name));
        Some(())
    }

    fn finish(self, draft: &mut Draft) {
        for own in [self.azure, self.vertex, self.bedrock] {
            own.finish(draft);
        }
    }
}

/// What models are called at the provider.
fn named(table: Source) -> Vec<(String, String)> {
    let text = |(model, named, _): (String, Json, String)| Some((model, named.as_str()?.to_owned()));
    table.entries().into_iter().filter_map(text).collect()
}

/// Addresses there end before the version.
fn versioned(provider: &str, url: &str) -> String {
    let url = url.trim_end_matches('/');
    if provider == "azure_openai" || url.ends_with("/v1") { url.to_owned() } else { format!("{url}/v1") }
}
