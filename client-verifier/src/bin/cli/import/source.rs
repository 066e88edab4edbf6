//! A table of the other file that is emptied key by key, so that what is left over is known and reported.

use serde_json::{Map, Value};

use super::draft::{Draft, variable};

/// A table and where it stands.
pub(super) struct Source {
    at: String,
    table: Map<String, Value>,
}

impl Source {
    /// The table at `at`; anything else is reported and counts as empty.
    pub(super) fn new(value: Value, at: impl Into<String>, draft: &mut Draft) -> Self {
        let at = at.into();
        match value {
            Value::Object(table) => Self { at, table },
            Value::Null => Self { at, table: Map::new() },
            Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                draft.not_carried(&at, "not a table");
                Self { at, table: Map::new() }
            }
        }
    }

    /// Where a key of it stands.
    pub(super) fn path(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    /// Whether it says something under that key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| !value.is_null())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other @ (Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_)) => {
                self.table.insert(key.to_owned(), other);
                None
            }
        }
    }

    /// A text that has to stand in our file as it is: what the other file takes from its environment is reported.
    pub(super) fn plain(&mut self, key: &str, draft: &mut Draft) -> Option<String> {
        let text = self.text(key);
        if text.as_deref().is_none_or(|text| variable(text).is_some()) {
            draft.not_carried(
                &self.path(key),
                "has to be stated: only secrets come from the environment here",
            );
            return None;
        }
        text
    }

    /// A whole number; other numbers are rounded up.
    pub(super) fn number(&mut self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let whole = text.parse::<u64>().ok();
        whole.or_else(|| {
            let (whole, _) = text.split_once('.')?;
            whole.parse::<u64>().ok()?.checked_add(1)
        })
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        self.take(key)?.as_bool()
    }

    /// The elements of an array, each with where it stands.
    pub(super) fn list(&mut self, key: &str) -> Vec<(Value, String)> {
        let at = self.path(key);
        match self.take(key) {
            Some(Value::Array(items)) => {
                items.into_iter().enumerate().map(|(place, item)| (item, format!("{at}[{place}]"))).collect()
            }
            Some(other) => vec![(other, at)],
            None => Vec::new(),
        }
    }

    /// Texts of an array.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        self.list(key).into_iter().filter_map(|(item, _)| item.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn table(&mut self, key: &str, draft: &mut Draft) -> Self {
        let at = self.path(key);
        let value = self.take(key).unwrap_or(Value::Null);
        Self::new(value, at, draft)
    }

    /// All entries, for tables whose keys are names.
    pub(super) fn entries(self) -> Vec<(String, Value, String)> {
        let at = self.at;
        let place = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        self.table.into_iter().map(|(key, value)| (key.clone(), value, place(&key))).collect()
    }

    /// Leaves these out without a word: they say nothing that matters here.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.table.remove(*key);
        }
    }

    /// Reports whatever is left.
    pub(super) fn finish(self, draft: &mut Draft) {
        for (key, value) in &self.table {
            if !value.is_null() {
                draft.not_carried(&self.path(key), "has no counterpart here");
            }
        }
    }
}
