//! How a deployment is doing: its breaker, pauses, calls in flight, latency, and use of its limits. One per deployment,
//! shared by all workers and all models; reading it for routing takes no lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Now;
use crate::deployment::Limits;

pub mod breaker;

pub mod crowd;

pub mod minute;

pub mod peak_ewma;

use super::bell::Bell;
use breaker::{Breaker, BreakerSettings, Phase, Ticket};
use crowd::Crowd;
use minute::{Amount, SlidingMinute};
use peak_ewma::{PeakEwma, micros};

/// How long a deployment that comes back is spared, so that it is not buried at once.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// The state of one deployment.
#[derive(Debug)]
pub struct Health {
    settings: BreakerSettings,
    limits: Limits,
    in_flight: AtomicU32,
    /// How many it bears at the same time.
    crowd: Crowd,
    /// Rings when there may be room again.
    bell: Bell,
    /// How long calls usually take.
    usual: PeakEwma,
    /// Zero: closed. Otherwise when the first probe may go, microseconds of the monotonic clock.
    open_until: AtomicU64,
    /// Zero: never opened. Otherwise since when it is closed again.
    recovered: AtomicU64,
    /// Until when the provider asked to be left alone.
    paused_until: AtomicU64,
    /// Until when the word of a probe counts that found it ill; zero if the last one found it well.
    ill_until: AtomicU64,
    breaker: Mutex<Breaker>,
    minute: Mutex<SlidingMinute>,
    first_content: PeakEwma,
    per_token: PeakEwma,
    samples: Mutex<VecDeque<Duration>>,
}

/// Times to the first content that are kept.
const MAX_SAMPLES: usize = 64;
/// How many it takes to say what is usual.
pub const ENOUGH_SAMPLES: usize = 10;

/// Whether a deployment may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Ready,
    /// Its breaker is open, or a probe found it ill.
    Ejected,
    /// The provider asked to be left alone.
    Paused,
}

impl Health {
    /// Of a deployment that nothing is known of.
    pub fn new(settings: BreakerSettings, limits: Limits) -> Self {
        Self {
            settings,
            limits,
            in_flight: AtomicU32::new(0),
            crowd: Crowd::new(limits.adapts),
            bell: Bell::default(),
            usual: PeakEwma::default(),
            open_until: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            paused_until: AtomicU64::new(0),
            ill_until: AtomicU64::new(0),
            breaker: Mutex::new(Breaker::new(settings)),
            minute: Mutex::default(),
            first_content: PeakEwma::default(),
            per_token: PeakEwma::default(),
            samples: Mutex::default(),
        }
    }

    /// Whether both have the same limits and breaker settings.
    pub fn has_settings_of(&self, other: &Self) -> bool {
        self.limits == other.limits && self.settings == other.settings
    }

    /// Whether it may be asked now.
    pub fn standing(&self, now: Now) -> Standing {
        let time = micros(now.monotonic);
        if self.ejected_until() > time {
            return Standing::Ejected;
        }
        if self.paused_until.load(Ordering::Relaxed) > time { Standing::Paused } else { Standing::Ready }
    }

    /// How much of its usual traffic it should get: less for [`SLOW_START`] after its breaker closed.
    pub fn share(&self, now: Now) -> f64 {
        let recovered = self.recovered.load(Ordering::Relaxed);
        if recovered == 0 {
            return 1.0;
        }
        let well = now.monotonic.saturating_sub(Duration::from_micros(recovered));
        (well.as_secs_f64() / SLOW_START.as_secs_f64()).clamp(0.1, 1.0)
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls under way as a fraction of what it takes at the same time; of one if that is not configured.
    pub fn load(&self) -> f64 {
        f64::from(self.in_flight()) / f64::from(self.most_in_flight().unwrap_or(1).max(1))
    }

    /// Most calls at the same time: what is configured, or less where it adapts and has refused calls lately.
    pub fn most_in_flight(&self) -> Option<u32> {
        self.limits.max_in_flight.map(|most| self.crowd.most(most))
    }

    /// Rings when a call has ended or its breaker or limits have changed.
    pub const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// How long it takes until there may be room for a call of so many tokens: what is known of pauses and limits per
    /// minute, and where it is only full, how long one of the calls under way usually takes.
    pub fn room_after(&self, tokens: u64, now: Now) -> Duration {
        let mut after = self.wait(now);
        if self.counts() {
            let fits = |used: Amount| self.fits_minute(used, tokens);
            after = after.max(lock(&self.minute).until(now.monotonic, fits));
        }
        let busy = self.in_flight();
        if self.most_in_flight().is_some_and(|most| busy >= most) {
            let call = self.usual.micros(now.monotonic).map_or(UNKNOWN_CALL, duration);
            after = after.max(call.checked_div(busy).unwrap_or(call));
        }
        after
    }

    /// Whether one more call of so many tokens fits its limits.
    pub fn has_room(&self, tokens: u64, now: Now) -> bool {
        if self.most_in_flight().is_some_and(|most| self.in_flight() >= most) {
            return false;
        }
        if !self.counts() {
            return true;
        }
        let used = lock(&self.minute).used(now.monotonic);
        self.fits_minute(used, tokens)
    }

    fn fits_minute(&self, used: Amount, tokens: u64) -> bool {
        let requests = self.limits.requests_per_minute.is_none_or(|most| used.requests < most);
        // A request larger than the limit itself may go when nothing else does.
        let fits = |most: u64| used.tokens.saturating_add(tokens) <= most || used.tokens == 0;
        requests && self.limits.tokens_per_minute.is_none_or(fits)
    }

    /// The smaller remaining fraction of its two limits per minute; one if it has none.
    pub fn remaining(&self, now: Now) -> f64 {
        let used = lock(&self.minute).used(now.monotonic);
        let left = |used: u64, most: Option<u64>| {
            let most = most.filter(|most| *most > 0)?;
            Some(1.0 - float(used) / float(most))
        };
        let requests = left(used.requests, self.limits.requests_per_minute).unwrap_or(1.0);
        requests.min(left(used.tokens, self.limits.tokens_per_minute).unwrap_or(1.0))
    }

    /// Expected time to the first content in microseconds; nothing if unknown.
    pub fn first_content(&self, now: Now) -> Option<f64> {
        self.first_content.micros(now.monotonic)
    }

    /// Within what time nineteen of twenty of the last calls had their first content; nothing before there were
    /// [`ENOUGH_SAMPLES`].
    pub fn first_content_95(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = lock(&self.samples).iter().copied().collect();
        sorted.sort_unstable();
        let place = sorted.len().saturating_mul(95).div_ceil(100).checked_sub(1)?;
        sorted.get(place).copied().filter(|_| sorted.len() >= ENOUGH_SAMPLES)
    }

    /// Expected time for each token of a buffered answer in microseconds; nothing if unknown.
    pub fn per_token(&self, now: Now) -> Option<f64> {
        self.per_token.micros(now.monotonic)
    }

    /// Calls and failures of the last half minute.
    pub fn recent(&self, now: Now) -> (u32, u32) {
        lock(&self.breaker).recent(now.monotonic)
    }

    /// What the breaker does now.
    pub fn phase(&self) -> Phase {
        lock(&self.breaker).phase()
    }

    /// Leaves it alone for so long.
    pub fn pause(&self, time: Duration, now: Now) {
        let until = micros(now.monotonic.saturating_add(time));
        self.paused_until.fetch_max(until, Ordering::Relaxed);
    }

    /// A probe found it well or ill, which counts for so long.
    pub fn probed(&self, is_well: bool, counts: Duration, now: Now) {
        let until = if is_well { 0 } else { micros(now.monotonic.saturating_add(counts)) };
        self.ill_until.store(until, Ordering::Relaxed);
        if is_well {
            self.bell.ring();
        }
    }

    fn ejected_until(&self) -> u64 {
        self.open_until.load(Ordering::Relaxed).max(self.ill_until.load(Ordering::Relaxed))
    }

    /// It has refused a call because it has too many, or was too slow to begin one.
    pub fn crowded(&self, now: Now) {
        if let Some(most) = self.limits.max_in_flight {
            self.crowd.shrink(most, self.in_flight(), now.monotonic);
        }
    }

    /// How long it still wants to be left alone, or its breaker is open.
    pub fn wait(&self, now: Now) -> Duration {
        let until = self.paused_until.load(Ordering::Relaxed).max(self.ejected_until());
        Duration::from_micros(until).saturating_sub(now.monotonic)
    }

    /// Begins a call that will take about `tokens`, if the breaker gives leave or `anyway`: where every deployment is
    /// ejected, asking one is better than asking none.
    pub fn begin(self: &Arc<Self>, tokens: u64, anyway: bool, now: Now) -> Option<Flight> {
        let ticket = {
            let mut breaker = lock(&self.breaker);
            let ticket = breaker.admit(now.monotonic);
            self.publish(&breaker, now);
            ticket
        };
        if ticket.is_none() && !anyway {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if self.counts() {
            lock(&self.minute).add(Amount { requests: 1, tokens }, now.monotonic);
        }
        Some(Flight { health: Arc::clone(self), ticket, reserved: tokens, began: now, latest: now })
    }

    const fn counts(&self) -> bool {
        self.limits.requests_per_minute.is_some() || self.limits.tokens_per_minute.is_some()
    }

    /// Makes what routing reads true again.
    fn publish(&self, breaker: &Breaker, now: Now) {
        let until = match breaker.phase() {
            Phase::Open { until } => micros(until).max(1),
            Phase::Closed | Phase::HalfOpen { .. } => 0,
        };
        self.open_until.store(until, Ordering::Relaxed);
        if breaker.phase() == Phase::Closed && breaker.trips() > 0 {
            let since = micros(now.monotonic).max(1);
            // Only the first time after it closed.
            self.recovered.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed).ok();
        } else if breaker.trips() > 0 {
            self.recovered.store(0, Ordering::Relaxed);
        }
    }

    fn tell(&self, now: Now, change: impl FnOnce(&mut Breaker)) {
        let mut breaker = lock(&self.breaker);
        change(&mut breaker);
        self.publish(&breaker, now);
    }
}

/// One call under way. Dropped without a word about its outcome, it counts neither for nor against the deployment.
#[derive(Debug)]
pub struct Flight {
    health: Arc<Health>,
    ticket: Option<Ticket>,
    reserved: u64,
    began: Now,
    latest: Now,
}

impl Flight {
    /// The first content came after so long. The call goes on.
    pub fn reached(&mut self, after: Duration, now: Now) {
        self.health.first_content.observe(after, now.monotonic);
        let mut samples = lock(&self.health.samples);
        if samples.len() >= MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(after);
        drop(samples);
        if let Some(most) = self.health.limits.max_in_flight {
            self.health.crowd.grow(most);
        }
        if let Some(ticket) = self.ticket.take() {
            self.health.tell(now, |breaker| breaker.succeeded(&ticket, now.monotonic));
        }
    }

    /// A buffered answer of so many tokens took so long.
    pub fn answered(&self, tokens: u64, after: Duration, now: Now) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        if let Some(each) = after.checked_div(tokens) {
            self.health.per_token.observe(each, now.monotonic);
        }
    }

    /// The call failed in a way that speaks against the deployment; `after` is what its slowness is taken for.
    pub fn failed(mut self, after: Duration, now: Now) {
        self.latest = now;
        self.health.first_content.observe(after, now.monotonic);
        if let Some(ticket) = self.ticket.take() {
            self.health.tell(now, |breaker| breaker.failed(&ticket, now.monotonic));
        }
    }

    /// A call that had begun well broke off.
    pub fn broke(self, now: Now) {
        self.health.tell(now, |breaker| breaker.broke(now.monotonic));
    }

    /// The call has ended.
    pub fn ended(&mut self, now: Now) {
        self.latest = now;
        self.health.usual.observe(now.since(self.began), now.monotonic);
    }

    /// What the call really used, once it is known.
    pub fn used(&mut self, tokens: u64, now: Now) {
        let reserved = std::mem::replace(&mut self.reserved, tokens);
        if !self.health.counts() {
            return;
        }
        let mut minute = lock(&self.health.minute);
        if tokens >= reserved {
            let more = Amount { requests: 0, tokens: tokens.saturating_sub(reserved) };
            minute.add(more, now.monotonic);
        } else {
            minute.give_back(reserved.saturating_sub(tokens), now.monotonic);
        }
    }

    /// Whose call.
    pub const fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(ticket) = self.ticket.take() {
            let latest = self.latest;
            self.health.tell(latest, |breaker| breaker.abandoned(&ticket));
        }
        self.health.bell.ring();
    }
}

/// How long a call is taken to last of which nothing is known.
const UNKNOWN_CALL: Duration = Duration::from_secs(2);

/// Microseconds as a duration.
fn duration(micros: f64) -> Duration {
    Duration::try_from_secs_f64(micros / 1e6).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count as a float: exact up to 2^53, and near enough above.
pub(crate) fn float(count: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0));
    half(count.wrapping_shr(32)) * 4_294_967_296.0 + half(count)
}
