//! Answers a question again that was asked in other words: near in meaning, and the same in everything else.
//!
//! What has to be the same is no part of the embedded text but of the place where a question is looked for: the partition,
//! the model, the system prompt, every parameter, every earlier turn, and the [`marks`](question) of the question itself. So
//! no two tenants ever meet, however near their questions are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::digest::{Fingerprint, Partition};
use super::exact::{Filling, Found};
use super::kept::Kept;
use super::store::Store;
use crate::clock::Now;
use crate::deployment::Deployment;

pub mod question;

pub mod vector;

use question::Place;
use vector::Vector;

/// Most questions of one place that are compared.
pub const MOST_COMPARED: usize = 10_000;
/// Most partitions that have a threshold of their own.
const MOST_RAISED: usize = 4096;
/// By how much a false hit raises the threshold of its partition.
const RAISE: f32 = 0.005;
/// No threshold is raised above this.
const HIGHEST: f32 = 0.995;

/// Settings of the semantic cache.
pub struct SemanticSettings {
    /// Who embeds: attested, or inside.
    pub embedder: Arc<Deployment>,
    /// Least cosine of the angle between two questions that count as one.
    pub threshold: f32,
    /// How long an answer may be given again.
    pub ttl: Duration,
    /// Most bytes of all that is stored.
    pub max_bytes: usize,
    /// Most bytes of one partition.
    pub max_partition_bytes: usize,
    /// Longer conversations are not looked up.
    pub max_turns: u32,
    /// How many of a hundred hits are answered anew and compared.
    pub sample_percent: u8,
    /// Least cosine between two answers that say the same.
    pub agreement: f32,
}

/// The semantic cache.
pub struct SemanticCache {
    /// Its settings.
    pub settings: SemanticSettings,
    state: Mutex<State>,
}

struct State {
    store: Store<Entry>,
    places: BTreeMap<Place, Arc<Vec<Near>>>,
    /// Thresholds of partitions that have had false hits.
    raised: BTreeMap<Partition, f32>,
}

struct Entry {
    place: Place,
    kept: Arc<Kept>,
}

#[derive(Clone)]
struct Near {
    fingerprint: Fingerprint,
    vector: Arc<Vector>,
}

/// An answer to a question that is near enough.
pub struct Nearest {
    /// The answer.
    pub found: Found,
    /// Under what it is stored.
    pub fingerprint: Fingerprint,
    /// The cosine.
    pub similarity: f32,
}

impl SemanticCache {
    /// An empty cache.
    pub fn new(settings: SemanticSettings) -> Self {
        let store = Store::new(settings.max_bytes, settings.max_partition_bytes);
        let state = State { store, places: BTreeMap::new(), raised: BTreeMap::new() };
        Self { settings, state: Mutex::new(state) }
    }

    /// The nearest question that is near enough, has not ended and is not older than that.
    pub fn find(
        &self,
        (place, partition): (&Place, &Partition),
        vector: &Vector,
        max_age: Option<Duration>,
        now: Now,
    ) -> Option<Nearest> {
        // Compared outside of the lock: nobody waits for another's many questions.
        let (near, threshold) = {
            let state = self.lock();
            let threshold = state.raised.get(partition).copied().unwrap_or(self.settings.threshold);
            (state.places.get(place).map(Arc::clone)?, threshold)
        };
        let compared = near.iter().rev().take(MOST_COMPARED).map(|own| (own, own.vector.cosine(vector)));
        let (best, similarity) = compared.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
        if similarity < threshold {
            return None;
        }
        let mut state = self.lock();
        let found = state.store.find(&best.fingerprint, now.monotonic)?;
        let found = Found { kept: Arc::clone(&found.value.kept), age: found.age, left: found.left };
        let young = max_age.is_none_or(|most| found.age < most);
        young.then_some(Nearest { found, fingerprint: best.fingerprint, similarity })
    }

    /// Stores the answer to a question.
    pub fn store(
        &self,
        at: (Fingerprint, Partition),
        (place, vector): (Place, Vector),
        kept: &Arc<Kept>,
        ttl: Option<Duration>,
        now: Now,
    ) {
        let ttl = ttl.map_or(self.settings.ttl, |own| own.min(self.settings.ttl));
        let size = kept.size().saturating_add(vector.bytes());
        let mut gone = Vec::new();
        let mut state = self.lock();
        let entry = Entry { place, kept: Arc::clone(kept) };
        state.store.insert(at, entry, size, (now.monotonic, ttl), &mut gone);
        state.forget(&gone);
        if state.store.peek(&at.0, now.monotonic).is_some() {
            let near = Near { fingerprint: at.0, vector: Arc::new(vector) };
            Arc::make_mut(state.places.entry(place).or_default()).push(near);
        }
    }

    /// An answer turned out to be wrong for a question that was near it: it is forgotten, and its partition becomes
    /// stricter.
    pub fn was_false(&self, fingerprint: &Fingerprint, partition: &Partition) {
        let mut gone = Vec::new();
        let mut state = self.lock();
        state.store.remove(fingerprint, &mut gone);
        state.forget(&gone);
        let before = state.raised.get(partition).copied();
        if before.is_some() || state.raised.len() < MOST_RAISED {
            let raised =
                (before.unwrap_or(self.settings.threshold) + RAISE).min(HIGHEST.max(self.settings.threshold));
            state.raised.insert(*partition, raised);
        }
    }

    /// How much is stored.
    pub fn filling(&self) -> Filling {
        let State { store, .. } = &*self.lock();
        Filling { entries: store.entries(), bytes: store.bytes(), evicted: store.evicted() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, gone: &[(Fingerprint, Entry)]) {
        for (fingerprint, Entry { place, .. }) in gone {
            let Some(near) = self.places.get_mut(place) else { continue };
            Arc::make_mut(near).retain(|own| own.fingerprint != *fingerprint);
            if near.is_empty() {
                self.places.remove(place);
            }
        }
    }
}
