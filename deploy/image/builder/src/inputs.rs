//! Pinned inputs: fetched once, verified always.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::Deserialize;

use crate::failure::Failure;

/// `inputs.toml`.
#[derive(Debug, Deserialize)]
pub struct Inputs {
    mirrors: Mirrors,
    #[serde(flatten)]
    pinned: BTreeMap<String, Pinned>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirrors {
    urls: Vec<String>,
}

/// One input.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Its version, for people.
    pub version: String,
    /// Path below a mirror.
    pub archive: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// Longest input, in bytes.
const MAX_BYTES: u64 = 256 << 20;

impl Inputs {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
        toml::from_str(&text)
            .map_err(|error| Failure::new(format!("{}: {}", path.display(), error.message())))
    }

    /// All inputs by name.
    pub const fn all(&self) -> &BTreeMap<String, Pinned> {
        &self.pinned
    }

    /// The bytes of an input, from `cache` or else from a mirror; either way they have the pinned hash.
    ///
    /// # Errors
    /// [`Failure`] where nobody gives these bytes.
    pub fn get(&self, name: &str, cache: &Path) -> Result<Vec<u8>, Failure> {
        let pinned =
            self.pinned.get(name).ok_or_else(|| Failure::new(format!("no input is called {name}")))?;
        let kept = cache.join(&pinned.sha256);
        if let Ok(bytes) = std::fs::read(&kept)
            && hex::encode(digest(&SHA256, &bytes)) == pinned.sha256
        {
            return Ok(bytes);
        }
        let mut tried = Vec::new();
        for mirror in &self.mirrors.urls {
            match fetch(&format!("{mirror}{}", pinned.archive)) {
                Ok(bytes) if hex::encode(digest(&SHA256, &bytes)) == pinned.sha256 => {
                    keep(&kept, &bytes)?;
                    return Ok(bytes);
                }
                Ok(_) => tried.push(format!("{mirror} has other bytes")),
                Err(error) => tried.push(format!("{mirror} {error}")),
            }
        }
        Err(Failure::new(format!("{name} {}: {}", pinned.version, tried.join("; "))))
    }
}

fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let answer = ureq::get(url).call().map_err(|error| error.to_string())?;
    answer.into_body().with_config().limit(MAX_BYTES).read_to_vec().map_err(|error| error.to_string())
}

fn keep(path: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let unfinished = path.with_extension(format!("part-{}", std::process::id()));
    std::fs::write(&unfinished, bytes).map_err(Failure::file(&unfinished))?;
    std::fs::rename(&unfinished, path).map_err(Failure::file(path))
}
