//! Finds what configured expressions match. The engine's time is linear in the text whatever the expression (no
//! backtracking), and the size of what an expression is compiled to is bounded.

use regex::{Regex, RegexBuilder};

use super::{Detector, Finding, GuardrailKind, Hook, Settings, Spans};
use crate::content::mask::floor;

/// The registered kind.
pub const KIND: RegexKind = RegexKind;

/// Most expressions.
const MAX_PATTERNS: usize = 200;
/// Most memory of one compiled expression, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// Longest match that is looked for unless the configuration says otherwise.
const WINDOW: u64 = 256;

/// Makes checks of expressions.
pub struct RegexKind;

impl GuardrailKind for RegexKind {
    fn name(&self) -> &'static str {
        "regex"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["patterns", "window_bytes"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let sources = settings.patterns.clone().unwrap_or_default();
        if sources.is_empty() || sources.len() > MAX_PATTERNS {
            return Err("at least one of 'patterns', and 200 at most");
        }
        let patterns = sources.iter().map(|own| compile(own)).collect::<Result<Vec<_>, _>>()?;
        if patterns.iter().any(|own| own.is_match("")) {
            return Err("expressions that do not match the empty text");
        }
        let window = settings.window_bytes.unwrap_or(WINDOW);
        if !(16..=4096).contains(&window) {
            return Err("'window_bytes' from 16 to 4096");
        }
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        Ok(Detector::Spans(Box::new(Patterns { patterns, window })))
    }
}

/// An expression within bounds.
pub(super) fn compile(source: &str) -> Result<Regex, &'static str> {
    let built = RegexBuilder::new(source).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build();
    built.map_err(|_| "expressions of the regex crate's syntax that are not too large")
}

struct Patterns {
    patterns: Vec<Regex>,
    window: usize,
}

impl Spans for Patterns {
    /// Looks at blocks of one window, each with the window after it. Blocks begin at fixed places of the whole text, so it
    /// does not matter in which pieces the text comes, and each byte is looked at twice at most.
    fn find(&self, text: &str, base: usize, from: usize, found: &mut Vec<Finding>) {
        let before = found.len();
        for pattern in &self.patterns {
            let mut at = from;
            while at < text.len() {
                let next = self.next_block(base.saturating_add(at)).saturating_sub(base);
                let seen = floor(text, next.saturating_add(self.window));
                let hit = pattern.find_at(text.get(..seen).unwrap_or(text), at);
                at = match hit.filter(|hit| hit.start() < next) {
                    Some(hit) => {
                        found.push(Finding { at: hit.range(), what: "pattern" });
                        hit.end().max(ceiling(text, hit.start().saturating_add(1)))
                    }
                    None => ceiling(text, next),
                };
            }
        }
        if let Some(own) = found.get_mut(before..) {
            own.sort_by_key(|finding| finding.at.start);
        }
    }

    fn open_from(&self, text: &str, base: usize) -> usize {
        let whole = base.saturating_add(text.len()).saturating_sub(self.window.saturating_add(4));
        let block = whole.saturating_sub(whole.checked_rem(self.window).unwrap_or(0));
        floor(text, block.saturating_sub(base))
    }
}

impl Patterns {
    /// Where the block after that of `at` begins, in the whole text.
    fn next_block(&self, at: usize) -> usize {
        at.saturating_sub(at.checked_rem(self.window).unwrap_or(0)).saturating_add(self.window)
    }
}

/// The nearest character boundary at or after `at`.
fn ceiling(text: &str, at: usize) -> usize {
    let mut at = at;
    while at < text.len() && !text.is_char_boundary(at) {
        at = at.saturating_add(1);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With an engine that backtracks this does not end while anybody waits for it.
    #[test]
    fn st_12_expressions_that_explode_elsewhere_end_here() {
        let text = format!("{}b", "a".repeat(64 * 1024));
        for source in ["(a+)+c", "(a|aa)+c", "(a|a?)+c", "(.*a){20}c", "a*a*a*a*a*a*a*c"] {
            let own = Patterns { patterns: vec![compile(source).expect("within bounds")], window: 4096 };
            let mut found = Vec::new();
            own.find(&text, 0, 0, &mut found);
            assert!(found.is_empty(), "{source}");
        }
        for source in ["a{1000000}", "(a{1000}){1000}", "(", r"(a)\1", "(?=a)b"] {
            assert!(compile(source).is_err(), "{source}");
        }
    }
}
