//! `LiteLLM`'s proxy configuration (`config.yaml`: `model_list`, `router_settings`, `litellm_settings`).

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::cloud::{self, Account, Names};
use super::draft::{Draft, names, table, variable, weighted};
use super::source::Source;

/// Prefixes of its model names: theirs, our provider.
const PROVIDERS: &[(&str, &str)] = &[
    ("anthropic", "anthropic"),
    ("azure", "azure_openai"),
    ("bedrock", "bedrock"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("hosted_vllm", "vllm"),
    ("mistral", "mistral_ai"),
    ("nebius", "nebius"),
    ("ollama", "ollama"),
    ("ollama_chat", "ollama"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("perplexity", "perplexity"),
    ("sambanova", "sambanova"),
    ("together_ai", "together"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("vllm", "vllm"),
    ("xai", "x_ai"),
];

/// Where it names the parts of cloud accounts.
const VERTEX: Names =
    Names { project: "vertex_project", location: "vertex_location", secrets: &["vertex_credentials"] };
const BEDROCK: Names = Names {
    project: "",
    location: "aws_region_name",
    secrets: &["aws_access_key_id", "aws_secret_access_key", "aws_session_token"],
};
const ENTRA: Names =
    Names { project: "", location: "", secrets: &["client_secret", "client_id", "tenant_id"] };

/// Its routing strategies: theirs, ours.
const STRATEGIES: &[(&str, &str)] = &[
    ("cost-based-routing", "least_cost"),
    ("latency-based-routing", "least_latency"),
    ("least-busy", "least_busy"),
    ("simple-shuffle", "weighted"),
    ("usage-based-routing", "usage"),
    ("usage-based-routing-v2", "usage"),
];

/// One entry of `model_list`, carried.
struct Member {
    deployment: String,
    weight: Option<u64>,
    order: u64,
}

#[derive(Default)]
struct Routing {
    strategy: Option<String>,
    retries: Option<u64>,
    timeout: Option<u64>,
    fallbacks: BTreeMap<String, Vec<String>>,
    context: BTreeMap<String, Vec<String>>,
    policy: BTreeMap<String, Vec<String>>,
    everyone: Vec<String>,
    drop_params: bool,
}

pub(super) fn read(source: Json, draft: &mut Draft) {
    let mut source = Source::new(source, "", draft);
    let mut routing = Routing::default();
    let mut settings = source.table("litellm_settings", draft);
    routing.drop_params = settings.flag("drop_params").unwrap_or(false);
    read_routing(&mut settings, &mut routing, draft);
    settings.ignore(&["set_verbose", "json_logs", "telemetry"]);
    settings.finish(draft);
    let mut router = source.table("router_settings", draft);
    read_routing(&mut router, &mut routing, draft);
    router.finish(draft);
    let mut general = source.table("general_settings", draft);
    if general.take("master_key").is_some() {
        draft.not_carried(
            "general_settings.master_key",
            "keys are issued one by one: see 'admission' in the README",
        );
    }
    general.finish(draft);
    let mut groups: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for (entry, at) in source.list("model_list") {
        if let Some((name, member)) = member(entry, &at, &routing, draft) {
            groups.entry(name).or_default().push(member);
        }
    }
    source.finish(draft);
    for (name, members) in &groups {
        let model = model(name, members, &groups, &routing, draft);
        draft.model(name, model, &format!("model_list ({name})"));
    }
}

fn read_routing(source: &mut Source, routing: &mut Routing, draft: &mut Draft) {
    if let Some(theirs) = source.text("routing_strategy") {
        match STRATEGIES.iter().find(|(name, _)| *name == theirs) {
            Some((_, ours)) => routing.strategy = Some((*ours).to_owned()),
            None => draft.not_carried(&source.path("routing_strategy"), "no such strategy here"),
        }
    }
    routing.retries = source.number("num_retries").or(routing.retries);
    routing.timeout =
        source.number("timeout").or_else(|| source.number("request_timeout")).or(routing.timeout);
    for (key, into) in [
        ("fallbacks", &mut routing.fallbacks),
        ("context_window_fallbacks", &mut routing.context),
        ("content_policy_fallbacks", &mut routing.policy),
    ] {
        for (entry, at) in source.list(key) {
            for (name, others, _) in Source::new(entry, at, draft).entries() {
                let others = others.as_array().cloned().unwrap_or_default();
                let others = others.iter().filter_map(Json::as_str).map(str::to_owned);
                into.entry(name).or_default().extend(others);
            }
        }
    }
    routing.everyone.extend(source.texts("default_fallbacks"));
}

fn member(entry: Json, at: &str, routing: &Routing, draft: &mut Draft) -> Option<(String, Member)> {
    let mut entry = Source::new(entry, at, draft);
    let name = entry.text("model_name")?;
    let mut params = entry.table("litellm_params", draft);
    let mut info = entry.table("model_info", draft);
    entry.finish(draft);
    let Some(model) = params.text("model") else {
        draft.not_carried(&params.path("model"), "names no model");
        return None;
    };
    if name.contains('*') || model.contains('*') {
        draft.not_carried(at, "wildcards: every model has a name of its own here");
        return None;
    }
    let base = params.text("api_base").or_else(|| params.text("base_url"));
    if base.as_deref().is_some_and(|base| variable(base).is_some()) {
        draft.not_carried(
            &params.path("api_base"),
            "has to be stated: only secrets come from the environment here",
        );
        return None;
    }
    let Some((provider, model)) = provider(&model, base.is_some()) else {
        draft.not_carried(
            &params.path("model"),
            "no such provider here, or one that has to be set up by hand",
        );
        return None;
    };
    let mut own = table([("provider", provider.into()), ("model", model.into())]);
    if provider == "bedrock" {
        let (region, model) = cloud::bedrock_model(model);
        own.insert("model".to_owned(), model.into());
        own.extend(region.map(|region| ("region".to_owned(), region.into())));
    }
    address(&mut own, provider, base, &mut params, draft);
    match provider {
        "bedrock" => cloud::bedrock(&mut own, &mut params, &BEDROCK, &name, draft)?,
        "vertex" => cloud::vertex(&mut own, &mut params, &VERTEX, &name, draft)?,
        _ => credential(&mut own, &mut params, &name, draft),
    }
    limits(&mut own, &mut params, &mut info, routing);
    price(&mut own, &mut params, &mut info, draft);
    if routing.drop_params || params.flag("drop_params") == Some(true) {
        own.insert("on_unsupported".to_owned(), "drop".into());
    }
    own.extend(params.text("region_name").map(|region| ("region".to_owned(), region.into())));
    let tags = params.texts("tags");
    if !tags.is_empty() {
        own.insert("tags".to_owned(), names(&tags));
    }
    let (weight, order) = (params.number("weight"), params.number("order").unwrap_or(1));
    params.finish(draft);
    info.ignore(&["id", "mode", "description", "supports_vision", "supports_function_calling"]);
    info.finish(draft);
    Some((name.clone(), Member { deployment: draft.deployment(&name, own), weight, order }))
}

/// Our provider and the model's name there.
fn provider(model: &str, has_base: bool) -> Option<(&'static str, &str)> {
    let known = model.split_once('/').and_then(|(prefix, rest)| {
        let (_, ours) = PROVIDERS.iter().find(|(theirs, _)| *theirs == prefix)?;
        Some((*ours, rest))
    });
    match known {
        Some(("openai", rest)) if has_base => Some(("openai_compatible", rest)),
        Some(known) => Some(known),
        None if model.contains('/') => None,
        None if model.starts_with("claude") => Some(("anthropic", model)),
        None if model.starts_with("command-") => Some(("cohere", model)),
        None if ["gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-"]
            .iter()
            .any(|own| model.starts_with(own)) =>
        {
            Some((if has_base { "openai_compatible" } else { "openai" }, model))
        }
        None => None,
    }
}

/// Where it is called.
fn address(own: &mut Table, provider: &str, base: Option<String>, params: &mut Source, draft: &mut Draft) {
    if provider == "ollama" {
        let base = base.unwrap_or_else(|| "http://127.0.0.1:11434".to_owned());
        let base = base.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        own.insert("base_url".to_owned(), format!("{base}/v1").into());
    } else {
        own.extend(base.map(|base| ("base_url".to_owned(), base.into())));
    }
    allow_plain_http(own, &params.path("api_base"), draft);
    if provider == "azure_openai" {
        own.extend(params.text("api_version").map(|version| ("api_version".to_owned(), version.into())));
    }
}

fn allow_plain_http(own: &mut Table, at: &str, draft: &mut Draft) {
    let Some(base) = own.get("base_url").and_then(Value::as_str) else { return };
    let loopback =
        ["http://127.", "http://localhost", "http://[::1]"].iter().any(|own| base.starts_with(own));
    if base.starts_with("http://") && !loopback {
        own.insert("allow_plain_http".to_owned(), Value::Boolean(true));
        draft.changed(
            at,
            "plain HTTP beyond this machine is allowed, since the other file did: prompts go in clear text",
        );
    }
}

fn credential(own: &mut Table, params: &mut Source, name: &str, draft: &mut Draft) {
    if own.get("provider").and_then(Value::as_str) == Some("azure_openai") {
        if ENTRA.secrets.iter().any(|key| params.has(key)) {
            own.insert("authentication".to_owned(), "entra".into());
            return cloud::secrets(Account::Entra, own, params, &ENTRA, name, draft);
        }
        let at = params.path("azure_ad_token");
        if let Some(token) = params.text("azure_ad_token") {
            own.insert("authentication".to_owned(), "bearer".into());
            own.insert("credential".to_owned(), draft.secret(&at, Some(&token), name));
            return;
        }
    }
    let needs =
        !matches!(own.get("provider").and_then(Value::as_str), Some("ollama" | "openai_compatible" | "vllm"));
    let at = params.path("api_key");
    let key = params.text("api_key");
    if needs || key.is_some() {
        let reference = draft.secret(&at, key.as_deref(), name);
        own.insert("credential".to_owned(), reference);
    }
}

fn limits(own: &mut Table, params: &mut Source, info: &mut Source, routing: &Routing) {
    let mut limits = Table::new();
    for (theirs, ours) in [
        ("rpm", "requests_per_minute"),
        ("tpm", "tokens_per_minute"),
        ("max_parallel_requests", "max_in_flight"),
    ] {
        let bound =
            params.number(theirs).and_then(|bound| i64::try_from(bound).ok()).filter(|bound| *bound > 0);
        limits.extend(bound.map(|bound| (ours.to_owned(), Value::Integer(bound))));
    }
    if !limits.is_empty() {
        own.insert("limits".to_owned(), Value::Table(limits));
    }
    let mut timeouts = Table::new();
    let seconds = [
        ("total_ms", params.number("timeout").or(routing.timeout)),
        ("first_content_ms", params.number("stream_timeout")),
    ];
    for (ours, seconds) in seconds {
        let ms =
            seconds.and_then(|seconds| i64::try_from(seconds.saturating_mul(1000).clamp(1, 3_600_000)).ok());
        timeouts.extend(ms.map(|ms| (ours.to_owned(), Value::Integer(ms))));
    }
    if !timeouts.is_empty() {
        own.insert("timeouts".to_owned(), Value::Table(timeouts));
    }
    for (theirs, ours) in [("max_input_tokens", "context_tokens"), ("max_output_tokens", "max_output_tokens")]
    {
        let bound =
            info.number(theirs).and_then(|bound| i64::try_from(bound).ok()).filter(|bound| *bound > 0);
        own.extend(bound.map(|bound| (ours.to_owned(), Value::Integer(bound))));
    }
    own.extend(info.text("base_model").map(|base| {
        let base = base.split_once('/').map_or_else(|| base.clone(), |(_, rest)| rest.to_owned());
        ("base_model".to_owned(), base.into())
    }));
}

/// Dollars for a token as dollars for a million.
fn price(own: &mut Table, params: &mut Source, info: &mut Source, draft: &mut Draft) {
    let mut price = Table::new();
    for (theirs, ours) in [
        ("input_cost_per_token", "input"),
        ("output_cost_per_token", "output"),
        ("cache_read_input_token_cost", "cached_input"),
        ("cache_creation_input_token_cost", "cache_write_5m"),
    ] {
        let Some(text) = params.text(theirs).or_else(|| info.text(theirs)) else { continue };
        match text.parse::<f64>().ok().filter(|cost| (0.0..1.0).contains(cost)) {
            Some(cost) => {
                let million = format!("{:.6}", cost * 1_000_000.0);
                let million = million.trim_end_matches('0').trim_end_matches('.').to_owned();
                price.insert(ours.to_owned(), million.into());
            }
            None => draft.not_carried(&params.path(theirs), "no amount of money"),
        }
    }
    if price.contains_key("input") && price.contains_key("output") {
        own.insert("price".to_owned(), Value::Table(price));
    } else if !price.is_empty() {
        draft.not_carried(&params.path("input_cost_per_token"), "a price needs both input and output");
    }
}

fn model(
    name: &str,
    members: &[Member],
    groups: &BTreeMap<String, Vec<Member>>,
    routing: &Routing,
    draft: &mut Draft,
) -> Table {
    let mut tiers: Vec<Value> = group(members, routing);
    let others = routing.fallbacks.get(name).unwrap_or(&routing.everyone);
    for other in others.iter().filter(|other| *other != name) {
        match groups.get(other) {
            // Its deployments and not the model: two models that fall back to each other would be a circle.
            Some(members) => tiers.extend(group(members, routing)),
            None => draft.not_carried(&format!("fallbacks ({name})"), format!("no model '{other}'")),
        }
    }
    let mut model = match (tiers.len(), tiers.pop()) {
        (1, Some(Value::Table(only))) => only,
        (_, last) => {
            tiers.extend(last);
            table([("strategy", "priority".into()), ("members", Value::Array(tiers))])
        }
    };
    if let Some(retries) = routing.retries {
        let attempts = i64::try_from(retries.saturating_add(1).min(10)).unwrap_or(10);
        model.insert("retry".to_owned(), Value::Table(table([("max_attempts", Value::Integer(attempts))])));
    }
    let mut fallbacks = Table::new();
    for (ours, theirs) in [("context_window", &routing.context), ("content_policy", &routing.policy)] {
        let known: Vec<String> = theirs
            .get(name)
            .into_iter()
            .flatten()
            .filter(|other| groups.contains_key(*other))
            .cloned()
            .collect();
        if !known.is_empty() {
            fallbacks.insert(ours.to_owned(), names(&known));
        }
    }
    if !fallbacks.is_empty() {
        model.insert("fallbacks".to_owned(), Value::Table(fallbacks));
    }
    model
}

/// One strategy for each `order`, lowest first.
fn group(members: &[Member], routing: &Routing) -> Vec<Value> {
    let mut orders: Vec<u64> = members.iter().map(|member| member.order).collect();
    orders.sort_unstable();
    orders.dedup();
    let strategy = routing.strategy.as_deref().unwrap_or("weighted");
    let tier = |order: &u64| {
        let tier = members.iter().filter(|member| member.order == *order);
        let members = tier.map(|member| match member.weight {
            Some(weight) if strategy == "weighted" => weighted(&member.deployment, weight),
            _ => member.deployment.as_str().into(),
        });
        Value::Table(table([("strategy", strategy.into()), ("members", Value::Array(members.collect()))]))
    };
    orders.iter().map(tier).collect()
}
