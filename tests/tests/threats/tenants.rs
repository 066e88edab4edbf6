//! Row 43: one tenant asks what another has asked, to learn from the cache that he did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postern_tests::classifier::Dice;
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Answer, Http1, chat, post_with};
use postern_tests::statistics::same_source;
use postern_tests::upstream::{self, Step};
use ring::digest::{SHA256, digest};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The key of the tenant who is curious.
const CURIOUS: &str = "sk-test-curious-4c1f8a2e9b7d6035";
/// How often he asks, of each kind.
const PROBES: usize = 1000;
/// How often the whole comparison may be made: by chance alone one in a hundred fails.
const ROUNDS: usize = 3;

/// An enclave with a cache, and a provider that takes a moment and never says the same twice.
fn caching() -> Enclave {
    let hash = hex::encode(digest(&SHA256, CURIOUS.as_bytes()));
    let gateway = format!(
        "[[gateway.admission.keys]]\nid = \"curious\"\nsha256 = \"{hash}\"\nmodels = [\"*\"]\n\
         [gateway.cache.exact]\nttl_seconds = 3600\nmax_bytes = 50000000"
    );
    let enclave = Enclave::with(&Setup { gateway, ..Setup::default() });
    let calls = Arc::new(AtomicUsize::new(0));
    enclave.upstream.plan(move |_| {
        let mut body = upstream::completion();
        let number = calls.fetch_add(1, Ordering::SeqCst);
        body["choices"][0]["message"]["content"] = format!("answer {number:08}").into();
        vec![Step::Wait(Duration::from_millis(1)), Step::Send(upstream::whole(200, &body))]
    });
    enclave
}

struct Tenant {
    key: &'static str,
    client: Http1<TlsStream<TcpStream>>,
}

impl Tenant {
    async fn of(enclave: &Enclave, key: &'static str) -> Self {
        Self { key, client: Http1::connect(enclave.address).await }
    }

    /// Asks, and says how long the answer took, in microseconds.
    async fn asks(&mut self, question: &str) -> (Answer, f64) {
        let mut body = chat("fake", false);
        body["messages"][0]["content"] = question.into();
        let fields = format!("authorization: Bearer {}\r\n", self.key);
        let request = post_with("/v1/chat/completions", &fields, &body.to_string());
        let began = Instant::now();
        self.client.send(&request).await.unwrap();
        let answer = self.client.answer().await.unwrap();
        let took = began.elapsed().as_secs_f64() * 1e6;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (answer, took)
    }
}

/// What an answer says: each has an id and a time of its own.
fn said(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_str(answer.text().trim()).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// What an answer's head says, less what is another's for each request.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let own = ["request-id", "x-request-id"];
    answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())).cloned().collect()
}

#[tokio::test]
async fn row_43_no_answer_is_shared_and_no_head_tells_who_asked_before() {
    let enclave = caching();
    let mut asker = Tenant::of(&enclave, KEY).await;
    let mut curious = Tenant::of(&enclave, CURIOUS).await;
    let (first, _) = asker.asks("what the asker asked").await;
    // control: the cache is there, and serves its own
    let (again, _) = asker.asks("what the asker asked").await;
    assert_eq!((again.header("postern-cache"), said(&again) == said(&first)), (Some("hit"), true));
    assert_eq!(enclave.upstream.received().len(), 1);
    let (guessed, _) = curious.asks("what the asker asked").await;
    let (other, _) = curious.asks("what nobody asked ..").await;
    assert_eq!(enclave.upstream.received().len(), 3, "both were asked of the provider");
    assert_ne!(said(&guessed), said(&first));
    assert_eq!(told(&guessed), told(&other), "a head tells");
    assert_eq!(guessed.body.len(), other.body.len());
    assert_ne!(told(&guessed), told(&again), "control: heads do tell a tenant of his own");
}

/// How long the curious tenant waited for what the other had asked, for what nobody had, and the other for his own.
async fn probed(enclave: &Enclave, round: usize) -> [Vec<f64>; 3] {
    let mut asker = Tenant::of(enclave, KEY).await;
    let mut curious = Tenant::of(enclave, CURIOUS).await;
    let mut dice = Dice::new(round as u64 + 1);
    let mut times = [(); 3].map(|()| Vec::new());
    for probe in 0..PROBES {
        let (asked, not) = (format!("asked {round} {probe:05}"), format!("never {round} {probe:05}"));
        asker.asks(&asked).await;
        let mut order = [(0, &asked), (1, &not)];
        if dice.below(2) == 1 {
            order.reverse();
        }
        for (kind, question) in order {
            times[kind].push(curious.asks(question).await.1);
        }
        times[2].push(asker.asks(&asked).await.1);
    }
    times
}

#[tokio::test]
async fn row_43_no_time_tells_who_asked_before() {
    let enclave = caching();
    let mut seen = Vec::new();
    for round in 0..ROUNDS {
        let [asked, not, own] = probed(&enclave, round).await;
        // control: hits and misses of one tenant are told apart at once
        assert!(same_source(&own, &not) < 1e-6, "a hit takes as long as a miss: this proves nothing");
        seen.push(same_source(&asked, &not));
        if seen.last().is_some_and(|likely| *likely > 0.01) {
            return;
        }
    }
    panic!("what another tenant asked is answered in another time: {seen:?}");
}
