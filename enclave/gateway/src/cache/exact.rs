//! Answers the same request again: same but for the order of its fields, and for what cannot change the answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::hmac;

use super::digest::{Digest, Fingerprint, Partition};
use super::flight::Flights;
use super::kept::Kept;
use super::store::Store;
use crate::clock::Now;
use crate::screening::{Guard, Screened};

/// Fields that cannot change the answer: who asks, for which books, and in which form it comes.
pub(super) const IDLE: [&str; 6] =
    ["metadata", "prompt_cache_key", "safety_identifier", "stream", "stream_options", "user"];

/// Bounds of the exact cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactSettings {
    /// How long an answer may be given again.
    pub ttl: Duration,
    /// Most bytes of all that is stored.
    pub max_bytes: usize,
    /// Most bytes of one partition.
    pub max_partition_bytes: usize,
    /// How long a request waits for another that asks the same; zero not to wait.
    pub wait: Duration,
}

/// The exact cache.
pub struct ExactCache {
    settings: ExactSettings,
    store: Mutex<Store<Arc<Kept>>>,
    flights: Arc<Flights>,
}

/// A stored answer and its age.
pub struct Found {
    /// The answer.
    pub kept: Arc<Kept>,
    /// How long ago it was stored.
    pub age: Duration,
    /// How long it may still be given.
    pub left: Duration,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    /// Answers.
    pub entries: usize,
    /// Bytes with what it takes to find them.
    pub bytes: usize,
    /// Answers that had to make room.
    pub evicted: u64,
}

impl ExactCache {
    /// An empty cache.
    pub fn new(settings: ExactSettings) -> Self {
        let store = Mutex::new(Store::new(settings.max_bytes, settings.max_partition_bytes));
        Self { settings, store, flights: Arc::default() }
    }

    /// An answer that has not ended and is not older than that.
    pub fn find(&self, fingerprint: &Fingerprint, max_age: Option<Duration>, now: Now) -> Option<Found> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let found = store.find(fingerprint, now.monotonic)?;
        let found = Found { kept: Arc::clone(found.value), age: found.age, left: found.left };
        max_age.is_none_or(|most| found.age < most).then_some(found)
    }

    /// Stores an answer, for no longer than `ttl`.
    pub fn store(&self, at: (Fingerprint, Partition), kept: &Arc<Kept>, ttl: Option<Duration>, now: Now) {
        let ttl = ttl.map_or(self.settings.ttl, |own| own.min(self.settings.ttl));
        // Dropped after the lock.
        let mut gone = Vec::new();
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.insert(at, Arc::clone(kept), kept.size(), (now.monotonic, ttl), &mut gone);
        drop(store);
    }

    /// How much is stored.
    pub fn filling(&self) -> Filling {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        Filling { entries: store.entries(), bytes: store.bytes(), evicted: store.evicted() }
    }

    pub(super) const fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// See [`ExactSettings::wait`].
    pub const fn wait(&self) -> Duration {
        self.settings.wait
    }
}

/// What a request is stored under: everything that can change its answer, fields that nobody here knows included. Guardrails
/// are part of it: an answer that passed some has not passed others. `variant` is what else the client asked of routing.
pub fn fingerprint(
    screened: &Screened,
    partition: &Partition,
    variant: &str,
    secret: &hmac::Key,
) -> Fingerprint {
    let mut digest = Digest::new(secret, "exact");
    common(&mut digest, screened, partition, variant);
    let request = screened.admitted().request();
    let document = request.body.expose();
    let counts = |own: &&crate::scan::Field| own.known(document, &IDLE).is_none();
    let mut fields: Vec<_> = request.fields.iter().filter(counts).collect();
    fields.sort_by_key(|own| document.get(own.name.clone()));
    digest.count(fields.len());
    for field in fields {
        digest.add(document.get(field.name.clone()).unwrap_or_default());
        digest.add(field.value(document));
    }
    Fingerprint(digest.finish())
}

/// What all fingerprints of a request have in common: whose it is, and everything but its body.
pub(super) fn common(digest: &mut Digest, screened: &Screened, partition: &Partition, variant: &str) {
    let request = screened.admitted().request();
    digest.add(&partition.0);
    digest.add(request.wire.name().as_bytes());
    digest.add(request.model.as_bytes());
    digest.add(request.asked.query.unwrap_or_default().as_bytes());
    digest.add(variant.as_bytes());
    digest.count(request.asked.passed_on.len());
    for (name, value) in &request.asked.passed_on {
        digest.add(name.as_bytes());
        digest.add(value.expose());
    }
    let guardrails = || screened.guard().map(Guard::names).into_iter().flatten();
    digest.count(guardrails().count());
    guardrails().for_each(|name| digest.add(name.as_bytes()));
}
