//! How often a request takes memory, from head to answer, with an upstream that costs nothing. Every block that is freed is
//! wiped, so blocks are work twice over. The numbers do not depend on the machine; `--nocapture` shows them.

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
    clippy::print_stdout,
    clippy::disallowed_macros,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "test code"
)]

use std::alloc::System;

use bytes::Bytes;
use gateway::{AnswerBody, Clock, Gateway, Plaintext, Step};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "../pipeline/fake.rs"]
mod fake;
#[path = "../../benches/pipeline/instant.rs"]
mod instant;

use fake::{CHAT, KEY, TestClock, gateway, head, run};
use instant::{ANSWER, CHUNK, Instant, MESSAGE, MESSAGE_DELTA, MESSAGE_START, request};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CHUNKS: usize = 1000;

/// Blocks that one request takes, after others have warmed what is kept.
fn blocks(gateway: &Gateway, upstream: &Instant, body: &Bytes) -> usize {
    let clock = TestClock::default();
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    let mut last = 0;
    for _ in 0..20 {
        let region = Region::new(ALLOCATOR);
        let opened = gateway::open(&head("POST", CHAT, headers), gateway, clock.now()).expect("opens");
        let handled = gateway::handle(opened, Plaintext::new(body.clone()), gateway, upstream, &clock);
        if let AnswerBody::Stream(mut stream) = run(handled).expect("answers").body {
            let mut out = Plaintext::new(Vec::with_capacity(4096));
            while run(stream.next(&mut out, &clock)) == Step::More {
                out.expose_mut().clear();
            }
        }
        let change = region.change();
        last = change.allocations + change.reallocations;
        gateway.books().journal.take();
    }
    last
}

fn whole(answer: &str) -> Instant {
    let answer = answer.replace('@', &"word ".repeat(160));
    Instant { content_type: b"application/json", pieces: vec![answer.into()] }
}

fn streamed(first: &[&'static str], chunk: &'static str, last: &'static str) -> Instant {
    let mut pieces: Vec<Bytes> = first.iter().map(|own| Bytes::from_static(own.as_bytes())).collect();
    pieces.extend(vec![Bytes::from_static(chunk.as_bytes()); CHUNKS]);
    pieces.push(Bytes::from_static(last.as_bytes()));
    Instant { content_type: b"text/event-stream", pieces }
}

/// One test, since the counter belongs to the whole process.
#[test]
fn requests_take_few_blocks_and_chunks_none() {
    let gateway = gateway();
    let stream = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let openai = streamed(&[], CHUNK, "data: [DONE]\n\n");
    let anthropic = streamed(&[MESSAGE_START], MESSAGE_DELTA, "data: {\"type\":\"message_stop\"}\n\n");
    for (name, upstream, body, most) in [
        ("forwarded", &whole(ANSWER), request("gpt-x", ""), MOST_FORWARDED),
        ("forwarded, a thousand chunks", &openai, request("gpt-x", stream), MOST_STREAMED),
        ("translated", &whole(MESSAGE), request("claude", ""), MOST_TRANSLATED),
        ("translated, a thousand chunks", &anthropic, request("claude", stream), MOST_TRANSLATED_STREAM),
    ] {
        let blocks = blocks(&gateway, upstream, &body);
        println!("{name}: {blocks} blocks");
        assert!(blocks <= most, "{name}: {blocks} blocks, at most {most}");
    }
}

const MOST_FORWARDED: usize = 50;
const MOST_STREAMED: usize = 60;
const MOST_TRANSLATED: usize = 85;
const MOST_TRANSLATED_STREAM: usize = 1110;
