//! Portkey's routing configuration (JSON: `strategy`, `targets`, `retry`, `override_params`).

use serde_json::Value as Json;
use toml::Value;

use super::cloud::{self, Account, Names};
use super::draft::{Draft, table};
use super::source::Source;

/// Its provider names: theirs, ours.
const PROVIDERS: &[(&str, &str)] = &[
    ("anthropic", "anthropic"),
    ("azure-openai", "azure_openai"),
    ("bedrock", "bedrock"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks-ai", "fireworks"),
    ("google", "gemini"),
    ("groq", "groq"),
    ("mistral-ai", "mistral_ai"),
    ("nebius", "nebius"),
    ("ollama", "ollama"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("perplexity-ai", "perplexity"),
    ("sambanova", "sambanova"),
    ("together-ai", "together"),
    ("vertex-ai", "vertex"),
    ("x-ai", "x_ai"),
];

/// Where it names the parts of cloud accounts.
const VERTEX: Names = Names {
    project: "vertex_project_id",
    location: "vertex_region",
    secrets: &["vertex_service_account_json"],
};
const BEDROCK: Names = Names {
    project: "",
    location: "aws_region",
    secrets: &["aws_access_key_id", "aws_secret_access_key", "aws_session_token"],
};
const ENTRA: Names = Names {
    project: "",
    location: "",
    secrets: &["azure_entra_client_secret", "azure_entra_client_id", "azure_entra_tenant_id"],
};

/// What targets inherit.
#[derive(Clone, Default)]
struct Inherited {
    model: Option<String>,
    timeout_ms: Option<u64>,
}

/// The file has no name for it: clients call it this.
const NAME: &str = "default";

pub(super) fn read(source: Json, draft: &mut Draft) {
    let attempts = source.pointer("/retry/attempts").and_then(Json::as_u64);
    if let Some(Value::Table(mut model)) = target(source, "", &Inherited::default(), draft) {
        if let Some(attempts) = attempts {
            let attempts = i64::try_from(attempts.saturating_add(1).min(10)).unwrap_or(10);
            model.insert(
                "retry".to_owned(),
                Value::Table(table([("max_attempts", Value::Integer(attempts))])),
            );
        }
        model.remove("weight");
        if let Some(only) = model.remove("use") {
            model.insert("members".to_owned(), Value::Array(vec![only]));
        }
        draft.model(NAME, model, "targets");
        draft.changed("", format!("the file names no model: clients ask for '{NAME}'"));
    }
}

/// A target as a member: a deployment, or a strategy with members.
fn target(value: Json, at: &str, inherited: &Inherited, draft: &mut Draft) -> Option<Value> {
    let mut source = Source::new(value, at, draft);
    let mut overrides = source.table("override_params", draft);
    let inherited = Inherited {
        model: overrides.text("model").or_else(|| inherited.model.clone()),
        timeout_ms: source.number("request_timeout").or(inherited.timeout_ms),
    };
    overrides.finish(draft);
    let mut retry = source.table("retry", draft);
    if at.is_empty() {
        retry.ignore(&["attempts"]);
    }
    retry.finish(draft);
    let weight = source.text("weight").and_then(|weight| weight.parse::<f64>().ok());
    source.ignore(&["name", "id"]);
    let targets = source.list("targets");
    let member = if targets.is_empty() {
        deployment(&mut source, &inherited, draft)
    } else {
        strategy(&mut source, targets, &inherited, draft)
    };
    source.finish(draft);
    let mut member = member?;
    // Shares there are fractions, here whole numbers.
    if let (Some(weight), Value::Table(member)) = (weight, &mut member) {
        let thousandths = format!("{:.0}", (weight * 1000.0).clamp(0.0, 1_000_000.0));
        member.insert("weight".to_owned(), Value::Integer(thousandths.parse().unwrap_or(1000)));
    }
    Some(member)
}

fn strategy(
    source: &mut Source,
    targets: Vec<(Json, String)>,
    inherited: &Inherited,
    draft: &mut Draft,
) -> Option<Value> {
    let mut strategy = source.table("strategy", draft);
    let mode = strategy.text("mode").unwrap_or_else(|| "single".to_owned());
    let at = strategy.path("mode");
    if mode == "conditional" {
        draft.not_carried(
            &strategy.path("conditions"),
            "conditions have to be written anew, as 'when' of members",
        );
        strategy.ignore(&["conditions", "default"]);
    }
    strategy.finish(draft);
    let ours = match mode.as_str() {
        "loadbalance" => "weighted",
        "single" | "fallback" => "priority",
        "conditional" => {
            draft.changed(&at, "its targets are tried in order");
            "priority"
        }
        _ => {
            draft.changed(&at, "no such mode here: its targets are tried in order");
            "priority"
        }
    };
    let take = if mode == "single" { 1 } else { usize::MAX };
    let members = targets.into_iter().take(take).filter_map(|(value, at)| {
        let mut member = target(value, &at, inherited, draft)?;
        if ours != "weighted"
            && let Value::Table(member) = &mut member
        {
            member.remove("weight");
        }
        Some(member)
    });
    let members: Vec<Value> = members.collect();
    let whole = table([("strategy", ours.into()), ("members", Value::Array(members.clone()))]);
    (!members.is_empty()).then_some(Value::Table(whole))
}

fn deployment(source: &mut Source, inherited: &Inherited, draft: &mut Draft) -> Option<Value> {
    let at = source.path("provider");
    let provider = source.text("provider").unwrap_or_default();
    let host = source.text("custom_host");
    let key = source.text("api_key");
    if source.take("virtual_key").is_some() {
        draft.not_carried(&source.path("virtual_key"), "it lives in Portkey's service");
    }
    let provider = match PROVIDERS.iter().find(|(theirs, _)| *theirs == provider) {
        Some((_, "openai")) if host.is_some() => "openai_compatible",
        Some((_, ours)) => ours,
        None => {
            draft.not_carried(&at, "no such provider here, or one that has to be set up by hand");
            return None;
        }
    };
    let Some(model) = inherited.model.clone() else {
        draft.not_carried(&at, "names no model: state 'override_params.model'");
        return None;
    };
    let mut own = table([("provider", provider.into()), ("model", model.as_str().into())]);
    if provider == "azure_openai" {
        let resource = source.text("azure_resource_name").or_else(|| source.text("resource_name"));
        own.extend(
            resource.map(|name| ("base_url".to_owned(), format!("https://{name}.openai.azure.com").into())),
        );
        let named = source.text("azure_deployment_id").or_else(|| source.text("deployment_id"));
        own.extend(named.map(|named| ("model".to_owned(), named.into())));
        own.insert("base_model".to_owned(), model.as_str().into());
        let version = source.text("azure_api_version").or_else(|| source.text("api_version"));
        own.extend(version.map(|version| ("api_version".to_owned(), version.into())));
    }
    match host {
        Some(host) => drop(own.insert("base_url".to_owned(), host.into())),
        None if provider == "ollama" => {
            drop(own.insert("base_url".to_owned(), "http://127.0.0.1:11434/v1".into()));
        }
        None => {}
    }
    let is_entra = provider == "azure_openai" && source.text("azure_auth_mode").as_deref() == Some("entra");
    if is_entra {
        own.insert("authentication".to_owned(), "entra".into());
        cloud::secrets(Account::Entra, &mut own, source, &ENTRA, provider, draft);
    } else if provider == "vertex" {
        cloud::vertex(&mut own, source, &VERTEX, provider, draft)?;
    } else if provider == "bedrock" {
        cloud::bedrock(&mut own, source, &BEDROCK, provider, draft)?;
    } else if provider != "ollama" {
        let reference = draft.secret(&source.path("api_key"), key.as_deref(), provider);
        own.insert("credential".to_owned(), reference);
    }
    if let Some(ms) = inherited.timeout_ms.and_then(|ms| i64::try_from(ms.clamp(1, 3_600_000)).ok()) {
        own.insert("timeouts".to_owned(), Value::Table(table([("total_ms", Value::Integer(ms))])));
    }
    let name = draft.deployment(&format!("{provider}-{model}"), own);
    Some(Value::Table(table([("use", name.into())])))
}
