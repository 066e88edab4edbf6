//! Rows 20 and 21 by script: faults by record, message and time, as a host would plan them that knows the protocol and not the
//! keys.

use std::time::{Duration, Instant};

use postern_tests::enclave::Enclave;
use postern_tests::evilhost::EvilHost;
use postern_tests::http1::chat;
use postern_tests::{policies, upstream};

use super::{Got, ask, said, shaped};

/// Plans that only hold things up.
const LATE: &[&str] = &[
    r#"[{ "to_client": [{ "at": { "message": 2 }, "action": { "delay": 400 } }] }]"#,
    r#"[{ "to_enclave": [{ "at": { "millisecond": 0 }, "action": { "delay": 400 } }] }]"#,
];
/// Plans that do harm. The enclave's first message is its hello; evidence, signature and answer follow.
const HARMFUL: &[&str] = &[
    r#"[{ "to_client": [{ "at": { "message": 1 }, "action": { "flip": 1 } }] }]"#,
    r#"[{ "to_client": [{ "at": { "message": 2 }, "action": { "drop": 40 } }] }]"#,
    r#"[{ "to_client": [{ "at": { "message": 2 }, "action": { "duplicate": 30 } }] }]"#,
    r#"[{ "to_client": [{ "at": { "record": 4 }, "action": { "insert": [23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] } }] }]"#,
    r#"[{ "to_enclave": [{ "at": { "message": 1 }, "action": { "reorder": 20 } }] }]"#,
    r#"[{ "to_enclave": [{ "at": { "message": 2 }, "action": { "cut": "reset" } }] }]"#,
    r#"[{ "to_client": [{ "at": { "millisecond": 250 }, "action": { "cut": "fin" } }] }]"#,
    r#"[{ "answer": [72, 84, 84, 80, 47, 49, 46, 49, 32, 50, 48, 48, 32, 79, 75, 13, 10, 13, 10] }]"#,
];

/// One verified channel through the host and one stream on it; nothing if there was no channel.
async fn streamed(host: &EvilHost, enclave: &Enclave) -> Option<Got> {
    let verifier = policies::verifier(host.address, policies::of(enclave));
    let mut channel = verifier.connect().await.ok()?;
    Some(ask(&mut channel, shaped("none", "/v1/chat/completions", &chat("fake", true))).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_a_script_of_records_messages_and_times_deceives_nobody() {
    let enclave = Enclave::start();
    enclave.upstream.plan(|_| {
        let mut steps = upstream::stream(&["one ", "two ", "three ", "four ", "five ", "six "]);
        // Long enough that what is planned for a time strikes in its middle.
        for at in (1..steps.len()).rev() {
            steps.insert(at, upstream::Step::Wait(Duration::from_millis(100)));
        }
        steps
    });
    let honest = EvilHost::scripted(enclave.address, "[]").await;
    let truth = streamed(&honest, &enclave).await.unwrap();
    assert!(truth.is_complete());
    let whole = said("none", truth.body());
    for script in LATE {
        let (host, began) = (EvilHost::scripted(enclave.address, script).await, Instant::now());
        let got = streamed(&host, &enclave).await.unwrap();
        assert!(got.is_complete() && said("none", got.body()) == whole, "{script}");
        assert!(began.elapsed() >= Duration::from_millis(400), "{script}: control: it was held up");
    }
    for script in HARMFUL {
        let host = EvilHost::scripted(enclave.address, script).await;
        let Some(got) = streamed(&host, &enclave).await else { continue };
        assert!(whole.starts_with(&said("none", got.body())), "{script}: {got:?}");
        assert!(!got.is_complete(), "{script}: it did nothing");
    }
}
