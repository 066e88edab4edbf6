//! A JSON Schema validator for exactly the keywords that the published schemas use. A keyword that it does not know
//! fails the test, so that no rule of a schema goes unchecked. Tests of other crates include this file.

use serde_json::Value;

/// Keywords without meaning for a value.
const NOTES: [&str; 8] =
    ["$schema", "$id", "$defs", "title", "description", "contentEncoding", "default", "examples"];

/// Holds a value, which is at `path`, against a schema within `root`.
pub(crate) fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let rules = schema.as_object().unwrap_or_else(|| panic!("{path}: a schema that is no object"));
    for (keyword, rule) in rules {
        if NOTES.contains(&keyword.as_str()) {
            continue;
        }
        let holds = match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().and_then(|name| name.strip_prefix('#')).expect("a local reference");
                check(root, root.pointer(name).unwrap_or_else(|| panic!("{name}")), value, path)?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|own| is(own, value)),
                own => is(own, value),
            },
            "const" => rule == value,
            "enum" => rule.as_array().expect("enum").contains(value),
            "pattern" => {
                let text = value.as_str().unwrap_or_default();
                value.is_null() || matches(rule.as_str().expect("pattern"), text)
            }
            "minimum" => value.as_f64().is_none_or(|own| own >= rule.as_f64().expect("minimum")),
            "maximum" => value.as_f64().is_none_or(|own| own <= rule.as_f64().expect("maximum")),
            "minItems" => {
                value.as_array().is_none_or(|own| own.len() as u64 >= rule.as_u64().expect("minItems"))
            }
            "maxItems" => {
                value.as_array().is_none_or(|own| own.len() as u64 <= rule.as_u64().expect("maxItems"))
            }
            "required" => rule.as_array().expect("required").iter().all(|name| {
                value.as_object().is_none_or(|own| own.contains_key(name.as_str().expect("name")))
            }),
            "anyOf" => {
                rule.as_array().expect("anyOf").iter().any(|own| check(root, own, value, path).is_ok())
            }
            "properties" | "patternProperties" | "additionalProperties" => true,
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{path}[{at}]"))?;
                }
                true
            }
            other => panic!("{path}: the validator does not know {other}"),
        };
        if !holds {
            return Err(format!("{path}: not {keyword} {rule}"));
        }
    }
    members(root, schema, value, path)
}

fn members(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let patterns = schema["patternProperties"].as_object().into_iter().flatten();
        let own = schema["properties"].get(name);
        let rule =
            own.or_else(|| patterns.into_iter().find(|(pattern, _)| matches(pattern, name)).map(|own| own.1));
        match (rule, &schema["additionalProperties"]) {
            (Some(rule), _) => check(root, rule, member, &format!("{path}.{name}"))?,
            (None, Value::Bool(false)) => return Err(format!("{path}: unknown member {name}")),
            (None, Value::Object(_)) => {
                check(root, &schema["additionalProperties"], member, &format!("{path}.{name}"))?;
            }
            (None, _) => {}
        }
    }
    Ok(())
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

/// The patterns in use: one or more classes, each with a count, between `^` and `$`.
fn matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
}
