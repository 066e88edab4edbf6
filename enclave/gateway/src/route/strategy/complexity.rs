//! Easy questions go to small models. A question's difficulty is a score of seven features of its text.
//!
//! The features, their weights and the cut-offs are those that `LiteLLM` publishes for its complexity router; the word
//! lists are our own. English words only: a question in another language scores by length, code and question marks.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::admission::Level;
use crate::route::tree::Question;

/// Makes [`Complexity`].
pub struct ComplexityKind;

impl StrategyKind for ComplexityKind {
    fn name(&self) -> &'static str {
        "complexity"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["up_to"]
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        let last = settings.members.len().saturating_sub(1);
        let mut levels: Vec<Level> = Vec::new();
        for (place, member) in settings.members.iter().enumerate() {
            let wrong =
                |expected: &str| Wrong { member: Some(place), key: "up_to", expected: expected.to_owned() };
            let Some(text) = &member.up_to else {
                if place == last {
                    continue;
                }
                return Err(wrong("'simple', 'medium' or 'complex', for every member but the last"));
            };
            let level = Level::from_name(text).filter(|level| *level < Level::Reasoning);
            let level = level.filter(|_| place < last).ok_or_else(|| {
                wrong("'simple', 'medium' or 'complex'; nothing for the last member, which takes the rest")
            })?;
            if levels.last().is_some_and(|before| *before >= level) {
                return Err(wrong("a higher level than the member before"));
            }
            levels.push(level);
        }
        Ok(Box::new(Complexity { levels }))
    }
}

/// Starts at the first member that is good enough and goes on to the better ones. A tier in the key's own settings wins
/// over the score.
pub struct Complexity {
    levels: Vec<Level>,
}

impl Strategy for Complexity {
    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        let level = question.key.rules.tier.unwrap_or_else(|| level(question.request.body.expose()));
        let first = self.levels.iter().position(|most| level <= *most).unwrap_or(self.levels.len());
        candidates.retain(|candidate| candidate.place >= first);
    }
}

/// The end of the body, which is where the question is; the beginning is instructions and history.
const READ_BYTES: usize = 8 * 1024;

const CODE: &[&str] = &[
    "```",
    "function",
    "class ",
    "def ",
    "import ",
    "const ",
    "return ",
    "struct ",
    "select ",
    "async ",
    "compile",
    "stack trace",
    "exception",
    "refactor",
    "unit test",
    "regex",
    "null pointer",
    "segfault",
];
const REASONING: &[&str] = &[
    "step by step",
    "think through",
    "reason about",
    "prove",
    "derive",
    "analy",
    "trade-off",
    "tradeoff",
    "compare",
    "evaluate",
    "why does",
    "explain why",
    "what would happen",
    "counterexample",
    "root cause",
    "pros and cons",
];
const TECHNICAL: &[&str] = &[
    "algorithm",
    "architecture",
    "concurren",
    "distributed",
    "database",
    "encryption",
    "kubernetes",
    "latency",
    "protocol",
    "optimi",
    "complexity",
    "theorem",
    "integral",
    "matrix",
    "probability",
    "regression",
    "transaction",
    "schema",
    "throughput",
    "consensus",
];
const SIMPLE: &[&str] = &[
    "hello",
    "hi there",
    "thanks",
    "thank you",
    "good morning",
    "what is the capital",
    "translate",
    "define ",
    "what time",
    "spell ",
    "say hi",
];
const STEPS: &[&str] = &["first,", "then ", "finally", "after that", "step 1", "1.", "2.", "next,"];

/// How hard the question in a request body is.
pub fn level(body: &[u8]) -> Level {
    let start = body.len().saturating_sub(READ_BYTES);
    let text = body.get(start..).unwrap_or_default().to_ascii_lowercase();
    let some = |words: &[&str], enough: u32| {
        let found =
            words.iter().filter(|word| memchr::memmem::find(&text, word.as_bytes()).is_some()).count();
        (f64::from(u32::try_from(found).unwrap_or(u32::MAX)) / f64::from(enough)).min(1.0)
    };
    let tokens = u32::try_from(body.len()).unwrap_or(u32::MAX).wrapping_div(4);
    let questions = memchr::memchr_iter(b'?', &text).count();
    let score = 0.10 * (f64::from(tokens) / 1000.0).min(1.0)
        + 0.30 * some(CODE, 3)
        + 0.25 * some(REASONING, 2)
        + 0.25 * some(TECHNICAL, 3)
        - 0.05 * some(SIMPLE, 1)
        + 0.03 * some(STEPS, 2)
        + 0.02 * f64::from(u8::try_from(questions.min(3)).unwrap_or(3)) / 3.0;
    match score {
        low if low < 0.15 => Level::Simple,
        low if low < 0.35 => Level::Medium,
        low if low < 0.60 => Level::Complex,
        _ => Level::Reasoning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harder_questions_score_higher() {
        let body =
            |text: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
        for (text, expected) in [
            ("Hello, thanks!", Level::Simple),
            ("What is the capital of France?", Level::Simple),
            ("Refactor this function so that the unit test passes", Level::Medium),
            ("Compare both algorithms and derive their complexity", Level::Complex),
            (
                "Think through step by step: this async function deadlocks with an exception; prove the root cause in the distributed transaction protocol",
                Level::Reasoning,
            ),
        ] {
            assert_eq!(level(body(text).as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_large_body_is_not_read_in_full() {
        let mut body = b"prove step by step algorithm database protocol ".repeat(100);
        body.resize(body.len() + 2 * READ_BYTES, b'x');
        assert_eq!(level(&body), Level::Simple);
    }
}
