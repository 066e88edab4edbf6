//! Documents on disk, one file each. Nobody trusts them: a changed file costs availability only.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use link::EndorsementDocument;
use tokio::task::spawn_blocking;

#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// A document and how long ago it was stored.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) document: Vec<u8>,
    pub(super) age: Duration,
}

impl Cache {
    /// Makes the folder, and proves that it can be written.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let probe = folder.join(temporary());
        fs::write(&probe, [])?;
        fs::remove_file(&probe)?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was stored under `key`; nothing when it is missing, unreadable or not a document.
    pub(super) async fn load(&self, key: &str) -> Option<Cached> {
        let path = self.folder.join(key);
        spawn_blocking(move || load(&path)).await.ok().flatten()
    }

    /// Stores all of it or nothing, and keeps the number of files bounded.
    pub(super) async fn store(&self, key: &str, document: &[u8]) -> io::Result<()> {
        let (folder, key, document) = (self.folder.clone(), key.to_owned(), document.to_owned());
        spawn_blocking(move || {
            let unfinished = folder.join(temporary());
            fs::write(&unfinished, &document)?;
            fs::rename(&unfinished, folder.join(key))?;
            prune(&folder)
        })
        .await
        .map_err(io::Error::other)?
    }
}

fn load(path: &Path) -> Option<Cached> {
    let about = fs::metadata(path).ok()?;
    if !about.is_file() || about.len() > u64::from(EndorsementDocument::MAX_BYTES) {
        return None;
    }
    let document = fs::read(path).ok()?;
    EndorsementDocument::decode(&document).ok()?;
    // A file from the future is as good as a very old one.
    let age = SystemTime::now().duration_since(about.modified().ok()?).unwrap_or(Duration::MAX);
    Some(Cached { document, age })
}

/// Removes the oldest files beyond [`FILES`].
fn prune(folder: &Path) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(FILES);
    files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

fn temporary() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("unfinished-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Most files kept: at 256 KiB each, 128 MiB.
const FILES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn document(body: &[u8]) -> Vec<u8> {
        EndorsementDocument { issuer_chain: b"chain", body }.encode().unwrap()
    }

    #[tokio::test]
    async fn what_is_stored_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("made")).unwrap();
        assert!(cache.load("key").await.is_none());
        cache.store("key", &document(b"1")).await.unwrap();
        cache.store("key", &document(b"2")).await.unwrap();
        let found = cache.load("key").await.unwrap();
        assert_eq!(found.document, document(b"2"));
        assert!(found.age < Duration::from_mins(1));
        assert_eq!(fs::read_dir(cache.folder()).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[tokio::test]
    async fn what_is_no_document_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        fs::write(folder.path().join("short"), [0, 0, 0]).unwrap();
        fs::write(folder.path().join("cut"), [0, 0, 0, 9, 1]).unwrap();
        fs::write(folder.path().join("large"), vec![0; 256 * 1024 + 1]).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for key in ["short", "cut", "large", "folder"] {
            assert!(cache.load(key).await.is_none(), "{key}");
        }
    }

    #[tokio::test]
    async fn the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        for number in 0..FILES + 3 {
            fs::write(folder.path().join(format!("{number}")), []).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(number).unwrap());
            fs::File::open(folder.path().join(format!("{number}"))).unwrap().set_modified(at).unwrap();
        }
        cache.store("new", &document(b"")).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES);
        assert!(!folder.path().join("3").exists() && folder.path().join("4").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), []).unwrap();
        assert!(Cache::open(&folder.path().join("file/below")).is_err());
    }
}
