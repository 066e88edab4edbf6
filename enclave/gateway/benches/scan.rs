//! How fast the scanner is, in bytes per second: a usual request, a long prompt, many small values.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "bench code"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::scan::Fields;

fn scan(criterion: &mut Criterion) {
    let prose = "The quick brown fox jumps over the lazy dog, and says \\\"hello\\\".\\n";
    let message = |length: usize| prose.repeat(length / prose.len());
    let request = |length: usize| {
        format!(
            r#"{{"model":"gpt-x","temperature":0.7,"stream":true,"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"{}"}}]}}"#,
            message(length)
        )
    };
    let lines = format!(r#"{{"model":"m","messages":["{}"]}}"#, ("x".repeat(78) + "\\n").repeat(13_107));
    let numbers = format!(r#"{{"model":"m","input":[{}]}}"#, vec!["1234"; 13_000].join(","));
    let wide = format!(r#"{{"model":"m","messages":["{}"]}}"#, "Grüße aus Köln, ".repeat(4096));
    let chunk = r#"{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1770000000,"model":"gpt-x","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}"#;
    let mut group = criterion.benchmark_group("scan");
    for (name, text) in [
        ("chunk_250B", chunk.to_owned()),
        ("request_2KiB", request(2048)),
        ("request_64KiB", request(65_536)),
        ("request_1MiB", request(1_048_576)),
        ("lines_1MiB", lines),
        ("numbers_64KiB", numbers),
        ("umlauts_64KiB", wide),
    ] {
        let mut fields = Fields::new();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| fields.scan(black_box(text.as_bytes())).expect("valid"));
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
