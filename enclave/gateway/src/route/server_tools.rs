//! Tools that a provider runs itself: running them again would cost or do something again.

use crate::scan::{Fields, Kind, elements, unescape};

/// How the types of such tools begin; versions follow, as in `web_search_20250305` (`OpenAI` and Anthropic API references,
/// "Tools").
const TYPES: &[&str] = &[
    "code_execution",
    "code_interpreter",
    "computer_use_preview",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "web_fetch",
    "web_search",
];
/// Their names where the name is the tool (Gemini API reference, "Tool").
const MEMBERS: &[&str] = &[
    "codeExecution",
    "code_execution",
    "fileSearch",
    "file_search",
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "google_search_retrieval",
    "urlContext",
    "url_context",
];

/// Whether one of a valid list of tools is such a tool. Only its type counts, or the member that it is; what functions are
/// called, what they are for and what they take is the client's.
pub(super) fn any(tools: &[u8]) -> bool {
    let mut found = false;
    let mut fields = Fields::new();
    let visited = elements(tools, |tool, kind| {
        if kind != Kind::Object || found {
            return;
        }
        // What cannot be told apart is taken for one.
        found = fields.scan_utf8(tool).is_err() || is_one(tool, &fields);
    });
    found || visited.is_err()
}

fn is_one(tool: &[u8], fields: &Fields) -> bool {
    let kind = fields.find(tool, "type").and_then(|field| field.raw_string(tool)).and_then(unescape);
    match kind {
        Some(kind) => TYPES.iter().any(|own| {
            kind.strip_prefix(own).is_some_and(|version| version.is_empty() || version.starts_with('_'))
        }),
        None => MEMBERS.iter().any(|name| fields.find(tool, name).is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_tool_counts_and_nothing_else_in_it() {
        for tool in [
            r#"{"type":"web_search_20250305","name":"web_search"}"#,
            r#"{"type":"w\u0065b_search_preview"}"#,
            r#"{"type":"mcp","server_url":"https://a.example"}"#,
            r#"{"googleSearch":{}}"#,
            r#"{"type":"function","type":"mcp"}"#,
        ] {
            assert!(any(format!(r#"[{{"type":"function","function":{{}}}},{tool}]"#).as_bytes()), "{tool}");
        }
        for tool in [
            r#"{"type":"function","function":{"name":"web_search","parameters":{"enum":["mcp","file_search"]}}}"#,
            r#"{"type":"function","name":"mcp","description":"file_search"}"#,
            r#"{"name":"web_search","input_schema":{"type":"object"}}"#,
            r#"{"type":"mcpx"}"#,
            r#"{"type":"custom","name":"x"}"#,
            r#"{"functionDeclarations":[{"name":"google_search"}]}"#,
        ] {
            assert!(!any(format!("[{tool}]").as_bytes()), "{tool}");
        }
    }
}
