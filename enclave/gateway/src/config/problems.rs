//! Everything that is wrong with a configuration, not only the first thing.
//!
//! Reading and building stop at the first problem, as they must. To find the next, the part that is wrong is taken out,
//! or replaced by one that is right, and it is all done again; so nothing here knows the rules themselves. A part counts
//! once, however much is wrong with it.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    CacheConfig, ConfigError, GatewayConfig, Invalid, LimitsConfig, SecretError, SecretReference,
    SecretSource, build, parse, parse_table,
};
use crate::plaintext::Secret;

/// Most problems that are looked for.
const MOST: usize = 100;

/// Reads a file as [`parse`] does, and goes on after what is wrong as long as it can.
///
/// # Errors
/// All problems found; at least one.
pub fn parse_all<T: DeserializeOwned>(text: &str) -> Result<T, Vec<ConfigError>> {
    let first = match parse(text) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let Ok(mut table) = text.parse::<Table>() else { return Err(vec![first]) };
    let mut problems = vec![first];
    let mut taken: Vec<String> = Vec::new();
    while let Some(last) = problems.last().filter(|_| problems.len() < MOST) {
        let at = match &last.problem {
            Invalid::UnknownKey { key, .. } => join(&last.path, key),
            Invalid::Value { .. } => last.path.clone(),
            Invalid::Duplicate
            | Invalid::Missing { .. }
            | Invalid::Secret { .. }
            | Invalid::Syntax { .. }
            | Invalid::UnknownName { .. } => break,
        };
        if !take(&mut table, &at) {
            break;
        }
        taken.push(at);
        match parse_table::<T>(&table) {
            Ok(_) => break,
            // Missing because it was taken out: what else there is cannot be seen.
            Err(ConfigError { path, problem: Invalid::Missing { key } })
                if taken.contains(&join(&path, &key)) =>
            {
                break;
            }
            Err(next) => problems.push(next),
        }
    }
    Err(problems)
}

/// Everything that [`build`] would refuse.
pub fn problems(mut config: GatewayConfig, secrets: &dyn SecretSource) -> Vec<ConfigError> {
    let mut problems: Vec<ConfigError> = Vec::new();
    let mut keys_taken: Vec<usize> = Vec::new();
    while problems.len() < MOST {
        let Err(mut error) = build(&config, secrets) else { break };
        let repaired = repair(&mut config, &mut keys_taken, &mut error);
        let again = problems.iter().any(|known| known.path == error.path);
        if !again {
            problems.push(error);
        }
        if again || !repaired {
            break;
        }
    }
    problems
}

/// Puts something right in the place of what an error names; false if that cannot be done.
fn repair(config: &mut GatewayConfig, keys_taken: &mut Vec<usize>, error: &mut ConfigError) -> bool {
    let path = error.path.clone();
    let named = |table: &str, names: &mut dyn Iterator<Item = &String>| -> Option<String> {
        let rest = path.strip_prefix(table)?;
        let fits = |name: &&String| starts(rest, name);
        names.filter(fits).max_by_key(|name| name.len()).cloned()
    };
    if let Some(name) = named("deployments.", &mut config.deployments.keys()) {
        let right = format!("provider = \"builtin\"\nmodel = \"{}\"", "m");
        return parse(&right).is_ok_and(|right| config.deployments.insert(name, right).is_some());
    }
    if let Some(name) = named("models.", &mut config.models.keys()) {
        let Some(deployment) = config.deployments.keys().next() else { return false };
        let right = format!("deployments = [\"{deployment}\"]");
        return parse(&right).is_ok_and(|right| config.models.insert(name, right).is_some());
    }
    if let Some(name) = named("guardrails.", &mut config.guardrails.keys()) {
        return config.guardrails.remove(&name).is_some();
    }
    if let Some(name) = named("prompts.", &mut config.prompts.keys()) {
        return config.prompts.remove(&name).is_some();
    }
    if let Some(name) = named("decorations.", &mut config.decorations.keys()) {
        return config.decorations.remove(&name).is_some();
    }
    if let Some(rest) = path.strip_prefix("admission.keys[") {
        let Some((digits, after)) = rest.split_once(']') else { return false };
        let Some(place) = digits.parse().ok().filter(|place| *place < config.admission.keys.len()) else {
            return false;
        };
        config.admission.keys.remove(place);
        // Its number in the file: those taken out before it count.
        let mut own = place;
        keys_taken.sort_unstable();
        for taken in keys_taken.iter() {
            own = own.saturating_add(usize::from(*taken <= own));
        }
        keys_taken.push(own);
        error.path = format!("admission.keys[{own}]{after}");
        return !config.admission.keys.is_empty();
    }
    if path.starts_with("limits.") {
        config.limits = LimitsConfig::default();
    } else if path.starts_with("cache.") {
        config.cache = CacheConfig::default();
    } else {
        return false;
    }
    true
}

/// Takes the value at a path out of a table; false if there is none. Names may contain dots, so the longest name that
/// fits is meant.
fn take(table: &mut Table, path: &str) -> bool {
    let Some(name) = table.keys().filter(|name| starts(path, name)).max_by_key(|name| name.len()).cloned()
    else {
        return false;
    };
    let rest = path.get(name.len()..).unwrap_or_default();
    match table.get_mut(&name) {
        _ if rest.is_empty() => table.remove(&name).is_some(),
        Some(value) => take_inside(value, rest),
        None => false,
    }
}

fn take_inside(value: &mut Value, rest: &str) -> bool {
    match value {
        Value::Table(table) => rest.strip_prefix('.').is_some_and(|rest| take(table, rest)),
        Value::Array(items) => {
            let Some((digits, rest)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
                return false;
            };
            let Some(place) = digits.parse().ok().filter(|place| *place < items.len()) else { return false };
            match items.get_mut(place) {
                Some(item) if !rest.is_empty() => take_inside(item, rest),
                _ => {
                    items.remove(place);
                    true
                }
            }
        }
        Value::Boolean(_) | Value::Datetime(_) | Value::Float(_) | Value::Integer(_) | Value::String(_) => {
            false
        }
    }
}

/// Whether a path begins with a name as a whole.
fn starts(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Stands in for secrets where a configuration is checked without them: every reference leads to something.
pub struct NoSecrets {
    key_file: Option<SecretReference>,
    prompt_file: Option<SecretReference>,
}

impl NoSecrets {
    /// For one configuration.
    pub fn of(config: &GatewayConfig) -> Self {
        Self { key_file: config.admission.key_file.clone(), prompt_file: config.prompt_file.clone() }
    }
}

impl SecretSource for NoSecrets {
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        reference.parts().ok_or(SecretError::UnknownScheme)?;
        let digest = "0".repeat(64);
        let keys = format!("[[keys]]\nid = \"unchecked\"\nsha256 = \"{digest}\"\nmodels = [\"*\"]\n");
        let text = if self.key_file.as_ref() == Some(reference) {
            keys
        } else if self.prompt_file.as_ref() == Some(reference) {
            String::new()
        } else {
            "unchecked".to_owned()
        };
        Ok(Secret::new(text.into_bytes()))
    }

    fn are_real(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
version = 1
limitz = 1

[admission]
key_file = "file:/run/keys.toml"

[[admission.keys]]
id = "a"
sha256 = "0"
models = ["*"]

[[admission.keys]]
id = "b"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
models = ["*"]

[[admission.keys]]
id = "c"
sha256 = "2"
models = ["*"]

[deployments."a.b"]
provider = "opnai"
model = "m"

[deployments.c]
provider = "openai_compatible"
model = "m"
base_url = "ftp://x"
tokens_per_secnd = 3

[deployments.d]
provider = "openai"
model = "m"
credential = "file:/run/d"
timeouts = { stall_ms = "x" }

[models.smart]
strategy = "prioritty"
deployments = ["a.b", "c"]

[guardrails.g]
kind = "deny_list"

[cache.exact]
ttl_seconds = 0
max_bytes = 65536
"#;

    #[test]
    fn every_unknown_key_and_wrong_value_is_found() {
        let found = parse_all::<GatewayConfig>(TEXT).expect_err("wrong");
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        let mut expected = [
            "CONFIG_UNKNOWN_KEY: unknown key 'limitz'; did you mean 'limits'?",
            "CONFIG_UNKNOWN_KEY: deployments.c: unknown key 'tokens_per_secnd'; did you mean 'tokens_per_second'?",
            "CONFIG_VALUE: deployments.d.timeouts.stall_ms: expected u64",
        ];
        let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }

    #[test]
    fn every_part_that_is_wrong_is_found_once() {
        let text = TEXT
            .replace("limitz = 1", "")
            .replace("tokens_per_secnd = 3", "")
            .replace("timeouts = { stall_ms = \"x\" }", "");
        let config: GatewayConfig = parse(&text).expect("reads");
        let secrets = NoSecrets::of(&config);
        let paths: Vec<String> = problems(config, &secrets).into_iter().map(|error| error.path).collect();
        for path in [
            "admission.keys[0].sha256",
            "admission.keys[2].sha256",
            "deployments.a.b.provider",
            "deployments.c.base_url",
            "models.smart.strategy",
            "guardrails.g",
            "cache.exact.ttl_seconds",
        ] {
            assert!(paths.iter().any(|found| found == path), "{path} is not among {paths:?}");
        }
        assert_eq!(paths.len(), 7, "{paths:?}");
    }

    #[test]
    fn what_is_right_has_no_problems_with_or_without_its_secrets() {
        let text = "version = 1\nadmission.key_file = \"file:/run/keys\"\nmodels.m.deployments = [\"d\"]\n[deployments.d]\nprovider = \"openai\"\nmodel = \"m\"\ncredential = \"file:/run/d\"\n";
        let config: GatewayConfig = parse_all(text).expect("reads");
        let secrets = NoSecrets::of(&config);
        assert_eq!(problems(config, &secrets), []);
        let config: GatewayConfig = parse_all(&text.replace("file:/run/d\"", "sk-live\"")).expect("reads");
        let secrets = NoSecrets::of(&config);
        assert_eq!(
            problems(config, &secrets).len(),
            1,
            "a secret in the place of a reference is still found"
        );
    }
}
