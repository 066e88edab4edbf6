//! Numbers behind the `gen_ai.*` names (OpenTelemetry semantic conventions for generative AI, as of 1.41), counted in
//! memory. Labels are closed sets: configured names and our own codes, never a client's string. [`prometheus`] writes them
//! down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::{AuditRecord, Outcome, micros};
use crate::cache::CacheState;
use crate::chat::Usage;
use crate::price::NanoUsd;

pub mod prometheus;

/// Duration of an operation, in seconds.
pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
/// Time to the first content, in seconds.
pub const TIME_TO_FIRST_TOKEN: &str = "gen_ai.server.time_to_first_token";
/// Tokens used, by [`TOKEN_TYPE`].
pub const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
/// Money spent, in nano-dollars.
pub const COST: &str = "postern_cost_nano_usd_total";
/// Exchanges whose tokens are known and whose price is not. Anything but zero is an alarm: money is spent that nobody
/// counts.
pub const PRICE_UNKNOWN: &str = "postern_price_unknown_total";
/// Times that the configuration was read again, by [`RESULT`].
pub const RELOADS: &str = "postern_config_reloads_total";
/// Attribute: `ok` or `failed`.
pub const RESULT: &str = "result";
/// Attribute: what was done.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// Attribute: who served it.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// Attribute: the configured model name.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// Attribute: `input` or `output`.
pub const TOKEN_TYPE: &str = "gen_ai.token.type";
/// Attribute: our error code.
pub const ERROR_TYPE: &str = "error.type";

/// Upper bounds of the buckets of [`OPERATION_DURATION`], in microseconds; the convention's advice.
pub const DURATIONS: &[u64] = &[
    10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000, 10_240_000,
    20_480_000, 40_960_000, 81_920_000,
];
/// The same of [`TIME_TO_FIRST_TOKEN`].
pub const FIRST_TOKENS: &[u64] = &[
    1000, 5000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];
/// The same of [`TOKEN_USAGE`], in tokens.
pub const TOKENS: &[u64] =
    &[1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

/// What one series is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// [`OPERATION_NAME`]
    pub operation: &'static str,
    /// [`PROVIDER_NAME`]
    pub provider: Option<&'static str>,
    /// [`REQUEST_MODEL`]
    pub model: Option<Arc<str>>,
    /// [`ERROR_TYPE`]
    pub error: Option<&'static str>,
}

/// Counts of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Finished exchanges.
    pub exchanges: u64,
    /// Of which the client left.
    pub cancelled: u64,
    /// Of which the cache answered.
    pub cached: u64,
    /// Attempts besides the first of each exchange.
    pub further_attempts: u64,
    /// Calls that were cancelled because another was quicker.
    pub hedges_lost: u64,
    /// What those are guessed to have cost.
    pub hedge_cost_nano_usd: u64,
    /// Input tokens of each exchange.
    pub input_tokens: Histogram,
    /// Output tokens of each exchange.
    pub output_tokens: Histogram,
    /// Input tokens that the provider had cached.
    pub cached_input_tokens: u64,
    /// Output tokens that were reasoning.
    pub reasoning_tokens: u64,
    /// Exchanges that an upstream answered without saying how many tokens it took.
    pub without_usage: u64,
    /// [`COST`]
    pub cost_nano_usd: u64,
    /// [`PRICE_UNKNOWN`]
    pub price_unknown: u64,
    /// [`OPERATION_DURATION`]
    pub duration: Histogram,
    /// [`TIME_TO_FIRST_TOKEN`]
    pub first_content: Histogram,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            exchanges: 0,
            cancelled: 0,
            cached: 0,
            further_attempts: 0,
            hedges_lost: 0,
            hedge_cost_nano_usd: 0,
            input_tokens: Histogram::new(TOKENS),
            output_tokens: Histogram::new(TOKENS),
            cached_input_tokens: 0,
            reasoning_tokens: 0,
            without_usage: 0,
            cost_nano_usd: 0,
            price_unknown: 0,
            duration: Histogram::new(DURATIONS),
            first_content: Histogram::new(FIRST_TOKENS),
        }
    }
}

/// Observations, counted by upper bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    buckets: [u64; MOST_BUCKETS],
    sum: u64,
}

/// Room for the longest list of bounds, and what is above all of them.
const MOST_BUCKETS: usize = 17;

/// What became of copies for a deployment on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowSeries {
    /// Copies, by our code for the failure if it was one.
    pub ends: BTreeMap<Option<&'static str>, u64>,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// What they cost, where it is known; never part of [`COST`].
    pub cost_nano_usd: u64,
    /// As [`OPERATION_DURATION`].
    pub duration: Histogram,
    /// As [`TIME_TO_FIRST_TOKEN`].
    pub first_content: Histogram,
}

impl Default for ShadowSeries {
    fn default() -> Self {
        Self {
            ends: BTreeMap::new(),
            input_tokens: 0,
            output_tokens: 0,
            cost_nano_usd: 0,
            duration: Histogram::new(DURATIONS),
            first_content: Histogram::new(FIRST_TOKENS),
        }
    }
}

/// How one copy ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShadowEnd {
    /// Our code, if it failed.
    pub error: Option<&'static str>,
    /// Tokens, if reported.
    pub usage: Option<Usage>,
    /// Their price, if known.
    pub cost: Option<NanoUsd>,
    /// To the first content, if there was any.
    pub first_content: Option<Duration>,
    /// To the end.
    pub duration: Duration,
}

/// What became of attempts: by deployment, and our code for the failure if it was one.
pub type Attempts = BTreeMap<(Arc<str>, Option<&'static str>), u64>;

/// All series.
#[derive(Default)]
pub struct Metrics {
    series: Mutex<BTreeMap<Labels, Series>>,
    attempts: Mutex<Attempts>,
    shadows: Mutex<BTreeMap<Arc<str>, ShadowSeries>>,
    reloads: Reloads,
    caches: Mutex<CacheCounts>,
}

/// What the caches did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Exchanges, by what the caches did for them.
    pub states: BTreeMap<CacheState, u64>,
    /// What was not spent because of them.
    pub saved_nano_usd: u64,
    /// What embedding has cost.
    pub embedding_nano_usd: u64,
    /// What else happened.
    pub events: BTreeMap<CacheCounter, u64>,
}

/// Something that happened in the semantic cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheCounter {
    /// A text was embedded.
    Embedded,
    /// A text could not be embedded.
    NotEmbedded,
    /// A stored answer said something else than a fresh one.
    SampledFalse,
    /// A stored answer said the same as a fresh one.
    SampledTrue,
}

/// See [`RELOADS`].
#[derive(Default)]
struct Reloads {
    ok: AtomicU64,
    failed: AtomicU64,
}

impl Metrics {
    /// Counts a finished exchange.
    pub fn count(&self, record: &AuditRecord) {
        let labels = Labels {
            operation: record.operation.as_str(),
            provider: record.provider,
            model: record.model.clone(),
            error: record.error,
        };
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels).or_default().count(record);
        drop(all);
        if let Some(state) = record.cache {
            let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
            add(caches.states.entry(state).or_default(), 1);
            add(&mut caches.saved_nano_usd, record.saved_nano_usd.unwrap_or_default().0);
            add(&mut caches.embedding_nano_usd, record.embedding_nano_usd.unwrap_or_default());
        }
    }

    /// Counts what happened in the semantic cache.
    pub fn count_cache(&self, event: CacheCounter) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        add(caches.events.entry(event).or_default(), 1);
    }

    /// A copy of what the caches did so far.
    pub fn caches(&self) -> CacheCounts {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts one attempt at a deployment, with its error code if it failed.
    pub fn attempted(&self, deployment: &Arc<str>, error: Option<&'static str>) {
        let mut all = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        add(all.entry((Arc::clone(deployment), error)).or_default(), 1);
    }

    /// Counts one copy for a deployment on trial.
    pub fn shadowed(&self, deployment: &Arc<str>, end: &ShadowEnd) {
        let mut all = self.shadows.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(Arc::clone(deployment)).or_default();
        add(series.ends.entry(end.error).or_default(), 1);
        if let Some(usage) = &end.usage {
            add(&mut series.input_tokens, usage.input_tokens);
            add(&mut series.output_tokens, usage.output_tokens);
        }
        add(&mut series.cost_nano_usd, end.cost.unwrap_or_default().0);
        series.duration.observe(micros(end.duration));
        if let Some(first) = end.first_content {
            series.first_content.observe(micros(first));
        }
    }

    /// A copy of what was counted of copies so far, by deployment.
    pub fn shadows(&self) -> BTreeMap<Arc<str>, ShadowSeries> {
        self.shadows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A copy of the attempts counted so far.
    pub fn attempts(&self) -> Attempts {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a configuration that was read again, and whether it is in force now.
    pub fn reloaded(&self, in_force: bool) {
        let counter = if in_force { &self.reloads.ok } else { &self.reloads.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// See [`RELOADS`]: how many are in force or were, and how many failed.
    pub fn reloads(&self) -> (u64, u64) {
        (self.reloads.ok.load(Ordering::Relaxed), self.reloads.failed.load(Ordering::Relaxed))
    }

    /// A copy of everything counted so far.
    pub fn snapshot(&self) -> Vec<(Labels, Series)> {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(labels, series)| (labels.clone(), series.clone())).collect()
    }
}

impl Series {
    fn count(&mut self, record: &AuditRecord) {
        add(&mut self.exchanges, 1);
        add(&mut self.cancelled, u64::from(record.outcome == Outcome::Cancelled));
        add(&mut self.cached, u64::from(record.cache_hit));
        add(&mut self.further_attempts, u64::from(record.attempts.saturating_sub(1)));
        add(&mut self.hedges_lost, u64::from(record.hedges_lost));
        add(&mut self.hedge_cost_nano_usd, record.hedge_cost_nano_usd.unwrap_or_default());
        match &record.usage {
            Some(usage) if !record.cache_hit => {
                self.input_tokens.observe(usage.input_tokens);
                self.output_tokens.observe(usage.output_tokens);
                add(&mut self.cached_input_tokens, usage.cached_input_tokens);
                add(&mut self.reasoning_tokens, usage.reasoning_tokens);
            }
            Some(_) => {}
            None => add(&mut self.without_usage, u64::from(record.outcome == Outcome::Complete)),
        }
        add(&mut self.cost_nano_usd, record.cost_nano_usd.unwrap_or_default().0);
        let unpriced = record.usage.is_some() && record.cost_nano_usd.is_none();
        add(&mut self.price_unknown, u64::from(unpriced));
        self.duration.observe(record.duration_us);
        if let Some(first) = record.first_content_us {
            self.first_content.observe(first);
        }
    }
}

impl Histogram {
    /// Nothing observed; at most sixteen bounds are used.
    const fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: [0; MOST_BUCKETS], sum: 0 }
    }

    fn observe(&mut self, amount: u64) {
        let place = self.bounds.partition_point(|bound| *bound < amount);
        if let Some(bucket) = self.buckets.get_mut(place) {
            add(bucket, 1);
        }
        add(&mut self.sum, amount);
    }

    /// Each upper bound with the observations at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().zip(&self.buckets).scan(0_u64, |below, (bound, count)| {
            *below = below.saturating_add(*count);
            Some((*bound, *below))
        })
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Their sum.
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

const fn add(counter: &mut u64, amount: u64) {
    *counter = counter.saturating_add(amount);
}
