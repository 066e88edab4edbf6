//! Two streams: data on stdout, talk on stderr. Colour only marks what the words already say.

use std::io::{IsTerminal, Write};

use postern_client::Error;

/// Where words go.
pub(crate) struct Output {
    colour_out: bool,
    colour_err: bool,
}

/// How a word is marked.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Bad,
    Good,
    Warning,
}

impl Output {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour_out: wanted && std::io::stdout().is_terminal(),
            colour_err: wanted && std::io::stderr().is_terminal(),
        }
    }

    #[expect(clippy::unused_self, reason = "who may write is a parameter, like every other authority")]
    /// Writes data. A reader that has gone away ends the matter silently.
    pub(crate) fn data(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    }

    #[expect(clippy::unused_self, reason = "who may write is a parameter, like every other authority")]
    /// Writes one line of talk.
    pub(crate) fn talk(&self, line: &str) {
        drop(writeln!(std::io::stderr().lock(), "{line}"));
    }

    /// One line that says what failed, where, and what next.
    pub(crate) fn failure(&self, code: &str, what: &str, hint: &str) {
        let code = self.marked_err(Mark::Bad, code);
        self.talk(&format!("postern: {code}: {}\nhint: {hint}", printable(what)));
    }

    /// The same for an error of the library.
    pub(crate) fn error(&self, error: &Error) {
        self.failure(error.code(), &error.to_string(), error.hint());
    }

    pub(crate) fn marked(&self, mark: Mark, text: &str) -> String {
        paint(self.colour_out, mark, text)
    }

    pub(crate) fn marked_err(&self, mark: Mark, text: &str) -> String {
        paint(self.colour_err, mark, text)
    }
}

/// The text without control characters: what comes from outside must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The same for running text, which may have lines and tabs.
pub(crate) fn printable_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

fn paint(colour: bool, mark: Mark, text: &str) -> String {
    if !colour {
        return text.to_owned();
    }
    let number = match mark {
        Mark::Bad => 31,
        Mark::Good => 32,
        Mark::Warning => 33,
    };
    format!("\u{1b}[1;{number}m{text}\u{1b}[0m")
}
