//! What outlives the process: sealed records and the log, opened together, because each says whether the other went back.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use attestation::digest::{Sha256, Sha384};
use attestation::enclave_claims::StateHead;
use audit::checkpoint::origin;
use gateway::Secret;
use gateway::config::SecretSource;
use gateway::settle::Books;
use state::backend::Backend;
use state::backend::embedded::Embedded;
use state::backend::postgres::{self, Postgres};
use state::backend::valkey::{self, Valkey};
use state::{Change, Cursor, Expect, RecordId, RootKey, StateError, Store, Table};
use subtle::ConstantTimeEq;
use tokio::sync::{Mutex, watch};
use zeroize::Zeroizing;

use crate::active::Standing;
use crate::audit_log::{AuditLog, Opened};
use crate::config::{Keep, Keeper, Mode, Provisioning, State};
use crate::governance::Governor;
use crate::host_link::HostLink;
use crate::sealing_key::{self, Chip, KeyError};
use crate::state_server::ThroughHost;

mod given;

pub use given::{GivenRecord, Reopened, Unopened};

/// Why there is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptError {
    /// No root sealing key.
    Key(KeyError),
    /// `state.password` refers to nothing that is there.
    Password,
    /// The store or the log.
    State(StateError),
}

impl KeptError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Password => "STATE_PASSWORD",
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
            Self::Password => out.write_str("STATE_PASSWORD: state.password refers to nothing that is there"),
            Self::State(error) => error.fmt(out),
        }
    }
}

/// What it takes to open the state of this process.
pub struct Wanted {
    /// What the configuration says.
    pub config: Option<State>,
    /// What it says of what the operator gives.
    pub provisioning: Option<Provisioning>,
    /// Who derives keys for what runs here.
    pub chip: Chip,
    /// The way to servers of shared state.
    pub host: Option<HostLink>,
    /// Which deployment's state it is.
    pub deployment_id: [u8; 32],
    /// A key that nobody keeps, for what ends with the process.
    pub fresh: Zeroizing<[u8; 32]>,
    /// This process.
    pub instance: [u8; 16],
    /// What the log writes down.
    pub books: Arc<Books>,
    /// The digest of the configuration in force, for the log.
    pub served_under: watch::Receiver<Sha384>,
    /// Where the log is put once it is open, for evidence to name its head.
    pub log: Arc<OnceLock<Arc<AuditLog>>>,
}

/// State that is open: records are read, the log is written.
pub struct AtWork {
    store: Store,
    log: Option<Arc<AuditLog>>,
    governed: Option<Governed>,
    given: Option<GivenRecord>,
    /// Of the root key, to recognise it by.
    mark: Zeroizing<[u8; 32]>,
}

/// Keys and budgets in the store.
pub struct Governed {
    /// Keeps the store and the counters in step.
    pub governor: Arc<Governor>,
    /// Where changes are followed from.
    pub cursor: Cursor,
}

/// The state of this process: open from the start, or from when its operator gives the root key.
pub struct Keeping {
    wanted: Wanted,
    /// Held while it is being opened.
    turn: Mutex<()>,
    at_work: OnceLock<AtWork>,
    opened: watch::Sender<bool>,
}

impl Keeping {
    /// Opens state, unless the operator has yet to give what it takes.
    ///
    /// # Errors
    /// [`StateError::RollbackUnprovable`] over anything that outlives the process unless in lease mode, whoever has the key;
    /// else as [`Self::open`].
    pub async fn begin(wanted: Wanted, secrets: &dyn SecretSource) -> Result<(Self, Standing), KeptError> {
        let config = wanted.config.as_ref();
        if config.is_some_and(|own| own.mode == Mode::Strict && own.outlives_the_process()) {
            return Err(StateError::RollbackUnprovable.into());
        }
        let awaited = config.is_some_and(State::awaits_operator);
        let own = Self {
            wanted,
            turn: Mutex::default(),
            at_work: OnceLock::new(),
            opened: watch::Sender::new(false),
        };
        if awaited {
            return Ok((own, Standing::Awaited));
        }
        let standing = own.open(None, secrets).await?;
        Ok((own, standing))
    }

    /// Opens state, if it is not open, with the key that the operator has `given`. Tells what requests need of it.
    ///
    /// # Errors
    /// [`KeyError::NotAwaited`] or [`KeyError::Another`] of a key that the configuration does not wait for, or that is not the one under
    /// which state is open; [`StateError::Rollback`] if records and log are not of one time; else what the key, the
    /// store or the log says. Nothing is open then that was not before, and it can be tried again.
    pub async fn open(
        &self,
        given: Option<RootKey>,
        secrets: &dyn SecretSource,
    ) -> Result<Standing, KeptError> {
        let _turn = self.turn.lock().await;
        let Some(own) = self.at_work.get() else {
            let own = self.wanted.open(given, secrets).await?;
            if let Some(log) = &own.log {
                self.wanted.log.get_or_init(|| Arc::clone(log));
            }
            let standing = own.standing();
            self.at_work.get_or_init(|| own);
            self.opened.send_replace(true);
            return Ok(standing);
        };
        let Some(given) = given else { return Ok(own.standing()) };
        let mark = self.wanted.root(Some(given))?.derive(MARK);
        let same = bool::from(mark.ct_eq(&*own.mark));
        if same { Ok(own.standing()) } else { Err(KeyError::Another.into()) }
    }

    /// State, if it is open.
    pub fn at_work(&self) -> Option<&AtWork> {
        self.at_work.get()
    }

    /// State, as soon as it is open.
    pub async fn once_open(&self) -> Option<&AtWork> {
        self.opened.subscribe().wait_for(|opened| *opened).await.ok()?;
        self.at_work.get()
    }
}

impl AtWork {
    /// Keys and budgets, if the configuration has a place for them.
    pub const fn governed(&self) -> Option<&Governed> {
        self.governed.as_ref()
    }

    /// The place for what the operator gives, if the configuration has it kept.
    pub const fn given(&self) -> Option<&GivenRecord> {
        self.given.as_ref()
    }

    fn standing(&self) -> Standing {
        match &self.governed {
            Some(own) => Standing::Governed(Arc::clone(own.governor.governance())),
            None => Standing::Open,
        }
    }

    /// Ends in order: the records remember the log, and the log says what the records were.
    pub async fn finish(&self) {
        if let Some(log) = &self.log {
            finish(&self.store, log).await;
        }
    }
}

impl Wanted {
    fn root(&self, given: Option<RootKey>) -> Result<RootKey, KeyError> {
        sealing_key::obtain(self.config.as_ref(), given, &self.chip, &self.fresh)
    }

    async fn open(&self, given: Option<RootKey>, secrets: &dyn SecretSource) -> Result<AtWork, KeptError> {
        let root = self.root(given)?;
        let mark = root.derive(MARK);
        let reference = self.config.as_ref().and_then(|own| own.password.as_ref());
        let password = reference.map(|own| secrets.read(own).map_err(|_| KeptError::Password)).transpose()?;
        let way = Way { host: self.host.clone(), password };
        let kept = Kept::open(self.config.as_ref(), root, &self.deployment_id, way).await?;
        let given = self.given_record(&kept).await?;
        let digest = self.served_under.clone();
        let (store, log) = kept.start(&self.books, self.instance, move || digest.borrow().to_hex()).await?;
        let mut governed = None;
        if self.config.is_some() {
            let (governor, cursor) = Governor::open(store.clone(), self.instance).await?;
            governed = Some(Governed { governor: Arc::new(governor), cursor });
        }
        Ok(AtWork { store, log, governed, given, mark })
    }

    /// The place for what the operator gives. Where it is no longer to be kept, what was kept goes.
    async fn given_record(&self, kept: &Kept) -> Result<Option<GivenRecord>, StateError> {
        let Some(config) = self.config.as_ref().filter(|own| own.keeps_records()) else { return Ok(None) };
        let record = GivenRecord::new(kept.store.clone(), &kept.root, &config.replica)?;
        if self.provisioning.is_some_and(|own| own.keep == Keep::Sealed) {
            return Ok(Some(record));
        }
        record.forget().await?;
        Ok(None)
    }
}

/// Names the key by which a root key is recognised.
const MARK: &[u8] = b"recognising the root key";

/// How a server of shared state is reached, and with which password.
#[derive(Default)]
struct Way {
    host: Option<HostLink>,
    password: Option<Secret<Vec<u8>>>,
}

/// Records and log, open, with nothing written yet.
struct Kept {
    store: Store,
    root: RootKey,
    log: Option<Opened>,
}

impl Kept {
    /// Opens what the configuration names.
    async fn open(
        config: Option<&State>,
        root: RootKey,
        deployment_id: &[u8; 32],
        way: Way,
    ) -> Result<Self, KeptError> {
        let Some(config) = config else {
            return Ok(Self { store: Store::memory(&root), root, log: None });
        };
        let store = open_store(config, &root, deployment_id, way).await?;
        let log = config.audit.as_deref().map(|folder| open_log(folder, config, &root, deployment_id));
        let kept = Self { store, root, log: log.transpose()? };
        if let Some(log) = &kept.log {
            kept.same_time(log, &config.replica).await?;
        }
        kept.store.rewrap().await?;
        Ok(kept)
    }

    /// Begins to write the log.
    async fn start(
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

/// Returns the last head.
async fn finish(store: &Store, log: &AuditLog) -> StateHead {
    // The connection to a shared store may have ended with the thread that made it. If it fails for good, the record of the
    // start stands, which says less.
    for _ in 0..LAST_TRIES {
        if remember(store, log).await.is_ok() {
            break;
        }
    }
    log.stop(store.generation())
}

/// How often the head is written at the end.
const LAST_TRIES: u32 = 3;

/// Writes the head of the log into the records.
async fn remember(store: &Store, log: &AuditLog) -> Result<(), StateError> {
    let head = log.head();
    let mut value = head.tree_size.to_be_bytes().to_vec();
    value.extend_from_slice(head.root.as_bytes());
    let change = Change::put(Table::Meta, head_id(log.replica())?, Expect::Any, value);
    store.commit(vec![change]).await.map(drop)
}

async fn open_store(
    config: &State,
    root: &RootKey,
    deployment_id: &[u8; 32],
    way: Way,
) -> Result<Store, StateError> {
    let id = store_id(deployment_id);
    let Way { host, password } = way;
    let reach = || Ok::<_, StateError>(Arc::new(ThroughHost::new(host, config.server_roots.as_deref())?));
    let backend: Arc<dyn Backend> = match &config.store {
        Keeper::Memory => return Ok(Store::memory(root)),
        Keeper::File(path) => Arc::new(Embedded::open(path, root, id)?),
        Keeper::Postgres(url) => {
            let mut server = postgres::Server::parse(url).map_err(|_| StateError::Unavailable)?;
            if let Some(password) = password {
                server.set_password(password.expose());
            }
            Arc::new(Postgres::open(server, reach()?, id).await?)
        }
        Keeper::Valkey(url) => {
            let mut server = valkey::Server::parse(url).map_err(|_| StateError::Unavailable)?;
            if let Some(password) = password {
                server.set_password(password.expose());
            }
            Arc::new(Valkey::open(server, reach()?, id).await?)
        }
    };
    Ok(Store::new(backend, root, id, config.epoch))
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
