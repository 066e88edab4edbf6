//! `attestation/tests/PART_B.md` names, for every check of the platforms, a test that passes it and one that fails it.

use std::collections::BTreeSet;

use postern_tests::workspace;

use super::threat_rows::test_names;

const TABLE: &str = "attestation/tests/PART_B.md";

/// Files whose checks have rows there.
const STEPS: [&str; 4] = [
    "attestation/src/appraise.rs",
    "attestation/src/platform/sev_snp/steps.rs",
    "attestation/src/platform/tdx/steps.rs",
    "attestation/src/platform/azure/steps.rs",
];

/// What is wrong with the table, given the checks and the names of all tests.
fn violations(table: &str, checks: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut listed = BTreeSet::new();
    for line in table.lines() {
        let Some(line) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = line.split(" | ").collect();
        let &[row, own, passes, fails] = cells.as_slice() else {
            problems.push(format!("{line}: not four cells"));
            continue;
        };
        if row == "row" {
            continue;
        }
        listed.extend(quoted(own));
        for (kind, cell) in [("passes", passes), ("fails", fails)] {
            let named = quoted(cell);
            if named.is_empty() {
                problems.push(format!("{row}: no test that {kind}"));
            }
            let unknown = named.into_iter().filter(|name| !tests.contains(name));
            problems.extend(unknown.map(|name| format!("{row}: there is no test {name}")));
        }
    }
    problems.extend(checks.difference(&listed).map(|check| format!("{check}: in no row")));
    problems.extend(listed.difference(checks).map(|check| format!("{check}: there is no such check")));
    problems
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names that a file gives to its checks: texts like `snp.vmpl`.
fn checks(source: &str) -> BTreeSet<String> {
    let texts = source.split('"').skip(1).step_by(2);
    texts
        .filter(|text| ["snp.", "tdx.", "az.", "gcp."].iter().any(|own| text.starts_with(own)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_check_has_a_row_with_a_passing_and_a_failing_test() {
    let own: BTreeSet<String> = STEPS.iter().flat_map(|path| checks(&workspace::read(path))).collect();
    assert!(own.len() > 90, "only {} checks", own.len());
    super::none(&violations(&workspace::read(TABLE), &own, &test_names(&workspace::rust_files())));
}

#[test]
fn a_check_without_a_row_is_found() {
    let own = checks("Step::new(\"snp.vmpl\", Code::SnpVmpl, \"cpu.report.vmpl\")");
    assert_eq!(own.len(), 1);
    let tests: BTreeSet<String> = ["good".to_owned(), "bad".to_owned()].into();
    let judge = |table: &str| violations(table, &own, &tests).len();
    assert_eq!(judge("| VMPL | `snp.vmpl` | `good` | `bad` |"), 0);
    assert_eq!(judge("| VMPL | `snp.vmpl` | `good` | `worse` |"), 1, "not a test");
    assert_eq!(judge("| VMPL | `snp.vmpl` | `good` | - |"), 1, "nothing fails");
    assert_eq!(judge("| VMPL | `snp.other` | `good` | `bad` |"), 2, "another check");
    assert_eq!(judge(""), 1, "no row");
}
