//! Builds the configured caches.

use std::sync::Arc;
use std::time::Duration;

use super::{ConfigError, Deployments, MIB, closest, unknown, value, within};
use crate::cache::Caches;
use crate::cache::exact::{ExactCache, ExactSettings};
use crate::cache::rules::Rules;
use crate::cache::semantic::{SemanticCache, SemanticSettings};
use crate::config::{CacheConfig, ExactCacheConfig, SemanticCacheConfig};
use crate::deployment::Exposure;
use crate::route::Models;

/// Least room of a cache, and of a partition.
const LEAST: u64 = 64 * 1024;
/// Longest time that an answer may be given again: 30 days.
const LONGEST: u64 = 2_592_000;

pub(super) fn build(
    configured: &CacheConfig,
    models: &Models,
    deployments: &Deployments,
) -> Result<Option<Arc<Caches>>, ConfigError> {
    for name in configured.models.iter().flatten() {
        if models.find(name).is_none() {
            let meant = closest(name, models.iter().map(|model| model.name.as_ref()));
            return Err(unknown("cache.models".to_owned(), "model", meant));
        }
    }
    if !(0.0..=2.0).contains(&configured.max_temperature) {
        return Err(value("cache.max_temperature", "0 to 2".to_owned()));
    }
    if configured.exact.is_none() && configured.semantic.is_none() {
        return Ok(None);
    }
    let rules = Rules {
        sharing: configured.partition,
        models: configured.models.as_ref().map(|own| own.iter().cloned().collect()),
        tool_calls: configured.tool_calls,
        max_temperature: configured.max_temperature,
    };
    let exact = configured.exact.as_ref().map(exact).transpose()?;
    let semantic = configured.semantic.as_ref().map(|own| semantic(own, deployments)).transpose()?;
    Ok(Some(Arc::new(Caches { rules, exact, semantic })))
}

fn exact(own: &ExactCacheConfig) -> Result<ExactCache, ConfigError> {
    let ttl = ttl("cache.exact", own.ttl_seconds)?;
    let (max_bytes, max_partition_bytes) = bytes("cache.exact", own.max_bytes, own.max_partition_bytes)?;
    within("cache.exact.wait_ms", own.wait_ms, 0..=600_000)?;
    let wait = Duration::from_millis(own.wait_ms);
    Ok(ExactCache::new(ExactSettings { ttl, max_bytes, max_partition_bytes, wait }))
}

fn semantic(own: &SemanticCacheConfig, deployments: &Deployments) -> Result<SemanticCache, ConfigError> {
    let at = |key: &str| format!("cache.semantic.{key}");
    let Some(embedder) = deployments.get(own.embeddings.as_str()) else {
        let meant = closest(&own.embeddings, deployments.keys().map(AsRef::as_ref));
        return Err(unknown(at("embeddings"), "deployment", meant));
    };
    if embedder.exposure != Exposure::Attested {
        let expected = "a deployment with exposure = \"attested\", since it sees what is asked";
        return Err(value(at("embeddings"), expected.to_owned()));
    }
    for (key, given) in [("threshold", own.threshold), ("agreement", own.agreement)] {
        if !(0.5..=1.0).contains(&given) {
            return Err(value(at(key), "0.5 to 1".to_owned()));
        }
    }
    let (max_bytes, max_partition_bytes) = bytes("cache.semantic", own.max_bytes, own.max_partition_bytes)?;
    within(&at("max_turns"), own.max_turns.into(), 1..=100)?;
    within(&at("sample_percent"), own.sample_percent.into(), 0..=100)?;
    Ok(SemanticCache::new(SemanticSettings {
        embedder: Arc::clone(embedder),
        threshold: own.threshold,
        ttl: ttl("cache.semantic", own.ttl_seconds)?,
        max_bytes,
        max_partition_bytes,
        max_turns: own.max_turns,
        sample_percent: own.sample_percent,
        agreement: own.agreement,
    }))
}

fn ttl(table: &str, seconds: u64) -> Result<Duration, ConfigError> {
    within(&format!("{table}.ttl_seconds"), seconds, 1..=LONGEST)?;
    Ok(Duration::from_secs(seconds))
}

/// Room for all, and for one partition.
fn bytes(table: &str, all: u64, one: Option<u64>) -> Result<(usize, usize), ConfigError> {
    let max_bytes = within(&format!("{table}.max_bytes"), all, LEAST..=1024 * MIB)?;
    let usual = all.wrapping_div(8).max(LEAST);
    let own = within(&format!("{table}.max_partition_bytes"), one.unwrap_or(usual), LEAST..=all)?;
    Ok((max_bytes, own))
}
