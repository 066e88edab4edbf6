//! `citations` of text blocks (Anthropic API reference, "Messages", and "Citations"): a block that has some rests on them as
//! a whole. Only pages of the web are translated; places in the request's own documents mean nothing in another API.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::citation::{Citation, MAX_CITATIONS, Places};

#[derive(Deserialize)]
struct CitationMember {
    r#type: String,
    #[serde(default)]
    url: Option<String>,
    /// Where a search result of the request says that it is from.
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    cited_text: Option<String>,
}

/// Reads one; nothing if its source has no address.
pub(super) fn read(citation: &RawValue) -> Option<Citation> {
    let own: CitationMember = serde_json::from_str(citation.get()).ok()?;
    let url = match own.r#type.as_str() {
        "web_search_result_location" => own.url?,
        "search_result_location" => own.source.filter(|source| source.contains("://"))?,
        _ => return None,
    };
    let quote = own.cited_text.filter(|text| !text.is_empty());
    Some(Citation { url, title: own.title, quote, span: None })
}

/// Reads the member of a whole block.
pub(super) fn of_block(citations: Option<&RawValue>) -> Vec<Citation> {
    let elements: Vec<&RawValue> =
        citations.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    elements.into_iter().filter_map(read).take(MAX_CITATIONS).collect()
}

/// One as it is written. The seal by which the vendor knows its own search again is not ours to make.
#[derive(Serialize)]
pub(super) struct WrittenCitation<'a> {
    r#type: &'static str,
    cited_text: &'a str,
    encrypted_index: &'static str,
    title: Option<&'a str>,
    url: &'a str,
}

impl<'a> WrittenCitation<'a> {
    /// From the canonical form.
    pub(super) fn new(citation: &'a Citation) -> Self {
        Self {
            r#type: "web_search_result_location",
            cited_text: citation.quote.as_deref().unwrap_or_default(),
            encrypted_index: "",
            title: citation.title.as_deref(),
            url: &citation.url,
        }
    }
}

/// A piece of a text, and what it rests on.
pub(super) struct Piece<'t, 'c> {
    pub(super) text: &'t str,
    pub(super) citations: Vec<&'c Citation>,
}

/// Cuts one of an answer's texts, which begins at that character of all of them, so that each piece rests on all of its
/// citations as a whole. What overlaps with an earlier piece belongs to that one.
pub(super) fn cut<'t, 'c>(
    text: &'t str,
    begins: Range<u64>,
    citations: &'c [Citation],
) -> Vec<Piece<'t, 'c>> {
    let inside = |citation: &'c Citation| {
        let span = citation.span.clone()?;
        let (start, end) = (span.start.max(begins.start), span.end.min(begins.end));
        let own = start.saturating_sub(begins.start)..end.saturating_sub(begins.start);
        (start < end).then_some((own, citation))
    };
    let mut placed: Vec<(Range<u64>, &Citation)> = citations.iter().filter_map(inside).collect();
    placed.sort_by_key(|(span, _)| (span.start, span.end));
    let places = Places::of(text, placed.iter().map(|(span, _)| span.clone()), std::iter::empty());
    let mut pieces: Vec<Piece<'t, 'c>> = Vec::new();
    let mut done = 0;
    for (span, citation) in &placed {
        let bytes = places.bytes(span);
        if bytes.start < done || bytes.end == done {
            if let Some(last) = pieces.last_mut() {
                last.citations.push(citation);
            }
            continue;
        }
        let mut push = |range: Range<usize>, citations| {
            let text = text.get(range).unwrap_or_default();
            if !text.is_empty() {
                pieces.push(Piece { text, citations });
            }
        };
        push(done..bytes.start, Vec::new());
        push(bytes.clone(), vec![*citation]);
        done = bytes.end;
    }
    let rest = text.get(done..).unwrap_or_default();
    if !rest.is_empty() {
        pieces.push(Piece { text: rest, citations: Vec::new() });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn citation(url: &str, span: Option<Range<u64>>) -> Citation {
        Citation { url: url.to_owned(), span, ..Citation::default() }
    }

    #[test]
    fn a_text_is_cut_where_its_citations_begin_and_end() {
        let citations = [
            citation("b", Some(6..9)),
            citation("a", Some(1..4)),
            citation("a2", Some(1..4)),
            citation("inside", Some(2..3)),
            citation("elsewhere", Some(20..22)),
        ];
        let pieces = cut("0ü23456789", 0..10, &citations);
        let told: Vec<(&str, Vec<&str>)> = pieces
            .iter()
            .map(|own| (own.text, own.citations.iter().map(|own| own.url.as_str()).collect()))
            .collect();
        let wanted = [
            ("0", vec![]),
            ("ü23", vec!["a", "a2", "inside"]),
            ("45", vec![]),
            ("678", vec!["b"]),
            ("9", vec![]),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_citation_may_reach_over_several_texts() {
        let citations = [citation("a", Some(2..8))];
        let urls = |pieces: Vec<Piece<'_, '_>>| -> Vec<(String, usize)> {
            pieces.iter().map(|own| (own.text.to_owned(), own.citations.len())).collect()
        };
        assert_eq!(urls(cut("01234", 0..5, &citations)), [("01".to_owned(), 0), ("234".to_owned(), 1)]);
        assert_eq!(urls(cut("56789", 5..10, &citations)), [("567".to_owned(), 1), ("89".to_owned(), 0)]);
    }
}
