//! Row 21: an answer cut at any point is never taken for a whole one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postern_tests::enclave::Enclave;
use postern_tests::evilhost::{Action, End, EvilHost, Fault, Plan};
use postern_tests::http1::{Http1, chat};
use postern_tests::{policies, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ask, said, shaped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_a_cut_answer_never_ends_normally() {
    cut_everywhere("none", 30, Duration::from_millis(1), 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_a_cut_answer_in_the_default_shape_never_ends_normally() {
    cut_everywhere("bucketed", 24, Duration::from_millis(12), 6).await;
}

/// Streams so many pieces with so long between them, and cuts the answer before each of its records.
async fn cut_everywhere(shape: &'static str, pieces: usize, pace: Duration, least: usize) {
    let enclave = Enclave::start();
    let texts: Vec<String> = (0..pieces).map(|number| format!("piece {number} ")).collect();
    enclave.upstream.plan(move |request| {
        if request.body.windows(13).any(|window| window == b"\"stream\":true") {
            let mut steps = upstream::stream(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            for at in (1..steps.len()).rev() {
                steps.insert(at, upstream::Step::Wait(pace));
            }
            return steps;
        }
        let mut body = upstream::completion();
        body["choices"][0]["message"]["content"] = "word ".repeat(30_000).into();
        vec![upstream::Step::Send(upstream::whole(200, &body))]
    });
    for stream in [true, false] {
        let question = chat("real-model", stream);
        let honest = EvilHost::honest(enclave.address).await;
        let mut channel = policies::verifier(honest.address, policies::of(&enclave)).connect().await.unwrap();
        let before = honest.seen.records.load(Ordering::SeqCst);
        let truth = ask(&mut channel, shaped(shape, "/v1/chat/completions", &question)).await;
        assert!(truth.is_complete());
        let all = said(shape, truth.body());
        let records = honest.seen.records.load(Ordering::SeqCst);
        assert!(records - before >= least / 2, "too few boundaries to cut at: {before}..{records}");
        let (mut cut_short, mut whole) = (0, 0);
        for number in before..records {
            for end in [End::Fin, End::Reset] {
                let plan = move |_| Plan {
                    to_client: vec![Fault::at_record(number, Action::Cut(end))],
                    ..Plan::default()
                };
                let host = EvilHost::start(enclave.address, plan).await;
                let verifier = policies::verifier(host.address, policies::of(&enclave));
                let mut channel = verifier.connect().await.unwrap();
                let got = ask(&mut channel, shaped(shape, "/v1/chat/completions", &question)).await;
                let heard = said(shape, got.body());
                assert!(all.starts_with(&heard), "{got:?}");
                if got.is_complete() {
                    assert_eq!(heard, all, "cut before record {number} of {records}, stream {stream}");
                    whole += 1;
                } else {
                    let code = got.error.as_ref().unwrap().code().to_owned();
                    assert!(["CHAN_TRUNCATED", "NET_CLOSED"].contains(&code.as_str()), "{code}");
                    assert!(got.body().is_empty() || code == "CHAN_TRUNCATED", "{code} after content");
                    cut_short += 1;
                }
            }
        }
        println!("{shape}, stream {stream}: {cut_short} answers cut short, {whole} were over before the cut");
        assert!(cut_short >= least, "too few cuts struck");
    }
}

#[tokio::test]
async fn row_21_control_the_same_cut_deceives_a_client_that_reads_to_the_end() {
    let provider = upstream::Upstream::start();
    provider.plan(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
        vec![
            upstream::Step::Send(
                [head, upstream::event("Hello "), upstream::event("world"), upstream::done()].concat(),
            ),
            upstream::Step::Close,
        ]
    });
    let at = 60 + upstream::event("Hello ").len();
    let host = EvilHost::start(provider.address, move |_| Plan {
        to_client: vec![Fault::at_byte(at, Action::Cut(End::Fin))],
        ..Plan::default()
    })
    .await;
    let mut naive = tokio::net::TcpStream::connect(host.address).await.unwrap();
    naive.write_all(&postern_tests::http1::post("/v1/chat/completions", "{}")).await.unwrap();
    let mut text = String::new();
    naive.read_to_string(&mut text).await.expect("the end looks like any other");
    assert!(text.contains("Hello") && !text.contains("[DONE]"));
    // the careful reader of this harness knows better, as its framing demands
    let host = EvilHost::start(provider.address, move |_| Plan {
        to_client: vec![Fault::at_byte(150, Action::Cut(End::Fin))],
        ..Plan::default()
    })
    .await;
    provider.plan(|_| vec![upstream::Step::Send(upstream::whole(200, &upstream::completion()))]);
    let mut careful = Http1::new(tokio::net::TcpStream::connect(host.address).await.unwrap());
    assert!(!careful.post("/v1/chat/completions", &chat("m", false)).await.complete);
}
