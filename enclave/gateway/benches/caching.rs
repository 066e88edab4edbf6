//! What the caches cost: an exact hit, whole and streamed, beside the same request without any cache; and the nearest of ten
//! thousand questions, without the embedding.

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
    clippy::cast_precision_loss,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "bench code"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::cache::digest::{Fingerprint, Partition};
use gateway::cache::kept::{Form, Given, Kept};
use gateway::cache::semantic::question::{Place, marks};
use gateway::cache::semantic::vector::Vector;
use gateway::cache::semantic::{SemanticCache, SemanticSettings};
use gateway::chat::FinishReason;
use gateway::deployment::{Deployment, Endpoint};
use gateway::wire::openai_chat::OpenAiChat;
use gateway::{AnswerBody, Gateway, Now, Plaintext, Step};

#[path = "pipeline/client.rs"]
mod client;
#[path = "../tests/pipeline/fake.rs"]
mod fake;
#[path = "pipeline/instant.rs"]
mod instant;

use fake::{KEY, TestClock, gateway, gateway_with, run};
use instant::{ANSWER, Instant, request};

fn exchange(gateway: &Gateway, upstream: &Instant, body: &Bytes, clock: &TestClock) -> usize {
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    match client::ask(gateway, upstream, headers, body, clock) {
        AnswerBody::Whole(body) => body.expose().len(),
        AnswerBody::Stream(mut stream) => {
            let mut out = Plaintext::new(Vec::with_capacity(4096));
            while run(stream.next(&mut out, clock)) == Step::More {}
            out.expose().len()
        }
    }
}

fn exact(criterion: &mut Criterion) {
    let clock = TestClock::default();
    let answer = ANSWER.replace('@', &"word ".repeat(160));
    let upstream = Instant { content_type: b"application/json", pieces: vec![answer.into()] };
    let cached = gateway_with("[cache.exact]\nmax_bytes = 10000000\n");
    let (whole, stream) = (request("gpt-x", ""), request("gpt-x", r#","stream":true"#));
    let mut group = criterion.benchmark_group("exact_2KiB");
    let without = gateway();
    group.bench_function("without_cache", |bencher| {
        bencher.iter(|| exchange(&without, &upstream, &whole, &clock));
    });
    exchange(&cached, &upstream, &whole, &clock);
    group.bench_function("hit", |bencher| bencher.iter(|| exchange(&cached, &upstream, &whole, &clock)));
    group.bench_function("hit_as_stream", |bencher| {
        bencher.iter(|| exchange(&cached, &upstream, &stream, &clock));
    });
    group.finish();
    let states = cached.books().metrics.caches().states;
    assert_eq!(states.get(&gateway::cache::CacheState::Miss), Some(&1), "all others were hits");
}

const DIMENSIONS: usize = 384;
const QUESTIONS: usize = 10_000;

fn vector(seed: usize) -> Vector {
    let mut state = seed as u64 + 1;
    let numbers = (0..DIMENSIONS).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    });
    Vector::new(numbers.collect()).expect("a direction")
}

fn semantic(criterion: &mut Criterion) {
    let at = Arc::new(Deployment::service("words", "builtin", Endpoint::Builtin, ""));
    let settings = SemanticSettings {
        embedder: Arc::clone(&at),
        threshold: 0.95,
        ttl: Duration::from_hours(1),
        max_bytes: 1 << 30,
        max_partition_bytes: 1 << 30,
        max_turns: 3,
        sample_percent: 0,
        agreement: 0.9,
    };
    let cache = SemanticCache::new(settings);
    let body = ANSWER.replace('@', "word");
    let given = Given {
        wire: &OpenAiChat,
        form: Form::Whole,
        body: body.as_bytes(),
        usage: None,
        finish: Some(FinishReason::Stop),
        cost: None,
        at: &at,
    };
    let kept = Arc::new(Kept::of(&given).expect("an answer"));
    let (place, partition, now) = (Place([1; 32]), Partition([2; 32]), Now::default());
    for number in 0..QUESTIONS {
        let mut print = [0; 32];
        print[..8].copy_from_slice(&number.to_be_bytes());
        cache.store((Fingerprint(print), partition), (place, vector(number)), &kept, None, now);
    }
    assert_eq!(cache.filling().entries, QUESTIONS);
    let mut group = criterion.benchmark_group("semantic_10k_questions");
    let (known, unknown) = (vector(QUESTIONS / 2), vector(QUESTIONS * 7));
    group.bench_function("nearest", |bencher| {
        bencher.iter(|| {
            cache.find((&place, &partition), black_box(&known), None, now).expect("found").similarity
        });
    });
    group.bench_function("none_near", |bencher| {
        bencher.iter(|| cache.find((&place, &partition), black_box(&unknown), None, now).is_none());
    });
    group.bench_function("marks_of_a_question", |bencher| {
        let text = "Please tell me, in simple words, what the capital of France was in 1940. ".repeat(4);
        bencher.iter(|| marks(black_box(&text)).map(|own| own.len()));
    });
    group.finish();
}

criterion_group!(benches, exact, semantic);
criterion_main!(benches);
