//! The routing options that `OpenRouter`'s clients send with each request (`model`, `models`, `provider`), as a model of
//! ours over the same upstream.

use serde_json::Value as Json;
use toml::Value;

use super::draft::{Draft, table};
use super::source::Source;

/// Clients call it this if the options name no model.
const NAME: &str = "default";

pub(super) fn read(source: Json, draft: &mut Draft) {
    let mut source = Source::new(source, "", draft);
    let mut models: Vec<String> = source.text("model").into_iter().collect();
    models.extend(source.texts("models"));
    models.dedup();
    let mut provider = source.table("provider", draft);
    let strategy = match provider.text("sort").as_deref() {
        Some("price") => "least_cost",
        Some("latency" | "throughput") => "least_latency",
        Some(_) => {
            draft.not_carried("provider.sort", "no such order here");
            "priority"
        }
        None => "priority",
    };
    let no_collection = provider.text("data_collection").as_deref() == Some("deny");
    let retained = provider.flag("zdr") == Some(true);
    if no_collection || retained {
        draft.changed(
            "provider",
            "the deployments are stated as 'contract_zdr': that is your word, so ask OpenRouter for it in your account too",
        );
    }
    let strict = provider.flag("require_parameters");
    provider.finish(draft);
    source.ignore(&["messages", "stream", "usage", "route"]);
    source.finish(draft);
    let mut members = Vec::new();
    for model in &models {
        let mut own = table([("provider", "openrouter".into()), ("model", model.as_str().into())]);
        own.insert(
            "credential".to_owned(),
            draft.secret("authorization", Some("env:OPENROUTER_API_KEY"), "openrouter"),
        );
        if no_collection || retained {
            own.insert("exposure".to_owned(), "contract_zdr".into());
        }
        own.extend(
            strict.map(|strict| {
                ("on_unsupported".to_owned(), Value::from(if strict { "error" } else { "drop" }))
            }),
        );
        let name = draft.deployment(model, own);
        members.push(Value::from(name.as_str()));
        let alone = table([("members", Value::Array(vec![name.into()]))]);
        draft.model(model, alone, "models");
    }
    if members.len() > 1 {
        draft.model(
            NAME,
            table([("strategy", strategy.into()), ("members", Value::Array(members))]),
            "models",
        );
        draft.changed("models", format!("clients that want this order ask for the model '{NAME}'"));
    }
}
