//! Refuses requests that contain one of the configured phrases, in any letter case, in any string of the body.
//!
//! Limits, stated: a phrase is found inside one string only (not across content parts), and letters that merely look
//! alike are different letters.

use memchr::memmem::Finder;

use super::{Guardrail, GuardrailKind, Settings, Verdict};
use crate::plaintext::Plaintext;

/// The registered kind.
pub const KIND: DenyListKind = DenyListKind;

/// Makes deny lists.
pub struct DenyListKind;

impl GuardrailKind for DenyListKind {
    fn name(&self) -> &'static str {
        "deny_list"
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Guardrail>, &'static str> {
        if settings.phrases.is_empty() {
            return Err("at least one phrase");
        }
        if settings.phrases.iter().any(|phrase| phrase.trim().is_empty()) {
            return Err("phrases that are not empty");
        }
        let finder = |phrase: &String| Finder::new(phrase.to_lowercase().as_bytes()).into_owned();
        Ok(Box::new(DenyList { phrases: settings.phrases.iter().map(finder).collect() }))
    }
}

struct DenyList {
    phrases: Vec<Finder<'static>>,
}

impl Guardrail for DenyList {
    fn check(&self, text: Plaintext<&str>) -> Verdict {
        let lower = text.expose().to_lowercase();
        let found = self.phrases.iter().any(|phrase| phrase.find(lower.as_bytes()).is_some());
        if found { Verdict::Block } else { Verdict::Pass }
    }
}
