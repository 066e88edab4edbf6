//! Writes changes back into the bytes that a view was made from. What no change touches stays byte for byte.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Form, Segment, View};

/// One change of one segment: these bytes of its text give way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which bytes of the text.
    pub at: Range<usize>,
    /// What comes in their place.
    pub with: String,
}

/// Bytes that give way, and what comes in their place.
pub type Splice = (Range<usize>, Vec<u8>);

/// A text as the inside of a JSON string, without quotes.
pub fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or_default().to_owned()
}

/// A text with changes, which are in order and do not overlap.
pub(super) fn changed(text: &str, changes: &[Change]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for change in changes {
        out.push_str(text.get(done..change.at.start).unwrap_or_default());
        out.push_str(&change.with);
        done = change.at.end.max(done);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

impl View {
    /// The body with the segments of these numbers changed; each list is in order and does not overlap. `document` is what
    /// the view was made from. Log probabilities of answers are left out, since they say the text again.
    pub fn rewritten(&self, document: &[u8], changes: &BTreeMap<usize, Vec<Change>>) -> Vec<u8> {
        spliced(document, self.edits(changes))
    }

    /// The same as edits of the document's bytes, in order.
    pub fn edits(&self, changes: &BTreeMap<usize, Vec<Change>>) -> Vec<Splice> {
        let mut outer: Vec<Splice> = self.probabilities.clone();
        let mut inner: BTreeMap<usize, Vec<Splice>> = BTreeMap::new();
        for (number, changes) in changes {
            let Some(segment) = self.segments.get(*number).filter(|_| !changes.is_empty()) else { continue };
            let with = segment.written(&changed(&segment.text, changes));
            match segment.document {
                0 => outer.push((segment.raw.clone(), with)),
                document => inner.entry(document).or_default().push((segment.raw.clone(), with)),
            }
        }
        for (document, edits) in inner {
            let Some(own) = document.checked_sub(1).and_then(|at| self.inner.get(at)) else { continue };
            let source = spliced(own.source.as_bytes(), edits);
            outer.push((own.raw.clone(), escaped(&String::from_utf8_lossy(&source)).into_bytes()));
        }
        outer.sort_by_key(|(at, _)| at.start);
        outer
    }

    /// Whether something must be taken out of an answer whatever the checks say.
    pub fn has_probabilities(&self) -> bool {
        !self.probabilities.is_empty()
    }
}

impl Segment {
    /// Its text with changes.
    pub fn changed(&self, changes: &[Change]) -> String {
        changed(&self.text, changes)
    }

    fn written(&self, text: &str) -> Vec<u8> {
        match self.form {
            Form::Number => format!("\"{}\"", escaped(text)).into_bytes(),
            Form::Name | Form::Text => escaped(text).into_bytes(),
        }
    }
}

/// The bytes with these edits, which do not overlap.
pub fn spliced(bytes: &[u8], mut edits: Vec<Splice>) -> Vec<u8> {
    edits.sort_by_key(|(at, _)| at.start);
    let mut out = Vec::with_capacity(bytes.len().saturating_add(64));
    let mut done = 0;
    for (at, with) in edits {
        out.extend_from_slice(bytes.get(done..at.start).unwrap_or_default());
        out.extend_from_slice(&with);
        done = at.end;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    out
}
