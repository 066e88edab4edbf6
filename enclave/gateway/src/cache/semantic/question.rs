//! What of a request is compared by meaning, and what has to be the same.

use ring::hmac;
use serde_json::Value;

use super::super::digest::{Digest, Partition};
use super::super::exact::{IDLE, common};
use crate::plaintext::Plaintext;
use crate::scan::{self, Field, Kind};
use crate::screening::Screened;
use crate::wire::OperationName;

/// Longest question that is embedded, in bytes.
pub const MAX_QUESTION: usize = 8 * 1024;
/// Fields that hold the conversation.
const CONVERSATION: [&str; 3] = ["contents", "input", "messages"];
/// Fields that offer tools: an answer may be an act, which is never guessed.
const TOOLS: [&str; 4] = ["functions", "toolConfig", "tool_choice", "tools"];
/// Where questions are compared: a digest of everything that has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub [u8; 32]);

/// A question to embed.
pub struct Question {
    /// The last turn, in one line.
    pub text: Plaintext<String>,
    /// Where it is compared.
    pub place: Place,
}

impl Question {
    /// Of a request; nothing if it is not one that may be compared: it offers tools, is long, shows anything but text, is
    /// about code, or is written in letters whose names cannot be told from other words.
    pub fn of(
        screened: &Screened,
        partition: &Partition,
        variant: &str,
        max_turns: u32,
        secret: &hmac::Key,
    ) -> Option<Self> {
        let request = screened.admitted().request();
        let document = request.body.expose();
        if request.wire.operation() != OperationName::Chat {
            return None;
        }
        let mut digest = Digest::new(secret, "semantic");
        common(&mut digest, screened, partition, variant);
        let mut fields: Vec<&Field> = request.fields.iter().collect();
        fields.sort_by_key(|own| document.get(own.name.clone()));
        let mut text = None;
        for field in fields {
            let silent = field.kind == Kind::Null || field.kind == Kind::Array && field.elements.count == 0;
            if field.known(document, &TOOLS).is_some() && !silent {
                return None;
            }
            if field.known(document, &IDLE).is_some() {
                continue;
            }
            digest.add(document.get(field.name.clone()).unwrap_or_default());
            if field.known(document, &CONVERSATION).is_some() {
                text = Some(last_turn(field, document, max_turns, &mut digest)?);
            } else {
                digest.add(field.value(document));
            }
        }
        let text = text.filter(|own| !own.is_empty() && own.len() <= MAX_QUESTION && !own.contains("```"))?;
        let marks = marks(&text)?;
        digest.count(marks.len());
        for mark in &marks {
            digest.add(mark.as_bytes());
        }
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Self { text: Plaintext::new(line), place: Place(digest.finish()) })
    }
}

/// Adds all turns but the last to the digest, and what of the last is not its text; gives that.
fn last_turn(field: &Field, document: &[u8], max_turns: u32, digest: &mut Digest) -> Option<String> {
    if field.kind == Kind::String {
        digest.add(b"text");
        return scan::unescape(field.raw_string(document)?);
    }
    if field.kind != Kind::Array || field.elements.count > max_turns {
        return None;
    }
    digest.count(usize::try_from(field.elements.count).ok()?);
    let mut last: Option<Vec<u8>> = None;
    scan::elements(field.value(document), |turn, _| {
        if let Some(earlier) = last.replace(turn.to_vec()) {
            digest.add(&earlier);
        }
    })
    .ok()?;
    let last = Plaintext::new(last?);
    let mut last: Value = serde_json::from_slice(last.expose()).ok()?;
    let text = take_text(&mut last)?;
    digest.add(&serde_json::to_vec(&last).ok()?);
    Some(text)
}

/// Takes the text out of a user's turn; nothing if it is not a user's, or shows anything but text.
fn take_text(turn: &mut Value) -> Option<String> {
    let turn = turn.as_object_mut()?;
    if turn.get("role").is_some_and(|role| role != "user") {
        return None;
    }
    let content =
        turn.get_mut("content").map(Value::take).or_else(|| turn.get_mut("parts").map(Value::take))?;
    match content {
        Value::String(text) => Some(text),
        Value::Array(parts) => {
            let mut all = String::new();
            for mut part in parts {
                let part = part.as_object_mut()?;
                if part.get("type").is_some_and(|kind| kind != "text" && kind != "input_text") {
                    return None;
                }
                let Some(Value::String(text)) = part.remove("text") else { return None };
                all.push_str(&text);
                all.push('\n');
            }
            Some(all)
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Words that turn a meaning round, or are half of a pair that is easily taken for the other half.
const TURNING: &[&str] = &[
    "above",
    "add",
    "after",
    "allow",
    "always",
    "aucun",
    "aucune",
    "before",
    "below",
    "best",
    "buy",
    "cannot",
    "close",
    "cold",
    "decrease",
    "deny",
    "disable",
    "down",
    "enable",
    "end",
    "except",
    "excluding",
    "false",
    "female",
    "from",
    "high",
    "hot",
    "increase",
    "jamais",
    "kein",
    "keine",
    "keinen",
    "keiner",
    "largest",
    "last",
    "left",
    "less",
    "low",
    "male",
    "max",
    "maximum",
    "min",
    "minimum",
    "more",
    "most",
    "neither",
    "never",
    "nicht",
    "nie",
    "no",
    "nobody",
    "non",
    "none",
    "nor",
    "not",
    "nothing",
    "nunca",
    "off",
    "ohne",
    "old",
    "on",
    "open",
    "out",
    "over",
    "pas",
    "remove",
    "right",
    "sans",
    "sell",
    "senza",
    "shortest",
    "sin",
    "smallest",
    "start",
    "stop",
    "subtract",
    "to",
    "today",
    "tomorrow",
    "true",
    "under",
    "unless",
    "up",
    "with",
    "within",
    "without",
    "worst",
    "yesterday",
];

/// Numbers, months and days in words.
const COUNTING: &[&str] = &[
    "april",
    "august",
    "billion",
    "december",
    "dozen",
    "eight",
    "eleven",
    "february",
    "fifteen",
    "fifty",
    "first",
    "five",
    "forty",
    "four",
    "friday",
    "half",
    "hundred",
    "january",
    "july",
    "june",
    "march",
    "million",
    "monday",
    "nine",
    "november",
    "october",
    "once",
    "one",
    "quarter",
    "saturday",
    "second",
    "september",
    "seven",
    "six",
    "sunday",
    "ten",
    "third",
    "thirty",
    "thousand",
    "three",
    "thursday",
    "tuesday",
    "twelve",
    "twenty",
    "twice",
    "two",
    "wednesday",
    "zero",
];

/// Words with which a sentence usually begins, so that a capital letter says nothing about them.
const BEGINNING: &[&str] = &[
    "a",
    "an",
    "and",
    "are",
    "as",
    "at",
    "but",
    "by",
    "can",
    "could",
    "define",
    "describe",
    "did",
    "do",
    "does",
    "explain",
    "find",
    "for",
    "give",
    "has",
    "have",
    "he",
    "hello",
    "help",
    "hi",
    "how",
    "i",
    "if",
    "in",
    "is",
    "it",
    "let",
    "list",
    "make",
    "may",
    "my",
    "of",
    "or",
    "please",
    "say",
    "she",
    "should",
    "show",
    "so",
    "some",
    "summarise",
    "summarize",
    "tell",
    "thanks",
    "that",
    "the",
    "their",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "translate",
    "was",
    "we",
    "were",
    "what",
    "what's",
    "when",
    "where",
    "which",
    "who",
    "who's",
    "whose",
    "why",
    "will",
    "would",
    "write",
    "you",
    "your",
];

/// What two questions of one meaning must have in common, in order: numbers and dates, words that turn the meaning round,
/// names, and what stands in quotation marks. Nothing if the text has letters without capitals, whose names nobody can see.
pub fn marks(text: &str) -> Option<Vec<String>> {
    let mut marks = quoted(text);
    let mut begins = true;
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|own: char| !own.is_alphanumeric());
        if bare.chars().any(|own| own.is_alphabetic() && !own.is_uppercase() && !own.is_lowercase()) {
            return None;
        }
        if !bare.is_empty() {
            let lower = bare.to_lowercase().replace('\u{2019}', "'");
            let numeric = bare.chars().any(char::is_numeric);
            let turning = lower.ends_with("n't") || TURNING.binary_search(&lower.as_str()).is_ok();
            let counting = COUNTING.binary_search(&lower.as_str()).is_ok();
            let capitals = bare.chars().filter(|own| own.is_uppercase()).count();
            let common = begins && capitals <= 1 && BEGINNING.binary_search(&lower.as_str()).is_ok();
            // "I" is no name wherever it stands.
            let named = capitals > 0 && !common && lower != "i" && !lower.starts_with("i'");
            if numeric || turning || counting || named {
                marks.push(lower);
            }
            begins = false;
        }
        // The sign of a number, and of money, counts as well.
        let rest = word.chars().filter(|own| "-+$€£%<>=".contains(*own) && !bare.contains(*own));
        let signs: String = rest.collect();
        if !signs.is_empty() {
            marks.push(signs);
        }
        begins |= word.ends_with(['.', '!', '?', ':', '"', '\u{201d}']);
    }
    Some(marks)
}

/// What stands in quotation marks.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (open, close) in
        [('"', '"'), ('\u{201c}', '\u{201d}'), ('\u{ab}', '\u{bb}'), ('`', '`'), ('\u{201e}', '\u{201c}')]
    {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(open) {
            let Some((inside, behind)) = after.split_once(close) else { break };
            found.push(format!("\"{}", inside.to_lowercase()));
            rest = behind;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_so_that_they_can_be_searched() {
        for list in [TURNING, COUNTING, BEGINNING] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn questions_that_differ_in_a_fact_differ_in_their_marks() {
        for (one, other) in [
            ("What is 2 + 2?", "What is 2 + 3?"),
            ("Convert 10 euros", "Convert -10 euros"),
            ("Is it safe to mix these?", "Is it not safe to mix these?"),
            ("Can I do that?", "Why can't I do that?"),
            ("Who founded Berlin?", "Who founded Vienna?"),
            ("Paris weather today", "London weather today"),
            ("a train from Rome to Milan", "a train from Milan to Rome"),
            ("When is it in March?", "When is it in May?"),
            ("weather tomorrow", "weather today"),
            ("What does \"affect\" mean?", "What does \"effect\" mean?"),
            ("enable the alarm", "disable the alarm"),
            ("two apples", "three apples"),
            ("the price in $", "the price in €"),
            ("Tell me about IBM.", "Tell me about SAP."),
        ] {
            assert_ne!(marks(one), marks(other), "{one} / {other}");
        }
    }

    #[test]
    fn other_words_for_the_same_leave_the_marks_as_they_are() {
        for (one, other) in [
            ("What is the capital of France?", "Tell me the capital of France."),
            ("How do I reset my password?", "Please explain how I reset my password"),
            ("Who wrote Hamlet?", "Hamlet"),
            ("Is rain likely?", "Will rain fall?"),
        ] {
            assert_eq!(marks(one), marks(other), "{one} / {other}");
        }
        assert!(marks("東京の天気は").is_none(), "names cannot be told there");
    }
}
