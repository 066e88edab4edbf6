//! `deploy/requirements.md` and the tests say the same: a row names tests that exist or what is missing, every
//! requirement of the list has its row, and every test of the security catalogue too.

use std::collections::BTreeSet;

use postern_tests::workspace;

use super::threat_rows::test_names;

/// What is wrong with the tables, given the names of all tests.
fn violations(document: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut rows, mut named) = (BTreeSet::new(), BTreeSet::new());
    for line in document.lines() {
        let Some(line) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else { continue };
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let id = cells[0];
        if !(id.starts_with("C-") || id.starts_with("ST-")) {
            continue;
        }
        if cells.len() != 4 || cells[1].is_empty() {
            problems.push(format!("{id}: not four cells, or an empty one"));
            continue;
        }
        if !rows.insert(id.to_owned()) {
            problems.push(format!("{id}: twice"));
        }
        let own: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        let not_yet =
            cells[2].strip_prefix("not yet").is_some_and(|why| why.trim_start_matches(':').trim().len() > 3);
        if own.is_empty() && !not_yet {
            problems.push(format!("{id}: names neither a test nor what is missing"));
        }
        let missing = own.iter().filter(|test| !not_yet && !tests.contains(**test));
        problems.extend(missing.map(|test| format!("{id}: there is no test {test}")));
        named.extend(own.into_iter().map(str::to_owned));
    }
    let wanted = (1..=47).chain([88, 94, 102, 105, 106]).map(|number| format!("C-{number:03}"));
    problems.extend(wanted.filter(|id| !rows.contains(id)).map(|id| format!("{id}: has no row")));
    let unnamed = tests.iter().filter(|test| test.starts_with("st_") && !named.contains(*test));
    problems.extend(unnamed.map(|test| format!("{test}: no row names it")));
    problems
}

#[test]
fn every_requirement_has_its_tests() {
    let names = test_names(&workspace::rust_files());
    super::none(&violations(&workspace::read("deploy/requirements.md"), &names));
}

#[test]
fn a_requirement_without_its_test_is_found() {
    let tests = BTreeSet::from(["good".to_owned(), "st_01_x".to_owned()]);
    let ids = (1..=47).chain([88, 94, 102, 105, 106]);
    let rows: Vec<String> = ids.map(|id| format!("| C-{id:03} | what | `good` | |")).collect();
    let judge = |more: &str| violations(&format!("{}\n{more}", rows.join("\n")), &tests).len();
    assert_eq!(judge("| ST-01 | what | `st_01_x` | |"), 0);
    assert_eq!(judge(""), 1, "a catalogue test without a row");
    assert_eq!(judge("| ST-01 | what | `st_01_x`, `gone` | |"), 1);
    assert_eq!(judge("| ST-01 | what | `st_01_x` | |\n| ST-02 | what | | |"), 1);
    assert_eq!(judge("| ST-01 | what | `st_01_x` | |\n| ST-02 | what | not yet: because | |"), 0);
    assert_eq!(judge("| ST-01 | what | `st_01_x` | |\n| C-001 | what | `good` | |"), 1, "twice");
    assert_eq!(judge("| ST-01 | what | `st_01_x` | |").min(1), 0);
    assert_eq!(violations("| ST-01 | what | `st_01_x` | |", &tests).len(), 52, "every missing row");
}
