//! Finds personal data by its form: what has a checksum must have the right one, what has none must have a telling form or
//! a telling word before it.
//!
//! Names, places and organisations are not found: they have no form. How much is found and missed is measured on a corpus:
//! `tests/detection/REPORT.md`.

use super::{Detector, Finding, GuardrailKind, Hook, Settings, Spans};
use crate::content::mask::floor;

mod digits;

mod documents;

pub(super) mod folded;

mod networks;

mod wallets;

use folded::{Folding, is_fresh, is_over};

/// The registered kind.
pub const KIND: PiiKind = PiiKind;

/// Longest thing that has no white space in it: an e-mail address (RFC 5321: 64, an at sign, 255).
const MAX_RUN: usize = 320;
/// Longest thing that has: an IBAN of 34 characters with its spaces.
const MAX_SPACED: usize = 48;
/// How far before it a telling word may stand.
const REACH: usize = 48;

/// What is looked for, by the name the configuration uses.
pub const ENTITIES: &[(&str, Matcher)] = &[
    ("bitcoin", wallets::bitcoin),
    ("card", digits::card),
    ("date_of_birth", digits::date_of_birth),
    ("email", networks::email),
    ("ethereum", wallets::ethereum),
    ("iban", documents::iban),
    ("ip_address", networks::ip_address),
    ("nino", documents::nino),
    ("passport", documents::passport),
    ("phone", digits::phone),
    ("sin", digits::sin),
    ("ssn", digits::ssn),
];

/// Looks for one kind of thing that begins at a place; its length if it is there.
pub type Matcher = fn(&At<'_>) -> Option<usize>;

/// A place in a text where something may begin: nothing that belongs to a word stands before it.
#[derive(Clone, Copy)]
pub struct At<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> At<'t> {
    /// From here to the end.
    pub(super) fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Whether nothing that belongs to a word stands after so many bytes.
    pub(super) fn ends_after(&self, length: usize) -> bool {
        is_over(self.text, self.at.saturating_add(length))
    }

    /// Whether one of these words stands shortly before; words are in lower case.
    pub(super) fn after(&self, words: &[&str]) -> bool {
        let start = floor(self.text, self.at.saturating_sub(REACH));
        let before = told_here(self.text.get(start..self.at).unwrap_or_default()).to_ascii_lowercase();
        words.iter().any(|word| before.match_indices(word).any(|(at, _)| is_whole(&before, at, word.len())))
    }

    /// Whether a number with dashes or dots goes on here.
    pub(super) fn continues_number(&self) -> bool {
        let before = self.text.as_bytes().get(..self.at).unwrap_or_default();
        matches!(before, [.., b'0'..=b'9', b'-' | b'.'])
    }

    fn byte_before(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at.checked_sub(1)?).copied()
    }
}

/// The end of what stands before a value that can speak of it: not of another line that had its own number, not of another
/// sentence, and not of a number that came between.
fn told_here(before: &str) -> &str {
    let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    let mut own = before;
    if let Some((line, rest)) = own.rsplit_once('\n')
        && has_digit(line)
    {
        own = rest;
    }
    let ends = |(at, _): &(usize, &str)| {
        let word =
            own.get(..*at).unwrap_or_default().bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        word >= 4
    };
    if let Some((at, _)) = own.match_indices(". ").filter(ends).last() {
        own = own.get(at.saturating_add(2)..).unwrap_or_default();
    }
    let digits = own.bytes().filter(u8::is_ascii_digit).count();
    let last = own.rfind(|letter: char| letter.is_ascii_digit());
    let Some(last) = last.filter(|_| digits >= 5) else { return own };
    let rest = own.get(last.saturating_add(1)..).unwrap_or_default();
    let joins = |word: &str| word.len() < 3 || matches!(word, "and" | "oder" | "und");
    if rest.split(|letter: char| !letter.is_alphabetic()).all(joins) { own } else { rest }
}

/// Whether no letter stands around a part of a text.
fn is_whole(text: &str, at: usize, length: usize) -> bool {
    let bytes = text.as_bytes();
    let letter =
        |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_alphabetic);
    !letter(at.checked_sub(1)) && !letter(Some(at.saturating_add(length)))
}

/// Letters, digits and the underscore.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Makes checks for personal data.
pub struct PiiKind;

impl GuardrailKind for PiiKind {
    fn name(&self) -> &'static str {
        "pii"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["entities"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let wanted = settings.entities.as_deref();
        let known = |name: &String| ENTITIES.iter().any(|(own, _)| own == name);
        if wanted.is_some_and(|names| names.is_empty() || !names.iter().all(known)) {
            return Err(
                "'entities' of bitcoin, card, date_of_birth, email, ethereum, iban, ip_address, nino, passport, phone, sin, ssn",
            );
        }
        let on = |name: &str| wanted.is_none_or(|names| names.iter().any(|own| own == name));
        let entities = ENTITIES.iter().filter(|(name, _)| on(name)).copied().collect();
        Ok(Detector::Spans(Box::new(Folding(Pii { entities }))))
    }
}

struct Pii {
    entities: Vec<(&'static str, Matcher)>,
}

impl Spans for Pii {
    fn find(&self, text: &str, _: usize, from: usize, found: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let has_at_sign = memchr::memchr(b'@', bytes.get(from..).unwrap_or_default()).is_some();
        let mut at = from;
        while let Some(byte) = bytes.get(at) {
            let may = may_begin(bytes, at, *byte, has_at_sign) && is_fresh(text, at);
            let hit = may.then(|| self.longest(At { text, at }));
            match hit.flatten() {
                Some((what, length)) => {
                    let end = at.saturating_add(length);
                    found.push(Finding { at: at..end, what });
                    at = end;
                }
                None if is_word(*byte) => {
                    at = at.saturating_add(word_length(bytes.get(at..).unwrap_or_default()));
                }
                None => at = at.saturating_add(1),
            }
        }
    }

    fn open_from(&self, text: &str, _: usize) -> usize {
        let bytes = text.as_bytes();
        let near = floor(text, text.len().saturating_sub(MAX_RUN));
        let tail = text.get(near..).unwrap_or_default();
        let run =
            tail.rfind(char::is_whitespace).map_or(near, |at| near.saturating_add(at).saturating_add(1));
        // What may have spaces in it: capitals, digits and what separates groups.
        let spaced = |byte: &u8| {
            byte.is_ascii_uppercase()
                || byte.is_ascii_digit()
                || matches!(byte, b' ' | b'(' | b')' | b'+' | b'-' | b'.' | b'/')
        };
        let last = bytes.get(bytes.len().saturating_sub(MAX_SPACED)..).unwrap_or_default();
        let length = last.iter().rev().take_while(|byte| spaced(byte)).count();
        let mut group = bytes.len().saturating_sub(length);
        while bytes.get(group) == Some(&b' ') {
            group = group.saturating_add(1);
        }
        floor(text, run.min(group).min(self.written_date(text)))
    }
}

impl Pii {
    /// From where a date with the month's name may still be under way: the last bytes, if a telling word is near.
    fn written_date(&self, text: &str) -> usize {
        let end = text.len();
        if !self.entities.iter().any(|(name, _)| *name == "date_of_birth") {
            return end;
        }
        let near = floor(text, end.saturating_sub(digits::MAX_WRITTEN));
        let told = floor(text, near.saturating_sub(REACH));
        let seen = text.get(told..).unwrap_or_default();
        if digits::tells_birth(seen) { near } else { end }
    }

    /// The longest thing that begins here.
    fn longest(&self, at: At<'_>) -> Option<(&'static str, usize)> {
        let all = self.entities.iter().filter_map(|(name, find)| Some((*name, find(&at)?)));
        all.max_by_key(|(_, length)| *length)
    }
}

/// Whether anything at all can begin with this byte. Most words end here.
fn may_begin(bytes: &[u8], at: usize, byte: u8, has_at_sign: bool) -> bool {
    let next = |step: usize| bytes.get(at.saturating_add(step)).copied().unwrap_or(b' ');
    match byte {
        b'0'..=b'9' | b'+' | b'(' | b'A' | b'D' | b'F' | b'J' | b'M' | b'N' | b'O' | b'S' => true,
        b':' => next(1) == b':',
        b'b' if next(1) == b'c' && next(2) == b'1' => true,
        b'A'..=b'Z' if !next(1).is_ascii_lowercase() || next(2).is_ascii_digit() => true,
        b'a'..=b'z' if next(2).is_ascii_digit() => true,
        b'A'..=b'F' | b'a'..=b'f' if (1..=4).any(|step| next(step) == b':') => true,
        // The first byte of Latin, Greek and Cyrillic letters.
        0xc3..=0xd4 => has_at_sign,
        _ => has_at_sign && byte.is_ascii_alphabetic(),
    }
}

fn word_length(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| is_word(**byte)).count().max(1)
}

#[cfg(test)]
mod tests;
