//! Files stay short enough to read at one sitting.

use postern_tests::workspace::{self, SourceFile};

/// Lines from which a file draws a warning.
const WARN: usize = 400;
/// Lines from which it fails.
const FAIL: usize = 700;
/// Longer files and why.
const LONGER: &[(&str, &str)] = &[];

/// Files that are too long, and those worth a look.
fn judge(files: &[SourceFile], longer: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for file in files {
        let lines = file.text.lines().count();
        let reason = longer.iter().find(|(path, _)| *path == file.path).map(|(_, reason)| *reason);
        match reason {
            Some("") => problems.push(format!("{}: listed as longer without a reason", file.path)),
            Some(_) if lines <= FAIL => {
                problems.push(format!("{}: no longer too long, unlist it", file.path));
            }
            None if lines > FAIL => problems.push(format!("{}: {lines} lines, {FAIL} at most", file.path)),
            None if lines > WARN => warnings.push(format!("{}: {lines} lines", file.path)),
            _ => {}
        }
    }
    (problems, warnings)
}

#[test]
fn files_keep_to_their_budget() {
    let (problems, warnings) = judge(&workspace::rust_files(), LONGER);
    for warning in warnings {
        println!("worth splitting: {warning}");
    }
    super::none(&problems);
}

#[test]
fn a_long_file_is_found() {
    let file = |lines: usize| [SourceFile { path: "a.rs".to_owned(), text: "x\n".repeat(lines) }];
    let count = |lines, longer: &[(&str, &str)]| {
        let (problems, warnings) = judge(&file(lines), longer);
        (problems.len(), warnings.len())
    };
    assert_eq!(count(400, &[]), (0, 0));
    assert_eq!(count(401, &[]), (0, 1));
    assert_eq!(count(701, &[]), (1, 0));
    assert_eq!(count(701, &[("a.rs", "one table")]), (0, 0));
    assert_eq!(count(701, &[("a.rs", "")]), (1, 0));
    assert_eq!(count(10, &[("a.rs", "one table")]), (1, 0));
}
