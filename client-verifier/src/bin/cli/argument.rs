//! An argument for people: every check with what was expected and found.

use attestation::{Check, Outcome};

use crate::output::{Mark, printable};

/// Two or three lines for each check.
pub(crate) fn lines(checks: &[Check], paint: impl Fn(Mark, &str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    for check in checks {
        let (mark, outcome) = match check.outcome {
            Outcome::Pass => (Mark::Good, "pass"),
            Outcome::Fail => (Mark::Bad, "fail"),
            Outcome::NotReached => (Mark::Warning, "not_reached"),
        };
        lines.push(format!("  {} {}", paint(mark, &format!("{outcome:<11}")), printable(check.id)));
        if check.outcome != Outcome::NotReached {
            lines.push(format!("              expected {}", printable(&check.expected)));
            lines.push(format!("              found    {}", printable(&check.found)));
        }
    }
    lines
}
