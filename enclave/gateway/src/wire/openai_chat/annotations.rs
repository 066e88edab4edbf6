//! `annotations`: pages that an answer rests on (`OpenAI` API reference, "Chat completion object"; `OpenRouter` and xAI
//! write the same), and Perplexity's lists beside the answer. What has another shape is no citation; the answer is whole without.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::citation::{Citation, MAX_CITATIONS};

#[derive(Deserialize)]
struct Annotation {
    url_citation: UrlCitation,
}

#[derive(Deserialize)]
struct UrlCitation {
    url: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    start_index: Option<u64>,
    #[serde(default)]
    end_index: Option<u64>,
}

/// A page that was found.
#[derive(Deserialize)]
struct SearchResult {
    url: String,
    #[serde(default)]
    title: Option<String>,
}

/// The elements of a list that are of a kind; nothing if it is no list.
fn each<'a, T: Deserialize<'a>>(list: Option<&'a RawValue>) -> impl Iterator<Item = T> {
    let elements: Vec<&'a RawValue> =
        list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    elements.into_iter().filter_map(|element| serde_json::from_str(element.get()).ok()).take(MAX_CITATIONS)
}

/// From the member of a message or of a piece of one.
pub(super) fn citations(annotations: Option<&RawValue>) -> impl Iterator<Item = Citation> {
    each(annotations).map(|Annotation { url_citation: own }| Citation {
        url: own.url,
        title: own.title.filter(|title| !title.is_empty()),
        quote: own.content.filter(|content| !content.is_empty()),
        span: own
            .start_index
            .zip(own.end_index)
            .filter(|(start, end)| start < end)
            .map(|(start, end)| start..end),
    })
}

/// From what stands beside the choices: pages with their titles, or addresses alone.
pub(super) fn found(results: Option<&RawValue>, addresses: Option<&RawValue>) -> Vec<Citation> {
    let titled = |SearchResult { url, title }| Citation { url, title, ..Citation::default() };
    let pages: Vec<Citation> = each(results).map(titled).collect();
    if pages.is_empty() {
        each(addresses).map(|url| Citation { url, ..Citation::default() }).collect()
    } else {
        pages
    }
}

/// An annotation as it is written.
#[derive(Serialize)]
pub(super) struct WrittenAnnotation<'a> {
    r#type: &'static str,
    url_citation: WrittenCitation<'a>,
}

#[derive(Serialize)]
struct WrittenCitation<'a> {
    start_index: u64,
    end_index: u64,
    title: &'a str,
    url: &'a str,
}

impl<'a> WrittenAnnotation<'a> {
    /// From the canonical form; the text has as many characters so far.
    pub(super) fn new(citation: &'a Citation, so_far: u64) -> Self {
        let span = citation.span_or_all(so_far);
        let title = citation.title.as_deref().unwrap_or_default();
        let own = WrittenCitation { start_index: span.start, end_index: span.end, title, url: &citation.url };
        Self { r#type: "url_citation", url_citation: own }
    }
}
