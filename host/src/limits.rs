//! How many connections are served at once, in all and from one source.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::log::Reason;

/// A count with a ceiling, shared by all workers.
#[derive(Debug)]
pub struct Total {
    open: AtomicUsize,
    most: usize,
}

impl Total {
    /// At most `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), most })
    }

    /// Takes a place until the ticket is dropped; `None` when all are taken.
    pub fn enter(self: &Arc<Self>) -> Option<Ticket> {
        let more = |open| (open < self.most).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Ticket { total: Arc::clone(self) })
    }

    /// Places taken.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A place in a [`Total`].
#[derive(Debug)]
pub struct Ticket {
    total: Arc<Total>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.total.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Limits per source: one IPv4 address, or one IPv6 /64, since a single customer commonly holds that much.
#[derive(Debug)]
pub struct Sources {
    most_open: u32,
    per_second: u32,
    shards: [Mutex<HashMap<IpAddr, Usage>>; SHARDS],
}

#[derive(Debug)]
struct Usage {
    open: u32,
    /// New connections still allowed, in thousandths.
    credit: u64,
    at: Instant,
}

impl Sources {
    /// At most `most_open` at once and `per_second` new ones a second (and as a burst) from one source; 0 is
    /// no limit.
    #[must_use]
    pub fn new(most_open: u32, per_second: u32) -> Arc<Self> {
        Arc::new(Self { most_open, per_second, shards: Default::default() })
    }

    /// Counts a new connection from `address` until the visit is dropped.
    ///
    /// # Errors
    /// Which of the two limits is reached.
    pub fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Visit, Reason> {
        let source = source(address);
        if self.most_open == 0 && self.per_second == 0 {
            return Ok(Visit { sources: None, source });
        }
        let full = u64::from(self.per_second) * 1000;
        let mut shard = self.shard(source);
        if shard.len() >= PRUNE_AT {
            shard.retain(|_, usage| {
                usage.refill(full, self.per_second, now);
                usage.open > 0 || usage.credit < full
            });
        }
        let usage = shard.entry(source).or_insert(Usage { open: 0, credit: full, at: now });
        usage.refill(full, self.per_second, now);
        if self.most_open > 0 && usage.open >= self.most_open {
            return Err(Reason::SourceConnections);
        }
        if self.per_second > 0 {
            usage.credit = usage.credit.checked_sub(1000).ok_or(Reason::SourceRate)?;
        }
        usage.open = usage.open.saturating_add(1);
        Ok(Visit { sources: Some(Arc::clone(self)), source })
    }

    fn leave(&self, source: IpAddr) {
        let mut shard = self.shard(source);
        if let Some(usage) = shard.get_mut(&source) {
            usage.open = usage.open.saturating_sub(1);
            if usage.open == 0 && self.per_second == 0 {
                shard.remove(&source);
            }
        }
    }

    fn shard(&self, source: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Usage>> {
        let last = match source {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[7],
        };
        self.shards[usize::from(last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    fn refill(&mut self, full: u64, per_second: u32, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_millis();
        let earned = u64::try_from(since).unwrap_or(u64::MAX).saturating_mul(u64::from(per_second));
        self.credit = self.credit.saturating_add(earned).min(full);
        self.at = self.at.max(now);
    }
}

/// One counted connection.
#[derive(Debug)]
pub struct Visit {
    sources: Option<Arc<Sources>>,
    source: IpAddr,
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(sources) = &self.sources {
            sources.leave(self.source);
        }
    }
}

fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Independent locks, so that workers seldom meet.
const SHARDS: usize = 16;

/// Sources in one shard at which those with nothing to remember are forgotten.
const PRUNE_AT: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_total_is_a_ceiling_and_comes_back() {
        let total = Total::new(2);
        let first = total.enter().unwrap();
        let _second = total.enter().unwrap();
        assert!(total.enter().is_none());
        drop(first);
        assert!(total.enter().is_some());
        assert_eq!(total.open(), 1);
    }

    #[test]
    fn one_source_at_its_limit_leaves_others_alone() {
        let (sources, now) = (Sources::new(2, 0), Instant::now());
        let first = sources.enter(ip("10.0.0.1"), now).unwrap();
        let _second = sources.enter(ip("10.0.0.1"), now).unwrap();
        assert_eq!(sources.enter(ip("10.0.0.1"), now).unwrap_err(), Reason::SourceConnections);
        assert_eq!(sources.enter(ip("::ffff:10.0.0.1"), now).unwrap_err(), Reason::SourceConnections);
        assert!(sources.enter(ip("10.0.0.2"), now).is_ok());
        drop(first);
        assert!(sources.enter(ip("10.0.0.1"), now).is_ok());
    }

    #[test]
    fn a_prefix_is_one_source() {
        let (sources, now) = (Sources::new(1, 0), Instant::now());
        let _visit = sources.enter(ip("2001:db8:1:2::1"), now).unwrap();
        assert!(sources.enter(ip("2001:db8:1:2:ffff::9"), now).is_err());
        assert!(sources.enter(ip("2001:db8:1:3::1"), now).is_ok());
    }

    #[test]
    fn new_connections_refill_with_time() {
        let (sources, now) = (Sources::new(0, 10), Instant::now());
        let source = ip("10.0.0.1");
        for _ in 0..10 {
            drop(sources.enter(source, now).unwrap());
        }
        assert_eq!(sources.enter(source, now).unwrap_err(), Reason::SourceRate);
        let later = now + Duration::from_millis(100);
        assert!(sources.enter(source, later).is_ok());
        assert_eq!(sources.enter(source, later).unwrap_err(), Reason::SourceRate);
        assert_eq!(
            sources.enter(source, now).unwrap_err(),
            Reason::SourceRate,
            "time going back earns nothing"
        );
    }

    #[test]
    fn many_sources_are_forgotten() {
        let (sources, now) = (Sources::new(1, 1), Instant::now());
        let later = now + Duration::from_secs(2);
        for (start, at) in [(0, now), (1 << 24, later)] {
            for number in 0..(PRUNE_AT * SHARDS) {
                let address = IpAddr::V4(u32::try_from(start + number).unwrap().into());
                drop(sources.enter(address, at).unwrap());
            }
        }
        let remembered: usize = sources.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(remembered <= PRUNE_AT * SHARDS, "{remembered}");
    }
}
