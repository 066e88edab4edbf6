//! The verifier part of `attestation` asks the machine nothing: no files, network, processes, threads, environment or clock.
//! So it builds wherever its libraries do, WebAssembly included, and a verdict is a function of its arguments.

use postern_tests::workspace::{self, SourceFile};

/// What only `src/attester/` may name.
const AMBIENT: [&str; 9] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
];

/// Every line of production code in `files` (paths from the crate's `src/`) that names something ambient.
fn violations(files: &[SourceFile]) -> Vec<String> {
    let verifier = files.iter().filter(|file| !file.path.starts_with("attester") && !is_test(&file.path));
    let mut problems = Vec::new();
    for file in verifier {
        let lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]");
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let found = AMBIENT.iter().find(|name| line.contains(*name));
            problems.extend(found.map(|name| format!("{}:{}: names {name}", file.path, number + 1)));
        }
    }
    problems
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs")
}

#[test]
fn the_verifier_asks_the_machine_nothing() {
    let prefix = "attestation/src/";
    let own = workspace::rust_files().into_iter().filter_map(|file| {
        let path = file.path.strip_prefix(prefix)?.to_owned();
        Some(SourceFile { path, text: file.text })
    });
    let own: Vec<SourceFile> = own.collect();
    assert!(own.len() > 40);
    super::none(&violations(&own));
    let prefix = "attestation/measurement/src/";
    let measures = workspace::rust_files().into_iter().filter_map(|file| {
        let path = file.path.strip_prefix(prefix)?.to_owned();
        Some(SourceFile { path, text: file.text })
    });
    let measures: Vec<SourceFile> = measures.collect();
    assert!(measures.len() > 10);
    super::none(&violations(&measures));
}

#[test]
fn a_clock_in_the_verifier_is_found() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let judge = |path: &str, text: &str| violations(&[file(path, text)]).len();
    assert_eq!(judge("floors.rs", "let now = std::time::SystemTime::now();"), 1);
    assert_eq!(judge("floors.rs", "use std::fs;"), 1);
    assert_eq!(judge("attester/socket.rs", "use std::fs;"), 0, "the attester may");
    assert_eq!(judge("floors.rs", "// std::fs is not for us"), 0, "a comment");
    assert_eq!(judge("floors.rs", "#[cfg(test)]\nuse std::fs;"), 0, "a test");
    assert_eq!(judge("floors.rs", "use std::time::Duration;"), 0);
}
