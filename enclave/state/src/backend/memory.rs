//! Rows in the memory of this process, gone with it. For tests, and for governance that need not survive a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Backend, Pending, Position, Row, Write};
use crate::error::StateError;
use crate::seal::Address;
use crate::table::Table;

/// See the module.
pub struct Memory {
    rows: Mutex<Rows>,
    written: watch::Sender<Position>,
}

#[derive(Clone, Default)]
struct Rows {
    kept: BTreeMap<Address, (Row, Position)>,
    order: BTreeMap<Position, Address>,
    last: Position,
}

impl Default for Memory {
    fn default() -> Self {
        Self { rows: Mutex::default(), written: watch::Sender::new(0) }
    }
}

impl Memory {
    /// A copy as it is now: what a host keeps in order to put it back later.
    #[must_use]
    pub fn copy(&self) -> Self {
        let rows = self.lock().clone();
        let last = rows.last;
        Self { rows: Mutex::new(rows), written: watch::Sender::new(last) }
    }

    /// Puts another copy in place of what is there, as a host could. For tests of those who use a store.
    pub fn replace_with(&self, other: &Self) {
        let rows = other.lock().clone();
        *self.lock() = rows;
    }

    /// Edits the rows behind the store's back, as a host could. For tests of those who use a store.
    pub fn tamper(&self, mut edit: impl FnMut(&mut Row) -> Tampered) {
        let mut rows = self.lock();
        let addresses: Vec<Address> = rows.kept.keys().copied().collect();
        for address in addresses {
            let Some((row, _)) = rows.kept.get_mut(&address) else { continue };
            if matches!(edit(row), Tampered::Removed) {
                rows.kept.remove(&address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Memory::tamper`] does with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampered {
    /// Keep it, edited or not.
    Kept,
    /// Lose it.
    Removed,
}

impl Backend for Memory {
    fn read<'a>(&'a self, at: &'a [Address]) -> Pending<'a, Vec<Option<Row>>> {
        let rows = self.lock();
        let found = at.iter().map(|at| rows.kept.get(at).map(|(row, _)| row.clone())).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn page(&self, table: Table, after: Option<[u8; 32]>, limit: usize) -> Pending<'_, Vec<Row>> {
        let rows = self.lock();
        let from = Address { table, hash: after.unwrap_or_default() };
        let found = rows
            .kept
            .range(from..)
            .filter(|(at, _)| after.is_none_or(|after| at.hash != after))
            .take_while(|(at, _)| at.table == table)
            .take(limit)
            .map(|(_, (row, _))| row.clone())
            .collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn write(&self, new: Vec<Write>) -> Pending<'_, ()> {
        let mut rows = self.lock();
        let there = |at: &Address| rows.kept.get(at).map_or(0, |(row, _)| row.version);
        if let Some(index) = new.iter().position(|row| there(&row.at).checked_add(1) != Some(row.version)) {
            return Box::pin(std::future::ready(Err(StateError::Conflict { index })));
        }
        for row in new {
            rows.last = rows.last.saturating_add(1);
            let (at, position) = (row.at, rows.last);
            if let Some((_, earlier)) = rows.kept.insert(at, (row, position)) {
                rows.order.remove(&earlier);
            }
            rows.order.insert(position, at);
        }
        self.written.send_replace(rows.last);
        Box::pin(std::future::ready(Ok(())))
    }

    fn position(&self) -> Pending<'_, Position> {
        Box::pin(std::future::ready(Ok(self.lock().last)))
    }

    fn changes(&self, since: Position, limit: usize, wait: Duration) -> Pending<'_, (Vec<Row>, Position)> {
        Box::pin(async move {
            let mut written = self.written.subscribe();
            // Nothing new within the time is an answer, not a failure.
            tokio::time::timeout(wait, written.wait_for(|last| *last > since)).await.ok();
            let rows = self.lock();
            let news = rows.order.range(since.saturating_add(1)..).take(limit);
            let (mut found, mut end) = (Vec::new(), since);
            for (position, at) in news {
                end = *position;
                found.extend(rows.kept.get(at).map(|(row, _)| row.clone()));
            }
            Ok((found, end))
        })
    }
}
