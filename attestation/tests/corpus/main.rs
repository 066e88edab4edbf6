//! Real evidence published by others, judged by the corpus' own reference policy (verdict, authenticity, fields,
//! reason) and by every mutation recipe of the corpus. The corpus lies beside the repository: `POSTERN_EVIDENCE`,
//! by default `../shared/evidence`. Without it these tests say so and pass, except in CI.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a test reads files and the environment, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod azure;
mod flips;
mod manifest;
mod mutations;
mod reasons;
mod recipes;
mod reference;
mod second_opinion;
mod tdx;

/// The corpus' folder, if it is there.
fn corpus() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence");
    let folder = std::env::var_os("POSTERN_EVIDENCE").map_or_else(default, PathBuf::from);
    if folder.join("MANIFEST.json").is_file() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "no evidence corpus in CI: {}",
        folder.display()
    );
    eprintln!("SKIPPED: no evidence corpus at {} (set POSTERN_EVIDENCE)", folder.display());
    None
}

/// The corpus' two lists, read once per test.
struct Corpus {
    folder: PathBuf,
    manifest: serde_json::Value,
    recipes: serde_json::Value,
}

impl Corpus {
    /// None when the corpus is not there.
    fn open() -> Option<Self> {
        let folder = corpus()?;
        let (manifest, recipes) = (json(&folder.join("MANIFEST.json")), json(&folder.join("MUTATIONS.json")));
        Some(Self { folder, manifest, recipes })
    }

    fn all(&self) -> &[serde_json::Value] {
        self.manifest["entries"].as_array().expect("entries")
    }

    /// The entries of a platform.
    fn entries(&self, platform: &str) -> impl Iterator<Item = &serde_json::Value> {
        self.all().iter().filter(move |entry| text(entry, "platform") == platform)
    }

    /// The entry of this name.
    fn entry(&self, id: &str) -> &serde_json::Value {
        self.all().iter().find(|entry| entry["id"] == id).unwrap_or_else(|| panic!("no entry {id}"))
    }

    /// The recipes that change an entry of a platform, with that entry.
    fn recipes(&self, platform: &str) -> impl Iterator<Item = (&serde_json::Value, &serde_json::Value)> {
        let recipes = self.recipes["mutations"].as_array().expect("mutations").iter();
        let with_base = recipes.map(|recipe| (recipe, self.entry(text(recipe, "base"))));
        with_base.filter(move |(_, base)| text(base, "platform") == platform)
    }
}

fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is not a text in {value}"))
}

/// The corpus' names for this rejection of evidence of this kind.
fn reasons(tee: attestation::TeeType, rejection: &attestation::Rejection) -> Vec<&'static str> {
    let attestation::Rejection { code, field, expected, found } = rejection;
    reasons::named(tee, *code, field, expected, found)
}

/// The files of one entry by role.
type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path, entry: &serde_json::Value) -> Files {
    let roles = entry["files"].as_object().expect("files");
    roles
        .iter()
        .map(|(role, path)| {
            let path = folder.join(path.as_str().expect("path"));
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (role.clone(), bytes)
        })
        .collect()
}
