//! `groundingMetadata` and `citationMetadata`: what an answer rests on (Gemini API documentation, "Grounding with Google
//! Search"; API reference, `GroundingMetadata`). Places are bytes of one of the answer's parts.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::citation::{Citation, MAX_CITATIONS, Places, characters};
use crate::chat::completion::Output;

/// What a candidate rests on.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Grounding<'a> {
    #[serde(borrow, rename = "groundingChunks")]
    chunks: Vec<Chunk<'a>>,
    #[serde(borrow, rename = "groundingSupports")]
    supports: Vec<Support<'a>>,
    #[serde(borrow, skip_serializing)]
    web_search_queries: Vec<Cow<'a, str>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Chunk<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    web: Option<Page<'a>>,
    /// Of a store of the customer's.
    #[serde(borrow, skip_serializing)]
    retrieved_context: Option<Page<'a>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Page<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing)]
    text: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Support<'a> {
    #[serde(borrow)]
    segment: Segment<'a>,
    grounding_chunk_indices: Vec<usize>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Segment<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    part_index: usize,
    #[serde(skip_serializing_if = "is_zero_u64")]
    start_index: u64,
    end_index: u64,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero_u64(count: &u64) -> bool {
    *count == 0
}

/// Text that is the same as another's.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Recitation {
    /// Vertex AI calls the list `citations`.
    #[serde(alias = "citations")]
    citation_sources: Vec<Source>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    start_index: u64,
    end_index: u64,
    uri: Option<String>,
    title: Option<String>,
}

/// Where the visible texts of an answer's parts begin and end in all of its text: one place for each part, in bytes.
#[derive(Default)]
pub(super) struct Parts {
    text: String,
    places: Vec<Range<u64>>,
}

impl Parts {
    /// Takes the next part's visible text; empty for a part that has none.
    pub(super) fn push(&mut self, text: &str) {
        let begins = self.bytes();
        self.text.push_str(text);
        self.places.push(begins..self.bytes());
    }

    /// Takes a streamed piece of text: streams count the bytes of all pieces together.
    pub(super) fn extend(&mut self, text: &str) {
        self.text.push_str(text);
        self.places.clear();
        self.places.push(0..self.bytes());
    }

    /// All text so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn bytes(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }

    /// Bytes of a part as bytes of the whole.
    fn whole(&self, part: usize, start: u64, end: u64) -> Option<Range<u64>> {
        let place = self.places.get(part)?;
        let inside = |at: u64| place.start.saturating_add(at).min(place.end);
        Some(inside(start)..inside(end)).filter(|span| !span.is_empty())
    }
}

/// What a candidate with these parts rests on. What has another shape is no citation; the answer is whole without.
pub(super) fn citations(
    grounding: Option<&RawValue>,
    recitation: Option<&RawValue>,
    parts: &Parts,
) -> Vec<Citation> {
    let grounding: Grounding<'_> =
        grounding.and_then(|own| serde_json::from_str(own.get()).ok()).unwrap_or_default();
    let recitation: Recitation =
        recitation.and_then(|own| serde_json::from_str(own.get()).ok()).unwrap_or_default();
    let mut found: Vec<(Option<Range<u64>>, Citation)> = Vec::new();
    for Support { segment, grounding_chunk_indices } in &grounding.supports {
        let span = parts.whole(segment.part_index, segment.start_index, segment.end_index);
        for chunk in grounding_chunk_indices.iter().filter_map(|at| grounding.chunks.get(*at)) {
            found.extend(chunk.citation().map(|citation| (span.clone(), citation)));
        }
    }
    if grounding.supports.is_empty() {
        found.extend(grounding.chunks.iter().filter_map(Chunk::citation).map(|own| (None, own)));
    }
    for Source { start_index, end_index, uri, title } in recitation.citation_sources {
        let own = uri.map(|url| Citation { url, title, ..Citation::default() });
        // These count the bytes of the whole text.
        let end = parts.bytes();
        let span = Some(start_index.min(end)..end_index.min(end)).filter(|span| !span.is_empty());
        found.extend(own.map(|citation| (span, citation)));
    }
    found.truncate(MAX_CITATIONS);
    let spans = found.iter().filter_map(|(span, _)| span.clone());
    let places = Places::of(parts.text(), std::iter::empty(), spans);
    let counted = |(span, citation): (Option<Range<u64>>, Citation)| Citation {
        span: span.map(|span| places.characters(&span)),
        ..citation
    };
    found.into_iter().map(counted).collect()
}

impl Chunk<'_> {
    /// Its page, if it has an address.
    fn citation(&self) -> Option<Citation> {
        let Page { uri, title, text } = self.web.as_ref().or(self.retrieved_context.as_ref())?;
        let own =
            |text: &Option<Cow<'_, str>>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
        let (title, quote) = (own(title), own(text));
        (!uri.is_empty()).then(|| Citation { url: uri.clone().into_owned(), title, quote, span: None })
    }
}

/// How many searches an answer of that model is charged for: each query of models since the third generation, each answer
/// of those before (Gemini API pricing, "Grounding with Google Search").
pub(super) fn searches(grounding: Option<&RawValue>, model: &str) -> u64 {
    let Some(own) = grounding.and_then(|own| serde_json::from_str::<Grounding<'_>>(own.get()).ok()) else {
        return 0;
    };
    let queries = u64::try_from(own.web_search_queries.len()).unwrap_or(u64::MAX);
    let older = ["gemini-1", "gemini-2"].iter().any(|generation| model.contains(generation));
    if older { queries.min(1) } else { queries }
}

/// The member for a client: each page once, each place with its pages. Parts are those of the answer as it is written.
pub(super) fn written<'a>(citations: &'a [Citation], parts: &'a Parts) -> Option<Grounding<'a>> {
    if citations.is_empty() {
        return None;
    }
    let all = 0..characters(parts.text());
    let spans = || citations.iter().map(|own| own.span.clone().unwrap_or_else(|| all.clone()));
    let places = Places::of(parts.text(), spans(), std::iter::empty());
    let mut grounding = Grounding::default();
    let mut supported: Vec<Range<u64>> = Vec::new();
    for (citation, span) in citations.iter().zip(spans()) {
        let chunks = &mut grounding.chunks;
        let same = |chunk: &Chunk<'_>| chunk.web.as_ref().is_some_and(|page| page.uri == citation.url);
        let at = chunks.iter().position(same).unwrap_or(chunks.len());
        if at == chunks.len() {
            let title = citation.title.as_deref().map(Cow::Borrowed);
            let web = Some(Page { uri: citation.url.as_str().into(), title, text: None });
            chunks.push(Chunk { web, retrieved_context: None });
        }
        if let Some(known) = supported.iter().position(|own| *own == span) {
            if let Some(support) = grounding.supports.get_mut(known) {
                support.grounding_chunk_indices.push(at);
            }
            continue;
        }
        let Some(segment) = parts.segment(&places.bytes(&span)) else { continue };
        supported.push(span);
        grounding.supports.push(Support { segment, grounding_chunk_indices: vec![at] });
    }
    Some(grounding)
}

impl Parts {
    /// Of an answer's output, each piece of which is one part.
    pub(super) fn of(output: &[Output]) -> Self {
        let mut parts = Self::default();
        for own in output {
            match own {
                Output::Text(text) => parts.push(text),
                Output::Reasoning(_) | Output::Refusal(_) | Output::ToolCall(_) => parts.push(""),
            }
        }
        parts
    }

    /// Bytes of the whole as a place in the part that they begin in.
    fn segment(&self, bytes: &Range<usize>) -> Option<Segment<'_>> {
        let start = u64::try_from(bytes.start).ok()?;
        let part_index = self.places.iter().position(|place| place.contains(&start))?;
        let place = self.places.get(part_index)?;
        let end = u64::try_from(bytes.end).ok()?.min(place.end);
        let text = self.text.get(bytes.start..usize::try_from(end).ok()?)?;
        Some(Segment {
            part_index,
            start_index: start.saturating_sub(place.start),
            end_index: end.saturating_sub(place.start),
            text: text.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn places_in_bytes_become_characters_and_bytes_again() {
        let mut parts = Parts::default();
        parts.push("");
        parts.push("für ");
        parts.push("zwölf Euro");
        let grounding = raw(
            r#"{"webSearchQueries":["a","b"],"groundingChunks":[{"web":{"uri":"https://a.example/","title":"a"}},{"maps":{}}],
            "groundingSupports":[{"segment":{"partIndex":2,"startIndex":0,"endIndex":6,"text":"zwölf"},"groundingChunkIndices":[0,1,7]}]}"#,
        );
        let found = citations(Some(&grounding), None, &parts);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].span, Some(4..9));
        let written = serde_json::to_value(written(&found, &parts)).unwrap();
        let wanted = serde_json::json!({
            "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "a"}}],
            "groundingSupports": [{"segment": {"partIndex": 2, "endIndex": 6, "text": "zwölf"}, "groundingChunkIndices": [0]}],
        });
        assert_eq!(written, wanted);
    }

    #[test]
    fn what_is_out_of_bounds_or_of_another_shape_is_no_place() {
        let mut parts = Parts::default();
        parts.push("text");
        let far = raw(
            r#"{"groundingChunks":[{"web":{"uri":"https://a.example/"}}],"groundingSupports":[{"segment":{"startIndex":90,"endIndex":99},"groundingChunkIndices":[0]},{"segment":{"partIndex":4,"endIndex":2},"groundingChunkIndices":[0]}]}"#,
        );
        let found = citations(Some(&far), None, &parts);
        assert!(found.len() == 2 && found.iter().all(|own| own.span.is_none()));
        assert!(citations(Some(&raw(r#"[{"groundingChunks":1}]"#)), Some(&raw("3")), &parts).is_empty());
    }

    #[test]
    fn sources_of_recitation_are_citations_too() {
        let mut parts = Parts::default();
        parts.extend("für ");
        parts.extend("alle");
        for list in ["citationSources", "citations"] {
            let own = raw(&format!(
                r#"{{"{list}":[{{"startIndex":5,"endIndex":9,"uri":"https://b.example/"}},{{"startIndex":1}}]}}"#
            ));
            let found = citations(None, Some(&own), &parts);
            assert_eq!(found.len(), 1, "{list}");
            assert_eq!(found[0].span, Some(4..8));
        }
    }

    #[test]
    fn searches_are_charged_by_generation() {
        let own = raw(r#"{"webSearchQueries":["a","b"]}"#);
        assert_eq!(searches(Some(&own), "gemini-2.5-flash"), 1);
        assert_eq!(searches(Some(&own), "gemini-3-pro"), 2);
        assert_eq!(searches(Some(&raw("{}")), "gemini-2.5-flash"), 0);
        assert_eq!(searches(None, "gemini-3-pro"), 0);
    }
}
