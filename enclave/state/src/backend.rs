//! What keeps sealed records: rows of bytes with a version, changed all together or not at all.
//!
//! A backend is not trusted. It must keep what it was given, compare versions, and say what changed; whether it did is
//! checked by [`crate::Store`] as far as that can be checked.

use std::pin::Pin;
use std::time::Duration;

use crate::error::StateError;
use crate::seal::Address;
use crate::table::Table;

pub mod reach;

pub mod memory;

pub mod embedded;

pub mod postgres;

pub mod valkey;

/// What a backend's operations give: object safe, and free to move between threads.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StateError>> + Send + 'a>>;

/// A sealed record as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it lives.
    pub at: Address,
    /// Counts up from 1 with every change, through deletions too.
    pub version: u64,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// A row to be written, if the row that is there has the version before it.
pub type Write = Row;

/// Where a reader of the feed has got to. Only the backend that gave it knows what it means.
pub type Position = u64;

/// Keeps rows.
///
/// All operations fail with [`StateError::Unavailable`] if the keeper does not answer, and with nothing else unless said.
pub trait Backend: Send + Sync {
    /// The rows at these addresses, in their order.
    fn read<'a>(&'a self, at: &'a [Address]) -> Pending<'a, Vec<Option<Row>>>;

    /// At most `limit` rows of a table in the order of their hashes, from the first after `after`.
    fn page(&self, table: Table, after: Option<[u8; 32]>, limit: usize) -> Pending<'_, Vec<Row>>;

    /// Writes all rows, if each row that is there has the version right below the new one (none: 0).
    ///
    /// When it returns, the rows survive a crash of this process and of the keeper.
    ///
    /// # Errors
    /// [`StateError::Conflict`] with the index of one that has not; nothing is written then.
    fn write(&self, rows: Vec<Write>) -> Pending<'_, ()>;

    /// How many transactions a file has seen: a number that only grows, for whoever can remember it elsewhere. Nothing from
    /// a keeper that others share.
    fn generation(&self) -> Option<u64> {
        None
    }

    /// Where the feed ends now.
    fn position(&self) -> Pending<'_, Position>;

    /// Rows that were written after `since`, as they are now, oldest change first, at most `limit`; and where that ends.
    /// Waits up to `wait` for the first.
    fn changes(&self, since: Position, limit: usize, wait: Duration) -> Pending<'_, (Vec<Row>, Position)>;
}
