use super::*;
use crate::import::draft::Kind;

#[path = "../../../../tests/appraise/json_schema.rs"]
#[allow(clippy::as_conversions, clippy::wildcard_enum_match_arm, reason = "test code of two crates")]
mod json_schema;

fn imported(format: Format, text: &str) -> (toml::Table, String, Vec<(Kind, String)>) {
    let draft = read(format, parse(text).expect("a table"));
    let text = draft.render();
    let notes = draft.notes().iter().map(|note| (note.kind, note.at.clone())).collect();
    let everything = format!("{text}{}", serde_json::to_string(draft.notes()).expect("notes are JSON"));
    for secret in ["SECRET", "sk-"] {
        assert!(!everything.contains(secret), "a secret came along: {everything}");
    }
    let table: toml::Table = text.parse().expect("TOML");
    let schema = include_str!("../../../../../deploy/postern-enclave.schema.json");
    let schema = serde_json::from_str(schema).expect("JSON");
    let document = serde_json::to_value(&table).expect("JSON");
    assert_eq!(json_schema::check(&schema, &schema, &document, ""), Ok(()), "{text}");
    (table, text, notes)
}

fn at<'t>(table: &'t toml::Table, path: &str) -> &'t toml::Value {
    let mut keys = path.split(' ');
    let first = &table[keys.next().expect("a path")];
    keys.fold(first, |value, key| match key.parse::<usize>() {
        Ok(place) => &value[place],
        Err(_) => &value[key],
    })
}

fn has(notes: &[(Kind, String)], kind: Kind, at: &str) -> bool {
    notes.iter().any(|(own, place)| *own == kind && place == at)
}

#[test]
fn litellm_groups_become_models_with_tiers() {
    let (table, text, notes) =
        imported(Format::Litellm, include_str!("../../../../tests/import/litellm.yaml"));
    let deployments = "gateway deployments";
    assert_eq!(at(&table, &format!("{deployments} gpt-4o provider")).as_str(), Some("azure_openai"));
    assert_eq!(at(&table, &format!("{deployments} gpt-4o base_model")).as_str(), Some("gpt-4o"));
    assert_eq!(
        at(&table, &format!("{deployments} gpt-4o credential")).as_str(),
        Some("env:AZURE_API_KEY_EU")
    );
    assert_eq!(
        at(&table, &format!("{deployments} gpt-4o limits requests_per_minute")).as_integer(),
        Some(600)
    );
    assert_eq!(
        at(&table, &format!("{deployments} gpt-4o-2 credential")).as_str(),
        Some("file:/config/gpt-4o.key")
    );
    assert_eq!(at(&table, &format!("{deployments} gpt-4o-2 timeouts total_ms")).as_integer(), Some(300_000));
    assert_eq!(at(&table, &format!("{deployments} long price input")).as_str(), Some("1.25"));
    assert_eq!(at(&table, &format!("{deployments} long price output")).as_str(), Some("10"));
    assert_eq!(
        at(&table, &format!("{deployments} local base_url")).as_str(),
        Some("http://localhost:11434/v1")
    );
    assert_eq!(at(&table, &format!("{deployments} own allow_plain_http")).as_bool(), Some(true));
    assert_eq!(at(&table, &format!("{deployments} small on_unsupported")).as_str(), Some("drop"));
    let tiers = at(&table, "gateway models gpt-4o members").as_array().expect("tiers").len();
    assert_eq!(tiers, 3, "its own deployments, then those of its fall-backs: {text}");
    assert_eq!(at(&table, "gateway models gpt-4o members 0 members 0 weight").as_integer(), Some(2));
    assert_eq!(at(&table, "gateway models small fallbacks context_window 0").as_str(), Some("long"));
    assert_eq!(at(&table, "gateway models small retry max_attempts").as_integer(), Some(3));
    for place in [
        "model_list[6]",
        "model_list[7].litellm_params.model",
        "model_list[9].litellm_params.aws_role_name",
        "model_list[12].litellm_params.vertex_project",
        "model_list[1].litellm_params.organization",
        "router_settings.allowed_fails",
        "litellm_settings.success_callback",
        "general_settings.master_key",
        "general_settings.database_url",
    ] {
        assert!(has(&notes, Kind::NotCarried, place), "{place} is not reported: {notes:?}");
    }
    assert!(has(&notes, Kind::Secret, "model_list[1].litellm_params.api_key"));
    assert!(has(&notes, Kind::Changed, "model_list[5].litellm_params.api_base"));
}

#[test]
fn litellm_accounts_at_clouds_become_documents() {
    let (table, _, notes) = imported(Format::Litellm, include_str!("../../../../tests/import/litellm.yaml"));
    for (deployment, key, expected) in [
        ("gemini-eu", "provider", "vertex"),
        ("gemini-eu", "project", "my-project-1"),
        ("gemini-eu", "region", "europe-west4"),
        ("gemini-eu", "credential", "env:VERTEX_KEY_FILE"),
        ("claude-aws", "model", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("claude-aws", "region", "us-west-2"),
        ("claude-aws", "credential", "file:/config/claude-aws.json"),
        ("gpt-entra", "authentication", "entra"),
        ("gpt-entra", "credential", "file:/config/gpt-entra.json"),
        ("command", "provider", "cohere"),
    ] {
        let found = at(&table, &format!("gateway deployments {deployment} {key}"));
        assert_eq!(found.as_str(), Some(expected), "{deployment}.{key}");
    }
    assert!(has(&notes, Kind::Secret, "model_list[9].litellm_params.aws_access_key_id"));
    assert!(has(&notes, Kind::Secret, "model_list[10].litellm_params.client_secret"));
}

#[test]
fn portkey_strategies_nest() {
    let (table, _, notes) = imported(Format::Portkey, include_str!("../../../../tests/import/portkey.json"));
    let model = "gateway models default";
    assert_eq!(at(&table, &format!("{model} strategy")).as_str(), Some("priority"));
    assert_eq!(at(&table, &format!("{model} members 0 strategy")).as_str(), Some("weighted"));
    assert_eq!(at(&table, &format!("{model} members 0 members 0 weight")).as_integer(), Some(700));
    assert_eq!(at(&table, &format!("{model} members 1 use")).as_str(), Some("groq-llama-3.3-70b-versatile"));
    assert_eq!(at(&table, &format!("{model} retry max_attempts")).as_integer(), Some(4));
    let azure = "gateway deployments azure_openai-gpt-4o-mini";
    assert_eq!(at(&table, &format!("{azure} base_url")).as_str(), Some("https://res.openai.azure.com"));
    assert_eq!(at(&table, &format!("{azure} model")).as_str(), Some("mini"));
    for (deployment, key, expected) in [
        ("vertex-gemini-2.5-pro", "region", "global"),
        ("vertex-gemini-2.5-pro", "credential", "file:/config/vertex.json"),
        ("bedrock-amazon.nova-pro-v1-0", "region", "eu-west-1"),
        ("azure_openai-gpt-4o", "authentication", "entra"),
    ] {
        let found = at(&table, &format!("gateway deployments {deployment} {key}"));
        assert_eq!(found.as_str(), Some(expected), "{deployment}.{key}");
    }
    for place in [
        "targets[2].provider",
        "targets[1].virtual_key",
        "targets[0].targets[0].override_params.temperature",
        "strategy.on_status_codes",
        "retry.on_status_codes",
        "cache",
    ] {
        assert!(has(&notes, Kind::NotCarried, place), "{place} is not reported: {notes:?}");
    }
}

#[test]
fn bifrost_keys_become_weighted_members() {
    let (table, _, notes) = imported(Format::Bifrost, include_str!("../../../../tests/import/bifrost.json"));
    let model = "gateway models openai/gpt-4o";
    assert_eq!(at(&table, &format!("{model} members 0 weight")).as_integer(), Some(600));
    assert_eq!(at(&table, &format!("{model} members 1 use")).as_str(), Some("second-gpt-4o"));
    assert_eq!(at(&table, "gateway models gpt-4o-mini members 0").as_str(), Some("openai/gpt-4o-mini"));
    assert_eq!(at(&table, "gateway deployments azure_openai-gpt-4o model").as_str(), Some("gpt-4o-aug"));
    assert_eq!(
        at(&table, "gateway deployments first-gpt-4o credential").as_str(),
        Some("env:OPENAI_API_KEY")
    );
    assert_eq!(
        at(&table, "gateway deployments ollama-llama3.1 base_url").as_str(),
        Some("http://localhost:11434/v1")
    );
    for (deployment, key, expected) in [
        ("google-gemini-2.5-pro", "project", "my-project-1"),
        ("google-gemini-2.5-pro", "credential", "env:VERTEX_CREDENTIALS"),
        ("aws-claude", "region", "us-east-1"),
        ("aws-claude", "model", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws-claude", "credential", "file:/config/aws.json"),
    ] {
        let found = at(&table, &format!("gateway deployments {deployment} {key}"));
        assert_eq!(found.as_str(), Some(expected), "{deployment}.{key}");
    }
    for place in [
        "client",
        "providers.bedrock.keys[0].bedrock_key_config.region",
        "providers.openai.concurrency_and_buffer_size",
    ] {
        assert!(has(&notes, Kind::NotCarried, place), "{place} is not reported: {notes:?}");
    }
    assert!(has(&notes, Kind::Secret, "providers.openai.keys[1].value"));
}

#[test]
fn openrouter_options_become_an_order() {
    let (table, _, notes) =
        imported(Format::Openrouter, include_str!("../../../../tests/import/openrouter.json"));
    assert_eq!(at(&table, "gateway models default strategy").as_str(), Some("least_cost"));
    assert_eq!(at(&table, "gateway models default members").as_array().map(Vec::len), Some(3));
    let first = "gateway deployments anthropic-claude-sonnet-4.5";
    assert_eq!(at(&table, &format!("{first} model")).as_str(), Some("anthropic/claude-sonnet-4.5"));
    assert_eq!(at(&table, &format!("{first} exposure")).as_str(), Some("contract_zdr"));
    for place in ["provider.order", "provider.max_price", "transforms"] {
        assert!(has(&notes, Kind::NotCarried, place), "{place} is not reported: {notes:?}");
    }
}

#[test]
fn what_is_no_configuration_is_refused() {
    for text in ["", "[]", "just words", "a: [", "{\"a\":"] {
        assert!(parse(text).is_none(), "{text}");
    }
    assert!(read(Format::Litellm, serde_json::json!({ "model_list": 3 })).is_empty());
    assert!(read(Format::Portkey, serde_json::json!({ "targets": [[1]], "strategy": "x" })).is_empty());
    assert!(
        read(Format::Bifrost, serde_json::json!({ "providers": { "openai": { "keys": [null] } } }))
            .is_empty()
    );
}
