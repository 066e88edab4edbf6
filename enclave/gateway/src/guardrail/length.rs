//! Objects to texts that are too short or too long.

use super::{Detector, GuardrailKind, Hook, Judge, Settings, Subject};

/// The registered kind.
pub const KIND: LengthKind = LengthKind;

/// Makes checks of lengths.
pub struct LengthKind;

impl GuardrailKind for LengthKind {
    fn name(&self) -> &'static str {
        "length"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["min_words", "max_words", "max_characters"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let Settings { min_words, max_words, max_characters, .. } = settings;
        if [min_words, max_words, max_characters].iter().all(|own| own.is_none()) {
            return Err("'min_words', 'max_words' or 'max_characters'");
        }
        let number = |own: &Option<u64>| own.map(|own| usize::try_from(own).unwrap_or(usize::MAX));
        Ok(Detector::Judge(Box::new(Length {
            min_words: number(min_words).unwrap_or(0),
            max_words: number(max_words).unwrap_or(usize::MAX),
            max_characters: number(max_characters).unwrap_or(usize::MAX),
        })))
    }
}

struct Length {
    min_words: usize,
    max_words: usize,
    max_characters: usize,
}

impl Judge for Length {
    /// Counts all texts together.
    fn objects(&self, subject: &Subject<'_>) -> bool {
        let (mut words, mut characters) = (0_usize, 0_usize);
        for text in subject.texts() {
            words = words.saturating_add(text.split_whitespace().count());
            characters = characters.saturating_add(text.chars().count());
        }
        words < self.min_words || words > self.max_words || characters > self.max_characters
    }
}
