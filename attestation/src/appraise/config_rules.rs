//! Rules over the public configuration. Its bytes are believed only after they hashed to the attested digest.

use crate::appraise::MAX_CONFIG_BYTES;
use crate::policy::{ConfigRequirement, ConfigRule, ConfigValue};
use crate::rejection::{Code, Rejection};
use serde_json::Value;

/// Longest configuration text repeated in a rejection.
const SHOWN: usize = 64;

/// Judges every rule; says how many held.
///
/// # Errors
/// `CFG_RULE` naming the first rule that does not hold.
pub(super) fn judge(config: &[u8], rules: &[ConfigRule]) -> Result<usize, Rejection> {
    if config.len() > MAX_CONFIG_BYTES {
        return Err(reject(format!("at most {MAX_CONFIG_BYTES} bytes"), config.len().to_string()));
    }
    let config: Value = serde_json::from_slice(config).map_err(|error| {
        reject("JSON".to_owned(), format!("an error at line {} column {}", error.line(), error.column()))
    })?;
    for rule in rules {
        let found = config.pointer(&rule.pointer);
        if !holds(&rule.requirement, found) {
            return Err(reject(
                format!("{} {}", rule.pointer, describe(&rule.requirement)),
                found.map_or_else(|| "nothing".to_owned(), shown),
            ));
        }
    }
    Ok(rules.len())
}

fn holds(requirement: &ConfigRequirement, found: Option<&Value>) -> bool {
    match (requirement, found) {
        (_, None) => false,
        (ConfigRequirement::AtLeast(least), Some(found)) => {
            found.as_u64().is_some_and(|found| found >= *least)
        }
        (ConfigRequirement::Equals(value), Some(found)) => compare(value, found) == Some(true),
        (ConfigRequirement::NotEquals(value), Some(found)) => compare(value, found) == Some(false),
    }
}

/// Whether the two are equal; none when they are of different types.
fn compare(value: &ConfigValue, found: &Value) -> Option<bool> {
    match value {
        ConfigValue::Bool(value) => found.as_bool().map(|found| found == *value),
        ConfigValue::Integer(value) => found.as_u64().map(|found| found == *value),
        ConfigValue::Text(value) => found.as_str().map(|found| found == value),
    }
}

fn describe(requirement: &ConfigRequirement) -> String {
    let spell = |value: &ConfigValue| match value {
        ConfigValue::Bool(value) => value.to_string(),
        ConfigValue::Integer(value) => value.to_string(),
        ConfigValue::Text(value) => format!("{value:?}"),
    };
    match requirement {
        ConfigRequirement::AtLeast(least) => format!("at least {least}"),
        ConfigRequirement::Equals(value) => format!("= {}", spell(value)),
        ConfigRequirement::NotEquals(value) => format!("other than {}", spell(value)),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            value.to_string().chars().take(SHOWN).collect()
        }
    }
}

fn reject(expected: String, found: String) -> Rejection {
    Rejection::new(Code::CfgRule, "config", expected, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pointer: &str, requirement: ConfigRequirement) -> Vec<ConfigRule> {
        vec![ConfigRule { pointer: pointer.to_owned(), requirement }]
    }

    #[test]
    fn absent_and_mistyped_values_never_pass() {
        let config = br#"{"content_logging":false,"stream":{"shape":"bucketed"},"delay":86400}"#;
        let no = ConfigRequirement::Equals(ConfigValue::Bool(false));
        let shaped = ConfigRequirement::NotEquals(ConfigValue::Text("none".to_owned()));
        assert_eq!(judge(config, &rule("/content_logging", no.clone())), Ok(1));
        assert_eq!(judge(config, &rule("/stream/shape", shaped.clone())), Ok(1));
        assert_eq!(judge(config, &rule("/delay", ConfigRequirement::AtLeast(86_400))), Ok(1));
        for wrong in [
            rule("/debug", no),
            rule("/delay", ConfigRequirement::AtLeast(86_401)),
            rule("/delay", shaped.clone()),
            rule("/absent", shaped),
            rule("/content_logging", ConfigRequirement::Equals(ConfigValue::Bool(true))),
            rule("/stream/shape", ConfigRequirement::NotEquals(ConfigValue::Text("bucketed".to_owned()))),
        ] {
            assert_eq!(judge(config, &wrong).map_err(|error| error.code), Err(Code::CfgRule), "{wrong:?}");
        }
    }

    #[test]
    fn broken_json_is_a_rejection_without_its_text() {
        let rejection = judge(b"{\"secret\": nope}", &[]).expect_err("broken");
        assert_eq!(rejection.found, "an error at line 1 column 13");
    }
}
