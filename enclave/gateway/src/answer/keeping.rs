//! A stream on its way to the client, collected for a cache.

use std::sync::Arc;

use crate::cache::kept::MAX_ENTRY;
use crate::cache::{Ended, Keep};
use crate::clock::Now;
use crate::deployment::Deployment;
use crate::plaintext::Plaintext;

/// What the client has got so far, as long as it may be stored.
pub(super) struct Keeping {
    keep: Box<Keep>,
    at: Arc<Deployment>,
    bytes: Plaintext<Vec<u8>>,
}

impl Keeping {
    /// Nothing yet.
    pub(super) fn new(keep: Box<Keep>, at: Arc<Deployment>) -> Self {
        Self { keep, at, bytes: Plaintext::default() }
    }

    /// Adds what the client gets; nothing comes back if that is too much to be stored.
    pub(super) fn with(mut self, more: &[u8]) -> Option<Self> {
        let length = self.bytes.expose().len().saturating_add(more.len());
        if length > MAX_ENTRY {
            return None;
        }
        self.bytes.expose_mut().extend_from_slice(more);
        Some(self)
    }

    /// The client has all of it.
    pub(super) fn store(self, ended: &Ended, now: Now) {
        self.keep.store(self.bytes.expose(), ended, &self.at, now);
    }
}
