//! Answers byte-identical buffered requests of the same key again, from the enclave's memory only. Off by default.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ring::digest;

use crate::chat::Usage;
use crate::clock::Now;
use crate::plaintext::Plaintext;
use crate::wire::Request;

/// What a request is stored under: a digest over the key's id, the API format, the guardrails that apply and the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// An answer as the client gets it.
pub struct CachedAnswer {
    /// The whole body.
    pub body: Plaintext<Bytes>,
    /// What it cost when it was made.
    pub usage: Option<Usage>,
    /// How long ago.
    pub age: Duration,
}

/// The cache: bounded by bytes, oldest out first, entries expire.
pub struct ExactCache {
    ttl: Duration,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Fingerprint, Entry>,
    /// In the order they came, so the first is both the oldest and the first to expire.
    order: VecDeque<(Fingerprint, Duration)>,
    bytes: usize,
}

struct Entry {
    body: Plaintext<Bytes>,
    usage: Option<Usage>,
    stored: Duration,
}

impl Fingerprint {
    /// The fingerprint of a request that may be cached: streams are not.
    pub fn of<'a>(
        request: &Request,
        key_id: &str,
        guardrails: impl Iterator<Item = &'a str>,
    ) -> Option<Self> {
        if request.stream {
            return None;
        }
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |part: &[u8]| {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        };
        [key_id.as_bytes(), request.wire.name().as_bytes(), request.body.expose().as_ref()]
            .into_iter()
            .for_each(&mut add);
        guardrails.map(str::as_bytes).for_each(add);
        context.finish().as_ref().try_into().ok().map(Self)
    }
}

impl ExactCache {
    /// A cache whose entries live `ttl` and whose bodies together take at most `max_bytes`.
    pub fn new(ttl: Duration, max_bytes: usize) -> Self {
        Self { ttl, max_bytes, state: Mutex::default() }
    }

    /// An answer that has not expired.
    pub fn find(&self, fingerprint: &Fingerprint, now: Now) -> Option<CachedAnswer> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire(now.monotonic, self.ttl);
        let entry = state.entries.get(fingerprint)?;
        let age = now.monotonic.saturating_sub(entry.stored);
        Some(CachedAnswer { body: Plaintext::new(entry.body.expose().clone()), usage: entry.usage, age })
    }

    /// Stores an answer; one larger than a quarter of the cache is not kept.
    pub fn store(&self, fingerprint: Fingerprint, body: &Plaintext<Bytes>, usage: Option<Usage>, now: Now) {
        let size = body.expose().len();
        if size > self.max_bytes.wrapping_div(4) {
            return;
        }
        // A copy of its own: the original may share a larger buffer.
        let body = Plaintext::new(Bytes::copy_from_slice(body.expose()));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire(now.monotonic, self.ttl);
        state.remove(&fingerprint);
        while state.bytes.saturating_add(size) > self.max_bytes && state.drop_oldest() {}
        state.bytes = state.bytes.saturating_add(size);
        state.entries.insert(fingerprint, Entry { body, usage, stored: now.monotonic });
        state.order.push_back((fingerprint, now.monotonic));
    }
}

impl State {
    fn expire(&mut self, now: Duration, ttl: Duration) {
        let old = |(_, stored): &(Fingerprint, Duration)| now.saturating_sub(*stored) >= ttl;
        while self.order.front().is_some_and(old) && self.drop_oldest() {}
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((fingerprint, stored)) = self.order.pop_front() else { return false };
        if self.entries.get(&fingerprint).is_some_and(|entry| entry.stored == stored) {
            self.remove(&fingerprint);
        }
        true
    }

    fn remove(&mut self, fingerprint: &Fingerprint) {
        if let Some(entry) = self.entries.remove(fingerprint) {
            self.bytes = self.bytes.saturating_sub(entry.body.expose().len());
        }
    }
}

#[cfg(test)]
mod tests;
