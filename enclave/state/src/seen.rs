//! What this process has seen of a store: the newest version of every record. A store that later shows an older one, or
//! none, has gone back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::backend::Row;
use crate::error::StateError;
use crate::seal::Address;
use crate::table::Table;

/// When a read began, among all that was seen.
#[derive(Clone, Copy)]
pub(crate) struct Moment(u64);

#[derive(Default)]
pub(crate) struct Seen(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    newest: BTreeMap<Address, Newest>,
    moment: u64,
}

struct Newest {
    version: u64,
    since: u64,
}

impl Seen {
    /// To be taken before a read is sent: only what was seen by then must still be there.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.lock().unwrap_or_else(PoisonError::into_inner).moment)
    }

    /// This version of the record exists.
    pub(crate) fn note(&self, at: &Address, version: u64) {
        if !at.table.remembered() {
            return;
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.moment = memory.moment.saturating_add(1);
        let since = memory.moment;
        let newest = memory.newest.entry(*at).or_insert(Newest { version: 0, since });
        if version > newest.version {
            *newest = Newest { version, since };
        }
    }

    /// A read that began then found this version at the address (none: 0).
    ///
    /// # Errors
    /// [`StateError::Rollback`] if a newer one had been seen before the read began.
    pub(crate) fn check(&self, began: Moment, at: &Address, version: u64) -> Result<(), StateError> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.newest.get(at) {
            Some(newest) if newest.since <= began.0 && newest.version > version => Err(StateError::Rollback),
            _ => Ok(()),
        }
    }

    /// A read that began then found these rows of the table, and says that there are no others between `after` and the
    /// last of them, or, if it is `whole`, to the end of the table.
    ///
    /// # Errors
    /// [`StateError::Rollback`] if one that had been seen before is missing.
    pub(crate) fn check_page(
        &self,
        began: Moment,
        table: Table,
        after: Option<[u8; 32]>,
        rows: &[Row],
        whole: bool,
    ) -> Result<(), StateError> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = Address { table, hash: after.unwrap_or_default() };
        let last = if whole { Some([u8::MAX; 32]) } else { rows.last().map(|row| row.at.hash) };
        let Some(last) = last else { return Ok(()) };
        let mut there = rows.iter().map(|row| row.at).peekable();
        for (at, newest) in memory.newest.range(from..=Address { table, hash: last }) {
            if newest.since > began.0 || after == Some(at.hash) {
                continue;
            }
            while there.peek().is_some_and(|next| next < at) {
                there.next();
            }
            if there.peek() != Some(at) {
                return Err(StateError::Rollback);
            }
        }
        Ok(())
    }
}
