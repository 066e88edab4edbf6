//! Why the quickstart gave up: one line, with the place of the log where there is one.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A reason to stop.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Ctrl-C or SIGTERM: not a failure.
    Interrupted,
    /// The programs could not be built or found; what to do stands in the text.
    Build(String),
    /// A file or folder could not be used.
    File {
        /// What was tried, as a verb with its object.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said, or what is wrong with it.
        problem: String,
    },
    /// A program could not be started, did not become ready, or ended.
    Program {
        /// Which one.
        name: &'static str,
        /// What it did.
        problem: String,
        /// Its standard error.
        log: PathBuf,
    },
    /// The prompt was not answered whole.
    Answer(String),
    /// Standard output is closed.
    Output(io::ErrorKind),
}

impl Failure {
    /// A file problem from an operating system error.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { doing, path, problem: error.to_string() }
    }

    /// Whether a log in the state folder explains more.
    pub(crate) fn has_log(&self) -> bool {
        matches!(self, Self::Program { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => out.write_str("stopped"),
            Self::Build(problem) => write!(out, "cannot build the programs: {problem}"),
            Self::File { doing, path, problem } => {
                write!(out, "cannot {doing} {}: {problem}", path.display())
            }
            Self::Program { name, problem, log } => {
                write!(out, "{name} {problem}; its log is {}", log.display())
            }
            Self::Answer(problem) => write!(out, "no whole answer: {problem}"),
            Self::Output(kind) => write!(out, "cannot write to standard output: {kind}"),
        }
    }
}
