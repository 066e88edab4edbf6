//! Why a policy cannot be used: a stable code, the file and line, what is wrong in our own words.

use std::fmt;
use std::path::{Path, PathBuf};

use attestation::Rejection;

/// The stable reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyCode {
    /// A refusal by `attestation`, which checks the policy as a whole.
    Appraisal(attestation::Code),
    /// A list of acceptable values is empty.
    EmptyAllowlist,
    /// A file cannot be read.
    File,
    /// A mandatory key is not there.
    MissingKey,
    /// A value was left for the author to fill in.
    Placeholder,
    /// Not TOML.
    Syntax,
    /// A key that nobody knows.
    UnknownKey,
    /// A value of the wrong form.
    Value,
}

impl PolicyCode {
    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appraisal(code) => code.as_str(),
            Self::EmptyAllowlist => "POL_EMPTY_ALLOWLIST",
            Self::File => "POL_FILE",
            Self::MissingKey => "POL_MISSING_KEY",
            Self::Placeholder => "POL_PLACEHOLDER",
            Self::Syntax => "POL_SYNTAX",
            Self::UnknownKey => "POL_UNKNOWN_KEY",
            Self::Value => "POL_VALUE",
        }
    }
}

/// A policy that cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    code: PolicyCode,
    what: String,
    file: Option<PathBuf>,
    line: Option<usize>,
}

impl PolicyError {
    pub(super) fn new(code: PolicyCode, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), file: None, line: None }
    }

    pub(super) fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// Line in the file, from 1, where one is to blame.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    pub(crate) fn hint(&self) -> &'static str {
        match self.code {
            PolicyCode::Appraisal(_) | PolicyCode::Value => {
                "correct the line; `postern policy init` writes a file with every key explained"
            }
            PolicyCode::EmptyAllowlist => "list at least one acceptable value: an empty list accepts nothing",
            PolicyCode::File => "check the path and its permissions",
            PolicyCode::MissingKey => "nothing expected is optional; `postern policy init` writes every key",
            PolicyCode::Placeholder => "replace the FILL-IN text with the value the release page states",
            PolicyCode::Syntax => "the file must be TOML; `postern policy init` writes one",
            PolicyCode::UnknownKey => "remove or correct the key: unknown keys are never ignored",
        }
    }
}

impl From<Rejection> for PolicyError {
    fn from(rejection: Rejection) -> Self {
        let Rejection { code, field, expected, found } = rejection;
        Self::new(PolicyCode::Appraisal(code), format!("{field}: expected {expected}, found {found}"))
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            match self.line {
                Some(line) => write!(f, ":{line}: ")?,
                None => f.write_str(": ")?,
            }
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for PolicyError {}
