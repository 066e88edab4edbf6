//! The list, the source and `THREAT_MODEL.md` say the same.

use postern_tests::workspace;

use super::defences::{DEFENCES, Defence};

/// The heading of the table in `THREAT_MODEL.md`.
const HEADING: &str = "## Each defence switched off";

/// The line of the table for this defence.
fn line(defence: &Defence) -> String {
    let mut files: Vec<&str> = defence.edits.iter().map(|edit| edit.file).collect();
    files.dedup();
    let quoted =
        |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let tests = defence.fails.iter().map(|test| test.name).collect();
    format!("| {} | {} | {} |", defence.name, quoted(files), quoted(tests))
}

/// What is wrong with the table of `document`.
fn violations(document: &str, defences: &[Defence]) -> Vec<String> {
    let table = document.split(HEADING).nth(1).unwrap_or_default();
    let found: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    let wanted: Vec<String> = defences.iter().map(line).collect();
    let missing = wanted.iter().filter(|line| !found.contains(&line.as_str()));
    let strange = found.iter().filter(|line| !wanted.iter().any(|own| own == *line));
    missing
        .map(|line| format!("THREAT_MODEL.md lacks: {line}"))
        .chain(strange.map(|line| format!("not in the list: {line}")))
        .collect()
}

#[test]
fn the_threat_model_names_every_defence_of_the_list() {
    let problems = violations(&workspace::read("THREAT_MODEL.md"), DEFENCES);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn a_line_too_few_or_too_many_is_found() {
    let document = |lines: &[&str]| {
        format!("{HEADING}\n\ntext\n\n| defence | where | fails |\n|---|---|---|\n{}\n", lines.join("\n"))
    };
    let own = line(&DEFENCES[0]);
    let judge = |lines: &[&str]| violations(&document(lines), &DEFENCES[..1]).len();
    assert_eq!(judge(&[&own]), 0);
    assert_eq!(judge(&[]), 1);
    assert_eq!(judge(&[&own, "| another | `a.rs` | `b` |"]), 1);
    assert_eq!(violations("no table", &DEFENCES[..1]).len(), 1);
}

#[test]
fn every_edit_fits_the_source() {
    for edit in DEFENCES.iter().flat_map(|defence| defence.edits) {
        let times = workspace::read(edit.file).matches(edit.from).count();
        assert_eq!(times, 1, "{}: {} stands there {times} times", edit.file, edit.from);
    }
}
