//! `[limits]`: what one client, and all of them, may use.

use std::time::Duration;

use serde::Deserialize;

/// `[limits]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; more are closed at once.
    pub connections: usize,
    /// Bytes of one message head.
    pub header_bytes: usize,
    /// Seconds for the TLS handshake, and again for each message head once its first byte came.
    pub header_seconds: u64,
    /// Seconds a connection may stay idle between requests. Short, because what the last request left in
    /// buffers goes with the connection.
    pub idle_seconds: u64,
    /// Seconds without a byte of progress in a request body, or without the client taking a byte.
    pub body_idle_seconds: u64,
    /// HTTP/2 streams at once on one connection.
    pub streams_per_connection: u32,
    /// Evidence documents made per second, on average, for all clients together.
    pub evidence_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_bytes: 16 * 1024,
            header_seconds: 5,
            idle_seconds: 5,
            body_idle_seconds: 20,
            streams_per_connection: 128,
            evidence_per_second: 20,
        }
    }
}

impl Limits {
    /// See [`Self::header_seconds`].
    pub const fn header_time(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    /// See [`Self::idle_seconds`].
    pub const fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// See [`Self::body_idle_seconds`].
    pub const fn body_idle_time(&self) -> Duration {
        Duration::from_secs(self.body_idle_seconds)
    }

    /// What is wrong with it, if anything: the key, and what it must be.
    pub(super) const fn problem(&self) -> Option<(&'static str, &'static str)> {
        if self.connections == 0 || self.evidence_per_second == 0 || self.streams_per_connection == 0 {
            return Some(("limits", "counts of at least 1"));
        }
        if self.header_bytes < 1024 || self.header_bytes > 64 * 1024 {
            return Some(("limits.header_bytes", "1024 to 65536"));
        }
        if self.header_seconds == 0 || self.body_idle_seconds == 0 || self.idle_seconds == 0 {
            return Some(("limits", "times of at least 1 second"));
        }
        if self.idle_seconds > 60 {
            let expected = "at most 60, since idle connections keep residue in memory";
            return Some(("limits.idle_seconds", expected));
        }
        None
    }
}
