//! Conditions on a request: a subset of the Common Expression Language (CEL, `cel-spec`), checked in full at load.
//!
//! Why a subset of our own: names and types are known here, so a typing mistake is an error at load and evaluation
//! cannot fail; there are no loops, no regular expressions and no arithmetic, so a condition costs at most its length.
//! The library would bring a parser generator's runtime, calendars and regular expressions into the enclave and decide
//! types at each request.
//!
//! ```text
//! or    = and { "||" and }            and     = not { "&&" not }          not = "!" not | compare
//! compare = value [ ("=="|"!="|"<"|"<="|">"|">="|"in") value ]
//! value = literal | name | "(" or ")" | "[" literals "]", then ".contains(x)" ".startsWith(x)" ".endsWith(x)" ".size()"
//! ```

use super::tree::Question;

mod lexer;

mod parser;

mod names;

use names::{Count, Fact, Word, Words};

/// Longest condition, in bytes.
pub const MAX_LENGTH: usize = 2048;
/// Deepest nesting.
pub const MAX_DEPTH: u32 = 16;

/// A checked condition.
#[derive(Debug)]
pub struct Expression {
    root: Bool,
    headers: Vec<String>,
}

/// Why a text is not a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Byte offset into the text.
    pub offset: usize,
    /// What was expected.
    pub expected: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} at character {}", self.expected, self.offset.saturating_add(1))
    }
}

/// Something that is true or false.
#[derive(Debug)]
enum Bool {
    Literal(bool),
    Fact(Fact),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Same(Box<Self>, Box<Self>),
    Number(Number, Relation, Number),
    Text(Text, Relation, Text),
    In(Text, List),
    Part(Text, Part, Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Anywhere,
    Start,
    End,
}

#[derive(Debug)]
enum Number {
    Literal(i64),
    Count(Count),
    LengthOfText(Box<Text>),
    LengthOfList(Box<List>),
}

#[derive(Debug)]
enum Text {
    Literal(String),
    Word(Word),
}

#[derive(Debug)]
enum List {
    Literal(Vec<String>),
    Words(Words),
}

impl Expression {
    /// Checks a text.
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        if text.len() > MAX_LENGTH {
            let expected = format!("at most {MAX_LENGTH} bytes");
            return Err(Mistake { offset: MAX_LENGTH, expected });
        }
        let tokens = lexer::tokens(text)?;
        let (root, headers) = parser::parse(&tokens, text.len())?;
        Ok(Self { root, headers })
    }

    /// Whether it holds for a request.
    pub fn holds(&self, question: &Question<'_>) -> bool {
        self.root.evaluate(question)
    }

    /// The request headers that it reads, in lower case.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }
}

impl Bool {
    fn evaluate(&self, question: &Question<'_>) -> bool {
        match self {
            Self::Literal(value) => *value,
            Self::Fact(fact) => fact.read(question),
            Self::Not(inner) => !inner.evaluate(question),
            Self::And(one, other) => one.evaluate(question) && other.evaluate(question),
            Self::Or(one, other) => one.evaluate(question) || other.evaluate(question),
            Self::Same(one, other) => one.evaluate(question) == other.evaluate(question),
            Self::Number(one, relation, other) => {
                relation.holds(&one.evaluate(question), &other.evaluate(question))
            }
            Self::Text(one, relation, other) => {
                relation.holds(one.evaluate(question), other.evaluate(question))
            }
            Self::In(text, list) => list.contains(question, text.evaluate(question)),
            Self::Part(whole, part, piece) => {
                let (whole, piece) = (whole.evaluate(question), piece.evaluate(question));
                match part {
                    Part::Anywhere => memchr::memmem::find(whole.as_bytes(), piece.as_bytes()).is_some(),
                    Part::Start => whole.starts_with(piece),
                    Part::End => whole.ends_with(piece),
                }
            }
        }
    }
}

impl Relation {
    fn holds<T: Ord + ?Sized>(self, one: &T, other: &T) -> bool {
        match self {
            Self::Equal => one == other,
            Self::Less => one < other,
            Self::LessOrEqual => one <= other,
        }
    }
}

impl Number {
    fn evaluate(&self, question: &Question<'_>) -> i64 {
        let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        match self {
            Self::Literal(value) => *value,
            Self::Count(count) => count.read(question),
            Self::LengthOfText(text) => length(text.evaluate(question).chars().count()),
            Self::LengthOfList(list) => length(list.length(question)),
        }
    }
}

impl Text {
    fn evaluate<'e>(&'e self, question: &'e Question<'_>) -> &'e str {
        match self {
            Self::Literal(value) => value,
            Self::Word(word) => word.read(question),
        }
    }
}

impl List {
    fn contains(&self, question: &Question<'_>, wanted: &str) -> bool {
        match self {
            Self::Literal(own) => own.iter().any(|own| own == wanted),
            Self::Words(words) => words.contains(question, wanted),
        }
    }

    fn length(&self, question: &Question<'_>) -> usize {
        match self {
            Self::Literal(own) => own.len(),
            Self::Words(words) => words.length(question),
        }
    }
}

#[cfg(test)]
mod tests;
