//! `citations` (Cohere API reference, "Chat"): places in the text, with sources that are the request's documents or what its
//! tools answered. One travels if what it is from says its address.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::citation::{Citation, MAX_CITATIONS};

#[derive(Deserialize)]
struct CitationMember {
    start: u64,
    end: u64,
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    document: Option<Page>,
    tool_output: Option<Page>,
}

/// What a document or an answer of a tool may say of itself; all members are the client's.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    url: Option<serde_json::Value>,
    #[serde(default)]
    title: Option<serde_json::Value>,
    #[serde(default)]
    snippet: Option<serde_json::Value>,
}

/// Reads the list of a whole message. What has another shape is no citation.
pub(super) fn of_message(citations: Option<&RawValue>) -> Vec<Citation> {
    let elements: Vec<&RawValue> =
        citations.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    elements.into_iter().flat_map(of_one).take(MAX_CITATIONS).collect()
}

/// Reads the one of a stream's event, or the empty list of its first.
pub(super) fn of_piece(citation: &RawValue) -> Vec<Citation> {
    if citation.get().starts_with('[') { of_message(Some(citation)) } else { of_one(citation) }
}

fn of_one(citation: &RawValue) -> Vec<Citation> {
    let Ok(CitationMember { start, end, sources }) = serde_json::from_str(citation.get()) else {
        return Vec::new();
    };
    let text = |own: Option<serde_json::Value>| own?.as_str().map(str::to_owned);
    let read = |source: Source| {
        let Page { url, title, snippet } = source.document.or(source.tool_output)?;
        let url = text(url).filter(|url| url.contains("://"))?;
        let span = Some(start..end).filter(|span| !span.is_empty());
        Some(Citation { url, title: text(title), quote: text(snippet), span })
    };
    sources.into_iter().filter_map(read).collect()
}
