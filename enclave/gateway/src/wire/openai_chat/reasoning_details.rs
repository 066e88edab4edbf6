//! `reasoning_details`: thoughts with their seals, in the form that `OpenRouter` made common, so that clients can give them
//! back with the next request.

use serde::{Deserialize, Serialize};

use crate::chat::conversation::Thought;

/// One thought; either words with a seal, or an encrypted form.
#[derive(Deserialize)]
pub(super) struct Detail {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

/// The canonical thoughts; what has neither words nor a seal is no thought. Pieces of a stream given back as they came
/// are one thought up to their seal.
pub(super) fn thoughts(details: Vec<Detail>) -> Vec<Thought> {
    let mut thoughts: Vec<Thought> = Vec::new();
    for Detail { text, signature, data } in details {
        let text = text.unwrap_or_default();
        match thoughts.last_mut() {
            Some(open) if open.signature.is_none() && open.redacted.is_none() && data.is_none() => {
                open.text.push_str(&text);
                open.signature = signature;
            }
            _ if text.is_empty() && signature.is_none() && data.is_none() => {}
            _ => thoughts.push(Thought { text, signature, redacted: data }),
        }
    }
    thoughts
}

/// One thought as it is written.
#[derive(Serialize)]
pub(super) struct WrittenDetail<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    index: usize,
}

impl<'a> WrittenDetail<'a> {
    /// From the canonical form.
    pub(super) fn new(thought: &'a Thought, index: usize) -> Self {
        let encrypted = thought.redacted.as_deref();
        Self {
            r#type: if encrypted.is_some() { "reasoning.encrypted" } else { "reasoning.text" },
            text: encrypted.is_none().then_some(thought.text.as_str()),
            signature: thought.signature.as_deref(),
            data: encrypted,
            index,
        }
    }
}
