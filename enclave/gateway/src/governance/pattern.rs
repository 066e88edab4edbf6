//! Names with stars: `gpt-*`. Anchored at both ends, matched in linear time, nothing else is special.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes.
pub const MAX_PATTERN: usize = 256;

/// A name, or names with `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(#[schemars(regex(pattern = r"^[A-Za-z0-9._:/@+*-]{1,256}$"))] String);

/// Not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPattern;

impl std::fmt::Display for NotAPattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("expected 1 to 256 characters of A-Z a-z 0-9 . _ : / @ + - and *")
    }
}

impl TryFrom<String> for Pattern {
    type Error = NotAPattern;

    fn try_from(text: String) -> Result<Self, NotAPattern> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-*".contains(&byte);
        let fits = !text.is_empty() && text.len() <= MAX_PATTERN && text.bytes().all(plain);
        if fits { Ok(Self(text)) } else { Err(NotAPattern) }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl Pattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes())
    }

    /// Whether everything that fits `other` fits this. A star of `other` can be met by a star only, so the answer yes is
    /// always right.
    pub fn covers(&self, other: &Self) -> bool {
        fits(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Whether a name fits one of them.
pub fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// The part between stars is found at its first place, which leaves the most room for the rest; so nothing is tried
/// twice.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts.filter(|part| !part.is_empty()) {
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text.to_owned()).expect("a pattern")
    }

    #[test]
    fn patterns_are_anchored_at_both_ends() {
        for (text, name, expected) in [
            ("gpt-4", "gpt-4", true),
            ("gpt-4", "gpt-4o", false),
            ("gpt-4", "my-gpt-4", false),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "xgpt-4", false),
            ("*-mini", "gpt-4-mini", true),
            ("*-mini", "gpt-4-mini-2", false),
            ("a*b*a", "aba", true),
            ("a*b*a", "abab", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**x", "x", true),
        ] {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        }
        assert!(Pattern::try_from("gpt 4".to_owned()).is_err());
        assert!(Pattern::try_from(String::new()).is_err());
    }

    /// The meaning, written the slow way.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                slowly(rest, name) || name.split_first().is_some_and(|(_, shorter)| slowly(pattern, shorter))
            }
            (Some((own, rest)), Some((byte, shorter))) => own == byte && slowly(rest, shorter),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn means_what_the_slow_way_means(text in "[ab*]{1,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(pattern(&text).matches(&name), slowly(text.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn what_is_covered_fits(outer in "[ab*]{1,6}", inner in "[ab*]{1,6}", name in "[ab]{0,8}") {
            let (outer, inner) = (pattern(&outer), pattern(&inner));
            if outer.covers(&inner) && inner.matches(&name) {
                prop_assert!(outer.matches(&name));
            }
        }
    }
}
