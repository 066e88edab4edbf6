//! What outlives the process: sealed records and the log, opened together, because each says whether the other went back.

use std::path::Path;
use std::sync::Arc;

use attestation::digest::Sha256;
use attestation::enclave_claims::StateHead;
use audit::checkpoint::origin;
use gateway::settle::Books;
use state::backend::embedded::Embedded;
use state::backend::postgres::Postgres;
use state::backend::valkey::Valkey;
use state::{Change, Expect, RecordId, RootKey, StateError, Store, Table};

use crate::audit_log::{AuditLog, Opened};
use crate::config::{Keeper, Mode, State};
use crate::sealing_key::{self, KeyError};

/// Why there is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptError {
    /// No root sealing key.
    Key(KeyError),
    /// The store or the log.
    State(StateError),
}

impl KeptError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}

impl From<KeyError> for KeptError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<StateError> for KeptError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl std::fmt::Display for KeptError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(error) => error.fmt(out),
            Self::State(error) => error.fmt(out),
        }
    }
}

/// Records and log, open, with nothing written yet.
pub struct Kept {
    store: Store,
    root: RootKey,
    log: Option<Opened>,
}

impl Kept {
    /// Opens what the configuration names; `provisioned` is the root key that the operator has sealed to this process, if it
    /// has come yet.
    ///
    /// # Errors
    /// [`StateError::RollbackUnprovable`] over anything that outlives the process unless in lease mode;
    /// [`StateError::Rollback`] if records and log are not of one time; else what the key, the store or the log says.
    pub async fn open(
        config: Option<&State>,
        provisioned: Option<RootKey>,
        fresh: [u8; 32],
        deployment_id: &[u8; 32],
    ) -> Result<Self, KeptError> {
        let Some(config) = config else {
            let root = RootKey::new(fresh);
            return Ok(Self { store: Store::memory(&root), root, log: None });
        };
        if config.mode == Mode::Strict && config.outlives_the_process() {
            return Err(StateError::RollbackUnprovable.into());
        }
        let root = sealing_key::obtain(config, provisioned, fresh)?;
        let store = open_store(config, &root, deployment_id).await?;
        let log = config.audit.as_deref().map(|folder| open_log(folder, config, &root, deployment_id));
        let kept = Self { store, root, log: log.transpose()? };
        if let Some(log) = &kept.log {
            kept.same_time(log, &config.replica).await?;
        }
        kept.store.rewrap().await?;
        Ok(kept)
    }

    /// The records.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Begins to write the log.
    ///
    /// # Errors
    /// [`StateError::Unavailable`].
    pub async fn start(
        self,
        books: &Arc<Books>,
        instance: [u8; 16],
        config: impl Fn() -> String + Send + 'static,
    ) -> Result<(Store, Option<Arc<AuditLog>>), StateError> {
        let Self { store, root, log } = self;
        let Some(log) = log else { return Ok((store, None)) };
        let log = log.start(&root, Arc::clone(books), instance, store.generation(), config)?;
        remember(&store, &log).await?;
        Ok((store, Some(Arc::new(log))))
    }

    /// The log must be at least as long as the records remember it, and the records at least as new as the log remembers
    /// them.
    async fn same_time(&self, log: &Opened, replica: &str) -> Result<(), StateError> {
        if self.store.generation() < log.before().state_generation {
            return Err(StateError::Rollback);
        }
        let Some(record) = self.store.get(Table::Meta, &head_id(replica)?).await? else { return Ok(()) };
        let (size, root) = record.value.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        let root = Sha256::new(root.try_into().map_err(|_| StateError::Damaged)?);
        let size = u64::from_be_bytes(*size);
        if log.head().tree_size < size {
            return Err(StateError::Rollback);
        }
        // A head from before the last file is covered by the seal of that file's end.
        match log.root_at(size) {
            Some(own) if own != root => Err(StateError::Rollback),
            _ => Ok(()),
        }
    }
}

/// Ends in order: the records remember the log, and the log says what the records were. Returns the last head.
pub async fn finish(store: &Store, log: &AuditLog) -> StateHead {
    // If it fails, the record of the start stands, which says less.
    remember(store, log).await.ok();
    log.stop(store.generation())
}

/// Writes the head of the log into the records.
///
/// # Errors
/// [`StateError`].
pub async fn remember(store: &Store, log: &AuditLog) -> Result<(), StateError> {
    let head = log.head();
    let mut value = head.tree_size.to_be_bytes().to_vec();
    value.extend_from_slice(head.root.as_bytes());
    let change = Change::put(Table::Meta, head_id(log.replica())?, Expect::Any, value);
    store.commit(vec![change]).await.map(drop)
}

async fn open_store(config: &State, root: &RootKey, deployment_id: &[u8; 32]) -> Result<Store, StateError> {
    let id = store_id(deployment_id);
    match &config.store {
        Keeper::Memory => Ok(Store::memory(root)),
        Keeper::File(path) => {
            let backend = Embedded::open(path, root, id)?;
            Ok(Store::new(Arc::new(backend), root, id, config.epoch))
        }
        Keeper::Postgres(url) => {
            let backend = Postgres::open(url, id).await?;
            Ok(Store::new(Arc::new(backend), root, id, config.epoch))
        }
        Keeper::Valkey(url) => {
            let backend = Valkey::open(url, id).await?;
            Ok(Store::new(Arc::new(backend), root, id, config.epoch))
        }
    }
}

fn open_log(
    folder: &Path,
    config: &State,
    root: &RootKey,
    deployment_id: &[u8; 32],
) -> Result<Opened, StateError> {
    Opened::open(folder, root, origin(deployment_id, &config.replica), &config.replica)
}

/// All replicas of a deployment share one store.
fn store_id(deployment_id: &[u8; 32]) -> [u8; 16] {
    let hash = Sha256::of(&[b"postern/1 store".as_slice(), deployment_id].concat());
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    id
}

fn head_id(replica: &str) -> Result<RecordId, StateError> {
    RecordId::new(format!("audit-head/{replica}"))
}

#[cfg(test)]
mod tests;
