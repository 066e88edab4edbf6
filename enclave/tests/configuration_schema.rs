//! `deploy/postern-enclave.schema.json` says what the types of the configuration accept: the same keys at each level, of
//! the same types, within the same bounds. It is kept by hand, so that no generator is part of the program.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test reads files and fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{SecretError, SecretReference, SecretSource, build};
use gateway::plaintext::Secret;
use postern_enclave::config::Config;
use serde::Deserialize;
use serde_json::{Value, json};

#[path = "../../client-verifier/tests/appraise/json_schema.rs"]
mod json_schema;

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn schema() -> Value {
    let text = fs::read_to_string(tree("deploy/postern-enclave.schema.json")).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

/// A table that the schema describes, as part of a document with nothing but what is required around it.
struct Level {
    schema: Value,
    document: Value,
    /// Where in the document the table is.
    at: String,
}

impl Level {
    fn keys(&self) -> BTreeSet<&str> {
        self.schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect()
    }

    /// The document with one more key in this table.
    fn with(&self, root: &Value, key: &str, value: Value) -> Value {
        let mut table = least(root, &self.schema, Some(key));
        table[key] = value;
        replaced(&self.document, &self.at, table)
    }
}

fn levels(root: &Value) -> Vec<Level> {
    let mut found = Vec::new();
    visit(root, root, &least(root, root, None), "", &mut BTreeSet::new(), &mut found);
    found
}

fn visit(
    root: &Value,
    schema: &Value,
    document: &Value,
    at: &str,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<Level>,
) {
    let schema = match schema["$ref"].as_str() {
        Some(name) if !seen.insert(name.to_owned()) => return,
        _ => resolved(root, schema),
    };
    if let Some(item) = schema.get("items") {
        let document = replaced(document, at, json!([least(root, item, None)]));
        return visit(root, item, &document, &format!("{at}/0"), seen, found);
    }
    for member in schema["patternProperties"].as_object().into_iter().flat_map(|own| own.values()) {
        let document = replaced(document, at, json!({ NAME: least(root, member, None) }));
        visit(root, member, &document, &format!("{at}/{NAME}"), seen, found);
    }
    let Some(properties) = schema["properties"].as_object() else {
        let open = schema["type"] == "object" && schema["patternProperties"].is_null();
        assert!(!open, "{at}: an object of which the schema says nothing");
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            let document = replaced(document, at, least(root, choice, None));
            visit(root, choice, &document, at, seen, found);
        }
        return;
    };
    let level = Level { schema: schema.clone(), document: document.clone(), at: at.to_owned() };
    for (key, property) in properties {
        let document = level.with(root, key, least(root, property, None));
        visit(root, property, &document, &format!("{at}/{key}"), seen, found);
    }
    found.push(level);
}

/// The name of whatever has a free name; the schema's examples use it too.
const NAME: &str = "gpt";

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"))
}

/// The least value that a schema allows; of alternatives, the one that names `key`, or else the first.
fn least(root: &Value, schema: &Value, key: Option<&str>) -> Value {
    let schema = resolved(root, schema);
    let given = schema.get("const").or_else(|| schema.pointer("/enum/0"));
    if let Some(value) = given.or_else(|| schema.pointer("/examples/0")) {
        return value.clone();
    }
    let choices: Vec<&Value> = schema["anyOf"].as_array().into_iter().flatten().collect();
    let names = |choice: &&&Value| {
        choice["required"].as_array().into_iter().flatten().any(|name| name.as_str() == key)
    };
    let choice = choices.iter().find(names).or_else(|| choices.first());
    match schema["type"].as_str() {
        Some("object") => {
            let required = [Some(&schema), choice].into_iter().flatten();
            let required = required.flat_map(|own| own["required"].as_array().into_iter().flatten());
            let names = required.map(|name| name.as_str().expect("a name"));
            names.map(|name| (name.to_owned(), least(root, &schema["properties"][name], None))).collect()
        }
        Some("array") => {
            let length = usize::try_from(schema["minItems"].as_u64().unwrap_or(0)).expect("small");
            vec![least(root, &schema["items"], None); length].into()
        }
        Some("integer") => schema["minimum"].clone(),
        Some("boolean") => false.into(),
        _ => least(root, choice.unwrap_or_else(|| panic!("no example for {schema}")), key),
    }
}

fn replaced(document: &Value, at: &str, value: Value) -> Value {
    let mut document = document.clone();
    *document.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value;
    document
}

fn read(document: &Value) -> Result<Config, String> {
    let table = toml::Table::try_from(document).expect("TOML");
    Config::deserialize(table).map_err(|error| error.message().to_owned())
}

#[test]
fn the_schema_lists_the_keys_that_the_parser_knows() {
    let root = schema();
    let levels = levels(&root);
    assert!(levels.len() > 25, "{}", levels.len());
    for level in &levels {
        let error = read(&level.with(&root, "no_such_key", 0.into())).expect_err("unknown");
        assert!(error.starts_with("unknown field `no_such_key`, expected "), "{}: {error}", level.at);
        let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(level.keys(), known, "{}", level.at);
    }
}

#[test]
fn the_parser_takes_what_the_schema_allows() {
    let root = schema();
    for level in levels(&root) {
        for (key, property) in level.schema["properties"].as_object().expect("properties") {
            let document = level.with(&root, key, least(&root, property, None));
            assert_eq!(json_schema::check(&root, &root, &document, ""), Ok(()), "{}/{key}", level.at);
            assert_eq!(read(&document).err(), None, "{}/{key}", level.at);
            for value in resolved(&root, property)["enum"].as_array().into_iter().flatten() {
                let document = level.with(&root, key, value.clone());
                assert_eq!(read(&document).err(), None, "{}/{key}: {value}", level.at);
            }
        }
    }
}

#[test]
fn no_level_of_the_schema_is_open() {
    let root = schema();
    for level in levels(&root) {
        assert_eq!(level.schema["additionalProperties"], false, "{}", level.at);
        let document = level.with(&root, "no_such_key", 0.into());
        assert!(json_schema::check(&root, &root, &document, "").is_err(), "{}", level.at);
        for (key, property) in level.schema["properties"].as_object().expect("properties") {
            let described =
                [property, resolved(&root, property)].iter().any(|own| own["description"].is_string());
            assert!(described, "{}/{key} has no description", level.at);
        }
    }
}

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn read(&self, _: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        Err(SecretError::Missing)
    }
}

/// What reading and building say of a document; nothing if they accept it.
fn complaint(document: &Value) -> Option<String> {
    let mut document = document.clone();
    if document.pointer("/gateway/deployments/gpt").is_none() {
        document["gateway"]["deployments"][NAME] = json!({ "provider": "openai", "model": "m" });
    }
    let text = toml::to_string(&document).expect("TOML").replace("\"openai\"", "\"builtin\"");
    match Config::parse(&text) {
        Err(error) => Some(error.to_string()),
        Ok(config) => build(&config.gateway, &NoSecrets).err().map(|error| error.to_string()),
    }
}

#[test]
fn the_bounds_of_the_schema_are_those_of_the_checks() {
    let root = schema();
    let mut bounds = 0;
    // Which settings a strategy or a guardrail reads, and keys, caches, prompts and probes, depend on more than one value.
    let apart = [
        "/strategy",
        "/members",
        "/deployments/0",
        "/admission",
        "/cache",
        "/guardrails",
        "/prompts",
        "/probe",
    ];
    for level in levels(&root).iter().filter(|level| !apart.iter().any(|own| level.at.contains(own))) {
        let (mut parent, numbers) = (level.at.rsplit('/').next().unwrap_or_default(), level.keys());
        if parent == "0" {
            parent = "long_context";
        }
        for key in numbers {
            let property = &level.schema["properties"][key];
            for (bound, step) in [("minimum", -1), ("maximum", 1)] {
                let Some(edge) = property[bound].as_i64().filter(|edge| edge + step >= 0) else { continue };
                let names = |text: &String| text.contains(key) || text.contains(&format!(" {parent}:"));
                let within = complaint(&level.with(&root, key, edge.into())).filter(names);
                assert_eq!(within, None, "{}/{key}: {edge}", level.at);
                let beyond = complaint(&level.with(&root, key, (edge + step).into()));
                assert!(beyond.as_ref().is_some_and(names), "{}/{key}: beyond {edge}: {beyond:?}", level.at);
                bounds += 1;
            }
        }
    }
    assert!(bounds > 50, "{bounds}");
}

fn holds(what: &str, document: &Value) {
    let root = schema();
    assert_eq!(json_schema::check(&root, &root, document, what), Ok(()));
}

#[test]
fn the_samples_of_the_readme_are_valid() {
    let readme = fs::read_to_string(tree("README.md")).expect("the README");
    let blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let tables = blocks.map(|text| toml::from_str::<Value>(text).expect("TOML"));
    let samples: Vec<Value> = tables.filter(|table| table["gateway"].is_object()).collect();
    let [whole, gateway] = samples.as_slice() else { panic!("{} samples", samples.len()) };
    holds("README", whole);
    let mut table = whole.clone();
    table["gateway"] = gateway["gateway"].clone();
    holds("README", &table);
    table["gateway"]["models"]["smart"]["strategi"] = "priority".into();
    let root = schema();
    assert!(json_schema::check(&root, &root, &table, "README").is_err());
}

#[test]
fn the_configurations_of_the_golden_cases_are_valid() {
    let root = schema();
    let mut cases = 0;
    for wire in fs::read_dir(tree("enclave/gateway/tests/golden")).expect("golden cases") {
        for case in fs::read_dir(wire.expect("readable").path()).expect("a folder") {
            let file = case.expect("readable").path().join("config.toml");
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let own: Value = toml::from_str(&text).expect("TOML");
            let mut document = least(&root, &root, None);
            for (table, value) in own.as_object().expect("a table") {
                document["gateway"][table] = value.clone();
            }
            holds(&file.display().to_string(), &document);
            cases += 1;
        }
    }
    assert!(cases > 40, "{cases}");
}
