//! Nothing names a folder of the machine it was written on.

use postern_tests::workspace::{self, SourceFile};

/// Starts of such paths, cut so that this list is not a finding.
const STARTS: [(&str, &str); 5] =
    [("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/"), ("C:\\Us", "ers\\")];

fn violations(files: &[SourceFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for (head, tail) in STARTS {
                let start = format!("{head}{tail}");
                let own_root =
                    |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-*}".contains(c));
                if line.match_indices(&start).any(|(at, _)| own_root(at)) {
                    problems.push(format!("{}:{}: a path of one machine", file.path, number + 1));
                }
            }
        }
    }
    problems
}

#[test]
fn no_machine_paths() {
    super::none(&violations(&workspace::files()));
}

#[test]
fn a_machine_path_is_found() {
    let judge = |text: String| violations(&[SourceFile { path: "a.md".to_owned(), text }]).len();
    assert_eq!(judge(format!("see {}{}me/notes", "/ho", "me/")), 1);
    assert_eq!(judge(format!("cd {}{}x", "/wo", "rk/")), 1);
    assert_eq!(judge(format!("target{}{}x", "/wo", "rk/")), 0, "part of a longer path");
    assert_eq!(judge("home is where /etc is".to_owned()), 0);
}
