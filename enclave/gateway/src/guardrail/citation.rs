//! Objects to answers that cite what was not supplied: numbers in brackets, addresses and quotations must stand in what the
//! request said. The share that does must reach the threshold; an answer without citations passes.

use super::{Detector, GuardrailKind, Hook, Judge, Settings, Subject};
use crate::content::plain::plain;

/// The registered kind.
pub const KIND: CitationKind = CitationKind;

/// Shortest quotation that is looked up, in characters.
const MIN_QUOTE: usize = 12;

/// Makes checks of citations.
pub struct CitationKind;

impl GuardrailKind for CitationKind {
    fn name(&self) -> &'static str {
        "citation"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["threshold_percent"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Output]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let threshold = settings.threshold_percent.unwrap_or(100);
        if !(1..=100).contains(&threshold) {
            return Err("'threshold_percent' from 1 to 100");
        }
        Ok(Detector::Judge(Box::new(Citation { threshold: usize::try_from(threshold).unwrap_or(100) })))
    }
}

struct Citation {
    threshold: usize,
}

impl Judge for Citation {
    fn objects(&self, subject: &Subject<'_>) -> bool {
        let asked: Vec<String> = subject.asked.iter().map(|own| plain(own)).collect();
        let stands = |claim: &String| asked.iter().any(|own| own.contains(claim.as_str()));
        let claims: Vec<String> = subject.texts().flat_map(claims).collect();
        let supported = claims.iter().filter(|own| stands(own)).count();
        supported.saturating_mul(100) < claims.len().saturating_mul(self.threshold)
    }
}

/// What a text claims to have from elsewhere, as plain text.
fn claims(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let text = plain(text);
    for (open, close) in [("[", "]"), ("\u{201c}", "\u{201d}"), ("\u{ab}", "\u{bb}"), ("\"", "\"")] {
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once(open) {
            let Some((inside, next)) = after.split_once(close) else { break };
            let marker = open == "["
                && !inside.is_empty()
                && inside.len() <= 3
                && inside.bytes().all(|byte| byte.is_ascii_digit());
            if marker {
                found.push(format!("[{inside}]"));
            } else if open != "[" && inside.chars().count() >= MIN_QUOTE {
                found.push(inside.trim().trim_end_matches(['.', ',']).to_owned());
            }
            rest = if open == "[" { after } else { next };
        }
    }
    let addresses = text.split(|letter: char| letter.is_whitespace() || "()<>\"[]".contains(letter));
    let address = |word: &&str| word.starts_with("http://") || word.starts_with("https://");
    found.extend(addresses.filter(address).map(|word| word.trim_end_matches(['.', ',', ';']).to_owned()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_markers_quotations_and_addresses() {
        let text =
            "As [2] says, \u{201c}the sky is blue today\u{201d}; see https://a.example/x. [note] \"short\"";
        assert_eq!(claims(text), ["[2]", "the sky is blue today", "https://a.example/x"]);
    }
}
