//! Text as finders of fixed forms read it: typographic spaces and dashes as plain ones, full-width letters and digits as
//! ASCII, nothing invisible; with the way back to places of the original.
//!
//! Letters become letters one by one, so the folded form of a beginning is the beginning of the folded form: a text can
//! still be looked at piece by piece.

use std::borrow::Cow;

use crate::guardrail::{Finding, Spans};

/// A folded text.
struct Folded<'t> {
    text: Cow<'t, str>,
    /// Where the distance to the original changes: place here, place there, in order.
    marks: Vec<(usize, usize)>,
    original: usize,
}

/// A finder that reads text in its folded form.
pub(in crate::guardrail) struct Folding<S>(pub(in crate::guardrail) S);

impl<S: Spans> Spans for Folding<S> {
    fn find(&self, text: &str, base: usize, from: usize, found: &mut Vec<Finding>) {
        let folded = Folded::of(text);
        let before = found.len();
        self.0.find(&folded.text, base, folded.place_of(from), found);
        if folded.marks.is_empty() {
            return;
        }
        for own in found.iter_mut().skip(before) {
            own.at = folded.original(own.at.start)..folded.original(own.at.end);
        }
    }

    fn open_from(&self, text: &str, base: usize) -> usize {
        let folded = Folded::of(text);
        folded.original(self.0.open_from(&folded.text, base))
    }
}

impl<'t> Folded<'t> {
    fn of(text: &'t str) -> Self {
        let same = || Self { text: text.into(), marks: Vec::new(), original: text.len() };
        // Most text is ASCII, and most of the rest has nothing to fold; both are told from the bytes.
        if text.is_ascii() || !text.chars().any(|letter| fold(letter) != Some(letter)) {
            return same();
        }
        let mut folded = String::with_capacity(text.len());
        let mut marks = Vec::new();
        let mut distance = 0;
        for (place, letter) in text.char_indices() {
            let Some(letter) = fold(letter) else { continue };
            if place.saturating_sub(folded.len()) != distance {
                distance = place.saturating_sub(folded.len());
                marks.push((folded.len(), place));
            }
            folded.push(letter);
        }
        if text.len().saturating_sub(folded.len()) != distance {
            marks.push((folded.len(), text.len()));
        }
        Self { text: folded.into(), marks, original: text.len() }
    }

    /// The place in the original of a place here.
    fn original(&self, place: usize) -> usize {
        let after = self.marks.partition_point(|(here, _)| *here <= place);
        let mark = after.checked_sub(1).and_then(|before| self.marks.get(before));
        let (here, there) = mark.copied().unwrap_or((0, 0));
        there.saturating_add(place.saturating_sub(here)).min(self.original)
    }

    /// The place here of a place in the original: of the first letter that stands there or later.
    fn place_of(&self, original: usize) -> usize {
        let after = self.marks.partition_point(|(_, there)| *there <= original);
        let mark = after.checked_sub(1).and_then(|before| self.marks.get(before));
        let (here, there) = mark.copied().unwrap_or((0, 0));
        let next = self.marks.get(after).map_or(self.text.len(), |(here, _)| *here);
        here.saturating_add(original.saturating_sub(there)).min(next)
    }
}

/// What a letter is read as; nothing if it cannot be seen.
fn fold(letter: char) -> Option<char> {
    Some(match letter {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        '\u{2010}'..='\u{2013}' | '\u{2212}' => '-',
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{feff}' => {
            return None;
        }
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter).wrapping_sub(0xfee0)).unwrap_or(letter),
        other => other,
    })
}

/// Whether a word may go on with this letter. Scripts that put no spaces between words (Chinese, Japanese, Thai and their
/// neighbours) or hang particles on foreign words (Korean) do not continue what is written in ASCII.
pub(super) fn continues(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric() && letter < '\u{e00}'
}

/// Whether something may begin at a place: no word goes on there.
pub(in crate::guardrail) fn is_fresh(text: &str, at: usize) -> bool {
    match at.checked_sub(1).and_then(|before| text.as_bytes().get(before)) {
        None => true,
        Some(byte) if byte.is_ascii() => !(byte.is_ascii_alphanumeric() || *byte == b'_'),
        Some(_) => !text.get(..at).and_then(|before| before.chars().next_back()).is_some_and(continues),
    }
}

/// Whether no word goes on at a place.
pub(super) fn is_over(text: &str, at: usize) -> bool {
    match text.as_bytes().get(at) {
        None => true,
        Some(byte) if byte.is_ascii() => !(byte.is_ascii_alphanumeric() || *byte == b'_'),
        Some(_) => !text.get(at..).and_then(|after| after.chars().next()).is_some_and(continues),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_back_to_the_original() {
        let text = "a\u{a0}4\u{200b}1１２ \u{2060}z";
        let folded = Folded::of(text);
        assert_eq!(folded.text, "a 4112 z");
        for (place, letter) in folded.text.char_indices() {
            let original = folded.original(place);
            let there = text[original..].chars().next().expect("a letter");
            assert_eq!(fold(there), Some(letter), "{place}");
            assert_eq!(folded.place_of(original), place);
        }
        assert_eq!(folded.original(folded.text.len()), text.len());
        assert_eq!(folded.place_of(text.len()), folded.text.len());
        let unseen = text.find('\u{200b}').expect("there");
        assert_eq!(folded.place_of(unseen), 3, "the letter after it");
        assert!(matches!(Folded::of("Grüße aus Köln").text, Cow::Borrowed(_)));
    }
}
