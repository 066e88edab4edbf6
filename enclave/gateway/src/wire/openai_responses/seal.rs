//! Seals of thoughts inside `encrypted_content`, so that they come back with the next request.
//!
//! `OpenAI`'s own encrypted reasoning belongs to an item with an id; in canonical form it is `openai:ID:DATA`, so that no
//! other vendor is sent it. Other vendors' seals travel through clients as text of ours.

use crate::chat::conversation::Thought;

const OWN: &str = "openai:";
const SIGNATURE: &str = "postern-signature:";
const REDACTED: &str = "postern-redacted:";

/// `encrypted_content` for a client.
pub(super) fn for_client(thought: &Thought) -> Option<String> {
    match (&thought.redacted, &thought.signature) {
        (Some(redacted), _) => Some(match own(redacted) {
            Some((_, data)) => data.to_owned(),
            None => format!("{REDACTED}{redacted}"),
        }),
        (None, Some(signature)) => Some(format!("{SIGNATURE}{signature}")),
        (None, None) => None,
    }
}

/// A client's or an upstream's reasoning item as a thought.
pub(super) fn read(id: Option<&str>, text: String, encrypted: Option<String>) -> Thought {
    let Some(encrypted) = encrypted else { return Thought { text, ..Thought::default() } };
    if let Some(signature) = encrypted.strip_prefix(SIGNATURE) {
        return Thought { text, signature: Some(signature.to_owned()), redacted: None };
    }
    let redacted = match encrypted.strip_prefix(REDACTED) {
        Some(redacted) => redacted.to_owned(),
        None => format!("{OWN}{}:{encrypted}", id.unwrap_or_default()),
    };
    Thought { text, signature: None, redacted: Some(redacted) }
}

/// Id and data of `OpenAI`'s own encrypted reasoning.
pub(super) fn own(redacted: &str) -> Option<(&str, &str)> {
    redacted.strip_prefix(OWN)?.split_once(':')
}
