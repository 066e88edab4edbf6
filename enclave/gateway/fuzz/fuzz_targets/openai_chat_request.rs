//! Any body is refused with a well-formed error or goes upstream as valid JSON with the same messages.
#![no_main]

use std::sync::LazyLock;

use gateway::Gateway;
use gateway::wire::{Wire, openai_chat::OpenAiChat};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/pipeline/fake.rs"]
mod fake;

use fake::{CHAT, FakeUpstream, Reply, ask, gateway};

/// Built once; its books are bounded.
static GATEWAY: LazyLock<Gateway> = LazyLock::new(gateway);

fuzz_target!(|body: &[u8]| {
    let upstream = FakeUpstream::new([Reply::json(400, "{}")]);
    let Err(error) = ask(&GATEWAY, &upstream, CHAT, body) else { return };
    assert!(serde_json::from_slice::<Value>(&error.body_json(gateway::error::Shape::OpenAi)).is_ok());
    assert_eq!(OpenAiChat.path(), CHAT);
    // Growing books would make libFuzzer look for leaks after every run.
    drop(GATEWAY.books().journal.take());
    for sent in upstream.sent.borrow().iter() {
        let (Ok(mine), Ok(theirs)) =
            (serde_json::from_slice::<Value>(&sent.body), serde_json::from_slice::<Value>(body))
        else {
            continue;
        };
        assert_eq!(mine["messages"], theirs["messages"]);
        assert!(mine["stream"] != true || mine["stream_options"]["include_usage"] == true);
    }
});
