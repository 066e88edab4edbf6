//! From text to tokens.

use super::Mistake;

/// One token and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) offset: usize,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Integer(i64),
    Symbol(&'static str),
    Text(String),
    Word(String),
}

/// Longer symbols first.
const SYMBOLS: [&str; 16] =
    ["||", "&&", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "-"];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Mistake> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let offset = text.len().saturating_sub(rest.len());
        let (kind, length) = token(rest).ok_or_else(|| Mistake {
            offset,
            expected: "a name, a number, a quoted text or an operator".to_owned(),
        })?;
        tokens.push(Token { offset, kind });
        rest = rest.get(length..).unwrap_or_default().trim_ascii_start();
    }
    Ok(tokens)
}

/// The first token and its length in bytes.
fn token(rest: &str) -> Option<(TokenKind, usize)> {
    let first = rest.chars().next()?;
    let run = |keep: fn(char) -> bool| rest.find(|own| !keep(own)).unwrap_or(rest.len());
    if first.is_ascii_digit() {
        let length = run(|own| own.is_ascii_digit());
        return Some((TokenKind::Integer(rest.get(..length)?.parse().ok()?), length));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = run(|own| own.is_ascii_alphanumeric() || own == '_');
        return Some((TokenKind::Word(rest.get(..length)?.to_owned()), length));
    }
    if first == '"' || first == '\'' {
        return quoted(rest, first);
    }
    let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol))?;
    Some((TokenKind::Symbol(symbol), symbol.len()))
}

/// A text in quotes; a backslash stands before a quote or another backslash only.
fn quoted(rest: &str, quote: char) -> Option<(TokenKind, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            end if end == quote => return Some((TokenKind::Text(text), at.saturating_add(1))),
            '\\' => {
                let (_, next) = letters.next()?;
                if !matches!(next, '\\' | '"' | '\'') {
                    return None;
                }
                text.push(next);
            }
            other => text.push(other),
        }
    }
    None
}
