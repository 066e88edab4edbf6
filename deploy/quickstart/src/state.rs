//! The folder that holds everything the quickstart writes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::Failure;

/// Longest path of a Unix socket in bytes, with its final zero.
const SOCKET_PATH: usize = 108;
/// The longest name of a socket in the folder.
const LONGEST_SOCKET: &str = "processor.sock";

/// A private folder; removed on drop if it is a temporary one.
pub(crate) struct State {
    folder: PathBuf,
    temporary: Option<TempDir>,
}

impl State {
    /// Opens the given folder, made if it is not there, or makes a temporary one.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, Failure> {
        let state = if let Some(path) = given {
            Self { folder: private_folder(path)?, temporary: None }
        } else {
            let temporary = tempfile::Builder::new()
                .prefix("postern-quickstart-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir()
                .map_err(Failure::file("make a folder in", std::env::temp_dir()))?;
            Self { folder: temporary.path().to_owned(), temporary: Some(temporary) }
        };
        if state.path(LONGEST_SOCKET).as_os_str().len() >= SOCKET_PATH {
            return Err(Failure::File {
                doing: "use",
                path: state.folder.clone(),
                problem: "the path is too long for a Unix socket; choose a shorter one with --state-dir"
                    .to_owned(),
            });
        }
        Ok(state)
    }

    /// The folder: an absolute path.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What becomes of the folder, for people.
    pub(crate) fn fate(&self) -> &'static str {
        if self.temporary.is_some() { " (private; removed at the end)" } else { " (private; stays)" }
    }

    /// Writes a file that only its owner can read, in place of an earlier one; returns its path.
    pub(crate) fn write(&self, name: &str, contents: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(contents.as_bytes()))
            .map_err(Failure::file("write", &path))?;
        Ok(path)
    }

    /// Leaves the folder where it is when the program ends.
    pub(crate) fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            drop(temporary.keep());
        }
    }
}

/// The absolute path of a folder that only its owner can enter.
fn private_folder(path: &Path) -> Result<PathBuf, Failure> {
    if !path.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(Failure::file("make the folder", path))?;
    }
    let folder = fs::canonicalize(path).map_err(Failure::file("use the folder", path))?;
    let mode = fs::metadata(&folder).map_err(Failure::file("use the folder", path))?.permissions().mode();
    if !folder.is_dir() || mode & 0o077 != 0 {
        return Err(Failure::File {
            doing: "use",
            path: folder,
            problem: "it must be a folder that only you can enter (chmod 700)".to_owned(),
        });
    }
    Ok(folder)
}
