//! A client's completions request as a conversation of one message.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::chat::Conversation;
use crate::chat::conversation::{Part, Role, Sampling, Turn};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Request;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::{TextOr, member, positive, report_unread};

/// Members that the canonical form has, or that are judged by their values.
const READ: &[&str] = &[
    "best_of",
    "frequency_penalty",
    "max_tokens",
    "model",
    "n",
    "presence_penalty",
    "prompt",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "top_p",
    "user",
];

/// Members that it does not have, and how much they matter.
const UNREAD: &[(&str, Weight)] =
    &[("echo", Weight::Meaning), ("logit_bias", Weight::Meaning), ("logprobs", Weight::Meaning)];

/// What the API answers with at most if the client says nothing.
const DEFAULT_MAX_TOKENS: u64 = 16;

pub(super) fn conversation(
    request: &Request,
    expressible: &mut Expressible,
) -> Result<Plaintext<Conversation>, Error> {
    report_unread(request, READ, UNREAD, expressible)?;
    let choices = positive(request, "n")?;
    if positive(request, "best_of")?.is_some_and(|count| count != choices.unwrap_or(1)) {
        expressible.cannot("best_of", Weight::Meaning)?;
    }
    if member::<String>(request, "suffix", "a string")?.is_some_and(|text| !text.is_empty()) {
        expressible.cannot("suffix", Weight::Meaning)?;
    }
    let number = |param| member::<f64>(request, param, "a number");
    let sampling = Sampling {
        temperature: number("temperature")?,
        top_p: number("top_p")?,
        top_k: None,
        presence_penalty: number("presence_penalty")?,
        frequency_penalty: number("frequency_penalty")?,
        seed: member(request, "seed", "a whole number")?,
    };
    let stop = match member::<TextOr<String>>(request, "stop", "a string or an array of strings")? {
        None => Vec::new(),
        Some(TextOr::List(list)) => list,
        Some(TextOr::Text(text)) => vec![text],
    };
    let said = Part::Text { text: prompt(request)?, cache: None };
    Ok(Plaintext::new(Conversation {
        turns: vec![Turn { role: Role::User, parts: vec![said] }],
        max_output_tokens: Some(positive(request, "max_tokens")?.unwrap_or(DEFAULT_MAX_TOKENS)),
        sampling,
        stop,
        choices,
        end_user: member(request, "user", "a string")?,
        stream: request.stream,
        ..Conversation::default()
    }))
}

/// One of a list of prompts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    /// Tokens, or one of them.
    Other(IgnoredAny),
}

/// The one prompt. Several would be several answers, and tokens mean nothing to a model that did not make them: both are
/// refused whatever the configuration says, since without them nothing would be left to ask.
fn prompt(request: &Request) -> Result<String, Error> {
    let unsupported = Error::FieldUnsupported { param: "prompt" };
    match member::<TextOr<Prompt>>(request, "prompt", "a string or an array")? {
        None => Err(Error::FieldMissing { param: "prompt" }),
        Some(TextOr::Text(text)) => Ok(text),
        Some(TextOr::List(list)) => match <[Prompt; 1]>::try_from(list) {
            Ok([Prompt::Text(text)]) => Ok(text),
            Ok([Prompt::Other(_)]) | Err(_) => Err(unsupported),
        },
    }
}
