//! Tool names of one request as an upstream knows them, and as the client wrote them.

use ring::digest::{SHA256, digest};

use super::conversation::{Conversation, Part};

/// Pairs of names; a name without a pair is the same on both sides.
#[derive(Default)]
pub struct ToolNames {
    /// Sent and original; each once.
    pairs: Vec<(String, String)>,
    /// A tool that the client does not know: its arguments are the answer.
    answer: Option<String>,
}

impl ToolNames {
    /// Lets a tool of that name carry the answer.
    pub fn answer_with(&mut self, name: &str) {
        self.answer = Some(name.to_owned());
    }

    /// Whether a call of that name is the answer.
    pub fn is_answer(&self, name: &str) -> bool {
        self.answer.as_deref() == Some(name)
    }

    /// The name to send.
    pub fn sent<'a>(&'a self, original: &'a str) -> &'a str {
        let pair = self.pairs.iter().find(|(_, own)| own == original);
        pair.map_or(original, |(sent, _)| sent)
    }

    /// The client's own name.
    pub fn original<'a>(&'a self, sent: &'a str) -> &'a str {
        let pair = self.pairs.iter().find(|(own, _)| own == sent);
        pair.map_or(sent, |(_, original)| original)
    }

    /// Every name to send.
    pub fn all_sent(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(sent, _)| sent.as_str())
    }

    /// All names of a request, of its tools and of the calls in its history, made to fit.
    pub fn fitting(conversation: &Conversation, letters: Letters) -> Self {
        let mut names = Self::default();
        // Names that may stay as they are come first, so that no changed one takes their place.
        let all: Vec<&str> = every_name(conversation).collect();
        for name in all.iter().filter(|name| letters.allow(name)).chain(&all) {
            if !names.knows(name) {
                let sent = letters.fit(name, &names);
                names.pairs.push((sent, (*name).to_owned()));
            }
        }
        names
    }

    #[cfg(test)]
    pub(crate) fn pair(sent: &str, original: &str) -> Self {
        Self { pairs: vec![(sent.to_owned(), original.to_owned())], answer: None }
    }

    fn knows(&self, original: &str) -> bool {
        self.pairs.iter().any(|(_, own)| own == original)
    }
}

/// What an API allows in a tool's name beside ASCII letters, digits and `_`.
#[derive(Clone, Copy)]
pub struct Letters {
    /// Other characters.
    pub also: &'static str,
    /// The first must be a letter or `_`.
    pub letter_first: bool,
    /// Most bytes.
    pub longest: usize,
}

impl Letters {
    /// Whether a name may stay as it is.
    pub fn allow(self, name: &str) -> bool {
        !name.is_empty()
            && name.len() <= self.longest
            && self.starts_well(name)
            && name.chars().all(|own| self.has(own))
    }

    /// The name in the letters that are allowed, different from all others.
    fn fit(self, name: &str, others: &ToolNames) -> String {
        let first = if self.starts_well(name) && !name.is_empty() { None } else { Some('_') };
        let kept = name.chars().map(|own| if self.has(own) { own } else { '_' });
        let mut sent: String = first.into_iter().chain(kept).take(self.longest).collect();
        if others.pairs.iter().any(|(own, _)| *own == sent) {
            sent.truncate(self.longest.saturating_sub(9));
            sent = format!("{sent}_{}", short_digest(name, 8));
        }
        sent
    }

    fn has(self, letter: char) -> bool {
        letter.is_ascii_alphanumeric() || letter == '_' || self.also.contains(letter)
    }

    fn starts_well(self, name: &str) -> bool {
        !self.letter_first || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
    }
}

fn every_name(conversation: &Conversation) -> impl Iterator<Item = &str> {
    let of_tools = conversation.tools.iter().map(|tool| tool.name.as_str());
    let parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    of_tools.chain(parts.filter_map(|part| {
        let Part::ToolCall(call) = part else { return None };
        Some(call.name.as_str())
    }))
}

/// The first hexadecimal digits of a text's SHA-256: a name for it that does not repeat.
pub fn short_digest(text: &str, digits: usize) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let hex = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    hex.take(digits).filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
