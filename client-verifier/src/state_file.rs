//! What must never go backwards between two runs (`protocol.md` A11): the issue of the firmware floors, and the head
//! of each deployment's audit log. One small file per user; a file that cannot be read or kept stops everything.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use attestation::claims::PlatformClaims;
use attestation::digest::to_hex;
use attestation::enclave_claims::StateHead;
use attestation::{Role, Sha256, Verified};
use serde::{Deserialize, Serialize};

use crate::error::Outcome;

/// The file, named by the caller.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

/// Why the memory of earlier runs stops this one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The vendor's collateral is from an earlier evaluation than one seen for this platform family.
    CollateralRolledBack {
        /// Highest number seen before.
        seen: u32,
        /// Number now.
        found: u32,
    },
    /// The file is not what this program writes.
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// The floors in use are older than floors used before.
    FloorsRolledBack {
        /// Highest version used before.
        seen: u64,
        /// Version in use now.
        found: u64,
    },
    /// The deployment's log is shorter than before, or has another root at the same size.
    Forked {
        /// Leaves seen before.
        seen: u64,
        /// Leaves now.
        found: u64,
    },
    /// The operating system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// Its word for it.
        kind: io::ErrorKind,
    },
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    format: String,
    floors_version: u64,
    /// By deployment id, and after a stroke the name of the replica whose log it is.
    state_heads: BTreeMap<String, Head>,
    /// Highest `tcbEvaluationDataNumber`, by platform family (FMSPC).
    #[serde(default)]
    tcb_evaluations: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    size: u64,
    root: String,
}

/// What one appraisal shows of the values that only go up.
struct Seen<'a> {
    /// Whether it is evidence for an operator, who may be about to give the key without which the log cannot be opened.
    provisioning: bool,
    floors_version: Option<u64>,
    evaluation: Option<(String, u32)>,
    head: Option<&'a StateHead>,
    log: Option<&'a str>,
}

impl Remembered {
    fn advance(&mut self, deployment: &str, seen: &Seen<'_>) -> Result<(), StateError> {
        if let Some(found) = seen.floors_version {
            if found < self.floors_version {
                return Err(StateError::FloorsRolledBack { seen: self.floors_version, found });
            }
            self.floors_version = found;
        }
        if let Some((family, found)) = &seen.evaluation {
            let highest = self.tcb_evaluations.entry(family.clone()).or_insert(*found);
            if *found < *highest {
                return Err(StateError::CollateralRolledBack { seen: *highest, found: *found });
            }
            *highest = *found;
        }
        let Some(head) = seen.head else {
            if seen.provisioning {
                return Ok(());
            }
            // A deployment that keeps a log has one, whichever replica answers.
            let of_deployment = |name: &String| name.split('/').next() == Some(deployment);
            return match self.state_heads.iter().find(|(name, _)| of_deployment(name)) {
                Some((_, before)) => Err(StateError::Forked { seen: before.size, found: 0 }),
                None => Ok(()),
            };
        };
        let name = seen.log.map_or_else(|| deployment.to_owned(), |log| format!("{deployment}/{log}"));
        let found = Head { size: head.tree_size, root: head.root.to_hex() };
        if let Some(before) = self.state_heads.get(&name)
            && (found.size < before.size || (found.size == before.size && found.root != before.root))
        {
            return Err(StateError::Forked { seen: before.size, found: found.size });
        }
        self.state_heads.insert(name, found);
        Ok(())
    }
}

impl StateFile {
    /// Uses this file; it is created when there is something to remember.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// `$XDG_STATE_HOME/postern/remembered.json`, or below `~/.local/state`. `None` without a home.
    pub fn default_path() -> Option<PathBuf> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(base.join("postern").join("remembered.json"))
    }

    /// Refuses what lies behind what was seen, then remembers the higher of both.
    pub fn check_and_remember(
        &self,
        verified: &Verified,
        floors_version: Option<u64>,
    ) -> Result<(), StateError> {
        let claims = verified.claims();
        let evaluation = if let PlatformClaims::Tdx(tdx) = &verified.hardware().platform {
            Some((tdx.pck.fmspc.to_string(), tdx.evaluation_number))
        } else {
            None
        };
        let (head, log) = (claims.state_head.as_ref(), claims.log.as_deref());
        let provisioning = claims.role == Role::Provisioning;
        let seen = Seen { provisioning, floors_version, evaluation, head, log };
        self.update(&to_hex(&claims.deployment_id), &seen)
    }

    fn update(&self, deployment: &str, seen: &Seen<'_>) -> Result<(), StateError> {
        let _lock = self.lock()?;
        let mut remembered = self.read()?;
        let before = serde_json::to_vec(&remembered).unwrap_or_default();
        remembered.advance(deployment, seen)?;
        let after = serde_json::to_vec(&remembered).map_err(|_| self.corrupt())?;
        if after == before { Ok(()) } else { self.write(&after) }
    }

    /// Held while the file is read and replaced, so that two programs do not forget for each other.
    fn lock(&self) -> Result<File, StateError> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| self.io(&error))?;
        }
        let lock = private_file().create(true).truncate(false).open(self.beside(".lock"));
        let lock = lock.map_err(|error| self.io(&error))?;
        lock.lock().map_err(|error| self.io(&error))?;
        Ok(lock)
    }

    fn read(&self) -> Result<Remembered, StateError> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => {
                file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.io(&error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Remembered { format: FORMAT.to_owned(), ..Remembered::default() });
            }
            Err(error) => return Err(self.io(&error)),
        }
        let remembered: Remembered = serde_json::from_slice(&bytes).map_err(|_| self.corrupt())?;
        let roots_read = remembered.state_heads.values().all(|head| Sha256::from_hex(&head.root).is_ok());
        if remembered.format == FORMAT && roots_read { Ok(remembered) } else { Err(self.corrupt()) }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StateError> {
        let new = self.beside(".new");
        let written = (|| {
            let mut file = private_file().create(true).truncate(true).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        })();
        written.map_err(|error| self.io(&error))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    fn io(&self, error: &io::Error) -> StateError {
        StateError::Io { path: self.path.clone(), kind: error.kind() }
    }

    fn corrupt(&self) -> StateError {
        StateError::Corrupt { path: self.path.clone() }
    }
}

impl StateError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CollateralRolledBack { .. } => "TDX_COLLATERAL_ROLLBACK",
            Self::Corrupt { .. } => "STATE_CORRUPT",
            Self::FloorsRolledBack { .. } => "POL_FLOORS_STALE",
            Self::Forked { .. } => "STATE_FORK",
            Self::Io { .. } => "STATE_IO",
        }
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::CollateralRolledBack { .. } | Self::Forked { .. } => Outcome::Rejected,
            Self::Corrupt { .. } | Self::FloorsRolledBack { .. } | Self::Io { .. } => Outcome::Usage,
        }
    }

    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::CollateralRolledBack { .. } => {
                "the host withholds newer collateral; its operator must refresh it"
            }
            Self::Corrupt { .. } => {
                "if you are sure nobody rolled anything back, delete the file and start anew"
            }
            Self::FloorsRolledBack { .. } => "use the newer floors file or program that was used before",
            Self::Forked { .. } => {
                "the deployment shows another history than before; ask its operator, send nothing"
            }
            Self::Io { .. } => "name a file that can be written with --state-file",
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CollateralRolledBack { seen, found } => {
                write!(f, "vendor collateral: expected evaluation {seen} or newer, found {found}")
            }
            Self::Corrupt { path } => write!(f, "{} is not a state file of this program", path.display()),
            Self::FloorsRolledBack { seen, found } => {
                write!(f, "firmware floors: expected issue {seen} or newer, found {found}")
            }
            Self::Forked { seen, found } => {
                write!(
                    f,
                    "audit log head: expected a continuation of {seen} leaves, found {found} or another root"
                )
            }
            Self::Io { path, kind } => write!(f, "{}: {kind}", path.display()),
        }
    }
}

impl std::error::Error for StateError {}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Where the state is kept when nobody names a place: `path`, or the user's default.
pub fn resolve(path: Option<&Path>) -> Result<StateFile, StateError> {
    match path {
        Some(path) => Ok(StateFile::at(path)),
        None => StateFile::default_path()
            .map(StateFile::at)
            .ok_or_else(|| StateError::Io { path: PathBuf::from("~"), kind: io::ErrorKind::NotFound }),
    }
}

const FORMAT: &str = "postern.remembered/1";
const MAX_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = "00";

    fn head(size: u64, root: u8) -> StateHead {
        StateHead { tree_size: size, root: Sha256::new([root; 32]) }
    }

    fn seen(floors: u64, head: Option<&StateHead>) -> Seen<'_> {
        let provisioning = false;
        Seen { provisioning, floors_version: Some(floors), evaluation: None, head, log: None }
    }

    #[test]
    fn values_only_go_up() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFile::at(folder.path().join("deep/er/remembered.json"));
        state.update(DEPLOYMENT, &seen(7, Some(&head(10, 1)))).unwrap();
        state.update(DEPLOYMENT, &seen(7, Some(&head(10, 1)))).unwrap();
        state.update(DEPLOYMENT, &seen(8, Some(&head(11, 2)))).unwrap();
        let floors = state.update(DEPLOYMENT, &seen(7, Some(&head(11, 2)))).unwrap_err();
        assert_eq!((floors.code(), floors.outcome()), ("POL_FLOORS_STALE", Outcome::Usage));
        for behind in [Some(head(10, 1)), Some(head(11, 3)), None] {
            let error = state.update(DEPLOYMENT, &seen(8, behind.as_ref())).unwrap_err();
            assert_eq!((error.code(), error.outcome()), ("STATE_FORK", Outcome::Rejected));
        }
        // An operator is shown an enclave that cannot open its log yet; an older log he is not shown either.
        let for_operator = |head| Seen { provisioning: true, ..seen(8, head) };
        state.update(DEPLOYMENT, &for_operator(None)).unwrap();
        assert!(state.update(DEPLOYMENT, &for_operator(Some(&head(10, 1)))).is_err());
        assert!(state.update(DEPLOYMENT, &seen(8, None)).is_err(), "and it is remembered all the same");
        let current = head(11, 2);
        let evaluation =
            |number| Seen { evaluation: Some(("00806f050000".into(), number)), ..seen(8, Some(&current)) };
        state.update(DEPLOYMENT, &evaluation(20)).unwrap();
        let error = state.update(DEPLOYMENT, &evaluation(19)).unwrap_err();
        assert_eq!((error.code(), error.outcome()), ("TDX_COLLATERAL_ROLLBACK", Outcome::Rejected));
        state.update("another deployment", &seen(8, None)).unwrap();
        state.update(DEPLOYMENT, &seen(8, Some(&head(12, 9)))).unwrap();
    }

    #[test]
    fn each_replica_has_its_own_log_and_none_may_lose_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFile::at(folder.path().join("remembered.json"));
        let (long, short, longer) = (head(100, 1), head(5, 2), head(101, 9));
        let (shorter, other) = (head(4, 2), head(5, 3));
        let of = |log, head| Seen { log: Some(log), ..seen(7, head) };
        state.update(DEPLOYMENT, &of("a", Some(&long))).unwrap();
        state.update(DEPLOYMENT, &of("b", Some(&short))).unwrap();
        for behind in [of("a", Some(&short)), of("b", Some(&shorter)), of("b", Some(&other)), of("a", None)] {
            assert_eq!(state.update(DEPLOYMENT, &behind).unwrap_err().code(), "STATE_FORK");
        }
        assert_eq!(state.update(DEPLOYMENT, &seen(7, None)).unwrap_err().code(), "STATE_FORK");
        state.update("another deployment", &seen(7, None)).unwrap();
        state.update(DEPLOYMENT, &of("a", Some(&longer))).unwrap();
    }

    #[test]
    fn a_file_of_another_kind_stops_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remembered.json");
        for content in [
            "",
            "{}",
            "not json",
            r#"{"format":"postern.remembered/2","floors_version":1,"state_heads":{}}"#,
            r#"{"format":"postern.remembered/1","floors_version":1,"state_heads":{},"more":1}"#,
            r#"{"format":"postern.remembered/1","floors_version":1,"state_heads":{"0":{"size":1,"root":"zz"}}}"#,
        ] {
            std::fs::write(&path, content).unwrap();
            let error = StateFile::at(&path).update(DEPLOYMENT, &seen(9, None)).unwrap_err();
            assert_eq!(error.code(), "STATE_CORRUPT", "{content}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_stops_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error =
            StateFile::at(file.join("remembered.json")).update(DEPLOYMENT, &seen(9, None)).unwrap_err();
        assert_eq!((error.code(), error.outcome()), ("STATE_IO", Outcome::Usage));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remembered.json");
        StateFile::at(&path).update(DEPLOYMENT, &seen(9, None)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
