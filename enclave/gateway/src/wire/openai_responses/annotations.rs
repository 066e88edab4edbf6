//! `annotations` of a text (`OpenAI` API reference, "The response object"). Only pages of the web are translated: files are
//! those of a store that another API does not have.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::citation::{Citation, MAX_CITATIONS};

#[derive(Deserialize)]
struct AnnotationMember {
    r#type: String,
    url: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    start_index: u64,
    #[serde(default)]
    end_index: u64,
}

/// Reads one of a text that begins at that character of the answer.
pub(super) fn read(annotation: &RawValue, begins: u64) -> Option<Citation> {
    let own: AnnotationMember = serde_json::from_str(annotation.get()).ok()?;
    if own.r#type != "url_citation" {
        return None;
    }
    let span = (own.start_index < own.end_index)
        .then(|| begins.saturating_add(own.start_index)..begins.saturating_add(own.end_index));
    Some(Citation { url: own.url, title: own.title.filter(|title| !title.is_empty()), quote: None, span })
}

/// Reads the member of a whole text.
pub(super) fn of_text(annotations: Option<&RawValue>, begins: u64) -> Vec<Citation> {
    let elements: Vec<&RawValue> =
        annotations.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    elements.into_iter().filter_map(|own| read(own, begins)).take(MAX_CITATIONS).collect()
}

/// One as it is written.
#[derive(Clone, Serialize)]
pub(super) struct Annotation {
    r#type: &'static str,
    start_index: u64,
    end_index: u64,
    url: String,
    title: String,
}

impl Annotation {
    /// Of a text that has those characters of the answer; nothing if the citation is for others.
    pub(super) fn new(citation: &Citation, text: &Range<u64>) -> Option<Self> {
        let span = citation.span.clone().unwrap_or_else(|| text.clone());
        let (start, end) = (span.start.max(text.start), span.end.min(text.end));
        (start < end).then(|| Self {
            r#type: "url_citation",
            start_index: start.saturating_sub(text.start),
            end_index: end.saturating_sub(text.start),
            url: citation.url.clone(),
            title: citation.title.clone().unwrap_or_default(),
        })
    }
}
