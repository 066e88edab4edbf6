//! How long a prompt is: what the client's leg and the provider's leg show of it.

use std::sync::atomic::Ordering;

use postern_tests::enclave::{Enclave, KEY};
use postern_tests::evilhost::EvilHost;
use postern_tests::http1::{Http1, chat, post};
use postern_tests::policies;

/// A question with so many letters in it.
fn question(letters: usize) -> String {
    let mut body = chat("real-model", false);
    body["messages"][0]["content"] = "x".repeat(letters).into();
    body.to_string()
}

#[tokio::test]
async fn prompts_of_similar_length_look_alike_on_both_legs() {
    let enclave = Enclave::start();
    let host = EvilHost::honest(enclave.address).await;
    let mut channel = policies::verifier(host.address, policies::of(&enclave)).connect().await.unwrap();
    let (mut sent, mut passed_on) = (Vec::new(), Vec::new());
    // three that are all alike, two that are, and one alone
    for letters in [1, 500, 850, 3000, 3700, 30_000] {
        channel.ready().await.unwrap();
        let before = host.seen.from_clients.load(Ordering::SeqCst);
        let request = http::Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", "application/json")
            .body(postern_client::full_body(question(letters)))
            .unwrap();
        let answer = channel.send(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
        sent.push(host.seen.from_clients.load(Ordering::SeqCst) - before);
        let received = enclave.upstream.last();
        assert_eq!(
            received.without_padding(),
            question(letters).as_bytes(),
            "the provider gets what was asked"
        );
        passed_on.push(received.body.len());
    }
    for lengths in [&sent, &passed_on] {
        assert!(lengths[0] == lengths[1] && lengths[1] == lengths[2], "{lengths:?}");
        assert!(
            lengths[2] < lengths[3] && lengths[3] == lengths[4] && lengths[4] < lengths[5],
            "{lengths:?}"
        );
    }
    assert_eq!(passed_on[..5], [1024, 1024, 1024, 4096, 4096]);
    // a client without the verifier pads nothing; the provider's leg is padded all the same, in smaller steps
    let mut client = Http1::connect(enclave.address).await;
    for (letters, length) in [(1, 512), (300, 512), (1300, 1408), (1301, 1408)] {
        client.send(&post("/v1/chat/completions", &question(letters))).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 200);
        assert_eq!(enclave.upstream.last().body.len(), length, "{letters}");
    }
    // control: unpadded, a prompt shows to the letter
    let before = host.seen.from_clients.load(Ordering::SeqCst);
    let mut plain = Http1::connect(host.address).await;
    let hello = host.seen.from_clients.load(Ordering::SeqCst) - before;
    let mut sizes = Vec::new();
    for letters in [1, 500] {
        let before = host.seen.from_clients.load(Ordering::SeqCst);
        plain.send(&post("/v1/chat/completions", &question(letters))).await.unwrap();
        plain.answer().await.unwrap();
        sizes.push(host.seen.from_clients.load(Ordering::SeqCst) - before);
    }
    assert!(hello > 0 && sizes[1] > sizes[0] + 300, "{sizes:?}");
}
