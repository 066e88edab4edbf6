//! From tokens to a typed tree. Types are checked while parsing, so what comes out cannot fail.

use super::lexer::{Token, TokenKind};
use super::names::{NAMES, Name, Word};
use super::{Bool, List, MAX_DEPTH, Mistake, Number, Part, Relation, Text};

/// Any value, before it is known what is wanted.
enum Value {
    Bool(Bool),
    List(List),
    Number(Number),
    Text(Text),
}

struct Parser<'t> {
    tokens: &'t [Token],
    place: usize,
    length: usize,
    depth: u32,
    headers: Vec<String>,
}

/// Headers that carry credentials: a condition has no business with them.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];

pub(super) fn parse(tokens: &[Token], length: usize) -> Result<(Bool, Vec<String>), Mistake> {
    let mut parser = Parser { tokens, place: 0, length, depth: 0, headers: Vec::new() };
    let root = parser.or()?;
    match parser.peek() {
        None => Ok((root, parser.headers)),
        Some(_) => Err(parser.expected("the end, '&&' or '||'")),
    }
}

impl<'t> Parser<'t> {
    fn or(&mut self) -> Result<Bool, Mistake> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(self.expected("fewer parentheses"));
        }
        let mut left = self.and()?;
        while self.take("||") {
            left = Bool::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(left)
    }

    fn and(&mut self) -> Result<Bool, Mistake> {
        let mut left = self.not()?;
        while self.take("&&") {
            left = Bool::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Bool, Mistake> {
        let mut negated = false;
        while self.take("!") {
            negated = !negated;
        }
        let inner = self.compare()?;
        Ok(if negated { Bool::Not(Box::new(inner)) } else { inner })
    }

    fn compare(&mut self) -> Result<Bool, Mistake> {
        let left = self.value()?;
        let operators = ["==", "!=", "<=", ">=", "<", ">"];
        let operator = operators.into_iter().find(|operator| self.take(operator));
        let Some(operator) = operator else {
            if self.take_word("in") {
                return self.membership(left);
            }
            return match left {
                Value::Bool(own) => Ok(own),
                Value::List(_) | Value::Number(_) | Value::Text(_) => {
                    Err(self.expected("a comparison: this value is neither true nor false"))
                }
            };
        };
        let right = self.value()?;
        self.relate(left, operator, right)
    }

    fn relate(&self, left: Value, operator: &str, right: Value) -> Result<Bool, Mistake> {
        let (relation, swapped, negated) = match operator {
            "==" => (Relation::Equal, false, false),
            "!=" => (Relation::Equal, false, true),
            "<" => (Relation::Less, false, false),
            "<=" => (Relation::LessOrEqual, false, false),
            ">" => (Relation::Less, true, false),
            _ => (Relation::LessOrEqual, true, false),
        };
        let (left, right) = if swapped { (right, left) } else { (left, right) };
        let compared = match (left, right) {
            (Value::Number(left), Value::Number(right)) => Bool::Number(left, relation, right),
            (Value::Text(left), Value::Text(right)) => Bool::Text(left, relation, right),
            (Value::Bool(left), Value::Bool(right)) if relation == Relation::Equal => {
                Bool::Same(Box::new(left), Box::new(right))
            }
            _ => return Err(self.expected("two values of the same type")),
        };
        Ok(if negated { Bool::Not(Box::new(compared)) } else { compared })
    }

    fn membership(&mut self, left: Value) -> Result<Bool, Mistake> {
        match (left, self.value()?) {
            (Value::Text(text), Value::List(list)) => Ok(Bool::In(text, list)),
            _ => Err(self.expected("a text before 'in' and a list after it")),
        }
    }

    /// A primary value and the methods after it.
    fn value(&mut self) -> Result<Value, Mistake> {
        let mut value = self.primary()?;
        while self.take(".") {
            let method = self.word()?;
            self.demand("(")?;
            value = self.method(value, &method)?;
            self.demand(")")?;
        }
        Ok(value)
    }

    fn method(&mut self, value: Value, method: &str) -> Result<Value, Mistake> {
        let part = match (method, value) {
            ("size", Value::Text(text)) => return Ok(Value::Number(Number::LengthOfText(Box::new(text)))),
            ("size", Value::List(list)) => return Ok(Value::Number(Number::LengthOfList(Box::new(list)))),
            ("contains", Value::Text(text)) => (text, Part::Anywhere),
            ("startsWith", Value::Text(text)) => (text, Part::Start),
            ("endsWith", Value::Text(text)) => (text, Part::End),
            _ => {
                return Err(
                    self.expected("contains, startsWith or endsWith on a text, or size on a text or list")
                );
            }
        };
        match self.value()? {
            Value::Text(piece) => Ok(Value::Bool(Bool::Part(part.0, part.1, piece))),
            Value::Bool(_) | Value::List(_) | Value::Number(_) => Err(self.expected("a text")),
        }
    }

    fn primary(&mut self) -> Result<Value, Mistake> {
        if self.take("(") {
            let inner = self.or()?;
            self.demand(")")?;
            return Ok(Value::Bool(inner));
        }
        if self.take("[") {
            return self.list();
        }
        if self.take("-") {
            return match self.next() {
                Some(TokenKind::Integer(value)) => Ok(Value::Number(Number::Literal(value.saturating_neg()))),
                _ => Err(self.expected("a number after '-'")),
            };
        }
        match self.peek() {
            Some(TokenKind::Integer(value)) => {
                self.place = self.place.saturating_add(1);
                Ok(Value::Number(Number::Literal(*value)))
            }
            Some(TokenKind::Text(text)) => {
                self.place = self.place.saturating_add(1);
                Ok(Value::Text(Text::Literal(text.clone())))
            }
            Some(TokenKind::Word(_)) => self.name(),
            Some(TokenKind::Symbol(_)) | None => Err(self.expected("a value")),
        }
    }

    fn list(&mut self) -> Result<Value, Mistake> {
        let mut texts = Vec::new();
        while !self.take("]") {
            if !texts.is_empty() {
                self.demand(",")?;
            }
            match self.next() {
                Some(TokenKind::Text(text)) => texts.push(text.clone()),
                _ => return Err(self.expected("a quoted text")),
            }
        }
        Ok(Value::List(List::Literal(texts)))
    }

    fn name(&mut self) -> Result<Value, Mistake> {
        let first = self.word()?;
        match first.as_str() {
            "true" => return Ok(Value::Bool(Bool::Literal(true))),
            "false" => return Ok(Value::Bool(Bool::Literal(false))),
            "metadata" => return Ok(Value::Text(Text::Word(Word::Metadata(self.index()?)))),
            "size" => return self.size(),
            _ => {}
        }
        let mut path = first;
        // `labels.size()` is a method on a name of one word.
        if !is_name(&path) && self.take(".") {
            path = format!("{path}.{}", self.word()?);
        }
        if path == "request.headers" {
            let name = self.index()?.to_ascii_lowercase();
            if SECRET_HEADERS.contains(&name.as_str()) {
                return Err(self.expected("a header that carries no credential"));
            }
            self.headers.push(name.clone());
            return Ok(Value::Text(Text::Word(Word::Header(name))));
        }
        let known = NAMES.iter().find(|(own, ..)| *own == path);
        let Some((_, name)) = known else {
            self.place = self.place.saturating_sub(1);
            let names: Vec<&str> = NAMES.iter().map(|(own, ..)| *own).collect();
            let names = names.join(", ");
            return Err(
                self.expected(&format!("one of {names}, metadata[\"...\"], request.headers[\"...\"]"))
            );
        };
        Ok(match name {
            Name::Fact(fact) => Value::Bool(Bool::Fact(*fact)),
            Name::Count(count) => Value::Number(Number::Count(*count)),
            Name::Word(word) => Value::Text(Text::Word(word.clone())),
            Name::Words(words) => Value::List(List::Words(*words)),
        })
    }

    fn size(&mut self) -> Result<Value, Mistake> {
        self.demand("(")?;
        let value = self.value()?;
        let sized = self.method(value, "size")?;
        self.demand(")")?;
        Ok(sized)
    }

    /// `["name"]` or `.name`.
    fn index(&mut self) -> Result<String, Mistake> {
        if self.take(".") {
            return self.word();
        }
        self.demand("[")?;
        let Some(TokenKind::Text(name)) = self.next() else {
            return Err(self.expected("a quoted name"));
        };
        self.demand("]")?;
        Ok(name.clone())
    }

    fn peek(&self) -> Option<&'t TokenKind> {
        self.tokens.get(self.place).map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<&'t TokenKind> {
        let kind = self.peek()?;
        self.place = self.place.saturating_add(1);
        Some(kind)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Symbol(own)) if *own == symbol);
        self.place = self.place.saturating_add(usize::from(found));
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Word(own)) if own == word);
        self.place = self.place.saturating_add(usize::from(found));
        found
    }

    fn demand(&mut self, symbol: &str) -> Result<(), Mistake> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("'{symbol}'"))) }
    }

    fn word(&mut self) -> Result<String, Mistake> {
        match self.peek() {
            Some(TokenKind::Word(word)) => {
                self.place = self.place.saturating_add(1);
                Ok(word.clone())
            }
            _ => Err(self.expected("a name")),
        }
    }

    fn expected(&self, what: &str) -> Mistake {
        let offset = self.tokens.get(self.place).map_or(self.length, |token| token.offset);
        Mistake { offset, expected: what.to_owned() }
    }
}

fn is_name(word: &str) -> bool {
    NAMES.iter().any(|(own, ..)| *own == word)
}
