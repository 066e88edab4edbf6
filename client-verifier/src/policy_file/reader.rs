//! TOML with positions, read strictly: every key is known or refused with the nearest known one, every value has the
//! form asked for, and a text that still says FILL-IN is refused as such. Error texts never quote values.

use std::borrow::Cow;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{PolicyCode, PolicyError};
use super::template::PLACEHOLDER;
use crate::suggestion::nearest;

/// A parsed file with its text, for line numbers.
pub(super) struct Document<'a> {
    text: &'a str,
    table: DeTable<'a>,
}

/// One table whose keys have been checked.
pub(super) struct Section<'d> {
    text: &'d str,
    table: Option<&'d DeTable<'d>>,
    name: &'static str,
    offset: usize,
}

/// One value with its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'d> {
    text: &'d str,
    value: &'d Spanned<DeValue<'d>>,
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, PolicyError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { text, table: table.into_inner() }),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let what = "the file is not valid TOML from here on";
                Err(PolicyError::new(PolicyCode::Syntax, what).at_line(line_of(text, offset)))
            }
        }
    }

    pub(super) fn root(&self, known: &[&str]) -> Result<Section<'_>, PolicyError> {
        let section = Section { text: self.text, table: Some(&self.table), name: "", offset: 0 };
        section.check_keys(known)?;
        Ok(section)
    }
}

impl<'d> Section<'d> {
    /// `version = N`, before anything else is believed.
    pub(super) fn expect_version(&self, version: u64) -> Result<(), PolicyError> {
        let value = self.required("version")?;
        if value.integer()? == version {
            return Ok(());
        }
        Err(value.error(PolicyCode::Value, format!("this program reads policies of version {version} only")))
    }

    pub(super) fn required(&self, key: &str) -> Result<Value<'d>, PolicyError> {
        self.optional(key).ok_or_else(|| {
            self.error(PolicyCode::MissingKey, format!("the key {} is missing", self.full_name(key)))
        })
    }

    pub(super) fn optional(&self, key: &str) -> Option<Value<'d>> {
        let value = self.table?.get(key)?;
        Some(Value { text: self.text, value })
    }

    /// A mandatory table with these keys.
    pub(super) fn section(&self, key: &'static str, known: &[&str]) -> Result<Self, PolicyError> {
        let section = self.free_section(key)?;
        section.check_keys(known)?;
        Ok(section)
    }

    /// A table with these keys that may be absent.
    pub(super) fn section_or_empty(&self, key: &'static str, known: &[&str]) -> Result<Self, PolicyError> {
        if self.optional(key).is_none() {
            return Ok(Self { text: self.text, table: None, name: key, offset: 0 });
        }
        self.section(key, known)
    }

    /// A mandatory table whose keys are the author's.
    pub(super) fn free_section(&self, key: &'static str) -> Result<Self, PolicyError> {
        let value = self.required(key)?;
        let table = value
            .value
            .get_ref()
            .as_table()
            .ok_or_else(|| value.error(PolicyCode::Value, format!("{key} must be a table")))?;
        Ok(Self { text: self.text, table: Some(table), name: key, offset: value.value.span().start })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, Value<'d>)> {
        let text = self.text;
        self.table
            .into_iter()
            .flat_map(|table| table.iter())
            .map(move |(key, value)| (key.get_ref().as_ref(), Value { text, value }))
    }

    pub(super) fn error(&self, code: PolicyCode, what: impl Into<String>) -> PolicyError {
        PolicyError::new(code, what).at_line(line_of(self.text, self.offset))
    }

    fn check_keys(&self, known: &[&str]) -> Result<(), PolicyError> {
        let keys = self.table.into_iter().flat_map(|table| table.keys());
        for key in keys {
            let name: &Cow<'_, str> = key.get_ref();
            if known.contains(&name.as_ref()) {
                continue;
            }
            let mut what = match printable_key(name) {
                Some(name) => format!("unknown key {}", self.full_name(name)),
                None => "unknown key".to_owned(),
            };
            if let Some(near) = nearest(name, known) {
                what = format!("{what}; did you mean {}?", self.full_name(near));
            }
            return Err(
                PolicyError::new(PolicyCode::UnknownKey, what).at_line(line_of(self.text, key.span().start))
            );
        }
        Ok(())
    }

    fn full_name(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

impl<'d> Value<'d> {
    /// A text that is not a placeholder.
    pub(super) fn text(&self) -> Result<&'d str, PolicyError> {
        let text =
            self.value.get_ref().as_str().ok_or_else(|| self.error(PolicyCode::Value, "expected a text"))?;
        if text.starts_with(PLACEHOLDER) {
            return Err(self.error(PolicyCode::Placeholder, "this value was left to be filled in"));
        }
        Ok(text)
    }

    pub(super) fn one_of(&self, allowed: &[&'static str]) -> Result<&'static str, PolicyError> {
        let text = self.text()?;
        allowed.iter().find(|word| **word == text).copied().ok_or_else(|| {
            let spelled: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
            self.error(PolicyCode::Value, format!("expected {}", spelled.join(" or ")))
        })
    }

    pub(super) fn parsed<T>(&self, form: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, PolicyError> {
        parse(self.text()?).ok_or_else(|| self.error(PolicyCode::Value, format!("expected {form}")))
    }

    pub(super) fn integer(&self) -> Result<u64, PolicyError> {
        if self.value.get_ref().is_str() {
            // As in lists: a placeholder first.
            self.text()?;
        }
        self.value
            .get_ref()
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|number| *number <= MAX_INTEGER)
            .ok_or_else(|| self.error(PolicyCode::Value, "expected a whole number from 0 to 4294967295"))
    }

    pub(super) fn truth(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    /// The entries of a list.
    pub(super) fn list(&self) -> Result<Vec<Self>, PolicyError> {
        if self.value.get_ref().is_str() {
            // A placeholder is named as such before its form is judged.
            self.text()?;
        }
        let list = self.value.get_ref().as_array();
        let list = list.ok_or_else(|| self.error(PolicyCode::Value, "expected a list in brackets"))?;
        Ok(list.iter().map(|value| Self { text: self.text, value }).collect())
    }

    /// A list of tables that have no keys but these.
    pub(super) fn tables(&self, known: &[&str]) -> Result<Vec<Section<'d>>, PolicyError> {
        let section = |value: &Self| {
            let table = value.value.get_ref().as_table();
            let table = table.ok_or_else(|| value.error(PolicyCode::Value, "expected a table"))?;
            let offset = value.value.span().start;
            let section = Section { text: self.text, table: Some(table), name: "", offset };
            section.check_keys(known).map(|()| section)
        };
        self.list()?.iter().map(section).collect()
    }

    /// A comparison `{ not = ... }` or `{ at_least = ... }`, if this is a table.
    pub(super) fn table(&self) -> Option<Result<Section<'d>, PolicyError>> {
        let table = self.value.get_ref().as_table()?;
        let section =
            Section { text: self.text, table: Some(table), name: "", offset: self.value.span().start };
        Some(section.check_keys(&["not", "at_least"]).map(|()| section))
    }

    /// The content of the file that this text names.
    pub(super) fn file(&self, folder: &Path, limit: usize) -> Result<Vec<u8>, PolicyError> {
        let path = folder.join(self.text()?);
        super::read_bounded(&path, limit)
            .map_err(|fault| self.error(PolicyCode::File, format!("{}: {fault}", path.display())))
    }

    pub(super) fn error(&self, code: PolicyCode, what: impl Into<String>) -> PolicyError {
        PolicyError::new(code, what).at_line(line_of(self.text, self.value.span().start))
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A key that is surely a name and not something secret in the wrong file.
fn printable_key(key: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
    (key.len() <= LONGEST_KEY && key.bytes().all(plain)).then_some(key)
}

const LONGEST_KEY: usize = 40;
const MAX_INTEGER: u64 = 0xffff_ffff;
