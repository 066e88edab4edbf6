//! The repository on disk: its root, its files, and what cargo says of it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path from the root, with forward slashes.
    pub path: String,
    /// Contents.
    pub text: String,
}

/// The folder that holds the workspace manifest.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// Every UTF-8 file below the root, sorted by path, less what tools generate.
pub fn files() -> Vec<SourceFile> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every Rust source file.
pub fn rust_files() -> Vec<SourceFile> {
    let is_rust =
        |file: &SourceFile| Path::new(&file.path).extension().is_some_and(|extension| extension == "rs");
    files().into_iter().filter(is_rust).collect()
}

/// One file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The day on which this runs (UTC), as `2026-11-21`, for reports.
pub fn today() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().expect("date runs");
    String::from_utf8(output.stdout).expect("digits").trim().to_owned()
}

/// `cargo metadata` with the dependency graph of this platform.
pub fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--filter-platform", &host_triple()])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn host_triple() -> String {
    let output = Command::new("rustc").arg("-vV").current_dir(root()).output().expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let triple = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names its host");
    triple.to_owned()
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<SourceFile>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("a folder entry is readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_fuzzing = prefix.ends_with("/fuzz") && FUZZ_OUTPUT.contains(&name.as_str());
        if of_fuzzing || GENERATED.contains(&name.as_str()) {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() {
            collect(&entry.path(), &path, found);
        } else if kind.is_file()
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            found.push(SourceFile { path, text });
        }
    }
}

/// Folders that tools make.
const GENERATED: [&str; 5] = [".git", ".venv", "__pycache__", "node_modules", "target"];
/// Folders that fuzzing leaves beside its targets.
const FUZZ_OUTPUT: [&str; 3] = ["artifacts", "corpus", "coverage"];
