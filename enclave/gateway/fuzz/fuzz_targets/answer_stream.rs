//! Whatever the upstream sends, in whatever pieces: the same answer for every cut, a normal end only after `[DONE]`, and
//! no comment of the upstream in it.
#![no_main]

use std::sync::LazyLock;

use gateway::{Gateway, Step};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/pipeline/fake.rs"]
mod fake;

use fake::{CHAT, FakeUpstream, Reply, ask, collect, gateway};

/// Built once; its books are bounded.
static GATEWAY: LazyLock<Gateway> = LazyLock::new(gateway);

fn answer(body: &str, pieces: Vec<Vec<u8>>) -> Result<(Vec<u8>, Step), &'static str> {
    let upstream = FakeUpstream::new([Reply::stream(pieces)]);
    match ask(&GATEWAY, &upstream, CHAT, body) {
        Ok(answer) => Ok(collect(answer)),
        Err(error) => Err(error.code()),
    }
}

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (asks, cut, bytes) = input;
    let body = if asks {
        r#"{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#
    } else {
        r#"{"model":"gpt-x","stream":true,"messages":[]}"#
    };
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = answer(body, vec![bytes.to_vec()]);
    assert_eq!(answer(body, vec![first.to_vec(), second.to_vec()]), whole);
    // Growing books would make libFuzzer look for leaks after every run.
    drop(GATEWAY.books().journal.take());
    let Ok((told, step)) = whole else { return };
    assert!(step != Step::Complete || told.windows(6).any(|window| window == b"[DONE]"));
    let lines = told.split(|byte| matches!(byte, b'\n' | b'\r'));
    assert!(lines.into_iter().all(|line| line.first() != Some(&b':')), "a comment came through");
});
