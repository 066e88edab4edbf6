//! Every dependency of the TCB says why it is there, and manifests state what the workspace decided.

use postern_tests::workspace::{self, SourceFile};

/// Folders whose manifests are the TCB's; fuzz crates below them do not ship.
const TCB: [&str; 9] = [
    "attestation",
    "attestation/measurement",
    "audit",
    "enclave",
    "enclave/alloc",
    "enclave/gateway",
    "enclave/init",
    "enclave/link",
    "enclave/state",
];

/// Dependency lines of `manifest` without a comment right above.
fn unexplained(manifest: &SourceFile) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut in_dependencies, mut explained) = (false, false);
    for (number, line) in manifest.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            in_dependencies = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
        } else if in_dependencies
            && !line.is_empty()
            && !line.starts_with('#')
            && line.contains('=')
            && !explained
        {
            let name = line.split(['=', '.']).next().unwrap_or(line).trim();
            problems.push(format!("{}:{}: why is {name} needed?", manifest.path, number + 1));
        }
        explained = line.starts_with("# ") && line.len() > 8;
    }
    problems
}

/// What a manifest of a shipped crate must take from the workspace.
fn not_shared(manifest: &SourceFile) -> Vec<String> {
    let shared =
        ["version", "edition", "rust-version", "license"].map(|key| format!("{key}.workspace = true"));
    let mut problems: Vec<String> = shared
        .iter()
        .filter(|line| !manifest.text.lines().any(|other| other == line.as_str()))
        .map(|line| format!("{}: lacks {line}", manifest.path))
        .collect();
    if !manifest.text.contains("[lints]\nworkspace = true") && !manifest.text.contains("[lints.") {
        problems.push(format!("{}: does not take the workspace's lints", manifest.path));
    }
    problems
}

fn manifest(folder: &str) -> SourceFile {
    let path = format!("{folder}/Cargo.toml");
    SourceFile { text: workspace::read(&path), path }
}

#[test]
fn every_dependency_of_the_tcb_has_a_reason() {
    super::none(&TCB.iter().flat_map(|folder| unexplained(&manifest(folder))).collect::<Vec<_>>());
}

#[test]
fn manifests_share_what_the_workspace_decides() {
    let folders =
        TCB.iter().copied().chain(["client-verifier", "host", "tests", "tests/simtee", "tests/bench"]);
    super::none(&folders.flat_map(|folder| not_shared(&manifest(folder))).collect::<Vec<_>>());
}

#[test]
fn only_the_allocator_may_be_unsafe() {
    let allowed = |file: &SourceFile| file.path.starts_with("enclave/alloc/");
    let relaxes = ["unsafe_code = \"a", "unsafe_code = \"w", "allow(unsafe_code", "expect(unsafe_code"];
    let is_rule = |file: &SourceFile| file.path == "tests/tests/tidy/manifests.rs";
    let problems: Vec<String> = workspace::files()
        .iter()
        .filter(|file| {
            !allowed(file) && !is_rule(file) && relaxes.iter().any(|text| file.text.contains(text))
        })
        .map(|file| format!("{}: relaxes the ban on unsafe code", file.path))
        .collect();
    super::none(&problems);
    assert!(workspace::read("Cargo.toml").contains("unsafe_code = \"forbid\""));
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let judge = |text: &str| {
        unexplained(&SourceFile {
            path: "Cargo.toml".to_owned(),
            text: format!("[package]\nname = \"x\"\n{text}"),
        })
    };
    assert_eq!(judge("[dependencies]\n# hashes the evidence\nring.workspace = true\n").len(), 0);
    assert_eq!(judge("[dependencies]\nring.workspace = true\n"), ["Cargo.toml:4: why is ring needed?"]);
    assert_eq!(
        judge("[dependencies]\n# one reason\nring = \"1\"\nserde = \"1\"\n").len(),
        1,
        "one comment, two lines"
    );
    assert_eq!(judge("[target.'cfg(unix)'.dependencies]\nring = \"1\"\n").len(), 1);
    assert_eq!(judge("[build-dependencies]\n# well before\n\nring = \"1\"\n").len(), 1, "not right above");
    assert_eq!(judge("[dev-dependencies]\nproptest = \"1\"\n").len(), 0, "does not ship");
    assert_eq!(
        not_shared(&SourceFile { path: "a".to_owned(), text: "version = \"1\"\n".to_owned() }).len(),
        5
    );
}
