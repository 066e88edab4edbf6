//! Numbers behind the `gen_ai.*` names (OpenTelemetry semantic conventions for generative AI, as of 1.37), counted in
//! memory. Labels are closed sets: configured names and our own codes, never a client's string.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::{AuditRecord, Outcome};

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

/// Upper bounds of duration buckets, milliseconds; the convention's advice for operation duration.
pub const BUCKETS_MS: [u64; 14] =
    [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 20_480, 40_960, 81_920];

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Finished exchanges.
    pub exchanges: u64,
    /// Of which the client left.
    pub cancelled: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
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

/// Durations, counted by [`BUCKETS_MS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Observations at or below each bound, not cumulative; the last counts what is above all bounds.
    pub buckets: [u64; 15],
    /// Sum of all observations.
    pub sum: Duration,
}

/// All series.
#[derive(Default)]
pub struct Metrics {
    series: Mutex<BTreeMap<Labels, Series>>,
    reloads: Reloads,
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
        let series = all.entry(labels).or_default();
        add(&mut series.exchanges, 1);
        add(&mut series.cancelled, u64::from(record.outcome == Outcome::Cancelled));
        match &record.usage {
            Some(usage) if !record.cache_hit => {
                add(&mut series.input_tokens, usage.input_tokens);
                add(&mut series.output_tokens, usage.output_tokens);
            }
            Some(_) => {}
            None => add(&mut series.without_usage, u64::from(record.outcome == Outcome::Complete)),
        }
        add(&mut series.cost_nano_usd, record.cost_nano_usd.unwrap_or_default().0);
        let unpriced = record.usage.is_some() && record.cost_nano_usd.is_none();
        add(&mut series.price_unknown, u64::from(unpriced));
        series.duration.observe(Duration::from_micros(record.duration_us));
        if let Some(first) = record.first_content_us {
            series.first_content.observe(Duration::from_micros(first));
        }
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

impl Histogram {
    fn observe(&mut self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let place = BUCKETS_MS.partition_point(|bound| *bound < ms);
        if let Some(bucket) = self.buckets.get_mut(place) {
            add(bucket, 1);
        }
        self.sum = self.sum.saturating_add(duration);
    }
}

const fn add(counter: &mut u64, amount: u64) {
    *counter = counter.saturating_add(amount);
}
