//! From TOML text to typed values, with errors that name keys and never quote values.

use serde::de::DeserializeOwned;

use super::ConfigError;

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// Used twice where it must be unique.
    Duplicate,
    /// A required key is absent.
    Missing {
        /// Its name.
        key: String,
    },
    /// A secret could not be read.
    Secret {
        /// Why.
        why: super::SecretError,
    },
    /// Not TOML.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A key that does not exist.
    UnknownKey {
        /// Its name.
        key: String,
        /// The existing key that it resembles.
        meant: Option<String>,
    },
    /// A name that nothing has.
    UnknownName {
        /// What kind of thing should have it.
        what: &'static str,
        /// The existing name that it resembles.
        meant: Option<String>,
    },
    /// A value of the wrong type or out of bounds.
    Value {
        /// What would be right.
        expected: String,
    },
}

impl Invalid {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate => "CONFIG_DUPLICATE",
            Self::Missing { .. } => "CONFIG_MISSING_KEY",
            Self::Secret { .. } => "CONFIG_SECRET",
            Self::Syntax { .. } => "CONFIG_SYNTAX",
            Self::UnknownKey { .. } => "CONFIG_UNKNOWN_KEY",
            Self::UnknownName { .. } => "CONFIG_UNKNOWN_NAME",
            Self::Value { .. } => "CONFIG_VALUE",
        }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use super::SecretError;
        let hint = |out: &mut std::fmt::Formatter<'_>, meant: &Option<String>| match meant {
            Some(meant) => write!(out, "; did you mean '{meant}'?"),
            None => Ok(()),
        };
        match self {
            Self::Duplicate => out.write_str("used twice"),
            Self::Missing { key } => write!(out, "missing key '{key}'"),
            Self::Secret { why: SecretError::Missing } => out.write_str("the secret is not there"),
            Self::Secret { why: SecretError::Unreadable } => out.write_str("the secret cannot be read"),
            Self::Secret { why: SecretError::UnknownScheme } => {
                out.write_str("secrets are references such as 'file:/run/secrets/name'")
            }
            Self::Syntax { line, column } => write!(out, "not TOML at line {line} column {column}"),
            Self::UnknownKey { key, meant } => {
                write!(out, "unknown key '{key}'")?;
                hint(out, meant)
            }
            Self::UnknownName { what, meant } => {
                write!(out, "no such {what}")?;
                hint(out, meant)
            }
            Self::Value { expected } => write!(out, "expected {expected}"),
        }
    }
}

/// Parses TOML into any configuration type. Errors name the key and never quote a value.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| syntax(text, &error))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| located(&error))
}

/// The same for a table that was read already.
pub(super) fn parse_table<T: DeserializeOwned>(table: &toml::Table) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(table.clone()).map_err(|error| located(&error))
}

fn located(error: &serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
    explain(&error.path().to_string(), error.inner().message())
}

/// The name among `known` that `given` most resembles, if any does.
pub(super) fn closest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let near = known.map(|name| (distance(given, name), name)).min()?;
    let close = near.0 <= 3 && near.0.saturating_mul(2) <= near.1.len().max(1);
    close.then(|| near.1.to_owned())
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()).saturating_add(1);
    ConfigError { path: String::new(), problem: Invalid::Syntax { line, column } }
}

/// Takes from serde's message what is ours (names of keys, what was expected) and nothing that is a value.
fn explain(path: &str, message: &str) -> ConfigError {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let path = if path == "." { "" } else { path };
    let parent = || path.rsplit_once('.').map_or("", |(parent, _)| parent).to_owned();
    if message.starts_with("unknown field") {
        let key = quoted.next().unwrap_or_default().to_owned();
        let meant = closest(&key, quoted);
        let path = if path.ends_with(&key) { parent() } else { path.to_owned() };
        return ConfigError { path, problem: Invalid::UnknownKey { key, meant } };
    }
    if message.starts_with("missing field") {
        let key = quoted.next().unwrap_or_default().to_owned();
        return ConfigError { path: path.to_owned(), problem: Invalid::Missing { key } };
    }
    let expected = match message.rfind("expected ") {
        Some(at) => message.get(at.saturating_add(9)..).unwrap_or_default(),
        None => "a value of another type",
    };
    ConfigError { path: path.to_owned(), problem: Invalid::Value { expected: expected.to_owned() } }
}

/// Edit distance (Levenshtein), for suggestions; names are short.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, own) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), line.saturating_add(1));
        let mut before = line.saturating_add(1);
        for (place, other) in right.iter().enumerate() {
            let Some(cell) = row.get_mut(place.saturating_add(1)) else { break };
            let replace = diagonal.saturating_add(usize::from(own != *other));
            diagonal = *cell;
            *cell = replace.min(before.saturating_add(1)).min(diagonal.saturating_add(1));
            before = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}
