//! The store: what callers use. Seals on the way out, opens and checks on the way in.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::backend::memory::Memory;
use crate::backend::{Backend, Position, Row};
use crate::error::StateError;
use crate::root_key::RootKey;
use crate::seal::{Address, Opened, Sealer};
use crate::seen::Seen;
use crate::table::{RecordId, Table};

/// A record as callers see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id within the table.
    pub id: RecordId,
    /// Which change of it this is, from 1; give it to [`Expect::Version`].
    pub version: u64,
    /// What was stored. Wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
}

/// One change of a [`Store::commit`]. A record may occur once in a commit.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Which table.
    pub table: Table,
    /// Which record.
    pub id: RecordId,
    /// What must be there for the commit to happen.
    pub expect: Expect,
    /// What is to be there; nothing deletes the record.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

impl Change {
    /// Stores `value`.
    pub fn put(table: Table, id: RecordId, expect: Expect, value: impl Into<Vec<u8>>) -> Self {
        Self { table, id, expect, value: Some(Zeroizing::new(value.into())) }
    }

    /// Deletes the record. A mark of some hundred bytes stays behind, so that the deletion cannot be taken back and other
    /// replicas learn of it.
    pub const fn delete(table: Table, id: RecordId, expect: Expect) -> Self {
        Self { table, id, expect, value: None }
    }
}

/// What a change expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No record of this id: never made, or deleted.
    Absent,
    /// Whatever is there.
    Any,
    /// The record in this version.
    Version(u64),
}

/// Where a reader of [`Store::changes`] has got to. Holds for this backend only, and need not be kept over a restart: a
/// process that starts reads everything anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(Position);

/// What changed since a cursor.
pub struct Changes {
    /// Records that changed, as they are now; oldest change first. One that changed twice may come once.
    pub changed: Vec<Changed>,
    /// Where to go on.
    pub cursor: Cursor,
}

/// One record that changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its table.
    pub table: Table,
    /// Its id.
    pub id: RecordId,
    /// Its version.
    pub version: u64,
    /// Its value; nothing if it was deleted.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

/// Sealed records. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    sealer: Sealer,
    seen: Seen,
}

impl Store {
    /// Most bytes of a value.
    pub const MAX_VALUE: usize = 1024 * 1024;
    /// Most changes of a commit.
    pub const MAX_CHANGES: usize = 1024;
    /// Most records of a page.
    pub const MAX_PAGE: usize = 1000;

    /// Over this backend, with keys of this root for the store of this id. Records of `epoch` and the one before are
    /// accepted; see [`Self::rewrap`].
    pub fn new(backend: Arc<dyn Backend>, root: &RootKey, store: [u8; 16], epoch: u32) -> Self {
        let sealer = Sealer::new(root, store, epoch);
        Self { inner: Arc::new(Inner { backend, sealer, seen: Seen::default() }) }
    }

    /// In the memory of this process only. For tests and demonstrations; `root` may be any key.
    pub fn memory(root: &RootKey) -> Self {
        Self::new(Arc::new(Memory::default()), root, [0; 16], 1)
    }

    /// One record, if there is one.
    ///
    /// # Errors
    /// [`StateError::Unavailable`], [`StateError::Damaged`], [`StateError::Rollback`], [`StateError::Epoch`],
    /// [`StateError::Format`].
    pub async fn get(&self, table: Table, id: &RecordId) -> Result<Option<Record>, StateError> {
        let at = self.inner.sealer.address(table, id);
        let Some((version, opened)) = self.inner.read(&[at]).await?.pop().flatten() else { return Ok(None) };
        Ok(opened.value.map(|value| Record { id: opened.id, version, value }))
    }

    /// At most `limit` records of a table, starting after the record `after`. In no order that means anything, but always
    /// the same; fewer than `limit` means that there are no more.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn page(
        &self,
        table: Table,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, StateError> {
        let limit = limit.clamp(1, Self::MAX_PAGE);
        let mut after = after.map(|id| self.inner.sealer.address(table, id).hash);
        let mut found = Vec::new();
        loop {
            let wanted = limit.saturating_sub(found.len());
            let began = self.inner.seen.now();
            let rows = self.inner.backend.page(table, after, wanted).await?;
            let whole = rows.len() < wanted;
            if rows.len() > wanted
                || rows.iter().any(|row| row.at.table != table)
                || !rows.is_sorted_by(|one, other| one.at.hash < other.at.hash)
                || rows.first().is_some_and(|first| after.is_some_and(|after| first.at.hash <= after))
            {
                return Err(StateError::Damaged);
            }
            self.inner.seen.check_page(began, table, after, &rows, whole)?;
            after = rows.last().map(|row| row.at.hash).or(after);
            for row in rows {
                self.inner.seen.check(began, &row.at, row.version)?;
                let opened = self.inner.open(&row)?;
                let record = |value| Record { id: opened.id, version: row.version, value };
                found.extend(opened.value.map(record));
            }
            if whole || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// Makes all changes, or none. When it returns, they survive a crash, and other replicas will hear of them.
    ///
    /// Returns the new versions, in the order of the changes.
    ///
    /// # Errors
    /// [`StateError::Conflict`] with the index of the first change that did not find what it expects;
    /// [`StateError::TooLarge`]; else as [`Self::get`]. After [`StateError::Unavailable`] the changes may have been made.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<Vec<u64>, StateError> {
        let too_long = |change: &Change| change.value.as_ref().is_some_and(|v| v.len() > Self::MAX_VALUE);
        if changes.len() > Self::MAX_CHANGES || changes.iter().any(too_long) {
            return Err(StateError::TooLarge);
        }
        // Whoever takes whatever is there may be overtaken between looking and writing; then looks again.
        for _ in 0..16 {
            match self.try_commit(&changes).await {
                Err(StateError::Conflict { index })
                    if changes.get(index).is_some_and(|change| change.expect == Expect::Any) => {}
                other => return other,
            }
        }
        Err(StateError::Unavailable)
    }

    async fn try_commit(&self, changes: &[Change]) -> Result<Vec<u64>, StateError> {
        let inner = &*self.inner;
        let addresses: Vec<Address> =
            changes.iter().map(|change| inner.sealer.address(change.table, &change.id)).collect();
        let unknown: Vec<Address> = changes
            .iter()
            .zip(&addresses)
            .filter(|(change, _)| !matches!(change.expect, Expect::Version(_)))
            .map(|(_, at)| *at)
            .collect();
        let mut found = if unknown.is_empty() { Vec::new() } else { inner.read(&unknown).await? }.into_iter();
        let (mut rows, mut versions) = (Vec::new(), Vec::new());
        for (index, (change, at)) in changes.iter().zip(addresses).enumerate() {
            let before = match change.expect {
                Expect::Version(version) => version,
                Expect::Any => found.next().flatten().map_or(0, |(version, _)| version),
                Expect::Absent => match found.next().flatten() {
                    Some((_, Opened { value: Some(_), .. })) => return Err(StateError::Conflict { index }),
                    Some((version, _)) => version,
                    None => 0,
                },
            };
            let version = before.checked_add(1).ok_or(StateError::Conflict { index })?;
            let value = change.value.as_ref().map(|value| &value[..]);
            rows.push(Row { at, version, sealed: inner.sealer.seal(&at, version, &change.id, value)? });
            versions.push(version);
        }
        let written: Vec<(Address, u64)> = rows.iter().map(|row| (row.at, row.version)).collect();
        inner.backend.write(rows).await?;
        for (at, version) in &written {
            inner.seen.note(at, *version);
        }
        Ok(versions)
    }

    /// How many transactions the file has seen, if it is a file: a number that only grows, for whoever can remember it
    /// elsewhere.
    pub fn generation(&self) -> Option<u64> {
        self.inner.backend.generation()
    }

    /// Where the feed of changes ends now. Take it before reading tables, and no change is missed.
    ///
    /// # Errors
    /// [`StateError::Unavailable`].
    pub async fn cursor(&self) -> Result<Cursor, StateError> {
        Ok(Cursor(self.inner.backend.position().await?))
    }

    /// What changed since `since`, by this process or another replica; waits up to `wait` for the first change. A change is
    /// announced within a second of its commit.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn changes(&self, since: Cursor, wait: Duration) -> Result<Changes, StateError> {
        let began = self.inner.seen.now();
        let (rows, end) = self.inner.backend.changes(since.0, Self::MAX_PAGE, wait).await?;
        let mut changed = Vec::with_capacity(rows.len());
        for row in rows {
            self.inner.seen.check(began, &row.at, row.version)?;
            let Opened { id, value } = self.inner.open(&row)?;
            changed.push(Changed { table: row.at.table, id, version: row.version, value });
        }
        Ok(Changes { changed, cursor: Cursor(end.max(since.0)) })
    }

    /// Seals everything again that is of the epoch before, so that the next start may raise the epoch. Runs beside other
    /// work.
    ///
    /// Returns how many records it wrote.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn rewrap(&self) -> Result<usize, StateError> {
        let mut count: usize = 0;
        for table in Table::ALL {
            let mut after = None;
            loop {
                let rows = self.inner.backend.page(table, after, Self::MAX_PAGE).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last.at.hash);
                let old = rows
                    .iter()
                    .filter(|row| Sealer::epoch_of(&row.sealed) != Some(self.inner.sealer.epoch()));
                for row in old {
                    let Opened { id, value } = self.inner.open(row)?;
                    let change = Change { table, id, expect: Expect::Version(row.version), value };
                    match self.commit(vec![change]).await {
                        Ok(_) => count = count.saturating_add(1),
                        // somebody wrote it meanwhile, in this epoch
                        Err(StateError::Conflict { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(count)
    }

    /// Copies every record into an empty store: to another backend, or to another root key.
    ///
    /// # Errors
    /// As [`Self::get`], and [`StateError::Conflict`] if the other store has one of them.
    pub async fn copy_to(&self, other: &Self) -> Result<usize, StateError> {
        let mut count: usize = 0;
        for table in Table::ALL {
            let mut after: Option<RecordId> = None;
            loop {
                let records = self.page(table, after.as_ref(), 256).await?;
                let Some(last) = records.last() else { break };
                after = Some(last.id.clone());
                count = count.saturating_add(records.len());
                let put = |record: Record| Change {
                    table,
                    id: record.id,
                    expect: Expect::Absent,
                    value: Some(record.value),
                };
                other.commit(records.into_iter().map(put).collect()).await?;
            }
        }
        Ok(count)
    }
}

impl Inner {
    async fn read(&self, at: &[Address]) -> Result<Vec<Option<(u64, Opened)>>, StateError> {
        let began = self.seen.now();
        let rows = self.backend.read(at).await?;
        if rows.len() != at.len() {
            return Err(StateError::Damaged);
        }
        let mut found = Vec::with_capacity(rows.len());
        for (at, row) in at.iter().zip(rows) {
            self.seen.check(began, at, row.as_ref().map_or(0, |row| row.version))?;
            if row.as_ref().is_some_and(|row| row.at != *at) {
                return Err(StateError::Damaged);
            }
            found.push(row.map(|row| Ok((row.version, self.open(&row)?))).transpose()?);
        }
        Ok(found)
    }

    /// Opens a row, and remembers that it was there only after it proved genuine.
    fn open(&self, row: &Row) -> Result<Opened, StateError> {
        let opened = self.sealer.open(&row.at, row.version, &row.sealed)?;
        self.seen.note(&row.at, row.version);
        Ok(opened)
    }
}

#[cfg(test)]
mod tests;
