//! Entries within bounds. A partition that holds too much loses what it has not used for longest; if all hold too much
//! together, the one that holds most does. So nobody can push out what a smaller one needs by asking a lot, and memory does
//! not grow, whoever asks what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::digest::{Fingerprint, Partition};

/// What an entry takes besides its content, at most, with its places in the maps.
pub(super) const OVERHEAD: usize = 768;
/// Most entries that one call forgets because their time is over.
const MOST_AT_ONCE: usize = 64;

/// All entries.
pub(super) struct Store<V> {
    slots: BTreeMap<Fingerprint, Slot<V>>,
    partitions: BTreeMap<Partition, Own>,
    /// By what they hold.
    sizes: BTreeSet<(usize, Partition)>,
    /// By the time they end.
    ends: BTreeSet<(Duration, Fingerprint)>,
    bytes: usize,
    turn: u64,
    evicted: u64,
    max_bytes: usize,
    max_partition_bytes: usize,
}

struct Slot<V> {
    value: V,
    partition: Partition,
    size: usize,
    stored: Duration,
    ends: Duration,
    /// When it was last used, as a running number.
    used: u64,
}

#[derive(Default)]
struct Own {
    bytes: usize,
    /// By use, the longest unused first.
    order: BTreeMap<u64, Fingerprint>,
}

/// An entry that was found.
pub(super) struct Found<'s, V> {
    pub(super) value: &'s V,
    pub(super) age: Duration,
    pub(super) left: Duration,
}

impl<V> Store<V> {
    pub(super) const fn new(max_bytes: usize, max_partition_bytes: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            partitions: BTreeMap::new(),
            sizes: BTreeSet::new(),
            ends: BTreeSet::new(),
            bytes: 0,
            turn: 0,
            evicted: 0,
            max_bytes,
            max_partition_bytes,
        }
    }

    /// An entry that has not ended; it counts as used.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, now: Duration) -> Option<Found<'_, V>> {
        self.turn = self.turn.saturating_add(1);
        let slot = self.slots.get_mut(fingerprint).filter(|slot| slot.ends > now)?;
        if let Some(own) = self.partitions.get_mut(&slot.partition) {
            own.order.remove(&slot.used);
            own.order.insert(self.turn, *fingerprint);
        }
        slot.used = self.turn;
        let (age, left) = (now.saturating_sub(slot.stored), slot.ends.saturating_sub(now));
        Some(Found { value: &slot.value, age, left })
    }

    /// An entry that has not ended, without using it.
    pub(super) fn peek(&self, fingerprint: &Fingerprint, now: Duration) -> Option<Found<'_, V>> {
        let slot = self.slots.get(fingerprint).filter(|slot| slot.ends > now)?;
        let (age, left) = (now.saturating_sub(slot.stored), slot.ends.saturating_sub(now));
        Some(Found { value: &slot.value, age, left })
    }

    /// Stores an entry of that size until `now + ttl`, in the place of an earlier one. What had to go is appended to
    /// `gone`; too large an entry goes at once.
    pub(super) fn insert(
        &mut self,
        (fingerprint, partition): (Fingerprint, Partition),
        value: V,
        size: usize,
        (now, ttl): (Duration, Duration),
        gone: &mut Vec<(Fingerprint, V)>,
    ) {
        self.expire(now, gone);
        self.remove(&fingerprint, gone);
        let size = size.saturating_add(OVERHEAD);
        if size > self.max_partition_bytes.min(self.max_bytes) {
            gone.push((fingerprint, value));
            return;
        }
        while self.bytes_of(&partition).saturating_add(size) > self.max_partition_bytes
            && self.evict(&partition, gone)
        {}
        self.turn = self.turn.saturating_add(1);
        let ends = now.saturating_add(ttl);
        self.resize(&partition, |own| {
            own.bytes = own.bytes.saturating_add(size);
        });
        if let Some(own) = self.partitions.get_mut(&partition) {
            own.order.insert(self.turn, fingerprint);
        }
        self.ends.insert((ends, fingerprint));
        self.bytes = self.bytes.saturating_add(size);
        self.slots.insert(fingerprint, Slot { value, partition, size, stored: now, ends, used: self.turn });
        while self.bytes > self.max_bytes {
            let Some((_, most)) = self.sizes.last().copied() else { return };
            if !self.evict(&most, gone) {
                return;
            }
        }
    }

    /// Forgets what has ended; a bounded number at a time.
    fn expire(&mut self, now: Duration, gone: &mut Vec<(Fingerprint, V)>) {
        for _ in 0..MOST_AT_ONCE {
            let Some((_, fingerprint)) = self.ends.first().copied().filter(|(ends, _)| *ends <= now) else {
                return;
            };
            self.remove(&fingerprint, gone);
        }
    }

    fn evict(&mut self, partition: &Partition, gone: &mut Vec<(Fingerprint, V)>) -> bool {
        let oldest = self.partitions.get(partition).and_then(|own| own.order.first_key_value());
        let Some(fingerprint) = oldest.map(|(_, own)| *own) else { return false };
        self.remove(&fingerprint, gone);
        self.evicted = self.evicted.saturating_add(1);
        true
    }

    pub(super) fn remove(&mut self, fingerprint: &Fingerprint, gone: &mut Vec<(Fingerprint, V)>) {
        let Some(slot) = self.slots.remove(fingerprint) else { return };
        self.ends.remove(&(slot.ends, *fingerprint));
        self.bytes = self.bytes.saturating_sub(slot.size);
        self.resize(&slot.partition, |own| {
            own.bytes = own.bytes.saturating_sub(slot.size);
            own.order.remove(&slot.used);
        });
        gone.push((*fingerprint, slot.value));
    }

    /// Changes what a partition holds; one that holds nothing is forgotten.
    fn resize(&mut self, partition: &Partition, change: impl FnOnce(&mut Own)) {
        let own = self.partitions.entry(*partition).or_default();
        self.sizes.remove(&(own.bytes, *partition));
        change(own);
        if own.bytes == 0 {
            self.partitions.remove(partition);
        } else {
            self.sizes.insert((own.bytes, *partition));
        }
    }

    /// Bytes of all entries.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_of(&self, partition: &Partition) -> usize {
        self.partitions.get(partition).map_or(0, |own| own.bytes)
    }

    pub(super) fn entries(&self) -> usize {
        self.slots.len()
    }

    /// Entries that went to make room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests;
