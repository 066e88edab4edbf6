//! Writes down what was settled: drains the journal into the log, a batch at a time, and says how far the log is safe.
//!
//! One thread does it. A request never waits for the disk: its record goes into the journal, and the journal is drained
//! every [`EVERY`]. An act of administration waits until it is on the disk. If the disk stalls, records wait in the
//! journal; when that is a quarter full no further request is begun (`audit_stalled`), and what is in flight still finds
//! room. An orderly stop writes everything. A crash loses what was settled since the last batch; the entry with which the
//! next process begins says that the one before did not stop in order.

mod files;

mod lines;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use attestation::digest::Sha256;
use attestation::enclave_claims::StateHead;
use audit::checkpoint::Checkpoint;
use audit::entry::Event;
use audit::tile::Named;
use gateway::settle::Books;
use ring::hmac;
use state::{RootKey, StateError};
use tokio::sync::oneshot;

use self::files::Files;
use self::lines::Lines;
use crate::telemetry;

/// How long a record waits at most before it is on its way to the disk.
pub const EVERY: Duration = Duration::from_millis(50);
/// How long to wait after the disk failed.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a failing disk is tried when the process ends.
const LAST_TRIES: u32 = 10;

/// A log that is being written.
pub struct AuditLog {
    origin: String,
    replica: String,
    files: Arc<Mutex<Files>>,
    head: Arc<Mutex<StateHead>>,
    /// Hides what acts of administration change.
    values: hmac::Key,
    orders: Mutex<Sender<Order>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Order {
    Record(Vec<Event>, oneshot::Sender<u64>),
    Stop { state_generation: Option<u64> },
}

/// An open log that nobody writes yet.
pub struct Opened {
    files: Files,
    origin: String,
    replica: String,
}

/// What a log says about the processes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Whether the last one stopped in order; true of a new log.
    pub orderly: bool,
    /// The newest generation of the sealed state that the log knows of.
    pub state_generation: Option<u64>,
}

impl Opened {
    /// Opens the log in this folder, and reads its last part.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Unavailable`], [`StateError::Key`].
    pub fn open(folder: &Path, root: &RootKey, origin: String, replica: &str) -> Result<Self, StateError> {
        let files = Files::open(folder, root, &origin)?;
        Ok(Self { files, origin, replica: replica.to_owned() })
    }

    /// Entries so far, and their root.
    pub fn head(&self) -> StateHead {
        self.files.head()
    }

    /// What it says about the processes before.
    pub const fn before(&self) -> Before {
        self.files.before()
    }

    /// The root that the log had when it had `size` entries, if that is in its last part.
    pub fn root_at(&self, size: u64) -> Option<Sha256> {
        self.files.root_at(size)
    }

    /// Writes that this process has begun, and goes on writing what is settled in these books.
    ///
    /// # Errors
    /// [`StateError::Unavailable`] if the disk or the thread fails at once.
    pub fn start(
        mut self,
        root: &RootKey,
        books: Arc<Books>,
        instance: [u8; 16],
        state_generation: Option<u64>,
        config: impl Fn() -> String + Send + 'static,
    ) -> Result<AuditLog, StateError> {
        books.commitments.set(&root.derive(b"audit commitments"));
        let mut lines = Lines::new(root, instance);
        let opened = Event::Opened {
            instance: lines.instance().to_owned(),
            state_generation,
            orderly: self.files.before().orderly,
        };
        self.files.append(&[lines.line(opened)])?;
        books.journal.keep();
        let head = Arc::new(Mutex::new(self.files.head()));
        let files = Arc::new(Mutex::new(self.files));
        let (orders, waiting) = channel();
        let writer = Writer {
            files: Arc::clone(&files),
            head: Arc::clone(&head),
            books,
            lines,
            config: Box::new(config),
            unwritten: Vec::new(),
            answers: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .stack_size(2 * 1024 * 1024)
            .spawn(move || writer.run(&waiting))
            .map_err(|_| StateError::Unavailable)?;
        Ok(AuditLog {
            origin: self.origin,
            replica: self.replica,
            files,
            head,
            values: hmac::Key::new(hmac::HMAC_SHA256, &root.derive(b"audit values")[..]),
            orders: Mutex::new(orders),
            thread: Mutex::new(Some(thread)),
        })
    }
}

impl AuditLog {
    /// The replica whose log it is.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// How far the log is on the disk. This is what evidence says.
    pub fn head(&self) -> StateHead {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The head as a checkpoint, to be signed.
    pub fn checkpoint(&self) -> Checkpoint {
        let head = self.head();
        Checkpoint { origin: self.origin.clone(), size: head.tree_size, root: *head.root.as_bytes() }
    }

    /// HMAC-SHA-256 of a value that entries may not say, under a key of its own. Stays the same as long as the root key does.
    pub fn hide(&self, value: &[u8]) -> [u8; 32] {
        let mut hidden = [0; 32];
        hidden.copy_from_slice(hmac::sign(&self.values, value).as_ref());
        hidden
    }

    /// Writes entries one after the other, and waits until they are on the disk. Returns the index of the first. They are
    /// written also if whoever asked does not wait so long.
    ///
    /// # Errors
    /// [`StateError::Unavailable`] if the process is ending.
    pub async fn record(&self, events: Vec<Event>) -> Result<u64, StateError> {
        let (answer, answered) = oneshot::channel();
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(Order::Record(events, answer))
            .map_err(|_| StateError::Unavailable)?;
        answered.await.map_err(|_| StateError::Unavailable)
    }

    /// A tile of hashes or a bundle of entries, if the log has all of it.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Unavailable`].
    pub async fn read(&self, named: Named) -> Result<Option<Vec<u8>>, StateError> {
        let (files, size) = (Arc::clone(&self.files), self.head().tree_size);
        let read = move || files.lock().unwrap_or_else(PoisonError::into_inner).read(named, size);
        tokio::task::spawn_blocking(read).await.map_err(|_| StateError::Unavailable)?
    }

    /// Writes what is left and that this was the end. Returns the last head.
    pub fn stop(&self, state_generation: Option<u64>) -> StateHead {
        let sent =
            self.orders.lock().unwrap_or_else(PoisonError::into_inner).send(Order::Stop { state_generation });
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|_| sent.is_ok()) {
            // If it panicked, what it had not written shows as an end out of order.
            drop(thread.join());
        }
        self.head()
    }
}

struct Writer {
    files: Arc<Mutex<Files>>,
    head: Arc<Mutex<StateHead>>,
    books: Arc<Books>,
    lines: Lines,
    config: Box<dyn Fn() -> String + Send>,
    unwritten: Vec<Vec<u8>>,
    answers: Vec<(usize, oneshot::Sender<u64>)>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(EVERY) {
                Ok(Order::Record(events, answer)) => self.accept(events, answer),
                Ok(Order::Stop { state_generation }) => return self.stop(state_generation),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.stop(None),
            }
            while self.unwritten.len() < BATCH {
                match orders.try_recv() {
                    Ok(Order::Record(events, answer)) => self.accept(events, answer),
                    Ok(Order::Stop { state_generation }) => return self.stop(state_generation),
                    Err(_) => break,
                }
            }
            // What could not be written yet goes first; until then the journal fills, and says so to admission.
            if self.unwritten.len() < BATCH {
                self.drain();
            }
            if !self.write() {
                std::thread::sleep(AGAIN);
            }
        }
    }

    fn accept(&mut self, events: Vec<Event>, answer: oneshot::Sender<u64>) {
        self.answers.push((self.unwritten.len(), answer));
        for event in events {
            self.unwritten.push(self.lines.line(event));
        }
    }

    fn drain(&mut self) {
        let (records, lost) = self.books.journal.take();
        if lost > 0 {
            self.unwritten.push(self.lines.line(Event::Lost { records: lost }));
        }
        if records.is_empty() {
            return;
        }
        let config = (self.config)();
        self.unwritten.extend(records.iter().map(|record| self.lines.call(record, &config)));
    }

    /// Writes what waits; true if nothing waits now.
    fn write(&mut self) -> bool {
        if self.unwritten.is_empty() {
            return true;
        }
        let (first, new_head) = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let first = files.head().tree_size;
            if files.append(&self.unwritten).is_err() {
                drop(files);
                telemetry::emit(telemetry::Event::AuditStalled { waiting: self.unwritten.len() });
                return false;
            }
            (first, files.head())
        };
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = new_head;
        self.unwritten.clear();
        for (place, answer) in self.answers.drain(..) {
            let place = u64::try_from(place).unwrap_or(u64::MAX);
            // Who asked may have left; the entry stays.
            answer.send(first.saturating_add(place)).ok();
        }
        true
    }

    fn stop(mut self, state_generation: Option<u64>) {
        self.drain();
        self.unwritten.push(self.lines.line(Event::Stopped { state_generation }));
        for _ in 0..LAST_TRIES {
            if self.write() {
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }
}

/// Entries that are written together at most, before the journal is looked at again.
const BATCH: usize = 16_384;

#[cfg(test)]
mod tests;
