//! Where an answer's words come from: pages that a provider searched and the model names.
//!
//! Every API counts the words in its own way: `OpenAI` and Cohere in characters, Gemini in bytes, Anthropic by cutting the
//! text into blocks. Here they are characters (Unicode scalar values) of all the text of one answer.

use std::collections::BTreeMap;
use std::ops::Range;

/// Most citations of one answer that travel; what follows is left out. The text is whole without them.
pub const MAX_CITATIONS: usize = 512;

/// One source of a piece of an answer.
#[derive(Clone, Default)]
pub struct Citation {
    /// The address of the source. Nobody here ever fetches it.
    pub url: String,
    /// Its title, where the API tells.
    pub title: Option<String>,
    /// What the source says, where the API tells.
    pub quote: Option<String>,
    /// Which characters of the answer rest on it; nothing if the API does not say.
    pub span: Option<Range<u64>>,
}

impl Citation {
    /// The characters that rest on it: all `so_far` if the API does not say.
    pub fn span_or_all(&self, so_far: u64) -> Range<u64> {
        self.span.clone().unwrap_or(0..so_far)
    }
}

/// How many characters a text has.
pub fn characters(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// Bytes to characters and back, for the places of one text that are asked for. One pass over the text, whatever their
/// number: places come from outside.
pub struct Places {
    /// For each character that was asked for, the byte at which it begins.
    by_character: BTreeMap<u64, usize>,
    /// For each byte that was asked for, how many characters are before it.
    by_byte: BTreeMap<u64, u64>,
}

impl Places {
    /// Places of `text`. What is beyond its end is its end; a byte inside a character belongs to the next one.
    pub fn of(
        text: &str,
        characters: impl Iterator<Item = Range<u64>>,
        bytes: impl Iterator<Item = Range<u64>>,
    ) -> Self {
        let ends = |span: Range<u64>| [span.start, span.end];
        let mut by_character: BTreeMap<u64, usize> =
            characters.flat_map(ends).map(|place| (place, text.len())).collect();
        let mut by_byte: BTreeMap<u64, u64> = bytes.flat_map(ends).map(|place| (place, u64::MAX)).collect();
        let mut asked_characters = by_character.iter_mut().peekable();
        let mut asked_bytes = by_byte.iter_mut().peekable();
        let mut count = 0_u64;
        for at in text.char_indices().map(|(at, _)| at).chain([text.len()]) {
            if let Some((_, byte)) = asked_characters.next_if(|(character, _)| **character == count) {
                *byte = at;
            }
            let here = u64::try_from(at).unwrap_or(u64::MAX);
            while let Some((_, character)) = asked_bytes.next_if(|(byte, _)| **byte <= here) {
                *character = count;
            }
            count = count.saturating_add(1);
        }
        let end = count.saturating_sub(1);
        asked_bytes.for_each(|(_, character)| *character = end);
        Self { by_character, by_byte }
    }

    /// The bytes of characters that were asked for.
    pub fn bytes(&self, characters: &Range<u64>) -> Range<usize> {
        let byte = |character| self.by_character.get(character).copied().unwrap_or(0);
        let start = byte(&characters.start);
        start..byte(&characters.end).max(start)
    }

    /// The characters of bytes that were asked for.
    pub fn characters(&self, bytes: &Range<u64>) -> Range<u64> {
        let character = |byte| self.by_byte.get(byte).copied().unwrap_or(0);
        let start = character(&bytes.start);
        start..character(&bytes.end).max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> std::iter::Empty<Range<u64>> {
        std::iter::empty()
    }

    #[test]
    fn places_are_found_in_texts_of_any_letters() {
        let text = "aüb€c";
        let spans = [0..2, 1..4, 4..5, 2..90];
        let places = Places::of(text, spans.iter().cloned(), none());
        let cut: Vec<_> = spans.iter().map(|span| text.get(places.bytes(span)).unwrap()).collect();
        assert_eq!(cut, ["aü", "üb€", "c", "b€c"]);

        let bytes = [0..3, 1..7, 7..8, 2..3, 5..99, 4..4];
        let places = Places::of(text, none(), bytes.iter().cloned());
        let counted: Vec<_> = bytes.iter().map(|span| places.characters(span)).collect();
        assert_eq!(counted, [0..2, 1..4, 4..5, 2..2, 4..5, 3..3]);
    }

    #[test]
    fn an_empty_text_has_one_place() {
        let places = Places::of("", std::iter::once(0..3), [0..3, 2..9].into_iter());
        assert_eq!(places.bytes(&(0..3)), 0..0);
        assert_eq!(places.characters(&(2..9)), 0..0);
    }
}
