//! The only way out for logs: one JSON line per event on standard error, typed fields only.
//!
//! Nothing a peer sent can get into a line: fields are numbers, booleans and the fixed words below. Writing
//! happens on its own thread behind a bounded queue; when the reader of standard error is slow, lines are
//! dropped and counted rather than connections held up.

use std::{
    io::{self, Write},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// How much is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only what needs somebody's attention.
    Warn,
    /// Also start, drain, stop, endorsements, egress connections.
    #[default]
    Info,
    /// Also every client connection.
    Debug,
}

/// Which way a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// Client to enclave.
    Ingress,
    /// Enclave to an upstream.
    Egress,
}

/// Why a connection ended, was turned away, or a fetch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Accepting failed: out of file descriptors or memory.
    AcceptFailed,
    /// Total connection limit.
    ConnectionLimit,
    /// Both sides ended their stream.
    Complete,
    /// Destination not on the allow-list.
    EgressNotAllowed,
    /// Destination name does not resolve.
    EgressResolve,
    /// Resolving or connecting took too long.
    EgressTimedOut,
    /// Destination refused or unreachable.
    EgressUnreachable,
    /// The enclave's listener cannot be reached: is it running, and at the configured address?
    EnclaveUnreachable,
    /// No byte moved for the idle timeout.
    Idle,
    /// The enclave sent something that is not a request, or nothing in time.
    Malformed,
    /// The side that opened the connection reset it.
    NearAborted,
    /// The side that was dialled reset the connection.
    FarAborted,
    /// The client connected and sent nothing in time.
    NoFirstByte,
    /// Limit of connections from one source.
    SourceConnections,
    /// Limit of new connections per second from one source.
    SourceRate,
    /// A peer that is not the configured enclave.
    WrongPeer,
}

impl Reason {
    /// Every reason that is only counted, in the order of [`Tally`].
    const COUNTED: [Self; 12] = [
        Self::AcceptFailed,
        Self::ConnectionLimit,
        Self::EgressNotAllowed,
        Self::EgressResolve,
        Self::EgressTimedOut,
        Self::EgressUnreachable,
        Self::EnclaveUnreachable,
        Self::Malformed,
        Self::NoFirstByte,
        Self::SourceConnections,
        Self::SourceRate,
        Self::WrongPeer,
    ];
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The relay serves.
    Started {
        /// Worker threads.
        workers: usize,
        /// File descriptors it may open.
        file_descriptors: u64,
    },
    /// The file descriptor limit does not suffice for the configured connections.
    FewFileDescriptors {
        /// The limit.
        limit: u64,
        /// What the configured limits can need.
        wanted: u64,
    },
    /// A TCP listener for the enclave can be reached from other machines.
    EgressExposed,
    /// A connection ended.
    Closed {
        /// Which way.
        leg: Leg,
        /// Number of the connection, unique in this process.
        connection: u64,
        /// Why.
        reason: Reason,
        /// Bytes from the side that opened it.
        bytes_up: u64,
        /// Bytes from the side that was dialled.
        bytes_down: u64,
        /// From accept to end, in milliseconds.
        duration_ms: u64,
    },
    /// Connections turned away since the last such line.
    TurnedAway {
        /// Which way.
        leg: Leg,
        /// Why.
        reason: Reason,
        /// How many.
        count: u64,
    },
    /// The enclave asked for an endorsement.
    Endorsement {
        /// Which, as a fixed word.
        kind: &'static str,
        /// `fresh`, `cached`, `stale`, or the code of the failure.
        outcome: &'static str,
        /// Bytes handed over.
        bytes: u64,
    },
    /// No new clients; waiting for the present ones.
    Draining {
        /// Client connections still open.
        connections: usize,
    },
    /// The end.
    Stopped {
        /// Client connections cut off.
        connections: usize,
    },
    /// Lines were dropped because nobody read them.
    LinesDropped {
        /// How many.
        count: u64,
    },
}

impl Event {
    fn level(&self) -> Level {
        match self {
            Self::FewFileDescriptors { .. }
            | Self::EgressExposed
            | Self::TurnedAway { .. }
            | Self::LinesDropped { .. } => Level::Warn,
            Self::Started { .. }
            | Self::Closed { leg: Leg::Egress, .. }
            | Self::Endorsement { .. }
            | Self::Draining { .. }
            | Self::Stopped { .. } => Level::Info,
            Self::Closed { leg: Leg::Ingress, .. } => Level::Debug,
        }
    }
}

/// Handle to the log; cheap to share.
#[derive(Debug)]
pub struct Log {
    level: Level,
    lines: Option<SyncSender<Event>>,
    dropped: AtomicU64,
    tally: [[AtomicU64; Reason::COUNTED.len()]; 2],
}

impl Log {
    /// Starts the writing thread on standard error.
    #[must_use]
    pub fn to_stderr(level: Level) -> Self {
        let (lines, queue) = sync_channel(QUEUE);
        thread::spawn(move || write_lines(&queue));
        Self { lines: Some(lines), ..Self::silent(level) }
    }

    /// Writes nothing; for tests and for embedding.
    #[must_use]
    pub fn silent(level: Level) -> Self {
        Self { level, lines: None, dropped: AtomicU64::new(0), tally: Default::default() }
    }

    /// Writes one event, if the level asks for it. Never blocks.
    pub fn event(&self, event: Event) {
        if event.level() > self.level {
            return;
        }
        if let Some(lines) = &self.lines
            && lines.try_send(event).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection turned away; [`Log::flush_tally`] writes the counts.
    pub fn turned_away(&self, leg: Leg, reason: Reason) {
        let slot = Reason::COUNTED.iter().position(|&counted| counted == reason);
        if let Some(count) = slot.and_then(|slot| self.tally[leg_index(leg)].get(slot)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what was counted since the last call, one line per reason, so that a flood of connections is
    /// no flood of lines.
    pub fn flush_tally(&self) {
        for leg in [Leg::Ingress, Leg::Egress] {
            for (count, reason) in self.tally[leg_index(leg)].iter().zip(Reason::COUNTED) {
                let count = count.swap(0, Ordering::Relaxed);
                if count > 0 {
                    self.event(Event::TurnedAway { leg, reason, count });
                }
            }
        }
        let count = self.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.event(Event::LinesDropped { count });
        }
    }
}

fn leg_index(leg: Leg) -> usize {
    match leg {
        Leg::Ingress => 0,
        Leg::Egress => 1,
    }
}

fn write_lines(queue: &Receiver<Event>) {
    while let Ok(event) = queue.recv() {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        if let Ok(line) = line(&event, unix_ms) {
            // Nowhere to report a failing standard error.
            drop(io::stderr().lock().write_all(line.as_bytes()));
        }
    }
}

fn line(event: &Event, unix_ms: u128) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        unix_ms: u128,
        #[serde(flatten)]
        event: &'a Event,
    }
    serde_json::to_string(&Line { unix_ms, event }).map(|text| text + "\n")
}

/// Lines waiting for a slow reader.
const QUEUE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_with_fixed_words_and_numbers() {
        let closed = Event::Closed {
            leg: Leg::Egress,
            connection: 7,
            reason: Reason::FarAborted,
            bytes_up: 1,
            bytes_down: 2,
            duration_ms: 3,
        };
        assert_eq!(
            line(&closed, 5).unwrap(),
            "{\"unix_ms\":5,\"event\":\"closed\",\"leg\":\"egress\",\"connection\":7,\"reason\":\"FAR_ABORTED\",\
             \"bytes_up\":1,\"bytes_down\":2,\"duration_ms\":3}\n"
        );
    }

    #[test]
    fn refusals_are_counted_not_repeated() {
        let (lines, queue) = sync_channel(8);
        let log = Log { lines: Some(lines), ..Log::silent(Level::Warn) };
        for _ in 0..1000 {
            log.turned_away(Leg::Ingress, Reason::SourceRate);
        }
        log.flush_tally();
        log.flush_tally();
        let count = Event::TurnedAway { leg: Leg::Ingress, reason: Reason::SourceRate, count: 1000 };
        assert_eq!(queue.try_iter().collect::<Vec<_>>(), [count]);
    }

    #[test]
    fn a_stuck_reader_costs_lines_not_connections() {
        let (lines, queue) = sync_channel(2);
        let log = Log { lines: Some(lines), ..Log::silent(Level::Info) };
        for _ in 0..5 {
            log.event(Event::Draining { connections: 0 });
        }
        assert_eq!(queue.try_iter().count(), 2);
        log.flush_tally();
        assert_eq!(queue.try_recv(), Ok(Event::LinesDropped { count: 3 }));
    }

    #[test]
    fn the_level_decides() {
        let (lines, queue) = sync_channel(8);
        let log = Log { lines: Some(lines), ..Log::silent(Level::Warn) };
        log.event(Event::Draining { connections: 0 });
        assert!(queue.try_recv().is_err());
    }
}
