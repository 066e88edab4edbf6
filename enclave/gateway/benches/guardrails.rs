//! What guardrails cost: finders over 16 KiB of text, a request and an answer's chunk with and without them.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    reason = "bench code"
)]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gateway::content::Segment;
use gateway::guardrail::{Detector, GUARDRAILS, Hook, Judge, Settings, Spans, Subject};

#[path = "pipeline/client.rs"]
mod client;
#[path = "../tests/pipeline/fake.rs"]
mod fake;
#[path = "pipeline/instant.rs"]
mod instant;

use fake::{KEY, TestClock, gateway_with};
use instant::{ANSWER, Instant};

const PROSE: &str = "The quarterly review of the programme was moved to 14 March, and Anna Müller (anna.mueller@bank.example) will send the 23 pages of the draft. Please call her before you sign; invoice 2024-00183 over 1,204.50 EUR is still open. Ihre Rückfragen beantworten wir gern unter der bekannten Nummer. let total = items.iter().map(|own| own.price).sum::<u64>(); ";
const SIZE: usize = 16 * 1024;
const PII: &str = "[guardrails.pii]\nkind = \"pii\"\naction = \"mask\"\nhooks = [\"input\", \"output\"]\n";
const SECRETS: &str = "[guardrails.secrets]\nkind = \"secrets\"\naction = \"redact\"\n";
/// Scores what it reads; ordinary text does not come near.
const INJECTION: &str = "[guardrails.injection]\nkind = \"injection\"\n";

/// Ordinary text of about so many bytes, and the worst that a client can send instead.
fn texts() -> Vec<(&'static str, String)> {
    let ordinary: String = PROSE.chars().cycle().take(SIZE - 200).collect();
    let digits: String = "4111 1111 1111 1112 ".chars().cycle().take(SIZE).collect();
    vec![("ordinary", ordinary), ("no_space", "x".repeat(SIZE)), ("almost_cards", digits)]
}

fn finder(kind: &str) -> Box<dyn Spans> {
    match detector(kind) {
        Detector::Spans(spans) => spans,
        Detector::Judge(_) | Detector::Service(_) => panic!("finds places"),
    }
}

fn judge(kind: &str) -> Box<dyn Judge> {
    match detector(kind) {
        Detector::Judge(judge) => judge,
        Detector::Spans(_) | Detector::Service(_) => panic!("judges"),
    }
}

fn detector(kind: &str) -> Detector {
    let kind = GUARDRAILS.iter().find(|own| own.name() == kind).expect("registered");
    kind.configure(&Settings::default()).unwrap_or_else(|problem| panic!("{problem}"))
}

fn text_16_kib(criterion: &mut Criterion) {
    let (pii, secrets, injection) = (finder("pii"), finder("secrets"), judge("injection"));
    let mut group = criterion.benchmark_group("text_16KiB");
    for (form, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let mut found = Vec::new();
        for (name, finders) in
            [("pii", vec![&pii]), ("secrets", vec![&secrets]), ("pii_and_secrets", vec![&pii, &secrets])]
        {
            group.bench_function(format!("{name}/{form}"), |bencher| {
                bencher.iter(|| {
                    found.clear();
                    for finder in &finders {
                        finder.find(&text, 0, 0, &mut found);
                    }
                    found.len()
                });
            });
        }
        let segment = Segment::assembled(gateway::content::Kind::Text, text);
        let segments = [&segment];
        let metadata = std::collections::BTreeMap::new();
        let subject =
            Subject { hook: Hook::Input, segments: &segments, calls: &[], asked: &[], metadata: &metadata };
        group.bench_function(format!("injection/{form}"), |bencher| {
            bencher.iter(|| injection.objects(&subject));
        });
    }
    group.finish();
}

/// A request of that text, from its head to its answer.
fn requests(criterion: &mut Criterion) {
    let answer = ANSWER.replace('@', &"word ".repeat(160));
    let upstream = Instant { content_type: b"application/json", pieces: vec![answer.into()] };
    let all = format!("{PII}{SECRETS}{INJECTION}");
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    for (size, length) in [("2KiB", 2000), ("16KiB", SIZE - 200)] {
        let mut group = criterion.benchmark_group(format!("request_{size}"));
        let content: String = PROSE.chars().cycle().take(length).collect();
        let messages = serde_json::json!([{ "role": "user", "content": content }]);
        let body: Bytes = serde_json::json!({ "model": "gpt-x", "messages": messages }).to_string().into();
        for (name, checks) in
            [("without", ""), ("pii_and_secrets", &all[..PII.len() + SECRETS.len()]), ("and_injection", &all)]
        {
            let (gateway, clock) = (gateway_with(checks), TestClock::default());
            group.bench_function(name, |bencher| {
                bencher.iter(|| client::whole(&client::ask(&gateway, &upstream, headers, &body, &clock)));
            });
            gateway.books().journal.take();
        }
        group.finish();
    }
}

/// Chunks of a word each, one packet each.
fn streamed(criterion: &mut Criterion) {
    const CHUNKS: usize = 1000;
    let words: Vec<&str> = PROSE.split_inclusive(' ').collect();
    let mut pieces: Vec<Bytes> = (0..CHUNKS)
        .map(|place| {
            let word = serde_json::to_string(words[place % words.len()]).expect("text");
            format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-x\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{word}}},\"finish_reason\":null}}]}}\n\n").into()
        })
        .collect();
    pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let upstream = Instant { content_type: b"text/event-stream", pieces };
    let body = Bytes::from_static(br#"{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"write to jane@bank.example"}]}"#);
    let mut group = criterion.benchmark_group("streamed_per_chunk");
    group.throughput(Throughput::Elements(CHUNKS as u64));
    for (name, checks) in [("without", String::new()), ("pii_and_secrets", format!("{PII}{SECRETS}"))] {
        let (gateway, clock) = (gateway_with(&checks), TestClock::default());
        group.bench_function(name, |bencher| {
            let begin = || {
                let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
                client::streamed(client::ask(&gateway, &upstream, headers, &body, &clock))
            };
            bencher.iter_batched(begin, |stream| client::drain(stream, &clock), BatchSize::SmallInput);
        });
        gateway.books().journal.take();
    }
    group.finish();
}

criterion_group!(benches, text_16_kib, requests, streamed);
criterion_main!(benches);
