//! The configuration that is being written, and the notes about it.

use serde::Serialize;
use toml::{Table, Value};

/// What comes out.
#[derive(Default)]
pub(super) struct Draft {
    deployments: Table,
    models: Table,
    notes: Vec<Note>,
}

/// Something the user has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Note {
    /// What kind of thing.
    pub(super) kind: Kind,
    /// Where in the other file.
    pub(super) at: String,
    /// What about it. Never a value that could be a secret.
    pub(super) what: String,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// It means something slightly different here.
    Changed,
    /// It is left out.
    NotCarried,
    /// A secret has to be put where ours names it.
    Secret,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::NotCarried => "not carried",
            Self::Secret => "secret",
        }
    }
}

impl Draft {
    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    pub(super) fn not_carried(&mut self, at: &str, what: impl Into<String>) {
        self.note(Kind::NotCarried, at, what);
    }

    pub(super) fn changed(&mut self, at: &str, what: impl Into<String>) {
        self.note(Kind::Changed, at, what);
    }

    fn note(&mut self, kind: Kind, at: &str, what: impl Into<String>) {
        self.notes.push(Note { kind, at: at.to_owned(), what: what.into() });
    }

    /// Adds a deployment under a name like `wish`, and says which.
    pub(super) fn deployment(&mut self, wish: &str, table: Table) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let wish: String = wish.chars().map(plain).take(56).collect();
        let wish = if wish.is_empty() { "deployment".to_owned() } else { wish };
        let mut name = wish.clone();
        let mut number = 1_u32;
        while self.deployments.contains_key(&name) {
            number = number.saturating_add(1);
            name = format!("{wish}-{number}");
        }
        self.deployments.insert(name.clone(), Value::Table(table));
        name
    }

    /// Adds a model that clients name.
    pub(super) fn model(&mut self, name: &str, table: Table, at: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+-".contains(c);
        if name.is_empty() || name.len() > 256 || !name.chars().all(plain) || name.contains("..") {
            self.not_carried(at, "its name is no model name here");
            return;
        }
        if self.models.insert(name.to_owned(), Value::Table(table)).is_some() {
            self.changed(at, "another model of that name was replaced");
        }
    }

    pub(super) fn has_model(&self, name: &str) -> bool {
        self.models.contains_key(name)
    }

    /// A reference to a secret: the same environment variable, or a file to put it into. The secret stays behind.
    pub(super) fn secret(&mut self, at: &str, text: Option<&str>, name: &str) -> Value {
        self.place(at, text, &format!("{}.key", safe(name)), "the provider's credential")
    }

    /// The same for a credential that is a JSON document, with what has to be in it.
    pub(super) fn document(&mut self, at: &str, text: Option<&str>, name: &str, what: &str) -> Value {
        self.place(at, text, &format!("{}.json", safe(name)), what)
    }

    fn place(&mut self, at: &str, text: Option<&str>, file: &str, what: &str) -> Value {
        if let Some(variable) = text.and_then(variable) {
            return Value::String(format!("env:{variable}"));
        }
        let place = format!("file:/config/{file}");
        self.note(Kind::Secret, at, format!("put {what} where '{place}' points"));
        Value::String(place)
    }

    /// The whole file.
    pub(super) fn render(&self) -> String {
        let mut gateway = Table::new();
        gateway.insert("version".to_owned(), Value::Integer(1));
        let admission = Table::from_iter([("key_file".to_owned(), "file:/config/keys.toml".into())]);
        gateway.insert("admission".to_owned(), Value::Table(admission));
        gateway.insert("deployments".to_owned(), Value::Table(self.deployments.clone()));
        gateway.insert("models".to_owned(), Value::Table(self.models.clone()));
        let whole = Table::from_iter([("gateway".to_owned(), Value::Table(gateway))]);
        format!("{HEAD}\n{whole}")
    }
}

/// The environment variable that a value of the other file stands for, if it does.
pub(super) fn variable(text: &str) -> Option<&str> {
    let prefixes = ["os.environ/", "env.", "env:", "$"];
    let name = prefixes.into_iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// A name that can be a file's.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '-' }).collect()
}

/// A table from its keys.
pub(super) fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A member with a share.
pub(super) fn weighted(name: &str, weight: u64) -> Value {
    let weight = i64::try_from(weight).unwrap_or(i64::MAX).min(1_000_000);
    Value::Table(table([("use", name.into()), ("weight", Value::Integer(weight))]))
}

/// Names as members.
pub(super) fn names(names: &[String]) -> Value {
    Value::Array(names.iter().map(|name| name.as_str().into()).collect())
}

/// What stands around the gateway's part and has to be filled in.
const HEAD: &str = r#"# Written by `postern import`. Fill in [listen], [tee] and [host], put the keys of clients into the key file, then
# run `postern-enclave check` on it.
version = 1

[listen]
address = "vsock:8443"
names = ["gateway.example"]

[tee]
attester = "configfs-tsm"

[host]
egress = "vsock:2:9000"
"#;
