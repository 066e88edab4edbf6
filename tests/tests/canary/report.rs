//! What a run found, as a document.

use std::fmt::Write;

use postern_tests::canary::{Hits, total};
use postern_tests::workspace;

/// One row: what was searched when, how much of it, and what was found.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) searched: String,
    pub(super) hits: Hits,
}

/// Everything a run found.
#[derive(Default)]
pub(super) struct Report {
    /// Canaries planted.
    pub(super) planted: usize,
    /// Where there must be none.
    pub(super) rows: Vec<Row>,
    /// Inside the window in which a request is alive, for the record.
    pub(super) window: Vec<Row>,
    /// Deliberate leaks, each of which must be found.
    pub(super) controls: Vec<Row>,
}

impl Report {
    /// Controls that were not found: the run proves nothing.
    pub(super) fn void(&self) -> Vec<&str> {
        self.controls.iter().filter(|row| total(&row.hits) == 0).map(|row| row.what.as_str()).collect()
    }

    /// Rows in which something was found.
    pub(super) fn leaks(&self) -> Vec<String> {
        let found = self.rows.iter().filter(|row| total(&row.hits) > 0);
        found.map(|row| format!("{}: {:?}", row.what, row.hits)).collect()
    }

    pub(super) fn render(&self, method: &str) -> String {
        let mut out = format!("# Canary report\n\nThe run of {}.\n\n{method}\n", workspace::today());
        let verdict = if !self.void().is_empty() {
            "The run is void: a deliberate leak was not found."
        } else if self.leaks().is_empty() {
            "No canary was found outside the window, and every deliberate leak was."
        } else {
            "Canaries were found where there must be none."
        };
        let _infallible = write!(out, "\n**{verdict}** {} canaries were planted.\n", self.planted);
        for (title, rows) in [
            ("Where there must be none", &self.rows),
            ("Inside the window, for the record", &self.window),
            ("Deliberate leaks, which must be found", &self.controls),
        ] {
            let _infallible = write!(out, "\n## {title}\n\n| searched | how much | found |\n|---|---|---|\n");
            for row in rows {
                let _infallible = writeln!(out, "| {} | {} | {} |", row.what, row.searched, total(&row.hits));
            }
        }
        out
    }
}

/// Bytes for people.
pub(super) fn size(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes.div_ceil(1024)) } else { format!("{} MiB", bytes >> 20) }
}
