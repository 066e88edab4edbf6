//! Placeholders that stand for what a request says, and the way back.
//!
//! A placeholder is `[[EMAIL_1_k7x2]]`: the kind of thing, its number, and four characters that are drawn for each request
//! and occur nowhere in it after `_`. So text of the request cannot be mistaken for a placeholder, and one from another
//! request means nothing. The values live as long as the exchange and in the enclave's memory only.

use std::collections::BTreeMap;

use crate::plaintext::Plaintext;

/// Longest name of a kind that gets into a placeholder.
const MAX_KIND: usize = 24;
/// Longest placeholder, in bytes: brackets, kind, number and suffix.
pub const MAX_PLACEHOLDER: usize = 2 + MAX_KIND + 1 + 6 + 1 + SUFFIX + 2;
/// Most values of one request.
pub const MAX_VALUES: usize = 10_000;
const SUFFIX: usize = 4;
const OPEN: &str = "[[";

/// The values that one request's placeholders stand for.
#[derive(Default)]
pub struct Masks {
    suffix: String,
    /// By placeholder.
    values: BTreeMap<String, Plaintext<String>>,
    /// Placeholders by kind and value.
    given: BTreeMap<(String, String), String>,
    counts: BTreeMap<String, usize>,
}

/// More values than [`MAX_VALUES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Masks {
    /// For a request that says `body`; `draw` gives numbers that nobody outside can guess.
    pub fn new(body: &[u8], mut draw: impl FnMut() -> u64) -> Self {
        loop {
            let suffix = suffix(draw());
            let ending = format!("_{suffix}]]");
            if memchr::memmem::find(body, ending.as_bytes()).is_none() {
                return Self { suffix, ..Self::default() };
            }
        }
    }

    /// The placeholder of a value; the same for the same value.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn placeholder(&mut self, kind: &str, value: &str) -> Result<&str, TooMany> {
        let kind: String = kind
            .chars()
            .take(MAX_KIND)
            .map(|own| if own.is_ascii_alphanumeric() { own.to_ascii_uppercase() } else { '_' })
            .collect();
        let key = (kind, value.to_owned());
        if !self.given.contains_key(&key) {
            if self.given.len() >= MAX_VALUES {
                return Err(TooMany);
            }
            let count = self.counts.entry(key.0.clone()).or_default();
            *count = count.saturating_add(1);
            let text = format!("[[{}_{count}_{}]]", key.0, self.suffix);
            self.values.insert(text.clone(), Plaintext::new(value.to_owned()));
            self.given.insert(key.clone(), text);
        }
        self.given.get(&key).map(String::as_str).ok_or(TooMany)
    }

    /// Whether nothing was masked.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The placeholders in a text and what they stand for, from `from` on.
    pub fn find<'s>(&'s self, text: &str, from: usize) -> Vec<(std::ops::Range<usize>, &'s str)> {
        let mut found = Vec::new();
        let mut at = from;
        while let Some(open) = text.get(at..).and_then(|rest| rest.find(OPEN)) {
            let start = at.saturating_add(open);
            let rest = text.get(start..).unwrap_or_default();
            let end = rest.find("]]").map(|end| end.saturating_add(2));
            let known = end.and_then(|end| Some((end, self.values.get(rest.get(..end)?)?)));
            at = match known {
                Some((length, value)) => {
                    let end = start.saturating_add(length);
                    found.push((start..end, value.expose().as_str()));
                    end
                }
                None => start.saturating_add(1),
            };
        }
        found
    }

    /// From where more text could still make a placeholder: an unfinished one at the end.
    pub fn open_from(&self, text: &str) -> usize {
        if self.values.is_empty() {
            return text.len();
        }
        let near = floor(text, text.len().saturating_sub(MAX_PLACEHOLDER));
        let tail = text.get(near..).unwrap_or_default();
        for (at, _) in tail.match_indices('[') {
            let rest = tail.get(at..).unwrap_or_default();
            let unfinished = self.values.keys().any(|own| own.len() > rest.len() && own.starts_with(rest));
            if unfinished {
                return near.saturating_add(at);
            }
        }
        text.len()
    }
}

/// The nearest character boundary at or before `at`.
pub fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

/// Four letters and digits.
fn suffix(mut number: u64) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = String::with_capacity(SUFFIX);
    for _ in 0..SUFFIX {
        let place = usize::try_from(number & 31).unwrap_or(0);
        text.push(char::from(LETTERS.get(place).copied().unwrap_or(b'a')));
        number = number.wrapping_shr(5);
    }
    text
}
