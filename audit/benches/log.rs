//! What an entry costs where it is written, and where it is checked.
#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "bench code")]

use std::hint::black_box;

use audit::entry::{Call, Entry, Event, FORMAT};
use audit::tree::{Frontier, leaf};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn entry() -> Entry {
    let call = Call {
        request_id: "0123456789abcdef0123456789abcdef".into(),
        key: "team-red".into(),
        operation: "chat".into(),
        wire: "openai_chat".into(),
        model: Some("smart".into()),
        deployment: Some("smart-eu".into()),
        outcome: "complete".into(),
        prompt_hmac: Some("ab".repeat(32)),
        response_hmac: Some("cd".repeat(32)),
        config: "ef".repeat(48),
        ..Call::default()
    };
    Entry {
        format: FORMAT,
        unix_ms: 1_800_000_000_000,
        salt: "00".repeat(16),
        event: Event::Call(Box::new(call)),
    }
}

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(1));
    let entry = entry();
    let line = entry.to_line();
    let mut frontier = Frontier::default();
    group.bench_function("write_line", |bencher| bencher.iter(|| black_box(&entry).to_line()));
    group.bench_function("append", |bencher| bencher.iter(|| frontier.push(leaf(black_box(&line)))));
    group.bench_function("read_line", |bencher| bencher.iter(|| Entry::parse(black_box(&line)).unwrap()));
    group.finish();
}

criterion_group!(benches, log);
criterion_main!(benches);
