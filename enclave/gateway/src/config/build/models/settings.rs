//! Checks how a model's requests are tried: again, for how long, with which other models.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::ConfigError;
use crate::config::build::{unknown, value};
use crate::config::parse::closest;
use crate::config::routing::{
    HedgeConfig, HedgeMode, HedgeScope, ModelConfig, ModelTimeoutsConfig, QueueConfig, RetryConfig,
    ShadowConfig, ThroughputConfig,
};
use crate::route::hedge::{HedgeSettings, Start};
use crate::route::queue::{MAX_WAITING, QueueSettings};
use crate::route::retry::RetrySettings;
use crate::route::shadow::ShadowSettings;
use crate::route::throughput::ThroughputSettings;
use crate::route::{ModelSettings, ModelTimeouts};

/// Checks the settings of one model.
pub(super) fn build(
    own: &ModelConfig,
    models: &BTreeMap<String, ModelConfig>,
    path: &str,
) -> Result<ModelSettings, ConfigError> {
    let fallbacks = |key: &str, names: &[String]| -> Result<Vec<Arc<str>>, ConfigError> {
        let find = |(place, name): (usize, &String)| {
            if models.contains_key(name) {
                return Ok(name.as_str().into());
            }
            let meant = closest(name, models.keys().map(String::as_str));
            Err(unknown(format!("{path}.fallbacks.{key}[{place}]"), "model", meant))
        };
        names.iter().enumerate().map(find).collect()
    };
    Ok(ModelSettings {
        retry: retry(&own.retry, &format!("{path}.retry"))?,
        timeouts: timeouts(&own.timeouts, &format!("{path}.timeouts"))?,
        queue: queue(&own.queue, &format!("{path}.queue"))?,
        hedge: own.hedge.as_ref().map(|own| hedge(own, &format!("{path}.hedge"))).transpose()?,
        throughput: own
            .throughput
            .as_ref()
            .map(|own| throughput(own, &format!("{path}.throughput")))
            .transpose()?,
        context_window: fallbacks("context_window", &own.fallbacks.context_window)?,
        content_policy: fallbacks("content_policy", &own.fallbacks.content_policy)?,
    })
}

fn retry(own: &RetryConfig, path: &str) -> Result<RetrySettings, ConfigError> {
    let usual = RetrySettings::default();
    let within =
        |key: &str, given: Option<u32>, usual: u32, bounds: std::ops::RangeInclusive<u32>| match given {
            None => Ok(usual),
            Some(own) if bounds.contains(&own) => Ok(own),
            Some(_) => Err(value(format!("{path}.{key}"), format!("{} to {}", bounds.start(), bounds.end()))),
        };
    let time = |key: &str, given, usual| {
        milliseconds(&format!("{path}.{key}"), given).map(|own| own.unwrap_or(usual))
    };
    Ok(RetrySettings {
        max_attempts: within("max_attempts", own.max_attempts, usual.max_attempts, 1..=10)?,
        per_deployment: within("per_deployment", own.per_deployment, usual.per_deployment, 0..=5)?,
        base: time("base_ms", own.base_ms, usual.base)?,
        longest: time("longest_ms", own.longest_ms, usual.longest)?,
        longest_advised: time("longest_advised_ms", own.longest_advised_ms, usual.longest_advised)?,
    })
}

fn queue(own: &QueueConfig, path: &str) -> Result<QueueSettings, ConfigError> {
    if own.length > MAX_WAITING {
        return Err(value(format!("{path}.length"), format!("0 to {MAX_WAITING}")));
    }
    let wait = milliseconds(&format!("{path}.wait_ms"), own.wait_ms)?;
    Ok(QueueSettings { length: own.length, wait: wait.unwrap_or_else(|| QueueSettings::default().wait) })
}

/// Checks how many copies a deployment on trial gets.
pub(super) fn shadow(own: &ShadowConfig, path: &str) -> Result<ShadowSettings, ConfigError> {
    let within = |key: &str, given: u64, most: u64| match given {
        own if (1..=most).contains(&own) => Ok(own),
        _ => Err(value(format!("{path}.{key}"), format!("1 to {most}"))),
    };
    let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
    Ok(ShadowSettings {
        percent: narrow(within("percent", own.percent.unwrap_or(1).into(), 100)?),
        max_in_flight: narrow(within("max_in_flight", own.max_in_flight.unwrap_or(4).into(), 1000)?),
        requests_per_minute: within("requests_per_minute", own.requests_per_minute.unwrap_or(60), 1_000_000)?,
    })
}

fn hedge(own: &HedgeConfig, path: &str) -> Result<HedgeSettings, ConfigError> {
    let delay = milliseconds(&format!("{path}.delay_ms"), own.delay_ms)?;
    let start = match (own.mode, delay) {
        (HedgeMode::Parallel, None) => Start::AtOnce,
        (HedgeMode::Parallel, Some(_)) => {
            return Err(value(format!("{path}.delay_ms"), "nothing here: both start at once".to_owned()));
        }
        (HedgeMode::Delayed, Some(time)) => Start::After(time),
        (HedgeMode::Delayed, None) => Start::Percentile95,
    };
    let budget_percent = own.budget_percent.unwrap_or(5);
    if !(1..=100).contains(&budget_percent) {
        return Err(value(format!("{path}.budget_percent"), "1 to 100".to_owned()));
    }
    Ok(HedgeSettings {
        start,
        budget_percent,
        streams: own.scope != HedgeScope::Buffered,
        buffered: own.scope != HedgeScope::Stream,
    })
}

fn throughput(own: &ThroughputConfig, path: &str) -> Result<ThroughputSettings, ConfigError> {
    if !(1..=10_000).contains(&own.tokens_per_second) {
        return Err(value(format!("{path}.tokens_per_second"), "1 to 10000".to_owned()));
    }
    let within = milliseconds(&format!("{path}.within_ms"), own.within_ms)?;
    let within = within.unwrap_or(Duration::from_secs(5));
    Ok(ThroughputSettings { tokens_per_second: own.tokens_per_second, within })
}

fn timeouts(own: &ModelTimeoutsConfig, path: &str) -> Result<ModelTimeouts, ConfigError> {
    let time = |key: &str, given| milliseconds(&format!("{path}.{key}"), given);
    Ok(ModelTimeouts {
        first_content: time("first_content_ms", own.first_content_ms)?,
        stall: time("stall_ms", own.stall_ms)?,
        total: time("total_ms", own.total_ms)?,
    })
}

fn milliseconds(path: &str, given: Option<u64>) -> Result<Option<Duration>, ConfigError> {
    match given {
        None => Ok(None),
        Some(ms) if (1..=3_600_000).contains(&ms) => Ok(Some(Duration::from_millis(ms))),
        Some(_) => Err(value(path, "1 to 3600000".to_owned())),
    }
}
