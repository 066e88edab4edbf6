//! Why a build stopped.

use std::fmt;
use std::path::Path;

/// One line: what, and where it helps, what to do.
#[derive(Debug)]
pub struct Failure(pub String);

impl Failure {
    /// A failure with this line.
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// A file that could not be read or written.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let place = path.display().to_string();
        move |error| Self(format!("{place}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<measurement::MeasureError> for Failure {
    fn from(error: measurement::MeasureError) -> Self {
        Self(format!("{}: {error}", error.code()))
    }
}
