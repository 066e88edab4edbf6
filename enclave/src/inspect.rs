//! Configuration files looked at without a TEE, keys or a listener: `check`, `diff` and `explain`.
//!
//! Names keys and shows public values; what could be a secret in the wrong place is never shown.

use std::io::Read;
use std::path::Path;

use gateway::config::SecretSource;
use gateway::config::problems::{self, NoSecrets};
use gateway::pipeline::dry_run;
use gateway::route::wishes::Wishes;
use gateway::{Clock, Plaintext};
use toml::{Table, Value};

use crate::active::Active;
use crate::boot::source_is_named;
use crate::clock::ProcessClock;
use crate::config::{Config, ConfigError};
use crate::secrets::{Recording, References};

/// What was found, a line each.
#[derive(Debug)]
pub struct Report {
    /// For people and scripts: a stable code first.
    pub lines: Vec<String>,
    /// Nothing stands in the way of using the file.
    pub usable: bool,
}

impl Report {
    fn unusable(problems: &[ConfigError]) -> Self {
        Self { lines: problems.iter().map(ToString::to_string).collect(), usable: false }
    }
}

/// Everything that is wrong with a file, or `ok` and its digest.
///
/// `without_secrets` takes it for granted that references lead to good secrets, so that a file can be checked where they
/// are not.
pub fn check(file: &Path, without_secrets: bool) -> Report {
    let config = match Config::read(file).map_err(|error| vec![error]).and_then(|text| Config::examine(&text))
    {
        Ok(config) => config,
        Err(problems) => return Report::unusable(&problems),
    };
    let secrets: Box<dyn SecretSource> = if without_secrets {
        Box::new(NoSecrets::of(&config.gateway))
    } else {
        Box::new(References::default())
    };
    let mut lines = Vec::new();
    if let Err(error) = source_is_named(&config) {
        lines.push(error.to_string());
    }
    let recording = Recording::new(&*secrets, &config.gateway);
    let found = problems::problems(config.gateway.clone(), &recording);
    lines.extend(found.into_iter().map(|error| ConfigError::Invalid(error).to_string()));
    if !lines.is_empty() {
        return Report { lines, usable: false };
    }
    // Asked once more through the first reading, no sealed secret is missing.
    match Active::build(config, &recording) {
        Err(error) => Report { lines: vec![error.to_string()], usable: false },
        Ok(active) => {
            let mut lines = unpriced(&active);
            lines.push(format!("ok: config_digest {}", active.digest.to_hex()));
            Report { lines, usable: true }
        }
    }
}

/// How a chat request read from `request` would be routed for a key, as JSON. Sends nothing; every deployment counts as
/// well and idle.
pub fn explain(file: &Path, key: &str, request: impl Read) -> Report {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => return Report::unusable(&[error]),
    };
    let refused = |line: String| Report { lines: vec![line], usable: false };
    let secrets = References::default();
    let recording = Recording::new(&secrets, &config.gateway);
    let gateway = match gateway::config::build(&config.gateway, &recording) {
        Ok(gateway) => gateway,
        Err(error) => return refused(error.to_string()),
    };
    let mut body = Vec::new();
    let limit = u64::try_from(gateway.max_body_bytes()).unwrap_or(u64::MAX);
    if let Err(error) = request.take(limit).read_to_end(&mut body) {
        return refused(format!("REQUEST: {}", error.kind()));
    }
    let wishes = Wishes::default();
    let now = ProcessClock::shared().now();
    let chat = &gateway::wire::openai_chat::OpenAiChat;
    match dry_run(chat, Plaintext::new(body.into()), key, &wishes, &gateway, now) {
        Ok(trace) => {
            let text = serde_json::to_string_pretty(&trace).unwrap_or_default();
            Report { lines: vec![text], usable: trace.error.is_none() }
        }
        Err(error) => refused(format!("REFUSED: {error}")),
    }
}

/// Deployments whose use nobody can put a price on: not wrong, but seldom meant.
fn unpriced(active: &Active) -> Vec<String> {
    let mut names: Vec<String> = active
        .gateway
        .iter()
        .flat_map(|gateway| gateway.models().iter())
        .flat_map(|model| model.deployments())
        .filter(|deployment| deployment.price.is_none())
        .map(|deployment| deployment.name.to_string())
        .collect();
    names.sort_unstable();
    names.dedup();
    let line = |name| format!("PRICE_UNKNOWN: deployments.{name}: no price in the catalogue; state 'price'");
    names.into_iter().map(line).collect()
}

/// What changes from one file to another, and what it takes to put the second in force.
pub fn diff(old: &Path, new: &Path) -> Report {
    let read = |file: &Path| {
        let text = Config::read(file).map_err(|error| vec![error])?;
        let config = Config::examine(&text)?;
        Ok::<_, Vec<ConfigError>>((config, text.parse::<Table>().unwrap_or_default()))
    };
    let ((old, before), (new, after)) = match (read(old), read(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(problems), _) | (_, Err(problems)) => return Report::unusable(&problems),
    };
    let mut lines = Vec::new();
    compare("", &before, &after, &mut lines);
    let start = old.differences_that_need_a_start(&new);
    let digests = [digest(old), digest(new)];
    lines.push(match &digests {
        [Some(old), Some(new)] if old == new => "clients see no difference".to_owned(),
        [Some(old), Some(new)] => format!("clients see: config_digest {old} -> {new}"),
        _ => "clients see: unknown, since a file has problems; see 'check'".to_owned(),
    });
    lines.push(match &start[..] {
        [] => "takes effect on SIGHUP".to_owned(),
        tables => format!("takes effect at a start only: {}", tables.join(", ")),
    });
    Report { lines, usable: true }
}

/// The digest that evidence would name; references are taken for granted, since they do not show in it.
fn digest(config: Config) -> Option<String> {
    let secrets = NoSecrets::of(&config.gateway);
    Active::build(config, &secrets).ok().map(|active| active.digest.to_hex())
}

fn compare(path: &str, before: &Table, after: &Table, lines: &mut Vec<String>) {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, old) in before {
        match (old, after.get(name)) {
            (_, None) => lines.push(format!("- {}", inside(name))),
            (Value::Table(old), Some(Value::Table(new))) => compare(&inside(name), old, new, lines),
            (old, Some(new)) if old != new => {
                lines.push(format!("~ {}{}", inside(name), change(name, old, new)));
            }
            (_, Some(_)) => {}
        }
    }
    let added = after.keys().filter(|name| !before.contains_key(*name));
    lines.extend(added.map(|name| format!("+ {}", inside(name))));
}

/// The values, unless one of them could be a secret where a reference belongs, or content.
fn change(name: &str, old: &Value, new: &Value) -> String {
    let shown = |value: &Value| match value {
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => Some(value.to_string()),
        Value::String(text) if SHOWN.contains(&name) => Some(format!("'{text}'")),
        Value::Array(_) | Value::Datetime(_) | Value::String(_) | Value::Table(_) => None,
    };
    match (shown(old), shown(new)) {
        (Some(old), Some(new)) => format!(": {old} -> {new}"),
        _ => String::new(),
    }
}

/// Texts that are public: they appear in the configuration that clients read.
const SHOWN: &[&str] = &[
    "address",
    "base_model",
    "exposure",
    "input",
    "keep",
    "key_exchange",
    "kind",
    "model",
    "on_unsupported",
    "output",
    "provider",
    "region",
    "strategy",
];
