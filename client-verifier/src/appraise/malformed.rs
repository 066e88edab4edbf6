//! Requests that cannot be understood: what is wrong, where, and what was meant if that can be guessed.

use std::fmt;

use attestation::{Code, Rejection};

use crate::suggestion::nearest;

/// Longest name of the caller's that is repeated.
const LONGEST_NAME: usize = 48;

/// Why a request cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The stable reason.
    pub code: MalformedCode,
    /// Path of the field, for example `endorsements.crls_der_b64[0]`; `request` for the whole.
    pub field: String,
    /// What would have been understood.
    pub expected: String,
    /// What was there, never the value itself.
    pub found: String,
}

/// The stable reasons of [`Malformed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedCode {
    /// A field was given twice.
    DuplicateField,
    /// A field that this request needs is not there.
    MissingField,
    /// A field that does not apply to this platform.
    NotApplicable,
    /// The policy that the request describes cannot mean anything.
    Policy,
    /// Not JSON.
    Syntax,
    /// Longer than allowed.
    TooLarge,
    /// A field that nobody knows.
    UnknownField,
    /// A value of another form.
    Value,
}

impl MalformedCode {
    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateField => "REQ_DUPLICATE_FIELD",
            Self::MissingField => "REQ_MISSING_FIELD",
            Self::NotApplicable => "REQ_NOT_APPLICABLE",
            Self::Policy => "REQ_POLICY",
            Self::Syntax => "REQ_SYNTAX",
            Self::TooLarge => "REQ_TOO_LARGE",
            Self::UnknownField => "REQ_UNKNOWN_FIELD",
            Self::Value => "REQ_VALUE",
        }
    }
}

impl Malformed {
    pub(super) fn new(
        code: MalformedCode,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { code, field: field.into(), expected: expected.into(), found: found.into() }
    }

    pub(super) fn missing(field: &str, expected: &str) -> Self {
        Self::new(MalformedCode::MissingField, field, expected, "nothing")
    }

    /// A field that cannot be given for this platform.
    pub(super) fn not_applicable(field: &str, platforms: &str) -> Self {
        Self::new(MalformedCode::NotApplicable, field, format!("nothing: it is for {platforms}"), "a value")
    }

    /// The same for a policy that was refused before any evidence was read.
    pub(super) fn of_policy(rejection: &Rejection) -> Option<Self> {
        let own = matches!(rejection.code, Code::PolInvalid | Code::PolEmptyAllowlist);
        let Rejection { field, expected, found, .. } = rejection;
        own.then(|| Self::new(MalformedCode::Policy, *field, expected.as_str(), found.as_str()))
    }

    /// What the JSON reader says. Its texts name fields and forms; values are left out.
    pub(super) fn of_json(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let inner = error.inner();
        if !inner.is_data() {
            let found = format!("an error at line {} column {}", inner.line(), inner.column());
            return Self::new(MalformedCode::Syntax, "request", "one JSON object", found);
        }
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        Self::of_message(&path, &inner.to_string())
    }

    fn of_message(path: &str, message: &str) -> Self {
        let field = if path.is_empty() { "request".to_owned() } else { path.to_owned() };
        let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, "another value"));
        let name = || what.split('`').nth(1).unwrap_or_default();
        let member = |name: &str| {
            let name = printable(name);
            // the path already ends with the member where the reader had begun to read it
            if path.is_empty() || path == name || path.ends_with(&format!(".{name}")) {
                if path.is_empty() { name.to_owned() } else { path.to_owned() }
            } else {
                format!("{path}.{name}")
            }
        };
        if what.starts_with("unknown field") {
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            let expected = match nearest(name(), &known) {
                Some(near) => format!("did you mean {near}? known here: {}", known.join(", ")),
                None => format!("one of: {}", known.join(", ")),
            };
            return Self::new(MalformedCode::UnknownField, member(name()), expected, "an unknown field");
        }
        if what.starts_with("unknown variant") {
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            let expected = match nearest(name(), &known) {
                Some(near) => format!("did you mean {near}? one of: {}", known.join(", ")),
                None => format!("one of: {}", known.join(", ")),
            };
            return Self::new(MalformedCode::Value, field, expected, "another text");
        }
        if what.starts_with("duplicate field") {
            return Self::new(MalformedCode::DuplicateField, member(name()), "one value", "two");
        }
        if what.starts_with("missing field") {
            return Self::missing(&member(name()), "a value");
        }
        Self::new(MalformedCode::Value, field, expected, kind(what))
    }
}

/// The kind of value that was there, from `invalid type: string "...", expected`, without the value.
fn kind(what: &str) -> String {
    let found = what.split_once(": ").map_or("another value", |(_, found)| found);
    found.split(['"', '`']).next().unwrap_or(found).trim().to_owned()
}

/// A name of the caller's, if it is surely a name.
fn printable(name: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.len() <= LONGEST_NAME && name.bytes().all(plain) { name } else { "(another name)" }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, field, expected, found } = self;
        write!(f, "{}: {field}: expected {expected}, found {found}", code.as_str())
    }
}

impl std::error::Error for Malformed {}
