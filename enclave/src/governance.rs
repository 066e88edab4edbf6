//! Between the sealed store and the counters that requests meet: loads keys and groups, follows their changes, and
//! leases slices of budgets. Everything here runs beside requests; none waits for the store.

use std::sync::Arc;
use std::time::Duration;

use gateway::Clock;
use gateway::governance::lease::{self, BudgetWindow};
use gateway::governance::record::{GroupRecord, KeyRecord};
use gateway::governance::registry::Due;
use gateway::governance::secret::PublicId;
use gateway::governance::{Governance, ScopeKind};
use gateway::plaintext::Secret;
use state::{Change, Cursor, Expect, RecordId, StateError, Store, Table};

use crate::clock::ProcessClock;

/// How often slices that are too small are renewed.
const LEASE_TIME: Duration = Duration::from_millis(50);
/// Every so many of these, what was spent is told to the store.
const TELL_EVERY: u32 = 20;
/// How long one look for changes waits.
const FEED_TIME: Duration = Duration::from_secs(1);
/// How long to wait after the store did not answer.
const PAUSE: Duration = Duration::from_millis(250);
/// A replica that was not heard of for so long no longer shares rate limits, in milliseconds.
const REPLICA_TIME_MS: u64 = 10_000;
/// Records read at a time.
const PAGE: usize = 1000;
/// Tries of giving everything back.
const RELEASE_TRIES: u32 = 3;
/// Tries of a commit that others overtake.
const TRIES: u32 = 8;

/// Keeps the store and the counters in step.
pub struct Governor {
    store: Store,
    governance: Arc<Governance>,
    /// This process among those that share the store: random for each boot.
    replica: String,
}

impl std::fmt::Debug for Governor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Governor").field("replica", &self.replica).finish_non_exhaustive()
    }
}

/// The table of a kind of group.
pub const fn table(kind: ScopeKind) -> Table {
    match kind {
        ScopeKind::Org => Table::Organisations,
        ScopeKind::Team => Table::Teams,
        ScopeKind::User => Table::Users,
        ScopeKind::Tag => Table::Budgets,
        ScopeKind::Key => Table::VirtualKeys,
    }
}

impl Governor {
    /// Opens the store: reads the pepper, or makes one, and loads keys and groups.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn open(store: Store, instance: [u8; 16]) -> Result<(Self, Cursor), StateError> {
        let pepper = Secret::new(pepper(&store).await?);
        let governance = Arc::new(Governance::new(&pepper, true));
        let replica = instance.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let own = Self { store, governance, replica };
        let cursor = own.store.cursor().await?;
        own.load().await?;
        Ok((own, cursor))
    }

    /// What requests meet.
    pub const fn governance(&self) -> &Arc<Governance> {
        &self.governance
    }

    /// The sealed store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    async fn load(&self) -> Result<(), StateError> {
        for kind in [ScopeKind::Org, ScopeKind::Team, ScopeKind::User, ScopeKind::Tag] {
            for record in all(&self.store, table(kind)).await? {
                self.apply(table(kind), &record.id, Some(&record.value));
            }
        }
        let mut keys: Vec<KeyRecord> = Vec::new();
        for record in all(&self.store, Table::VirtualKeys).await? {
            keys.extend(serde_json::from_slice(&record.value).ok());
        }
        self.governance.load(keys.iter());
        for record in all(&self.store, Table::BudgetWindows).await? {
            self.apply(Table::BudgetWindows, &record.id, Some(&record.value));
        }
        Ok(())
    }

    /// Puts a record as the store has it in force.
    pub fn apply(&self, of: Table, id: &RecordId, value: Option<&[u8]>) {
        let Some(id) = id.as_str() else { return };
        if of == Table::VirtualKeys {
            match value.and_then(|value| serde_json::from_slice::<KeyRecord>(value).ok()) {
                Some(record) => self.governance.put_key(&record),
                None => PublicId::parse(id).iter().for_each(|id| self.governance.remove_key(id)),
            }
            return;
        }
        if of == Table::BudgetWindows {
            self.note_window(id, value.unwrap_or_default());
            return;
        }
        let kinds = [ScopeKind::Org, ScopeKind::Team, ScopeKind::User, ScopeKind::Tag];
        let Some(kind) = kinds.into_iter().find(|kind| table(*kind) == of) else { return };
        match value.and_then(|value| serde_json::from_slice::<GroupRecord>(value).ok()) {
            Some(record) => self.governance.put_group(kind, &record),
            // Also what cannot be read: nothing below it is good.
            None => self.governance.remove_group(kind, id),
        }
    }

    /// What was spent of a budget, by whomever: known before this process has spent any of it.
    fn note_window(&self, id: &str, value: &[u8]) {
        let Ok(window) = serde_json::from_slice::<BudgetWindow>(value) else { return };
        let kinds = [ScopeKind::Org, ScopeKind::Team, ScopeKind::User, ScopeKind::Tag, ScopeKind::Key];
        let Some((kind, rest)) = id.split_once('/') else { return };
        let (Some(kind), Some((group, budget))) =
            (kinds.into_iter().find(|own| own.as_str() == kind), rest.rsplit_once('/'))
        else {
            return;
        };
        let spent = (window.window, window.settled);
        self.governance.heard_of((kind, group), budget, spent, ProcessClock::shared().now());
    }

    /// Applies what this process and others change, as it is announced. Never ends.
    pub async fn follow(&self, mut cursor: Cursor) {
        loop {
            let Ok(changes) = self.store.changes(cursor, FEED_TIME).await else {
                self.governance.set_store_down(true);
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            self.governance.set_store_down(false);
            for change in &changes.changed {
                self.apply(change.table, &change.id, change.value.as_ref().map(|value| &value[..]));
            }
            cursor = changes.cursor;
        }
    }

    /// Renews slices and tells the store what was spent. Never ends.
    pub async fn lease(&self) {
        let mut round: u32 = 0;
        loop {
            tokio::time::sleep(LEASE_TIME).await;
            let telling = round.is_multiple_of(TELL_EVERY);
            self.settle(telling).await;
            if telling {
                self.count_replicas().await.ok();
            }
            round = round.wrapping_add(1);
        }
    }

    /// One round of it.
    pub async fn settle(&self, telling: bool) {
        for due in self.governance.dues(telling, ProcessClock::shared().now()) {
            let renewed = self.renew(&due).await;
            self.governance.set_store_down(renewed.is_err());
        }
    }

    async fn renew(&self, due: &Due) -> Result<(), StateError> {
        let id = RecordId::new(window_id(due))?;
        for _ in 0..TRIES {
            let found = self.store.get(Table::BudgetWindows, &id).await?;
            let expect = found.as_ref().map_or(Expect::Absent, |own| Expect::Version(own.version));
            let before: Option<BudgetWindow> = found.and_then(|own| serde_json::from_slice(&own.value).ok());
            let now = ProcessClock::shared().now().unix_ms;
            let (record, leased) = lease::renew(before, due, &self.replica, now);
            let value = serde_json::to_vec(&record).unwrap_or_default();
            match self.store.commit(vec![Change::put(Table::BudgetWindows, id.clone(), expect, value)]).await
            {
                Ok(_) => {
                    self.governance.leased(due, leased);
                    return Ok(());
                }
                Err(StateError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StateError::Unavailable)
    }

    /// Gives everything back at an orderly end.
    pub async fn release(&self) {
        // The connection may have ended with the thread that made it; then there is another.
        for _ in 0..RELEASE_TRIES {
            if self.try_release().await.is_ok() {
                return;
            }
        }
    }

    async fn try_release(&self) -> Result<(), StateError> {
        let windows = all(&self.store, Table::BudgetWindows).await?;
        self.settle(true).await;
        for id in windows.into_iter().map(|record| record.id) {
            self.release_slice(&id).await?;
        }
        Ok(())
    }

    async fn release_slice(&self, id: &RecordId) -> Result<(), StateError> {
        for _ in 0..TRIES {
            let Some(record) = self.store.get(Table::BudgetWindows, id).await? else { return Ok(()) };
            let Ok(window) = serde_json::from_slice::<BudgetWindow>(&record.value) else { return Ok(()) };
            if !window.slices.contains_key(&self.replica) {
                return Ok(());
            }
            let number = window.window;
            let released = lease::release(window, 0, number, &self.replica);
            let value = serde_json::to_vec(&released).unwrap_or_default();
            let expect = Expect::Version(record.version);
            match self.store.commit(vec![Change::put(Table::BudgetWindows, id.clone(), expect, value)]).await
            {
                Err(StateError::Conflict { .. }) => {}
                done => return done.map(drop),
            }
        }
        Err(StateError::Unavailable)
    }

    /// Says that this replica is there, and counts those that are.
    async fn count_replicas(&self) -> Result<(), StateError> {
        let now = ProcessClock::shared().now().unix_ms;
        let id = RecordId::new(&self.replica)?;
        let value = now.to_be_bytes().to_vec();
        self.store.commit(vec![Change::put(Table::Leases, id, Expect::Any, value)]).await?;
        let mut alive: u32 = 0;
        for record in all(&self.store, Table::Leases).await? {
            let bytes: Option<[u8; 8]> = record.value.as_slice().try_into().ok();
            let heard = bytes.map_or(0, u64::from_be_bytes);
            if now.saturating_sub(heard) <= REPLICA_TIME_MS {
                alive = alive.saturating_add(1);
            } else {
                let change = Change::delete(Table::Leases, record.id, Expect::Version(record.version));
                self.store.commit(vec![change]).await.ok();
            }
        }
        self.governance.set_replicas(alive);
        Ok(())
    }
}

fn window_id(due: &Due) -> String {
    format!("{}/{}/{}", due.kind.as_str(), due.id, due.budget.name)
}

/// Every record of a table.
///
/// # Errors
/// [`StateError`].
pub async fn all(store: &Store, of: Table) -> Result<Vec<state::Record>, StateError> {
    let mut found: Vec<state::Record> = Vec::new();
    loop {
        let page = store.page(of, found.last().map(|own| &own.id), PAGE).await?;
        let whole = page.len() < PAGE;
        found.extend(page);
        if whole {
            return Ok(found);
        }
    }
}

/// The pepper, made once and sealed.
async fn pepper(store: &Store) -> Result<[u8; 32], StateError> {
    let id = RecordId::new("pepper")?;
    for _ in 0..TRIES {
        if let Some(record) = store.get(Table::Meta, &id).await? {
            return record.value.as_slice().try_into().map_err(|_| StateError::Damaged);
        }
        let mut fresh = zeroize::Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut fresh[..]).map_err(|_| StateError::Unavailable)?;
        let change = Change::put(Table::Meta, id.clone(), Expect::Absent, fresh.to_vec());
        match store.commit(vec![change]).await {
            // Another replica was quicker.
            Ok(_) | Err(StateError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StateError::Unavailable)
}
