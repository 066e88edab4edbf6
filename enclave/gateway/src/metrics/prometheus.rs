//! The numbers in Prometheus' text format (version 0.0.4), OpenTelemetry's names with `.` as `_` and units appended.
//!
//! Sums over many exchanges, by names of the configuration: no request, no key and no content is in them.

use std::fmt::Write as _;

use super::{CacheCounter, CacheCounts, Histogram, Labels, Metrics, Series, ShadowSeries};
use crate::cache::exact::Filling;
use crate::cache::{CacheState, Caches};
use crate::route::Models;
use crate::route::health::breaker::Phase;

/// One number of how full a cache is.
type Reading = fn(&Filling) -> u64;

/// Media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Everything counted so far, and how the deployments are doing.
pub fn render(metrics: &Metrics, models: &Models, caches: Option<&Caches>) -> String {
    let series = metrics.snapshot();
    let mut page = Page::default();
    page.counters(&series);
    page.histograms(&series);
    page.attempts(metrics);
    page.shadows(metrics);
    page.deployments(models);
    page.queues(models);
    if let Some(caches) = caches {
        page.caches(&metrics.caches(), caches);
    }
    let (ok, failed) = metrics.reloads();
    page.family("postern_config_reloads_total", "counter", "Configurations read again.");
    page.sample("postern_config_reloads_total", &[("result", "ok")], ok);
    page.sample("postern_config_reloads_total", &[("result", "failed")], failed);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

/// A label's name and value.
type Label<'v> = (&'static str, &'v str);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl std::fmt::Display) {
        self.text.push_str(name);
        let mut before = '{';
        for (label, value) in labels {
            self.text.push(before);
            let _infallible = write!(self.text, "{label}=\"");
            escape(value, &mut self.text);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _infallible = writeln!(self.text, " {value}");
    }

    fn caches(&mut self, counts: &CacheCounts, caches: &Caches) {
        self.family("postern_cache_requests_total", "counter", "Exchanges by what the caches did for them.");
        for state in CacheState::ALL {
            let count = counts.states.get(&state).copied().unwrap_or(0);
            self.sample("postern_cache_requests_total", &[("state", state.as_str())], count);
        }
        let events = [
            (
                "postern_cache_embeddings_total",
                "Texts embedded for the semantic cache.",
                "result",
                [("ok", CacheCounter::Embedded), ("failed", CacheCounter::NotEmbedded)],
            ),
            (
                "postern_cache_sampled_total",
                "Semantic hits that were compared with a fresh answer.",
                "agrees",
                [("true", CacheCounter::SampledTrue), ("false", CacheCounter::SampledFalse)],
            ),
        ];
        for (name, help, label, values) in events {
            self.family(name, "counter", help);
            for (value, event) in values {
                self.sample(name, &[(label, value)], counts.events.get(&event).copied().unwrap_or(0));
            }
        }
        let saved = "What the caches saved, in billionths of a dollar.";
        self.family("postern_cache_saved_nano_usd_total", "counter", saved);
        self.sample("postern_cache_saved_nano_usd_total", &[], counts.saved_nano_usd);
        let spent = "What embedding for the semantic cache cost, in billionths of a dollar.";
        self.family("postern_cache_embedding_nano_usd_total", "counter", spent);
        self.sample("postern_cache_embedding_nano_usd_total", &[], counts.embedding_nano_usd);
        let exact = caches.exact.as_ref().map(|own| ("exact", own.filling()));
        let semantic = caches.semantic.as_ref().map(|own| ("semantic", own.filling()));
        let all: Vec<_> = [exact, semantic].into_iter().flatten().collect();
        let families: [(&str, &str, &str, Reading); 3] = [
            ("postern_cache_entries", "gauge", "Stored answers.", |own| count(own.entries)),
            (
                "postern_cache_bytes",
                "gauge",
                "Bytes of stored answers and of what it takes to find them.",
                |own| count(own.bytes),
            ),
            ("postern_cache_evicted_total", "counter", "Stored answers that had to make room.", |own| {
                own.evicted
            }),
        ];
        for (name, kind, help, read) in families {
            self.family(name, kind, help);
            for (cache, own) in &all {
                self.sample(name, &[("cache", *cache)], read(own));
            }
        }
    }

    fn counters(&mut self, series: &[(Labels, Series)]) {
        type Read = fn(&Series) -> u64;
        let families: [(&str, &str, Read); 10] = [
            ("postern_exchanges_total", "Finished exchanges.", |own| own.exchanges),
            ("postern_exchanges_cancelled_total", "Exchanges that the client left.", |own| own.cancelled),
            ("postern_cache_hits_total", "Exchanges that the cache answered.", |own| own.cached),
            ("postern_further_attempts_total", "Attempts besides the first of each exchange.", |own| {
                own.further_attempts
            }),
            ("postern_hedges_lost_total", "Calls cancelled because another was quicker.", |own| {
                own.hedges_lost
            }),
            ("postern_cached_input_tokens_total", "Input tokens that the provider had cached.", |own| {
                own.cached_input_tokens
            }),
            ("postern_reasoning_tokens_total", "Output tokens that were reasoning.", |own| {
                own.reasoning_tokens
            }),
            ("postern_usage_missing_total", "Answers without a count of tokens.", |own| own.without_usage),
            (super::PRICE_UNKNOWN, "Exchanges whose price is not known.", |own| own.price_unknown),
            (super::COST, "Cost in billionths of a dollar.", |own| own.cost_nano_usd),
        ];
        for (name, help, read) in families {
            self.family(name, "counter", help);
            for (labels, own) in series {
                self.sample(name, &all(labels), read(own));
            }
        }
    }

    fn histograms(&mut self, series: &[(Labels, Series)]) {
        type Read = fn(&Series) -> &Histogram;
        let seconds: [(&str, &str, Read); 2] = [
            ("gen_ai_client_operation_duration_seconds", "From request to end.", |own| &own.duration),
            ("gen_ai_server_time_to_first_token_seconds", "From request to first content.", |own| {
                &own.first_content
            }),
        ];
        for (name, help, read) in seconds {
            self.family(name, "histogram", help);
            for (labels, own) in series {
                self.histogram(name, &all(labels), read(own), seconds_of_micros);
            }
        }
        let (name, plain) = ("gen_ai_client_token_usage", |tokens: u64| tokens.to_string());
        self.family(name, "histogram", "Tokens of one exchange.");
        for (labels, own) in series {
            for (kind, histogram) in [("input", &own.input_tokens), ("output", &own.output_tokens)] {
                let mut labels = all(labels);
                labels.push(("gen_ai_token_type", kind));
                self.histogram(name, &labels, histogram, plain);
            }
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[Label<'_>],
        histogram: &Histogram,
        unit: impl Fn(u64) -> String,
    ) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            let bound = unit(bound);
            self.sample(&bucket, &[labels, &[("le", bound.as_str())]].concat(), count);
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), histogram.count());
        self.sample(&format!("{name}_sum"), labels, unit(histogram.sum()));
        self.sample(&format!("{name}_count"), labels, histogram.count());
    }

    fn attempts(&mut self, metrics: &Metrics) {
        let name = "postern_attempts_total";
        self.family(name, "counter", "Attempts at a deployment, by how they ended.");
        for ((deployment, error), count) in metrics.attempts() {
            self.sample(name, &[("deployment", &deployment), ("outcome", error.unwrap_or("ok"))], count);
        }
    }

    fn shadows(&mut self, metrics: &Metrics) {
        type Read = fn(&ShadowSeries) -> u64;
        type Times = fn(&ShadowSeries) -> &Histogram;
        let all = metrics.shadows();
        let name = "postern_shadow_copies_total";
        self.family(name, "counter", "Copies for deployments on trial, by how they ended.");
        for (deployment, own) in &all {
            for (error, count) in &own.ends {
                self.sample(name, &[("deployment", deployment), ("outcome", error.unwrap_or("ok"))], count);
            }
        }
        let families: [(&str, &str, Read); 3] = [
            ("postern_shadow_input_tokens_total", "Input tokens of copies.", |own| own.input_tokens),
            ("postern_shadow_output_tokens_total", "Output tokens of copies.", |own| own.output_tokens),
            ("postern_shadow_cost_nano_usd_total", "Cost of copies in billionths of a dollar.", |own| {
                own.cost_nano_usd
            }),
        ];
        for (name, help, read) in families {
            self.family(name, "counter", help);
            for (deployment, own) in &all {
                self.sample(name, &[("deployment", deployment)], read(own));
            }
        }
        let times: [(&str, &str, Times); 2] = [
            ("postern_shadow_duration_seconds", "Copies, from sending to end.", |own| &own.duration),
            ("postern_shadow_time_to_first_token_seconds", "Copies, from sending to first content.", |own| {
                &own.first_content
            }),
        ];
        for (name, help, read) in times {
            self.family(name, "histogram", help);
            for (deployment, own) in &all {
                self.histogram(name, &[("deployment", deployment)], read(own), seconds_of_micros);
            }
        }
    }

    /// A deployment that several models use is one.
    fn deployments(&mut self, models: &Models) {
        let mut leaves: Vec<_> = models.iter().flat_map(|model| &model.leaves).collect();
        leaves.sort_by(|left, right| left.deployment.name.cmp(&right.deployment.name));
        leaves.dedup_by(|left, right| left.deployment.name == right.deployment.name);
        let name = "postern_deployment_in_flight";
        self.family(name, "gauge", "Calls under way.");
        for leaf in &leaves {
            self.sample(name, &[("deployment", &leaf.deployment.name)], leaf.health.in_flight());
        }
        let name = "postern_deployment_breaker";
        self.family(name, "gauge", "0: closed. 1: half open. 2: open, and not asked.");
        for leaf in &leaves {
            let state = match leaf.health.phase() {
                Phase::Closed => 0,
                Phase::HalfOpen { .. } => 1,
                Phase::Open { .. } => 2,
            };
            self.sample(name, &[("deployment", &leaf.deployment.name)], state);
        }
    }

    fn queues(&mut self, models: &Models) {
        let name = "postern_queue_length";
        self.family(name, "gauge", "Requests that wait for room.");
        for model in models.iter().filter(|model| model.settings.queue.length > 0) {
            self.sample(name, &[("gen_ai_request_model", &model.name)], model.queue.len());
        }
    }
}

/// Every label, so that all samples of a family have the same; empty where there is no value.
fn all(labels: &Labels) -> Vec<Label<'_>> {
    vec![
        ("gen_ai_operation_name", labels.operation),
        ("gen_ai_provider_name", labels.provider.unwrap_or_default()),
        ("gen_ai_request_model", labels.model.as_deref().unwrap_or_default()),
        ("error_type", labels.error.unwrap_or_default()),
    ]
}

/// Exact decimal text, without the rounding of floats.
fn seconds_of_micros(micros: u64) -> String {
    let (whole, part) = (micros.wrapping_div(1_000_000), micros.wrapping_rem(1_000_000));
    let text = format!("{whole}.{part:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Names come from the configuration, where quotes and line ends are possible.
fn escape(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::DURATIONS;

    #[test]
    fn histograms_are_cumulative_and_exact() {
        let mut page = Page::default();
        let mut histogram = Histogram::new(DURATIONS);
        for micros in [1, 10_000, 10_001, 100_000_000] {
            histogram.observe(micros);
        }
        page.histogram("d", &[("m", "a\"b\\\n")], &histogram, seconds_of_micros);
        let lines: Vec<&str> = page.text.lines().collect();
        assert_eq!(lines[0], r#"d_bucket{m="a\"b\\\n",le="0.01"} 2"#);
        assert_eq!(lines[1], r#"d_bucket{m="a\"b\\\n",le="0.02"} 3"#);
        assert_eq!(lines[13], r#"d_bucket{m="a\"b\\\n",le="81.92"} 3"#);
        assert_eq!(lines[14], r#"d_bucket{m="a\"b\\\n",le="+Inf"} 4"#);
        assert_eq!(lines[15], r#"d_sum{m="a\"b\\\n"} 100.020002"#);
        assert_eq!(lines[16], r#"d_count{m="a\"b\\\n"} 4"#);
    }

    #[test]
    fn every_family_is_named_once_and_its_samples_follow() {
        let metrics = Metrics::default();
        metrics.attempted(&Arc::from("main"), None);
        metrics.attempted(&Arc::from("main"), Some("upstream_timeout"));
        metrics.reloaded(true);
        let text = render(&metrics, &Models::default(), None);
        let mut families = std::collections::BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().expect("a name").to_owned();
                assert!(families.insert(current.clone()), "{current} twice");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&current), "{line} is not of {current}");
            }
        }
        assert!(families.len() >= 18, "{families:?}");
        assert!(text.contains(r#"postern_attempts_total{deployment="main",outcome="upstream_timeout"} 1"#));
        assert!(text.contains(r#"postern_config_reloads_total{result="ok"} 1"#));
    }
}
