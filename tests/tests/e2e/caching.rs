//! The caches of a real enclave: what is given again, to whom, in which form, and what one who shares nothing gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Answer, Http1, chat, post_with};
use postern_tests::upstream::{self, Step, chunk};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

const OTHER: &str = "sk-test-shares-nothing-77aa10";

/// An enclave with both caches, and a provider that takes a while and never says the same twice.
fn caching() -> Enclave {
    let hash = hex::encode(digest(&SHA256, OTHER.as_bytes()));
    let gateway = format!(
        "[[gateway.admission.keys]]\nid = \"other\"\nsha256 = \"{hash}\"\nmodels = [\"*\"]\n\
         [gateway.cache.exact]\nmax_bytes = 1000000\n\
         [gateway.cache.semantic]\nembeddings = \"words\"\nmax_bytes = 1000000\n\
         [gateway.deployments.words]\nprovider = \"builtin\"\nmodel = \"postern-words\""
    );
    let enclave = Enclave::with(&Setup { gateway, ..Setup::default() });
    let calls = Arc::new(AtomicUsize::new(0));
    enclave.upstream.plan(move |request| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        let said = format!("answer {number}");
        let wait = Step::Wait(Duration::from_millis(300));
        if request.json()["stream"] == true {
            let words: Vec<&str> = said.split_inclusive(' ').collect();
            let mut steps = upstream::stream(&words);
            steps.insert(0, wait);
            return steps;
        }
        let mut body = upstream::completion();
        body["choices"][0]["message"]["content"] = said.into();
        vec![wait, Step::Send(upstream::whole(200, &body))]
    });
    enclave
}

async fn ask(enclave: &Enclave, key: &str, body: &Value) -> (String, Answer) {
    let mut client = Http1::connect(enclave.address).await;
    let fields = format!("authorization: Bearer {key}\r\n");
    client.send(&post_with("/v1/chat/completions", &fields, &body.to_string())).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.complete);
    (answer.header("postern-cache").unwrap_or_default().to_owned(), answer)
}

fn question(content: &str, stream: bool) -> Value {
    let mut body = chat("fake", stream);
    body["messages"][0]["content"] = content.into();
    body
}

/// What an answer says, streamed or not.
fn said(answer: &Answer) -> String {
    let text = answer.text();
    let Ok(whole) = serde_json::from_str::<Value>(text.trim()) else {
        let events =
            text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        let events = events.map(|data| serde_json::from_str::<Value>(data).unwrap());
        return events
            .filter_map(|own| own["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
    };
    whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_is_answered_again_in_either_form_and_to_its_own_key_alone() {
    let enclave = caching();
    let hello = question("say hello to the world", false);
    let (state, first) = ask(&enclave, KEY, &hello).await;
    assert_eq!((state.as_str(), said(&first).as_str()), ("miss", "answer 0"));
    let (state, again) = ask(&enclave, KEY, &hello).await;
    assert_eq!((state.as_str(), said(&again).as_str()), ("hit", "answer 0"));
    assert_ne!(again.json()["id"], first.json()["id"]);
    let (state, streamed) = ask(&enclave, KEY, &question("say hello to the world", true)).await;
    assert_eq!((state.as_str(), said(&streamed).as_str()), ("hit", "answer 0"));
    assert!(streamed.text().contains("data: [DONE]") && streamed.header("content-length").is_none());
    assert_eq!(enclave.upstream.received().len(), 1);
    let (state, other) = ask(&enclave, OTHER, &hello).await;
    assert_eq!((state.as_str(), said(&other).as_str()), ("miss", "answer 1"));
    // and the other way round: kept as a stream, wanted whole
    let counting = |stream| question("count to three", stream);
    assert_eq!(ask(&enclave, KEY, &counting(true)).await.0, "miss");
    for stream in [true, false] {
        let (state, answer) = ask(&enclave, KEY, &counting(stream)).await;
        assert_eq!((state.as_str(), said(&answer).as_str()), ("hit", "answer 2"), "{stream}");
    }
}

#[tokio::test]
async fn who_asks_the_same_at_once_shares_one_call() {
    let enclave = caching();
    let body = question("all at once", false);
    let pair = || async { tokio::join!(ask(&enclave, KEY, &body), ask(&enclave, KEY, &body)) };
    let crowd: [_; 4] = tokio::join!(pair(), pair(), pair(), pair()).into();
    let answers = crowd.into_iter().flat_map(<[_; 2]>::from);
    let states: Vec<_> = answers.map(|(state, answer)| (state, said(&answer))).collect();
    assert_eq!(enclave.upstream.received().len(), 1);
    assert_eq!(states.iter().filter(|(state, _)| state == "hit").count(), 7, "{states:?}");
    assert!(states.iter().all(|(_, said)| said == "answer 0"));
}

#[tokio::test]
async fn a_question_in_other_words_is_answered_inside() {
    let enclave = caching();
    let asked = |content: &str| question(content, false);
    assert_eq!(ask(&enclave, KEY, &asked("What is the capital of France?")).await.0, "miss");
    let (state, near) = ask(&enclave, KEY, &asked("Please tell me the capital of France.")).await;
    assert_eq!((state.as_str(), said(&near).as_str()), ("semantic-hit", "answer 0"));
    assert!(near.header("postern-cache-similarity").is_some());
    for (key, content) in [(KEY, "What is the capital of Spain?"), (OTHER, "Tell me the capital of France")] {
        assert_eq!(ask(&enclave, key, &asked(content)).await.0, "miss", "{content}");
    }
}

#[test]
fn a_cache_that_would_show_questions_to_a_provider_is_refused() {
    let semantic = |embeddings: &str| {
        format!("[gateway.cache.semantic]\nembeddings = \"{embeddings}\"\nmax_bytes = 1000000")
    };
    for (embeddings, why) in [("fake", "attested"), ("nobody", "CONFIG_UNKNOWN")] {
        let (status, said) = Enclave::refused(&Setup { gateway: semantic(embeddings), ..Setup::default() });
        assert!(
            !status.success() && said.contains(why) && said.contains("cache.semantic.embeddings"),
            "{said}"
        );
    }
}

/// A stream that breaks is stored by nobody, and who waited for it asks himself.
#[tokio::test]
async fn half_an_answer_is_never_given_again() {
    let enclave = caching();
    enclave.upstream.plan(|_| {
        vec![Step::Send(upstream::stream_head()), Step::Send(chunk(&upstream::event("Hal"))), Step::Reset]
    });
    let body = json!({"model": "fake", "stream": true, "messages": [{"role": "user", "content": "break"}]});
    for _ in 0..2 {
        let mut client = Http1::connect(enclave.address).await;
        let fields = format!("authorization: Bearer {KEY}\r\n");
        client.send(&post_with("/v1/chat/completions", &fields, &body.to_string())).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.complete, answer.header("postern-cache")), (false, Some("miss")));
    }
    assert_eq!(enclave.upstream.received().len(), 2);
}
