//! `THREAT_MODEL.md` and the tests say the same: a row names tests that exist, and a threat test has a row.

use std::collections::BTreeSet;

use postern_tests::workspace::{self, SourceFile};

/// The adversary matrix's 48 rows, then those of what came later.
const ROWS: usize = 53;

/// One line of the table `| row | threat | defence | test | residual |`.
struct Row {
    number: usize,
    tests: Vec<String>,
    pending: Option<String>,
    complete: bool,
}

/// What is wrong with the table, given the names of all tests.
fn violations(document: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(document);
    let mut problems = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let number = row.number;
        if number != index + 1 {
            problems.push(format!("row {number}: stands where row {} should", index + 1));
        }
        if !row.complete {
            problems.push(format!("row {number}: an empty cell, or not five"));
        }
        if row.tests.is_empty() && row.pending.as_deref().unwrap_or_default().is_empty() {
            problems.push(format!("row {number}: names neither a test nor what it is pending on"));
        }
        for test in &row.tests {
            if !tests.contains(test) {
                problems.push(format!("row {number}: there is no test {test}"));
            }
        }
    }
    if rows.len() != ROWS {
        problems.push(format!("{} rows instead of {ROWS}", rows.len()));
    }
    for test in tests.iter().filter(|test| test.starts_with("row_")) {
        let number: Option<usize> = test.get(4..6).and_then(|digits| digits.parse().ok());
        if !rows.iter().any(|row| Some(row.number) == number && row.tests.contains(test)) {
            problems.push(format!("{test}: THREAT_MODEL.md does not name it in its row"));
        }
    }
    problems
}

fn rows(document: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in document.lines() {
        let Some(line) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = line.split(" | ").collect();
        let Ok(number) = cells[0].trim().parse() else { continue };
        let cell = cells.get(3).copied().unwrap_or_default();
        rows.push(Row {
            number,
            tests: cell.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            pending: cell.split_once("pending: ").map(|(_, feature)| feature.trim().to_owned()),
            complete: cells.len() == 5 && cells.iter().all(|cell| !cell.trim().is_empty()),
        });
    }
    rows
}

/// Names of all test functions.
pub(super) fn test_names(files: &[SourceFile]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        let mut is_test = false;
        for line in file.text.lines().map(str::trim) {
            if line.starts_with("#[") && (line.contains("test]") || line.contains("test(")) {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
                is_test = false;
            }
        }
    }
    names
}

#[test]
fn every_row_has_its_tests_and_every_threat_test_its_row() {
    let names = test_names(&workspace::rust_files());
    super::none(&violations(&workspace::read("THREAT_MODEL.md"), &names));
}

#[test]
fn a_row_without_a_test_is_found() {
    let table = |last: &str| {
        let rows: Vec<String> = (1..ROWS)
            .map(|row| format!("| {row} | t | d | pending: f | r |"))
            .chain([last.to_owned()])
            .collect();
        rows.join("\n")
    };
    let tests = test_names(&[SourceFile {
        path: "a.rs".to_owned(),
        text: "#[test]\nfn row_53_a() {}\n#[tokio::test(flavor = \"x\")]\nasync fn other() {}\nfn no() {}"
            .to_owned(),
    }]);
    assert_eq!(tests.len(), 2);
    let judge = |last: &str| violations(&table(last), &tests).len();
    assert_eq!(judge("| 53 | t | d | `row_53_a`, `other` | r |"), 0);
    assert_eq!(judge("| 53 | t | d | `row_53_a`, `no` | r |"), 1, "not a test");
    assert_eq!(judge("| 53 | t | d | `other` | r |"), 1, "a threat test without a row");
    assert_eq!(judge("| 53 | t | d | pending:  | r |"), 2);
    assert_eq!(judge("| 53 | t |  | `row_53_a` | r |"), 1, "an empty cell");
    assert_eq!(judge("| 52 | t | d | `row_53_a` | r |"), 2, "twice the same number");
    assert_eq!(judge(""), 2, "a missing row");
}
