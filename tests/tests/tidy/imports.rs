//! Imports look up: a module uses only modules that `lib.rs` declares above it.

use postern_tests::workspace::{self, SourceFile};

/// Crates read from top to bottom.
const CRATES: [&str; 8] = [
    "attestation",
    "attestation/measurement",
    "audit",
    "enclave",
    "enclave/gateway",
    "enclave/init",
    "enclave/link",
    "enclave/state",
];

/// Every import in `files` (paths from the crate's `src/`) that looks down or sideways.
fn violations(lib: &str, files: &[SourceFile]) -> Vec<String> {
    let order = declared(lib);
    let mut problems = Vec::new();
    for file in files {
        let module = file.path.trim_end_matches(".rs").to_owned();
        let segments: Vec<&str> = module.split('/').collect();
        let Some(own) = order.iter().position(|name| *name == segments[0]) else { continue };
        for (number, line) in production_lines(&file.text) {
            for target in crate_paths(line, segments.len()) {
                let target = home_of(lib, &target).unwrap_or(target);
                let position = order.iter().position(|name| *name == target);
                if position.is_some_and(|position| position > own) {
                    problems.push(format!("{}:{number}: imports {target}, which comes later", file.path));
                }
            }
        }
    }
    problems
}

/// Modules in the order of their declaration.
fn declared(lib: &str) -> Vec<String> {
    lib.lines()
        .filter_map(|line| {
            let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
        })
        .collect()
}

/// The module from which `lib.rs` re-exports `name`.
fn home_of(lib: &str, name: &str) -> Option<String> {
    lib.lines().find_map(|line| {
        let (module, names) = line.strip_prefix("pub use ")?.split_once("::")?;
        let mut words = names.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == name).then(|| module.to_owned())
    })
}

/// Lines before the test module, less comments.
fn production_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

/// First segments of the paths from the crate root in a line of a module at that depth.
fn crate_paths(line: &str, depth: usize) -> Vec<String> {
    let from_root = ["crate::".to_owned(), "super::".repeat(depth)];
    let mut found = Vec::new();
    for root in &from_root {
        for (at, _) in line.match_indices(root.as_str()) {
            let before = &line[..at];
            if before.ends_with("super::")
                || before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
            {
                continue;
            }
            let rest = &line[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(group_heads(group));
            } else {
                found.push(word(rest));
            }
        }
    }
    found
}

/// The first word of each top-level entry of `a::b, c::{d, e}, f}`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut at_head) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && c.is_alphabetic() => {
                heads.push(word(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn modules_import_only_what_is_declared_above() {
    let all = workspace::rust_files();
    let mut problems = Vec::new();
    for name in CRATES {
        let source = format!("{name}/src/");
        let lib = workspace::read(&format!("{source}lib.rs"));
        let files: Vec<SourceFile> = all
            .iter()
            .filter_map(|file| {
                let path = file.path.strip_prefix(&source)?.to_owned();
                let counts = path != "lib.rs" && path != "tests.rs" && !path.ends_with("/tests.rs");
                counts.then(|| SourceFile { path, text: file.text.clone() })
            })
            .collect();
        problems.extend(violations(&lib, &files).into_iter().map(|problem| format!("{source}{problem}")));
    }
    super::none(&problems);
}

#[test]
fn an_import_that_looks_down_is_found() {
    let lib = "pub mod first;\nmod second;\npub(crate) mod third;\npub use first::Thing;\npub use second::{Late, Other};\n";
    let judge = |path: &str, text: &str| {
        violations(lib, &[SourceFile { path: path.to_owned(), text: text.to_owned() }]).len()
    };
    assert_eq!(judge("second.rs", "use crate::first::X;\nuse crate::second::part::Y;\n"), 0);
    assert_eq!(judge("second.rs", "use crate::third::X;\n"), 1);
    assert_eq!(judge("second.rs", "fn f() { crate::third::g() }\n"), 1);
    assert_eq!(judge("second.rs", "use crate::{first, third::{A, B}};\n"), 1);
    assert_eq!(judge("second.rs", "use super::third;\n"), 1);
    assert_eq!(judge("second/part.rs", "use super::super::third;\n"), 1);
    assert_eq!(judge("second/part.rs", "use super::third;\n"), 0, "a module of its own parent");
    assert_eq!(judge("first.rs", "use crate::Late;\n"), 1, "a re-export of a later module");
    assert_eq!(judge("third.rs", "use crate::{Late, Thing};\n"), 0);
    assert_eq!(judge("first.rs", "// crate::third\n#[cfg(test)]\nmod tests { use crate::third::X; }\n"), 0);
}
