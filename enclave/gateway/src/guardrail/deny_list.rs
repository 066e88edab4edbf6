//! Refuses content that contains one of the configured phrases: in any letter case, whatever white space stands between
//! words, seen through look-alike letters and invisible characters.

use aho_corasick::{AhoCorasick, MatchKind};

use super::{Detector, Finding, GuardrailKind, Hook, Settings, Spans};
use crate::content::mask::floor;
use crate::content::plain::{is_invisible, plain};

/// The registered kind.
pub const KIND: DenyListKind = DenyListKind;

/// Most phrases.
const MAX_PHRASES: usize = 10_000;
/// Longest phrase, in bytes.
const MAX_PHRASE: usize = 256;
/// Most bytes of the original that one byte of a phrase can stand for: look-alikes, marks and invisible characters
/// between letters.
const SPREAD: usize = 8;

/// Makes deny lists.
pub struct DenyListKind;

impl GuardrailKind for DenyListKind {
    fn name(&self) -> &'static str {
        "deny_list"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["phrases"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let phrases = settings.phrases.clone().unwrap_or_default();
        if phrases.is_empty() {
            return Err("at least one phrase");
        }
        if phrases.len() > MAX_PHRASES {
            return Err("at most 10,000 phrases");
        }
        let phrases: Vec<String> = phrases.iter().map(|own| plain(own.trim())).collect();
        if phrases.iter().any(|own| own.is_empty() || own.len() > MAX_PHRASE) {
            return Err("phrases of 1 to 256 bytes");
        }
        let longest = phrases.iter().map(String::len).max().unwrap_or(0);
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&phrases);
        let automaton = automaton.map_err(|_| "phrases that are shorter together")?;
        Ok(Detector::Spans(Box::new(DenyList { automaton, longest })))
    }
}

struct DenyList {
    automaton: AhoCorasick,
    longest: usize,
}

impl Spans for DenyList {
    fn find(&self, text: &str, _: usize, from: usize, found: &mut Vec<Finding>) {
        let rest = text.get(from..).unwrap_or_default();
        let folded = Folded::of(rest);
        for hit in self.automaton.find_iter(&folded.text) {
            let start = from.saturating_add(folded.origin(hit.start()));
            let end = from.saturating_add(folded.end(hit.end()));
            if end.saturating_sub(start) <= self.window() {
                found.push(Finding { at: start..end, what: "phrase" });
            }
        }
    }

    fn open_from(&self, text: &str, _: usize) -> usize {
        floor(text, text.len().saturating_sub(self.window()))
    }
}

impl DenyList {
    const fn window(&self) -> usize {
        self.longest.saturating_mul(SPREAD)
    }
}

/// Text as [`plain`] makes it, with the way back to the original's places.
struct Folded {
    text: String,
    /// For each byte of `text`, where its letter begins in the original; one more for the end.
    origins: Vec<usize>,
}

impl Folded {
    fn of(original: &str) -> Self {
        let mut text = String::with_capacity(original.len());
        let mut origins = Vec::with_capacity(original.len().saturating_add(1));
        let mut one = [0_u8; 4];
        for (at, letter) in original.char_indices() {
            if letter.is_ascii() && !letter.is_ascii_whitespace() {
                text.push(letter.to_ascii_lowercase());
            } else if letter.is_whitespace() {
                if !text.ends_with(' ') {
                    text.push(' ');
                }
            } else if !is_invisible(letter) {
                text.push_str(&plain(letter.encode_utf8(&mut one)));
            }
            origins.resize(text.len(), at);
        }
        origins.push(original.len());
        Self { text, origins }
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or(0)
    }

    /// Where the letter that ends before `at` ends.
    fn end(&self, at: usize) -> usize {
        let last = self.origin(at.saturating_sub(1));
        let next = self.origins.get(at..).and_then(|rest| rest.iter().find(|own| **own > last));
        next.copied().unwrap_or_else(|| self.origins.last().copied().unwrap_or(0))
    }
}
