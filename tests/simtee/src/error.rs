//! What can go wrong while simulating.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why the simulated security processor could not do what it was asked.
#[derive(Debug)]
pub enum SimteeError {
    /// The cryptographic library refused an operation; the text names it.
    Crypto(&'static str),
    /// A file or socket could not be used.
    Io {
        /// What was tried, as a verb with its object: "read the key".
        doing: &'static str,
        /// The file or socket.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A value given by the caller cannot be used; the text says what is expected.
    Invalid(String),
}

impl SimteeError {
    /// Wraps an operating system error with what was tried and where.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

impl fmt::Display for SimteeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto(what) => write!(f, "cannot {what}"),
            Self::Io { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Self::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for SimteeError {}
