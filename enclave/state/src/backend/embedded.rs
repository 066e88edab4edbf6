//! Rows in one file of this machine, with `redb`. The default: no other service is needed.
//!
//! One thread owns the file. Writes that wait together share a transaction, and so the wait for the disk. When the file is
//! opened every row is read once and held against the sealed head of the whole, so a file that was cut, edited, or put
//! together from copies of different times does not open.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use tokio::sync::{oneshot, watch};

use super::{Backend, Pending, Position, Row, Write};
use crate::error::StateError;
use crate::root_key::RootKey;
use crate::seal::Address;
use crate::table::Table;
use crate::whole::{Head, WholeKeys};

/// Table number and hash of the id, to version, position and sealed bytes.
const ROWS: TableDefinition<'_, &[u8; 33], (u64, u64, &[u8])> = TableDefinition::new("rows");
/// Positions of the feed, to where the row is.
const ORDER: TableDefinition<'_, u64, &[u8; 33]> = TableDefinition::new("order");
/// The sealed head.
const HEAD: TableDefinition<'_, (), &[u8]> = TableDefinition::new("head");

/// Bytes of the file that are kept in memory, all of them ciphertext.
const CACHE: usize = 64 * 1024 * 1024;
/// Jobs that may share one transaction.
const TOGETHER: usize = 256;

/// See the module.
pub struct Embedded {
    jobs: Option<mpsc::Sender<Job>>,
    written: watch::Receiver<Written>,
    thread: Option<JoinHandle<()>>,
}

/// How far the file is.
#[derive(Clone, Copy)]
struct Written {
    position: Position,
    generation: u64,
}

type Answer = oneshot::Sender<Result<(), StateError>>;

enum Job {
    Read(Vec<Address>, oneshot::Sender<Result<Vec<Option<Row>>, StateError>>),
    Page(Table, Option<[u8; 32]>, usize, oneshot::Sender<Result<Vec<Row>, StateError>>),
    Write(Vec<Write>, Answer),
    Changes(Position, usize, oneshot::Sender<Result<(Vec<Row>, Position), StateError>>),
}

/// What a transaction did: how each batch fared, and the file's new end.
struct Done {
    results: Vec<Result<(), StateError>>,
    head: Head,
    last: Position,
}

struct Owner {
    database: Database,
    keys: WholeKeys,
    head: Head,
    last: Position,
    written: watch::Sender<Written>,
}

impl Embedded {
    /// Opens or makes the file, reads all of it, and starts its thread.
    ///
    /// # Errors
    /// [`StateError::Locked`], [`StateError::Key`] if the head does not open, [`StateError::Damaged`] if the rows are not
    /// those of the head, [`StateError::Format`] if it is no such file, [`StateError::Unavailable`].
    pub fn open(path: &Path, root: &RootKey, store: [u8; 16]) -> Result<Self, StateError> {
        #[expect(clippy::disallowed_methods, reason = "this is the backend that has a file")]
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        Self::open_file(file.map_err(|_| StateError::Unavailable)?, root, store)
    }

    fn open_file(file: File, root: &RootKey, store: [u8; 16]) -> Result<Self, StateError> {
        let backend = FileBackend::new(file).map_err(|error| refused(&error))?;
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(backend)
            .map_err(|error| refused(&error))?;
        let keys = WholeKeys::new(root, store)?;
        // The library believes that nobody edits its file, and panics where it finds that somebody did.
        let examined = catch_unwind(AssertUnwindSafe(|| examine(&database, &keys)));
        let (head, last) = examined.unwrap_or(Err(StateError::Damaged))?;
        let (jobs, waiting) = mpsc::channel();
        let (written, watching) = watch::channel(Written { position: last, generation: head.generation });
        let owner = Owner { database, keys, head, last, written };
        let thread = std::thread::Builder::new()
            .name("state".into())
            .stack_size(STACK_BYTES)
            .spawn(move || owner.work(&waiting))
            .map_err(|_| StateError::Unavailable)?;
        Ok(Self { jobs: Some(jobs), written: watching, thread: Some(thread) })
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StateError>>) -> Job,
    ) -> Result<T, StateError> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(StateError::Unavailable)?;
        jobs.send(job(answer)).map_err(|_| StateError::Unavailable)?;
        answered.await.map_err(|_| StateError::Unavailable)?
    }
}

impl Drop for Embedded {
    /// Waits until the file is closed.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, the next start looks at what it left.
            drop(thread.join());
        }
    }
}

impl Backend for Embedded {
    fn read<'a>(&'a self, at: &'a [Address]) -> Pending<'a, Vec<Option<Row>>> {
        Box::pin(self.ask(|answer| Job::Read(at.to_vec(), answer)))
    }

    fn page(&self, table: Table, after: Option<[u8; 32]>, limit: usize) -> Pending<'_, Vec<Row>> {
        Box::pin(self.ask(move |answer| Job::Page(table, after, limit, answer)))
    }

    fn write(&self, rows: Vec<Write>) -> Pending<'_, ()> {
        Box::pin(self.ask(|answer| Job::Write(rows, answer)))
    }

    fn generation(&self) -> Option<u64> {
        Some(self.written.borrow().generation)
    }

    fn position(&self) -> Pending<'_, Position> {
        Box::pin(std::future::ready(Ok(self.written.borrow().position)))
    }

    fn changes(&self, since: Position, limit: usize, wait: Duration) -> Pending<'_, (Vec<Row>, Position)> {
        Box::pin(async move {
            let mut written = self.written.clone();
            // Nothing new within the time is an answer, not a failure.
            tokio::time::timeout(wait, async {
                written.wait_for(|last| last.position > since).await.map(drop)
            })
            .await
            .ok();
            self.ask(|answer| Job::Changes(since, limit, answer)).await
        })
    }
}

impl Owner {
    /// Ends when the last handle is gone; everything that was acknowledged is on the disk by then.
    fn work(mut self, waiting: &mpsc::Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            let jobs = std::iter::once(first).chain(waiting.try_iter().take(TOGETHER));
            let (mut writes, mut reads) = (Vec::new(), Vec::new());
            for job in jobs {
                match job {
                    Job::Write(rows, answer) => writes.push((rows, answer)),
                    Job::Read(..) | Job::Page(..) | Job::Changes(..) => reads.push(job),
                }
            }
            if !writes.is_empty() {
                self.write_together(writes);
            }
            for job in reads {
                self.answer(job);
            }
        }
    }

    fn write_together(&mut self, writes: Vec<(Vec<Write>, Answer)>) {
        let (batches, answers): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let results = match self.transact(&batches) {
            Ok(Done { results, head, last }) => {
                (self.head, self.last) = (head, last);
                self.written.send_replace(Written { position: last, generation: head.generation });
                results
            }
            Err(error) => vec![Err(error); batches.len()],
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Who asked may have left.
            answer.send(result).ok();
        }
    }

    /// One transaction for all batches; a batch that conflicts leaves no trace in it.
    fn transact(&self, batches: &[Vec<Write>]) -> Result<Done, StateError> {
        let (mut head, mut last) = (self.head, self.last);
        let transaction = self.database.begin_write().map_err(unavailable)?;
        let mut results = Vec::with_capacity(batches.len());
        {
            let mut rows = transaction.open_table(ROWS).map_err(unavailable)?;
            let mut order = transaction.open_table(ORDER).map_err(unavailable)?;
            for batch in batches {
                if let Some(index) = conflict(&rows, batch)? {
                    results.push(Err(StateError::Conflict { index }));
                    continue;
                }
                for row in batch {
                    last = last.saturating_add(1);
                    let key = key(&row.at);
                    let before = rows.get(&key).map_err(unavailable)?.map(|found| {
                        let (version, position, sealed) = found.value();
                        (position, self.keys.row(&row.at, version, position, sealed))
                    });
                    match before {
                        Some((position, hash)) => {
                            head.toggle(&hash);
                            order.remove(position).map_err(unavailable)?;
                        }
                        None => head.count = head.count.saturating_add(1),
                    }
                    head.toggle(&self.keys.row(&row.at, row.version, last, &row.sealed));
                    rows.insert(&key, (row.version, last, row.sealed.as_slice())).map_err(unavailable)?;
                    order.insert(last, &key).map_err(unavailable)?;
                }
                results.push(Ok(()));
            }
            head.generation = head.generation.saturating_add(1);
            let sealed = self.keys.seal(&head)?;
            let mut heads = transaction.open_table(HEAD).map_err(unavailable)?;
            heads.insert((), sealed.as_slice()).map_err(unavailable)?;
        }
        transaction.commit().map_err(unavailable)?;
        Ok(Done { results, head, last })
    }

    fn answer(&self, job: Job) {
        match job {
            Job::Read(at, answer) => drop(answer.send(self.read(&at))),
            Job::Page(table, after, limit, answer) => drop(answer.send(self.page(table, after, limit))),
            Job::Changes(since, limit, answer) => drop(answer.send(self.changes(since, limit))),
            // sorted out by the caller
            Job::Write(_, answer) => drop(answer.send(Err(StateError::Unavailable))),
        }
    }

    fn read(&self, at: &[Address]) -> Result<Vec<Option<Row>>, StateError> {
        let rows = self.database.begin_read().map_err(unavailable)?.open_table(ROWS).map_err(unavailable)?;
        let one = |at: &Address| {
            let found = rows.get(&key(at)).map_err(unavailable)?;
            Ok(found.map(|found| {
                let (version, _, sealed) = found.value();
                Row { at: *at, version, sealed: sealed.to_vec() }
            }))
        };
        at.iter().map(one).collect()
    }

    fn page(&self, table: Table, after: Option<[u8; 32]>, limit: usize) -> Result<Vec<Row>, StateError> {
        let rows = self.database.begin_read().map_err(unavailable)?.open_table(ROWS).map_err(unavailable)?;
        let from = key(&Address { table, hash: after.unwrap_or_default() });
        let to = key(&Address { table, hash: [u8::MAX; 32] });
        let mut found = Vec::new();
        for entry in rows.range::<&[u8; 33]>(&from..=&to).map_err(unavailable)? {
            let (at, row) = entry.map_err(unavailable)?;
            let at = address(at.value())?;
            if after == Some(at.hash) {
                continue;
            }
            if found.len() >= limit {
                break;
            }
            let (version, _, sealed) = row.value();
            found.push(Row { at, version, sealed: sealed.to_vec() });
        }
        Ok(found)
    }

    fn changes(&self, since: Position, limit: usize) -> Result<(Vec<Row>, Position), StateError> {
        let transaction = self.database.begin_read().map_err(unavailable)?;
        let rows = transaction.open_table(ROWS).map_err(unavailable)?;
        let order = transaction.open_table(ORDER).map_err(unavailable)?;
        let (mut found, mut end) = (Vec::new(), since);
        for entry in order.range(since.saturating_add(1)..).map_err(unavailable)?.take(limit) {
            let (position, at) = entry.map_err(unavailable)?;
            end = position.value();
            if let Some(row) = rows.get(at.value()).map_err(unavailable)? {
                let (version, _, sealed) = row.value();
                found.push(Row { at: address(at.value())?, version, sealed: sealed.to_vec() });
            }
        }
        Ok((found, end))
    }
}

/// Reads every row and holds them against the head. Makes what a new file needs.
fn examine(database: &Database, keys: &WholeKeys) -> Result<(Head, Position), StateError> {
    let transaction = database.begin_write().map_err(unavailable)?;
    let (head, last) = {
        let rows = transaction.open_table(ROWS).map_err(unavailable)?;
        let order = transaction.open_table(ORDER).map_err(unavailable)?;
        let mut heads = transaction.open_table(HEAD).map_err(unavailable)?;
        let (mut found, mut last) = (Head::default(), 0);
        for entry in rows.iter().map_err(unavailable)? {
            let (at, row) = entry.map_err(unavailable)?;
            let (version, position, sealed) = row.value();
            let at = address(at.value())?;
            found.toggle(&keys.row(&at, version, position, sealed));
            found.count = found.count.saturating_add(1);
            last = last.max(position);
        }
        let sealed = heads.get(()).map_err(unavailable)?.map(|sealed| sealed.value().to_vec());
        let head = match sealed {
            Some(sealed) => keys.open(&sealed)?,
            None if found.count == 0 && order.len().map_err(unavailable)? == 0 => {
                let sealed = keys.seal(&Head::default())?;
                heads.insert((), sealed.as_slice()).map_err(unavailable)?;
                Head::default()
            }
            None => return Err(StateError::Damaged),
        };
        if !head.same_rows(&found) {
            return Err(StateError::Damaged);
        }
        (head, last)
    };
    transaction.commit().map_err(unavailable)?;
    Ok((head, last))
}

/// The first row of a batch that does not follow the one that is there.
fn conflict(
    rows: &impl ReadableTable<&'static [u8; 33], (u64, u64, &'static [u8])>,
    batch: &[Write],
) -> Result<Option<usize>, StateError> {
    for (index, row) in batch.iter().enumerate() {
        let there = rows.get(&key(&row.at)).map_err(unavailable)?.map_or(0, |found| found.value().0);
        if there.checked_add(1) != Some(row.version) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn key(at: &Address) -> [u8; 33] {
    let mut key = [at.table.number(); 33];
    for (to, from) in key.iter_mut().skip(1).zip(&at.hash) {
        *to = *from;
    }
    key
}

fn address(key: &[u8; 33]) -> Result<Address, StateError> {
    let (table, hash) = key.split_first().ok_or(StateError::Damaged)?;
    let table = Table::from_number(*table).ok_or(StateError::Format)?;
    Ok(Address { table, hash: hash.try_into().map_err(|_| StateError::Damaged)? })
}

/// Why the library does not open a file.
fn refused(error: &redb::DatabaseError) -> StateError {
    if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
        StateError::Locked
    } else if matches!(error, redb::DatabaseError::Storage(redb::StorageError::Io(_))) {
        StateError::Format
    } else {
        StateError::Damaged
    }
}

/// Whatever the library says: its words may hold paths, and nobody acts on the difference.
fn unavailable<E>(_: E) -> StateError {
    StateError::Unavailable
}

/// Stack of the thread, in bytes. Stated, because the default can be set through the environment.
const STACK_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests;
