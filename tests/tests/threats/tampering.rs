//! Rows 20 and 22: the host changes bytes, or speaks for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use postern_tests::enclave::Enclave;
use postern_tests::evilhost::{Action, EvilHost, Fault, Plan};
use postern_tests::http1::{Http1, chat, post};
use postern_tests::{policies, upstream};
use serde_json::Value;

use super::{Got, ask, refusal, request, said, shaped};

/// Cases of row 20.
const CASES: usize = 10_000;
/// Cases of row 20 in the shape that answers have by default.
const SHAPED_CASES: usize = 2000;
/// Attempts at the same time.
const AT_ONCE: usize = 8;

/// What an undisturbed client gets, and what it takes in bytes.
struct Truth {
    shape: &'static str,
    whole: String,
    stream: String,
    from_client: Span,
    from_enclave: Span,
}

/// Bytes of one direction of a connection.
struct Span {
    /// Until the connection was bound.
    bound: usize,
    /// Until the answer was over.
    end: usize,
}

fn question(number: usize) -> Value {
    chat("real-model", number.is_multiple_of(2))
}

impl Truth {
    async fn learn(enclave: &Enclave, shape: &'static str) -> Self {
        let request = |path, body: &Value| shaped(shape, path, body);
        let host = EvilHost::honest(enclave.address).await;
        let verifier = policies::verifier(host.address, policies::of(enclave));
        let mut channel = verifier.connect().await.unwrap();
        let stream = ask(&mut channel, request("/v1/chat/completions", &question(0))).await;
        let whole = ask(&mut channel, request("/v1/chat/completions", &question(1))).await;
        assert!(stream.is_complete() && whole.is_complete());
        // a connection after the first has no evidence in it, and is what the cases attack
        let bytes = || {
            (host.seen.from_clients.load(Ordering::SeqCst), host.seen.from_enclaves.load(Ordering::SeqCst))
        };
        let before = bytes();
        let mut channel = verifier.connect().await.unwrap();
        let bound = bytes();
        assert!(ask(&mut channel, request("/v1/chat/completions", &question(0))).await.is_complete());
        let end = bytes();
        Self {
            shape,
            whole: said(shape, whole.body()),
            stream: said(shape, stream.body()),
            from_client: Span { bound: bound.0 - before.0, end: end.0 - before.0 },
            from_enclave: Span { bound: bound.1 - before.1, end: end.1 - before.1 },
        }
    }

    fn of(&self, number: usize) -> &str {
        if number.is_multiple_of(2) { &self.stream } else { &self.whole }
    }

    /// Whether somebody who got this was told nothing but the truth.
    fn is_kept(&self, number: usize, got: &Got) -> bool {
        let (truth, heard) = (self.of(number), said(self.shape, got.body()));
        let status = got.answer.as_ref().is_none_or(|(status, _)| *status == 200);
        status && truth.starts_with(&heard) && (!got.is_complete() || truth == heard)
    }
}

/// The fault of a case: kinds in turn, offsets spread over the whole connection.
fn plan(number: usize, truth: &Truth) -> Plan {
    let to_client = !(number / 2).is_multiple_of(4);
    let span = if to_client { &truth.from_enclave } else { &truth.from_client };
    // a prime step visits the offsets in an order that has nothing to do with the kinds; two cases of three concern
    // request and answer, the third the whole connection
    let start = if number.is_multiple_of(3) { 0 } else { span.bound };
    let at = start + number.wrapping_mul(7919) % (span.end - start);
    let action = match number % 7 {
        0 | 1 => Action::Flip(1 << (number / 7 % 8)),
        2 => Action::Insert(vec![number as u8; 1 + number % 3]),
        3 => Action::Drop(1 + number % 40),
        4 => Action::Duplicate(1 + number % 40),
        5 => Action::Reorder(1 + number % 40),
        _ => Action::Flip(0xff),
    };
    let fault = Fault::at_byte(at, action);
    if to_client {
        Plan { to_client: vec![fault], ..Plan::default() }
    } else {
        Plan { to_enclave: vec![fault], ..Plan::default() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_20_no_tampering_delivers_a_wrong_byte() {
    tamper("none", CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_20_no_tampering_with_the_default_shape_delivers_a_wrong_byte() {
    tamper("bucketed", SHAPED_CASES).await;
}

async fn tamper(shape: &'static str, least: usize) {
    let enclave = Arc::new(Enclave::start());
    // pieces that come apart, so that there is something to deliver before a fault strikes
    enclave.upstream.plan(|request| {
        let mut steps = upstream::well(request);
        for at in (1..steps.len()).rev() {
            steps.insert(at, upstream::Step::Wait(std::time::Duration::from_millis(1)));
        }
        steps
    });
    let truth = Arc::new(Truth::learn(&enclave, shape).await);
    let asked_before = enclave.upstream.received().len();
    let next = Arc::new(AtomicUsize::new(0));
    let (planned, shared) = (Arc::clone(&next), Arc::clone(&truth));
    let plans = move |connection| match connection {
        // one appraisal serves all cases, so that each costs a handshake and a signature and no more
        0 => Plan::default(),
        _ => plan(planned.fetch_add(1, Ordering::SeqCst), &shared),
    };
    let host = EvilHost::start(enclave.address, plans).await;
    let verifier = Arc::new(policies::verifier(host.address, policies::of(&enclave)));
    verifier.connect().await.unwrap();
    let (delivered, complete) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut attempts = tokio::task::JoinSet::new();
    for seat in 0..AT_ONCE {
        let (verifier, next, truth) = (Arc::clone(&verifier), Arc::clone(&next), Arc::clone(&truth));
        let (delivered, complete) = (Arc::clone(&delivered), Arc::clone(&complete));
        attempts.spawn(async move {
            let mut number = seat;
            while next.load(Ordering::SeqCst) < least {
                number += 1;
                let Ok(mut channel) = verifier.connect().await else { continue };
                let got = ask(&mut channel, shaped(shape, "/v1/chat/completions", &question(number))).await;
                assert!(truth.is_kept(number, &got), "a wrong byte was delivered: {got:?}");
                delivered.fetch_add(usize::from(!got.body().is_empty()), Ordering::SeqCst);
                complete.fetch_add(usize::from(got.is_complete()), Ordering::SeqCst);
            }
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        attempt.unwrap();
    }
    for received in &enclave.upstream.received()[asked_before..] {
        let sent = String::from_utf8(received.body.clone()).unwrap();
        let asked = [question(0), question(1)].map(|body| body["messages"].to_string());
        assert!(asked.iter().any(|messages| sent.contains(messages)), "a request was altered: {sent}");
    }
    let (cases, delivered, complete) =
        (next.load(Ordering::SeqCst), delivered.load(Ordering::SeqCst), complete.load(Ordering::SeqCst));
    println!("{shape}, {cases} cases: {delivered} delivered something, {complete} of them everything");
    assert!(
        cases >= least && delivered - complete > least / 100,
        "too few faults struck in the middle of an answer"
    );
    assert!(complete < cases / 4, "too few faults struck at all");
}

#[tokio::test]
async fn row_20_control_the_same_faults_deceive_a_client_without_tls() {
    let provider = upstream::Upstream::start();
    let length = upstream::whole(200, &upstream::completion()).len();
    let plan =
        move |_| Plan { to_client: vec![Fault::at_byte(length - 10, Action::Flip(1))], ..Plan::default() };
    let host = EvilHost::start(provider.address, plan).await;
    let mut naive = Http1::new(tokio::net::TcpStream::connect(host.address).await.unwrap());
    let answer = naive.post("/v1/chat/completions", &question(1)).await;
    assert!(answer.complete, "it looks whole");
    assert_ne!(answer.body, upstream::completion().to_string().into_bytes(), "and is not what was sent");
}

const FORGED: &str = "forged by the host";

fn forged(status: u16) -> Vec<u8> {
    let body = format!(
        "{{\"choices\":[{{\"message\":{{\"content\":\"{FORGED}\"}}}}],\"error\":{{\"message\":\"{FORGED}\"}}}}"
    );
    upstream::whole_bytes(status, body.as_bytes())
}

#[tokio::test]
async fn row_22_an_answer_in_the_clear_is_never_content() {
    let enclave = Enclave::start();
    // instead of a handshake
    for status in [200, 401, 429, 500, 503] {
        let host = EvilHost::start(enclave.address, move |_| Plan {
            answer: Some(forged(status)),
            ..Plan::default()
        })
        .await;
        let verifier = policies::verifier(host.address, policies::of(&enclave));
        assert_eq!(refusal(&verifier).await, "PROTO_TLS", "{status}");
    }
    // in the middle of a connection that has proved itself, before each of its records
    let honest = EvilHost::honest(enclave.address).await;
    let verifier = policies::verifier(honest.address, policies::of(&enclave));
    let mut channel = verifier.connect().await.unwrap();
    let truth = ask(&mut channel, request("/v1/chat/completions", &question(1))).await;
    let records = honest.seen.records.load(Ordering::SeqCst);
    for number in 0..records {
        for status in [200, 500] {
            let plan = move |_| Plan {
                to_client: vec![Fault::at_record(number, Action::Insert(forged(status)))],
                ..Plan::default()
            };
            let host = EvilHost::start(enclave.address, plan).await;
            let Ok(mut channel) = policies::verifier(host.address, policies::of(&enclave)).connect().await
            else {
                continue;
            };
            let got = ask(&mut channel, request("/v1/chat/completions", &question(1))).await;
            assert!(truth.body().starts_with(got.body()), "{got:?}");
            assert!(!format!("{got:?}").contains(FORGED), "{got:?}");
        }
    }
    // control: without TLS the forgery is the answer
    let host =
        EvilHost::start(enclave.address, |_| Plan { answer: Some(forged(200)), ..Plan::default() }).await;
    let mut naive = Http1::new(tokio::net::TcpStream::connect(host.address).await.unwrap());
    naive.send(&post("/v1/chat/completions", "{}")).await.unwrap();
    assert!(naive.answer().await.unwrap().text().contains(FORGED));
}
