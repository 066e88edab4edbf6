//! The real enclave under load, over sockets, with providers that fail, stall, throttle, lie about when to come back and
//! cut streams, and with clients that leave. Nothing is lost, nothing comes twice, and the process's own numbers agree
//! with what clients saw.
//!
//! `CHAOS_SECONDS` says for how long; `CHAOS_SEED` makes it another run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Answer, Http1, post};
use postern_tests::upstream::{Received, Step, chunk, data, done, stream_head, usage_event, whole};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENTS: u64 = 24;
const WORDS: u64 = 5;

const GATEWAY: &str = r#"
[gateway.deployments.a]
provider = "openai_compatible"
model = "model-a"
base_url = "http://UPSTREAM/a/v1"
limits = { max_in_flight = 8, adaptive = true }
timeouts = { first_content_ms = 900, stall_ms = 700, total_ms = 8000 }
breaker = { open_ms = 300, longest_open_ms = 1000 }
[gateway.deployments.b]
provider = "openai_compatible"
model = "model-b"
base_url = "http://UPSTREAM/b/v1"
timeouts = { first_content_ms = 900, stall_ms = 700, total_ms = 8000 }
breaker = { open_ms = 300, longest_open_ms = 1000 }
[gateway.deployments.c]
provider = "openai_compatible"
model = "model-c"
base_url = "http://UPSTREAM/c/v1"
timeouts = { first_content_ms = 900, stall_ms = 700, total_ms = 8000 }
breaker = { open_ms = 300, longest_open_ms = 1000 }
[gateway.models.chaos]
strategy = "least_latency"
members = ["a", "b", "c"]
retry = { max_attempts = 3, base_ms = 20, longest_ms = 200, longest_advised_ms = 300 }
hedge = { mode = "delayed", delay_ms = 250, budget_percent = 20 }
queue = { length = 50, wait_ms = 1000 }
shadow = { use = "c", percent = 5, requests_per_minute = 600 }
[gateway.models.narrow]
members = ["a"]
queue = { length = 6, wait_ms = 500 }
"#;

/// Numbers that look random, from a counter (`SplitMix64`).
fn mixed(seed: u64) -> u64 {
    let next = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    next ^ (next >> 31)
}

fn from_environment(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn word(call: u64, place: u64) -> Step {
    let delta = json!({"index": 0, "delta": {"content": format!("<{call}:{place}>")}, "finish_reason": null});
    Step::Send(chunk(&data(&json!({"id": "c", "object": "chat.completion.chunk", "choices": [delta]}))))
}

/// What a misbehaving provider does with a call; most of the time it does well.
fn misbehave(request: &Received, call: u64, seed: u64) -> Vec<Step> {
    let dice = mixed(seed ^ call.wrapping_mul(31));
    let wait = |most: u64| Step::Wait(Duration::from_millis(mixed(dice) % most));
    let refused = |status: u16, advice: &str| {
        let body = json!({"error": {"message": "no", "type": "x", "code": "provider-said-no"}}).to_string();
        let head = format!(
            "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\nretry-after: {advice}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        vec![Step::Send(format!("{head}{body}").into_bytes())]
    };
    match dice % 50 {
        0 => return refused(500, "0"),
        1 => return refused(503, "9999999"),
        2 => return refused(429, "0"),
        3 => return refused(429, "soon"),
        4 => return refused(529, "-5"),
        5 => return vec![Step::Reset],
        6 => return vec![Step::Wait(Duration::from_secs(2)), Step::Close],
        _ => {}
    }
    let text = (0..WORDS).map(|place| format!("<{call}:{place}>")).collect::<Vec<_>>().concat();
    if !request.json()["stream"].as_bool().unwrap_or(false) {
        let body = json!({
            "id": "c", "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        });
        let answer = whole(200, &body);
        let half = answer.len() / 2;
        return match dice % 50 {
            7 => vec![Step::Send(answer[..half].to_vec()), Step::Close],
            8 => vec![Step::Send(answer[..half].to_vec()), Step::Wait(Duration::from_secs(2)), Step::Close],
            _ => vec![wait(60), Step::Send(answer)],
        };
    }
    let failure = || Step::Send(chunk(&data(&json!({"error": {"message": "no", "type": "server_error"}}))));
    let mut steps = vec![Step::Send(stream_head()), wait(60)];
    match dice % 50 {
        // Before the first content: another deployment may answer.
        7 => steps.extend([failure(), Step::Close]),
        8 => steps.push(Step::Reset),
        9 => steps.push(Step::Wait(Duration::from_secs(2))),
        // After it: the client must see that the answer is not whole.
        10 => steps.extend([word(call, 0), word(call, 1), Step::Reset]),
        11 => steps.extend([word(call, 0), failure(), Step::Close]),
        12 => steps.extend([word(call, 0), Step::Wait(Duration::from_secs(2)), Step::Close]),
        13 => steps.extend([word(call, 0), Step::Send(b"0\r\n\r\n".to_vec())]),
        _ => {
            steps.extend((0..WORDS).flat_map(|place| [word(call, place), wait(20)]));
            let finish = json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
            steps.extend([data(&finish), usage_event(), done()].map(|event| Step::Send(chunk(&event))));
            steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        }
    }
    steps
}

/// How requests ended, as their clients saw it: our code for the failure, or nothing where all was well.
type Ends = BTreeMap<String, u64>;

/// The words of an answer, of which each is `<call:place>`; they must come from one call and be whole and in order.
fn check_words(text: &str, complete: bool) {
    let words: Vec<&str> = text.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect();
    let calls: Vec<&str> = words.iter().filter_map(|word| word.split(':').next()).collect();
    let places: Vec<u64> =
        words.iter().map(|word| word.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert!(calls.windows(2).all(|pair| pair[0] == pair[1]), "of several calls: {text}");
    let expected: Vec<u64> = (0..places.len() as u64).collect();
    assert_eq!(places, expected, "doubled or out of order: {text}");
    assert!(!complete || places.len() as u64 == WORDS, "looks complete and is not: {text}");
}

/// Judges one answer; its failure's code.
fn judge(answer: &Answer, stream: bool) -> String {
    let text = answer.text();
    if answer.status != 200 {
        assert!(answer.complete, "errors are whole");
        return answer.code();
    }
    if !stream {
        assert!(answer.complete, "a buffered answer is whole or an error");
        check_words(&text, true);
        return String::new();
    }
    let ends = text.matches("data: [DONE]").count();
    let whole = answer.complete && ends == 1;
    check_words(&text, whole);
    if whole {
        assert!(!text.contains("\"error\""), "{text}");
        return String::new();
    }
    assert!(!answer.complete && ends == 0, "half an answer that looks whole: {text}");
    let event = text.lines().rev().find(|line| line.starts_with("data: ")).unwrap();
    let event: serde_json::Value = serde_json::from_str(&event["data: ".len()..]).unwrap();
    assert!(event["error"].is_object(), "it does not say that it failed: {text}");
    "in the stream".to_owned()
}

/// Asks until the time is up.
async fn ask_and_ask(enclave: std::net::SocketAddr, number: u64, until: Instant, seed: u64) -> (Ends, u64) {
    let (mut ends, mut left) = (Ends::new(), 0);
    let mut client = Http1::connect(enclave).await;
    let mut round = 0_u64;
    while Instant::now() < until {
        round += 1;
        let dice = mixed(seed ^ (number << 32) ^ round);
        let stream = !dice.is_multiple_of(3);
        let model = if dice.is_multiple_of(7) { "narrow" } else { "chaos" };
        let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "x"}]});
        let body = post("/v1/chat/completions", &body.to_string());
        if client.send(&body).await.is_err() {
            // An idle connection that was closed meanwhile: nothing was asked.
            client = Http1::connect(enclave).await;
            continue;
        }
        if dice.is_multiple_of(11) {
            tokio::time::sleep(Duration::from_millis(dice % 200)).await;
            left += 1;
            client = Http1::connect(enclave).await;
            continue;
        }
        let answer = tokio::time::timeout(Duration::from_secs(30), client.answer());
        let Some(answer) = answer.await.unwrap() else { panic!("a request without an answer") };
        *ends.entry(judge(&answer, stream)).or_default() += 1;
        if !answer.complete || answer.header("connection") == Some("close") {
            client = Http1::connect(enclave).await;
        }
    }
    (ends, left)
}

/// The page of numbers: each sample's name with its labels, and its value.
async fn numbers(address: &str) -> Vec<(String, f64)> {
    let mut stream = TcpStream::connect(address.strip_prefix("tcp:").unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let body = page.split_once("\r\n\r\n").unwrap().1;
    assert!(!body.contains(KEY) && !body.contains("<0:"), "content in the numbers");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn sum(numbers: &[(String, f64)], family: &str, labelled: &str) -> u64 {
    let of_family = |name: &str| name.split('{').next() == Some(family) && name.contains(labelled);
    numbers.iter().filter(|(name, _)| of_family(name)).map(|(_, value)| *value).sum::<f64>() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_over_sockets_loses_nothing_and_doubles_nothing() {
    let (seconds, seed) = (from_environment("CHAOS_SECONDS", 8), from_environment("CHAOS_SEED", 7));
    let metrics = "[metrics]\naddress = \"tcp:127.0.0.1:0\"\ninterval_seconds = 10\n";
    let enclave = Enclave::with(&Setup {
        listen: "stream_shape = \"none\"".to_owned(),
        gateway: format!("{GATEWAY}{metrics}"),
        ..Setup::default()
    });
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    enclave.upstream.plan(move |request| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        misbehave(request, call, seed)
    });
    let until = Instant::now() + Duration::from_secs(seconds);
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(ask_and_ask(enclave.address, number, until, seed))).collect();
    let (mut ends, mut left) = (Ends::new(), 0);
    for client in clients {
        let (own, own_left) = client.await.unwrap();
        left += own_left;
        for (code, count) in own {
            *ends.entry(code).or_default() += count;
        }
    }
    let answered: u64 = ends.values().sum();
    println!("{answered} answers {ends:?}, {left} left, {} calls upstream", calls.load(Ordering::Relaxed));
    assert!(answered > seconds * 5, "too little load to say anything: {answered}");
    // Who is told at once that there is no room asks again at once: such answers are many and say little.
    let tried = answered - ends.get("overloaded").unwrap_or(&0);
    assert!(ends[""] * 2 > tried, "most are answered, whatever the providers do: {ends:?}");
    // Whoever left is noticed at the next write, and what is last under way ends by its own deadlines.
    tokio::time::sleep(Duration::from_secs(9)).await;
    let numbers = numbers(enclave.process.said("metrics")).await;
    let exchanges = sum(&numbers, "postern_exchanges_total", "");
    assert_eq!(exchanges, answered + left, "every request is settled once");
    let well = sum(&numbers, "postern_exchanges_total", "error_type=\"\"");
    assert!((ends[""]..=ends[""] + left).contains(&well), "{well} settled as well, {ends:?} seen");
    for (code, count) in ends.iter().filter(|(code, _)| code.contains('_')) {
        let settled = sum(&numbers, "postern_exchanges_total", &format!("error_type=\"{code}\""));
        assert!(
            (*count..=count + left + ends.get("in the stream").unwrap_or(&0)).contains(&settled),
            "{code}: {settled} settled, {count} seen"
        );
    }
    assert_eq!(sum(&numbers, "postern_deployment_in_flight", ""), 0, "nothing is held for ever");
    assert_eq!(sum(&numbers, "postern_queue_length", ""), 0);
    let attempts = sum(&numbers, "postern_attempts_total", "");
    assert!(attempts > exchanges / 2, "{attempts} attempts for {exchanges} requests");
}
