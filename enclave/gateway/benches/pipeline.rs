//! What the gateway itself costs: a 2 KiB request from head to answer, and one streamed chunk, with an upstream that
//! costs nothing.

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
    clippy::format_push_string,
    reason = "bench code"
)]

use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gateway::admission::{AllowedModels, Key};
use gateway::route::decide;
use gateway::route::tree::{Dice, FeaturesOnce, Question};
use gateway::route::wishes::Wishes;
use gateway::wire::{Asked, Wire};
use gateway::{AnswerBody, Clock, Now, Plaintext};

#[path = "pipeline/client.rs"]
mod client;
#[path = "../tests/pipeline/fake.rs"]
mod fake;
#[path = "pipeline/instant.rs"]
mod instant;

use fake::{CHAT, KEY, TestClock, gateway, gateway_with, head};
use instant::{ANSWER, CHUNK, Instant, MESSAGE, MESSAGE_DELTA, MESSAGE_START, request};

fn buffered(criterion: &mut Criterion) {
    let (gateway, clock) = (gateway(), TestClock::default());
    let answer = ANSWER.replace('@', &"word ".repeat(160));
    let upstream = Instant { content_type: b"application/json", pieces: vec![answer.into()] };
    let credential = format!("Bearer {KEY}");
    let headers: &[(&str, &[u8])] = &[
        ("host", b"localhost"),
        ("user-agent", b"openai-python"),
        ("accept", b"application/json"),
        ("content-type", b"application/json"),
        ("authorization", credential.as_bytes()),
        ("content-length", b"2048"),
    ];
    let mut group = criterion.benchmark_group("buffered_2KiB");
    for (name, model) in [("same_name", "gpt-x"), ("renamed", "smart")] {
        let body = request(model, "");
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| client::whole(&client::ask(&gateway, &upstream, headers, &body, &clock)));
        });
    }
    group.bench_function("open_only", |bencher| {
        bencher.iter(|| gateway::open(&head("POST", CHAT, headers), &gateway, clock.now()).expect("opens"));
    });
    group.finish();
    gateway.books().journal.take();
}

fn streamed(criterion: &mut Criterion) {
    const CHUNKS: usize = 1000;
    let (gateway, clock) = (gateway(), TestClock::default());
    let mut pieces = vec![Bytes::from_static(CHUNK.as_bytes()); CHUNKS];
    pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let upstream = Instant { content_type: b"text/event-stream", pieces };
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    let mut group = criterion.benchmark_group("streamed");
    group.throughput(Throughput::Elements(CHUNKS as u64));
    let asked = r#","stream":true,"stream_options":{"include_usage":true}"#;
    for (name, options) in [("per_chunk_forwarded", asked), ("per_chunk_usage_cut", r#","stream":true"#)] {
        let body = request("gpt-x", options);
        group.bench_function(name, |bencher| {
            let begin = || client::streamed(client::ask(&gateway, &upstream, headers, &body, &clock));
            bencher.iter_batched(begin, |stream| client::drain(stream, &clock), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Filters and strategy alone, with ten deployments.
fn routing(criterion: &mut Criterion) {
    let mut text = String::new();
    for place in 0..10 {
        text += &format!(
            "[deployments.d{place}]\nprovider = 'openai_compatible'\nmodel = 'm'\nbase_url = 'http://127.0.0.1:9'\ncontext_tokens = 100000\n"
        );
    }
    let names: Vec<String> = (0..10).map(|place| format!("d{place}")).collect();
    let strategies = ["priority", "weighted", "least_latency", "least_busy", "sticky"];
    for strategy in strategies {
        text += &format!("[models.{strategy}]\nstrategy = '{strategy}'\nmembers = {names:?}\n");
    }
    let gateway = gateway_with(&text);
    let key = Key::new("bench".into(), AllowedModels::Every, None);
    let wishes = Wishes::default();
    let mut group = criterion.benchmark_group("routing_ten_deployments");
    for strategy in strategies {
        let chat = &gateway::wire::openai_chat::OpenAiChat;
        let request = chat.parse(Asked::default(), Plaintext::new(request(strategy, ""))).expect("parses");
        let model = gateway.models().find(strategy).expect("configured");
        for (place, leaf) in model.leaves.iter().enumerate() {
            let now = Now { monotonic: Duration::from_secs(5), ..Now::default() };
            let mut flight = leaf.health.begin(1, true, now).expect("begins");
            flight.reached(Duration::from_millis(100 + place as u64), now);
        }
        let dice = Dice::new(7);
        group.bench_function(strategy, |bencher| {
            bencher.iter(|| {
                let features = FeaturesOnce::new(&request);
                let question = Question {
                    request: &request,
                    key: &key,
                    wishes: &wishes,
                    labels: &[],
                    now: Now { monotonic: Duration::from_secs(6), ..Now::default() },
                    dice: &dice,
                    leaves: &model.leaves,
                    features: &features,
                };
                decide(&question, model, gateway.models().ceilings(), &mut |_, _| {}).expect("decides")
            });
        });
    }
    group.finish();
}

/// A 2 KiB request whose upstream speaks another dialect: what translating costs beside forwarding.
fn translated(criterion: &mut Criterion) {
    let (gateway, clock) = (gateway(), TestClock::default());
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    let mut pieces = vec![Bytes::from_static(MESSAGE_START.as_bytes())];
    pieces.extend(vec![Bytes::from_static(MESSAGE_DELTA.as_bytes()); 1000]);
    pieces.push(Bytes::from_static(b"data: {\"type\":\"message_stop\"}\n\n"));
    let stream = Instant { content_type: b"text/event-stream", pieces };
    let answer = MESSAGE.replace('@', &"word ".repeat(160));
    let whole = Instant { content_type: b"application/json", pieces: vec![answer.into()] };
    let mut group = criterion.benchmark_group("translated");
    for (name, options, upstream) in
        [("buffered_2KiB", "", &whole), ("thousand_chunks", r#","stream":true"#, &stream)]
    {
        let body = request("claude", options);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answer = client::ask(&gateway, upstream, headers, &body, &clock);
                if let AnswerBody::Stream(stream) = answer {
                    client::drain(stream, &clock);
                }
            });
        });
    }
    group.finish();
    gateway.books().journal.take();
}

criterion_group!(benches, buffered, streamed, routing, translated);
criterion_main!(benches);
