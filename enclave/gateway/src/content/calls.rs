//! The calls of tools in a whole answer, whatever its dialect.

use serde_json::Value;

/// Deepest nesting that is searched.
const MAX_DEPTH: usize = 64;

/// A tool's name and its arguments; null if they are no JSON.
pub type NameAndArguments = (String, Value);

/// All calls in a body, in order.
pub fn of(body: &Value) -> Vec<NameAndArguments> {
    let mut found = Vec::new();
    search(body, 0, &mut found);
    found
}

fn search(value: &Value, depth: usize, found: &mut Vec<NameAndArguments>) {
    if depth > MAX_DEPTH {
        return;
    }
    let deeper = depth.saturating_add(1);
    match value {
        Value::Array(items) => items.iter().for_each(|item| search(item, deeper, found)),
        Value::Object(members) => {
            let name = members.get("name").and_then(Value::as_str);
            let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
            let called = kind.contains("tool_use") || kind.ends_with("_call");
            let arguments = members.get("arguments").or_else(|| members.get("args"));
            let arguments = arguments.or_else(|| members.get("input").filter(|_| called));
            if let Some((name, arguments)) = name.zip(arguments) {
                found.push((name.to_owned(), parsed(arguments)));
                return;
            }
            // Gemini leaves the arguments of calls without any out.
            if let Some(Value::Object(call)) = members.get("functionCall")
                && let Some(name) = call.get("name").and_then(Value::as_str)
            {
                let arguments =
                    call.get("args").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
                found.push((name.to_owned(), arguments));
                return;
            }
            members.values().for_each(|own| search(own, deeper, found));
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Arguments as a value: many APIs write them as JSON in a string.
pub fn parsed(arguments: &Value) -> Value {
    match arguments {
        Value::String(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {
            arguments.clone()
        }
    }
}
