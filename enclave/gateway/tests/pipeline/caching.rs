//! The caches from the outside: who gets what again, in which form, what is never kept, and that one call serves all who ask
//! at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use gateway::cache::CacheState;
use gateway::chat::tool_names::ToolNames;
use gateway::chat::{Completion, Delta, completion::Output};
use gateway::wire::WIRES;
use gateway::{Answer, Clock, Gateway, Plaintext, Refused, Step};
use serde_json::{Value, json};

use crate::fake::{
    CHAT, FakeBody, FakeUpstream, KEY, NARROW_KEY, Piece, Reply, TestClock, collect, gateway_with, head, text,
};

const CACHE: &str = "[cache.exact]\nttl_seconds = 60\nmax_bytes = 65536\n";
const ASK: &str = r#"{"model":"gpt-x","messages":[{"role":"user","content":"hello"}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-upstream","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"said #"},"finish_reason":"@"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

fn numbered(number: usize) -> Reply {
    Reply::json(200, ANSWER.replace('@', "stop").replace('#', &number.to_string()))
}

/// Answers that differ.
pub fn numbering(answers: usize) -> FakeUpstream {
    FakeUpstream::new((1..=answers).map(numbered))
}

async fn exchange(
    gateway: &Gateway,
    upstream: &FakeUpstream,
    body: &str,
    key: &str,
    more: &[(&str, &[u8])],
) -> Result<Answer<FakeBody>, Refused> {
    let authorization = format!("Bearer {key}");
    let mut headers: Vec<(&str, &[u8])> = vec![("authorization", authorization.as_bytes())];
    headers.extend(more);
    let clock = upstream.clock();
    let opened = gateway::open(&head("POST", CHAT, &headers), gateway, clock.now())?;
    gateway::handle(opened, Plaintext::new(Bytes::from(body.to_owned())), gateway, upstream, clock).await
}

fn header(answer: &Answer<FakeBody>, name: &str) -> String {
    let found = answer.headers.iter().find(|(own, _)| *own == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// What the cache did, and the answer.
fn ask(gateway: &Gateway, upstream: &FakeUpstream, body: &str, more: &[(&str, &[u8])]) -> (String, String) {
    let clock = upstream.clock().clone();
    let answer = clock.run(exchange(gateway, upstream, body, KEY, more)).expect("answers");
    (header(&answer, "postern-cache"), text(&collect(answer).0))
}

fn other_key(models: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, OTHER.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[admission.keys]]\nid = \"other\"\nsha256 = \"{hex}\"\nmodels = {models}\n")
}

const OTHER: &str = "sk-other-0123456789abcdef";

#[test]
fn an_answer_is_given_again_to_its_key_alone_and_looks_like_a_new_one() {
    let gateway = gateway_with(&format!("{CACHE}{}", other_key("[\"*\"]")));
    let upstream = numbering(2);
    assert_eq!(ask(&gateway, &upstream, ASK, &[]).0, "miss");
    upstream.clock().pass(Duration::from_secs(7));
    let clock = upstream.clock().clone();
    let again = clock.run(exchange(&gateway, &upstream, ASK, KEY, &[])).expect("answers");
    let told = |name| header(&again, name);
    assert_eq!(told("postern-cache"), "hit");
    assert_eq!((told("postern-cache-age"), told("postern-cache-ttl")), ("7".to_owned(), "53".to_owned()));
    assert_eq!((told("postern-cost-usd").as_str(), told("postern-cache-entry").len()), ("0.000000000", 16));
    let id = format!("chatcmpl-{}", told("x-request-id"));
    let body: Value = serde_json::from_slice(&collect(again).0).expect("JSON");
    assert_eq!((body["id"].as_str(), body["created"].as_u64()), (Some(id.as_str()), Some(1_770_000_007)));
    assert_eq!(body["choices"][0]["message"]["content"], "said 1");
    let other = clock.run(exchange(&gateway, &upstream, ASK, OTHER, &[])).expect("answers");
    assert_eq!(header(&other, "postern-cache"), "miss", "another key never shares");
    assert!(text(&collect(other).0).contains("said 2"));
    let states: Vec<_> = gateway.books().journal.take().0.iter().map(|own| own.cache).collect();
    assert_eq!(states, [Some(CacheState::Miss), Some(CacheState::Hit), Some(CacheState::Miss)]);
    let page = gateway::metrics::prometheus::render(
        &gateway.books().metrics,
        gateway.models(),
        gateway.caches().map(AsRef::as_ref),
    );
    for line in [
        "postern_cache_requests_total{state=\"hit\"} 1\n",
        "postern_cache_requests_total{state=\"miss\"} 2\n",
        "postern_cache_entries{cache=\"exact\"} 2\n",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}

#[test]
fn clients_narrow_what_the_cache_does() {
    let gateway = gateway_with(CACHE);
    let upstream = numbering(9);
    let state = |more: &[(&str, &[u8])]| ask(&gateway, &upstream, ASK, more).0;
    assert_eq!(state(&[("postern-cache", b"read-only")]), "miss", "nothing is there");
    assert_eq!(state(&[("cache-control", b"no-store")]), "bypass", "and nothing was kept");
    assert_eq!(state(&[]), "miss");
    assert_eq!(state(&[("postern-cache", b"read-only")]), "hit");
    assert_eq!(state(&[("postern-cache", b"off")]), "bypass");
    assert_eq!(state(&[("postern-cache-namespace", b"elsewhere")]), "miss");
    assert_eq!(state(&[("postern-cache", b"refresh")]), "refresh");
    let (state_now, body) = ask(&gateway, &upstream, ASK, &[]);
    assert!(state_now == "hit" && body.contains("said 6"), "the refreshed one: {body}");
    upstream.clock().pass(Duration::from_secs(5));
    assert_eq!(state(&[("cache-control", b"max-age=4")]), "miss");
    let short: &[(&str, &[u8])] = &[("postern-cache-ttl", b"2"), ("postern-cache", b"refresh")];
    assert_eq!(state(short), "refresh");
    upstream.clock().pass(Duration::from_secs(2));
    assert_eq!(state(&[]), "miss", "kept for two seconds only");
    let clock = upstream.clock().clone();
    for wrong in
        [("postern-cache", &b"forever"[..]), ("postern-cache-ttl", b"0"), ("postern-cache-namespace", b"")]
    {
        let refused = clock.run(exchange(&gateway, &upstream, ASK, KEY, &[wrong]));
        assert_eq!(refused.err().expect("refused").code(), "invalid_value", "{}", wrong.0);
    }
}

#[test]
fn only_what_can_change_the_answer_tells_requests_apart() {
    let gateway = gateway_with(CACHE);
    let upstream = numbering(20);
    assert_eq!(ask(&gateway, &upstream, ASK, &[]).0, "miss");
    let with = |more: &str| ASK.replacen('{', &format!("{{{more},"), 1);
    let reordered = r#"{"messages":[{"role":"user","content":"hello"}],"model":"gpt-x"}"#;
    let same = [
        reordered.to_owned(),
        with(r#""user":"u""#),
        with(r#""metadata":{"a":"b"}"#),
        with(r#""stream":false"#),
    ];
    for body in same {
        assert_eq!(ask(&gateway, &upstream, &body, &[]).0, "hit", "{body}");
    }
    let other = [
        ASK.replace("hello", "hullo"),
        with(r#""seed":1"#),
        with(r#""temperature":0"#),
        with(r#""response_format":{"type":"json_object"}"#),
        with(r#""what_nobody_knows":1"#),
        with(r#""models":["claude"]"#),
        ASK.replace("user", "system"),
    ];
    for body in other {
        assert_eq!(ask(&gateway, &upstream, &body, &[]).0, "miss", "{body}");
    }
}

#[test]
fn what_may_be_answered_otherwise_next_time_is_not_kept() {
    let never = [
        r#""n":2"#,
        r#""temperature":1.5"#,
        r#""store":true"#,
        r#""web_search_options":{}"#,
        r#""audio":{"voice":"x"}"#,
    ];
    for more in never {
        let body = ASK.replacen('{', &format!("{{{more},"), 1);
        assert_eq!(ask(&gateway_with(CACHE), &numbering(1), &body, &[]).0, "bypass", "{more}");
    }
    let harmless = ASK.replacen('{', r#"{"n":1,"temperature":0.5,"store":false,"audio":null,"#, 1);
    assert_eq!(ask(&gateway_with(CACHE), &numbering(1), &harmless, &[]).0, "miss");
    let hot = gateway_with(&format!("[cache]\nmax_temperature = 2.0\n{CACHE}"));
    assert_eq!(ask(&hot, &numbering(1), &ASK.replacen('{', r#"{"temperature":1.5,"#, 1), &[]).0, "miss");
    let some = gateway_with(&format!("[cache]\nmodels = [\"smart\"]\n{CACHE}"));
    assert_eq!(ask(&some, &numbering(1), ASK, &[]).0, "bypass");
    assert_eq!(ask(&some, &numbering(1), &ASK.replace("gpt-x", "smart"), &[]).0, "miss");
    let tools = format!("[cache]\ntool_calls = true\n{CACHE}");
    let refusal = ANSWER.replace("\"content\":\"said #\"", "\"content\":null,\"refusal\":\"I will not\"");
    let cases = [
        (CACHE, ANSWER.replace('@', "stop"), true),
        (CACHE, ANSWER.replace('@', "length"), false),
        (CACHE, ANSWER.replace('@', "content_filter"), false),
        (CACHE, ANSWER.replace('@', "tool_calls"), false),
        (tools.as_str(), ANSWER.replace('@', "tool_calls"), true),
        (CACHE, refusal.replace('@', "stop"), false),
    ];
    for (settings, answer, kept) in cases {
        let gateway = gateway_with(settings);
        let upstream =
            FakeUpstream::new([Reply::json(200, answer.clone()), Reply::json(200, answer.clone())]);
        ask(&gateway, &upstream, ASK, &[]);
        ask(&gateway, &upstream, ASK, &[]);
        assert_eq!(upstream.sent.borrow().len() == 1, kept, "{answer}");
    }
}

#[test]
fn what_was_masked_is_not_kept_nor_what_no_guardrail_could_look_at() {
    let masks = "[guardrails.pii]\nkind = \"pii\"\naction = \"mask\"\n";
    let gateway = gateway_with(&format!("{CACHE}{masks}"));
    let mail = ASK.replace("hello", "mail jane@bank.example");
    assert_eq!(ask(&gateway, &numbering(1), &mail, &[]).0, "bypass");
    assert_eq!(ask(&gateway, &numbering(1), ASK, &[]).0, "miss");
    let log = "[guardrails.log]\nkind = \"deny_list\"\nphrases = [\"unsaid\"]\nhooks = [\"log\"]\n";
    let gateway = gateway_with(&format!("{CACHE}{log}"));
    let upstream = FakeUpstream::new([streamed(), numbered(1)]);
    let streaming = ASK.replacen('{', r#"{"stream":true,"#, 1);
    assert_eq!(ask(&gateway, &upstream, &streaming, &[]).0, "miss");
    assert_eq!(ask(&gateway, &upstream, ASK, &[]).0, "miss", "the stream was not kept");
    assert_eq!(ask(&gateway, &upstream, &streaming, &[]).0, "hit", "the whole answer was");
}

fn streamed() -> Reply {
    let event = |delta: Value, finish: Value| {
        let event = json!({"id":"chatcmpl-s","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{"index":0,"delta":delta,"finish_reason":finish}]});
        format!("data: {event}\n\n").into_bytes()
    };
    Reply::stream(vec![
        event(json!({"role":"assistant","content":""}), Value::Null),
        event(json!({"content":"Hel"}), Value::Null),
        event(json!({"content":"lo \u{1f600}"}), Value::Null),
        event(json!({}), "stop".into()),
        b"data: [DONE]\n\n".to_vec(),
    ])
}

#[test]
fn a_stream_is_given_again_with_its_own_pieces_once_it_was_whole() {
    let gateway = gateway_with(CACHE);
    let ask_stream = ASK.replacen('{', r#"{"stream":true,"#, 1);
    let cut = Reply::stream(vec![b"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n".to_vec()]);
    let upstream = FakeUpstream::new([cut, streamed()]);
    let clock = upstream.clock().clone();
    let broken = clock.run(exchange(&gateway, &upstream, &ask_stream, KEY, &[])).expect("begins");
    assert_eq!(collect(broken).1, Step::Broken);
    let (state, first) = ask(&gateway, &upstream, &ask_stream, &[]);
    assert_eq!(state, "miss", "half an answer is not kept");
    let again = clock.run(exchange(&gateway, &upstream, &ask_stream, KEY, &[])).expect("answers");
    assert_eq!(
        (
            header(&again, "postern-cache").as_str(),
            header(&again, "content-type").starts_with("text/event-stream")
        ),
        ("hit", true)
    );
    let id = header(&again, "x-request-id");
    let (bytes, step) = collect(again);
    let expected = first
        .replace("chatcmpl-s", &format!("chatcmpl-{id}"))
        .replace("\"created\":1,", "\"created\":1770000000,")
        .replace("data: [DONE]", ": postern-cost-usd 0.000000000\n\ndata: [DONE]");
    assert_eq!((text(&bytes), step), (expected, Step::Complete));
    let (state, whole) = ask(&gateway, &upstream, ASK, &[]);
    let whole: Value = serde_json::from_str(&whole).expect("JSON");
    assert_eq!(state, "hit", "the other form as well");
    assert_eq!(whole["choices"][0]["message"]["content"], "Hello \u{1f600}");
    assert_eq!(
        (&whole["choices"][0]["finish_reason"], &whole["object"]),
        (&json!("stop"), &json!("chat.completion"))
    );
    let probable = ASK.replacen('{', r#"{"logprobs":true,"#, 1);
    let upstream = FakeUpstream::new([numbered(1), streamed()]);
    assert_eq!(ask(&gateway, &upstream, &probable, &[]).0, "miss");
    let other_form = probable.replacen('{', r#"{"stream":true,"#, 1);
    assert_eq!(
        ask(&gateway, &upstream, &other_form, &[]).0,
        "miss",
        "what the other form lacks is asked for"
    );
}

/// What a whole answer or a stream says.
fn said(
    dialect: &dyn gateway::wire::dialect::FrontDialect,
    bytes: &[u8],
    stream: bool,
) -> (String, bool, u64) {
    let of = |completion: Completion| {
        let choice = completion.choices.into_iter().next().expect("a choice");
        let texts = choice
            .output
            .into_iter()
            .filter_map(|own| if let Output::Text(text) = own { Some(text) } else { None });
        (texts.collect(), choice.finish.is_some(), completion.usage.map_or(0, |own| own.output_tokens))
    };
    if !stream {
        return of(dialect.read_answer(bytes, &ToolNames::default()).expect("an answer").into_exposed());
    }
    let mut reader = dialect.stream_reader(ToolNames::default());
    let mut deltas = Vec::new();
    reader.feed(bytes, &mut deltas).expect("a stream");
    reader.finish(&mut deltas).expect("a whole stream");
    let (mut all, mut finished, mut tokens) = (String::new(), false, 0);
    for delta in deltas {
        match delta {
            Delta::Text { text, .. } => all.push_str(&text),
            Delta::Finish { .. } => finished = true,
            Delta::Usage(usage) => tokens = usage.output_tokens,
            Delta::Begin { .. }
            | Delta::Citation { .. }
            | Delta::Reasoning { .. }
            | Delta::Refusal { .. }
            | Delta::ToolArguments { .. }
            | Delta::ToolCall { .. } => {}
        }
    }
    (all, finished, tokens)
}

/// For every dialect that clients speak: where and how it is asked.
fn asked_in(wire: &str, stream: bool) -> Option<(&'static str, Value)> {
    let messages = json!([{"role": "user", "content": "tell me"}]);
    let options = json!({"include_usage": true});
    Some(match (wire, stream) {
        ("openai_chat", true) => (
            CHAT,
            json!({"model": "builtin", "messages": messages, "stream": true, "stream_options": options}),
        ),
        ("openai_chat", false) => (CHAT, json!({"model": "builtin", "messages": messages})),
        ("anthropic_messages", _) => (
            "/v1/messages",
            json!({"model": "builtin", "max_tokens": 200, "messages": messages, "stream": stream}),
        ),
        ("openai_responses", _) => (
            "/v1/responses",
            json!({"model": "builtin", "input": "tell me", "store": false, "stream": stream}),
        ),
        ("gemini", true) => ("/v1beta/models/builtin:streamGenerateContent?alt=sse", gemini()),
        ("gemini", false) => ("/v1beta/models/builtin:generateContent", gemini()),
        _ => return None,
    })
}

fn gemini() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "tell me"}]}]})
}

#[test]
fn every_dialect_is_answered_again_in_either_form() {
    let authorization = format!("Bearer {KEY}");
    let headers: &[(&str, &[u8])] = &[("authorization", authorization.as_bytes())];
    let mut seen = 0;
    for wire in WIRES {
        let Some(dialect) =
            wire.dialect().filter(|_| wire.operation().as_str() == "chat" && wire.name() != "gemini_array")
        else {
            continue;
        };
        for first in [false, true] {
            let gateway = gateway_with(CACHE);
            let upstream = FakeUpstream::default();
            let mut answers = Vec::new();
            for stream in [first, first, !first] {
                let (path, body) = asked_in(wire.name(), stream).unwrap_or_else(|| panic!("{}", wire.name()));
                let answer = crate::fake::ask_with(
                    &gateway,
                    &upstream,
                    &head("POST", path, headers),
                    body.to_string(),
                );
                let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", wire.name()));
                let state = header(&answer, "postern-cache");
                let (bytes, step) = collect(answer);
                assert_eq!(step, Step::Complete);
                answers.push((state, said(dialect, &bytes, stream), text(&bytes)));
            }
            let name = format!("{} {first}", wire.name());
            assert_eq!(upstream.sent.borrow().len(), 1, "{name}: {:?}", answers[2].2);
            assert_eq!([&answers[1].0, &answers[2].0], ["hit", "hit"], "{name}");
            assert!(answers[0].1.0.len() > 3 && answers[0].1.1, "{name}: {:?}", answers[0]);
            assert_eq!(answers[0].1, answers[1].1, "{name}");
            assert_eq!(answers[0].1, answers[2].1, "{name}: {}", answers[2].2);
            seen += 1;
        }
    }
    assert!(seen >= 8);
}

#[test]
fn the_older_api_is_answered_again_in_the_form_it_was_asked() {
    let gateway = gateway_with(CACHE);
    let upstream = FakeUpstream::default();
    for (stream, expected) in [(false, "miss"), (false, "hit"), (true, "miss"), (true, "hit")] {
        let body = json!({"model": "builtin", "prompt": "tell me", "max_tokens": 1000, "stream": stream})
            .to_string();
        let answer = crate::fake::ask(&gateway, &upstream, "/v1/completions", body).expect("answers");
        assert_eq!(header(&answer, "postern-cache"), expected, "{stream}");
        assert_eq!(collect(answer).1, Step::Complete);
    }
}

/// Runs both to their ends.
async fn both<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut one, mut two) = (None, None);
    poll_fn(|context| {
        if one.is_none()
            && let Poll::Ready(value) = first.as_mut().poll(context)
        {
            one = Some(value);
        }
        if two.is_none()
            && let Poll::Ready(value) = second.as_mut().poll(context)
        {
            two = Some(value);
        }
        if one.is_some() && two.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (one.expect("ended"), two.expect("ended"))
}

fn slow(status: u16, seconds: u64, body: &str) -> Reply {
    Reply::of(status, "application/json", vec![])
        .then(Piece::Wait(Duration::from_secs(seconds)))
        .then(Piece::Bytes(body.as_bytes().to_vec()))
}

#[test]
fn one_call_serves_those_who_ask_the_same_at_once() {
    let good = ANSWER.replace('@', "stop");
    let long = ANSWER.replace('@', "length");
    // An answer that may be given again serves both; after a failure, or one that may not, who waited asks himself.
    for (first, calls) in [(slow(200, 1, &good), 1), (slow(500, 1, "{}"), 2), (slow(200, 1, &long), 2)] {
        let gateway = gateway_with(CACHE);
        let clock = TestClock::default();
        let upstream = FakeUpstream::timed(&clock).of("main", [first, numbered(2)]);
        let asked = || exchange(&gateway, &upstream, ASK, KEY, &[]);
        let (_, two) = clock.run(both(asked(), asked()));
        assert_eq!(upstream.sent.borrow().len(), calls);
        let two = two.expect("who waited is answered either way");
        assert_eq!(header(&two, "postern-cache"), if calls == 1 { "hit" } else { "miss" });
    }
}

#[test]
fn nobody_waits_for_another_keys_call_nor_for_long() {
    let good = ANSWER.replace('@', "stop");
    let gateway = gateway_with(&format!("{}wait_ms = 2000\n{}", CACHE, other_key("[\"*\"]")));
    let clock = TestClock::default();
    let upstream = FakeUpstream::timed(&clock).of("main", [slow(200, 20, &good), numbered(2), numbered(3)]);
    let first = exchange(&gateway, &upstream, ASK, KEY, &[]);
    let others = async {
        let other = exchange(&gateway, &upstream, ASK, OTHER, &[]).await.expect("another key");
        assert_eq!(
            (header(&other, "postern-cache").as_str(), clock.now().monotonic),
            ("miss", Duration::ZERO)
        );
        let own = exchange(&gateway, &upstream, ASK, KEY, &[]).await.expect("the same key");
        assert_eq!((header(&own, "postern-cache").as_str(), clock.now().monotonic.as_secs()), ("miss", 2));
    };
    clock.run(both(first, others)).0.expect("the first as well");
    assert_eq!(upstream.sent.borrow().len(), 3);
}

#[test]
fn a_client_that_leaves_releases_those_who_wait() {
    let gateway = gateway_with(CACHE);
    let clock = TestClock::default();
    let upstream = FakeUpstream::timed(&clock).of("main", [slow(200, 3600, ""), numbered(2)]);
    {
        let mut leader = pin!(exchange(&gateway, &upstream, ASK, KEY, &[]));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(leader.as_mut().poll(&mut context).is_pending());
    }
    let follower = clock.run(exchange(&gateway, &upstream, ASK, KEY, &[])).expect("answers");
    assert_eq!(clock.now().monotonic, Duration::ZERO, "at once");
    assert!(text(&collect(follower).0).contains("said 2"));
}

#[test]
fn an_answer_from_further_away_than_the_content_may_go_is_not_given() {
    let gateway = gateway_with(CACHE);
    let upstream = numbering(2);
    assert_eq!(ask(&gateway, &upstream, ASK, &[]).0, "miss");
    assert_eq!(ask(&gateway, &upstream, ASK, &[]).0, "hit", "control");
    let clock = upstream.clock().clone();
    let refused =
        clock.run(exchange(&gateway, &upstream, ASK, KEY, &[("postern-exposure-max", b"attested")]));
    assert_eq!(refused.err().expect("nobody may answer").code(), "no_compliant_deployment");
}

const MEANING: &str = r#"
[cache]
max_temperature = 2.0

[cache.semantic]
embeddings = "words"
threshold = 0.9
ttl_seconds = 60
max_bytes = 1000000
max_turns = 3

[deployments.words]
provider = "builtin"
model = "postern-words"
"#;

fn question(content: &str) -> String {
    json!({"model": "gpt-x", "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": content}]}).to_string()
}

#[test]
fn a_question_in_other_words_is_answered_again_and_another_question_is_not() {
    let gateway = gateway_with(&format!("{CACHE}{MEANING}{}", other_key("[\"*\"]")));
    let upstream = numbering(20);
    let state = |body: &str| ask(&gateway, &upstream, body, &[]);
    let first = question("What is the capital of France?");
    assert_eq!(state(&first).0, "miss");
    assert_eq!(state(&first).0, "hit", "the same first");
    let clock = upstream.clock().clone();
    let again = question("Please tell me the capital of France.");
    let near = clock.run(exchange(&gateway, &upstream, &again, KEY, &[])).expect("answers");
    let similarity: f32 = header(&near, "postern-cache-similarity").parse().expect("a number");
    assert_eq!((header(&near, "postern-cache").as_str(), similarity > 0.9), ("semantic-hit", true));
    assert!(text(&collect(near).0).contains("said 1"));
    let streaming = again.replacen('{', r#"{"stream":true,"#, 1);
    let (streamed, events) = state(&streaming);
    assert!(streamed == "semantic-hit" && events.contains("[DONE]"), "{events}");
    for (what, other) in [
        ("another name", question("What is the capital of Spain?")),
        ("the opposite", question("What is not the capital of France?")),
        ("another question", question("Who was the first king of France?")),
        ("a number", question("What is the capital of France in 1940?")),
        ("another system prompt", again.replace("be kind", "be brief")),
        ("another parameter", again.replacen('{', r#"{"seed":7,"#, 1)),
    ] {
        assert_eq!(state(&other).0, "miss", "{what}");
    }
    let calling = again.replacen('{', r#"{"tools":[{"type":"function","function":{"name":"f"}}],"#, 1);
    assert_eq!(state(&calling).0, "miss", "tools are offered");
    let stranger = clock.run(exchange(&gateway, &upstream, &again, OTHER, &[])).expect("answers");
    assert_eq!(header(&stranger, "postern-cache"), "miss", "another key");
}

#[test]
fn without_a_meaning_the_question_is_asked() {
    let gateway = gateway_with(&format!("{CACHE}{MEANING}"));
    let upstream = numbering(2).of("words", [Reply::json(500, "{}"), Reply::json(200, "{\"data\":[]}")]);
    assert_eq!(ask(&gateway, &upstream, &question("What is rain?"), &[]).0, "miss");
    assert_eq!(ask(&gateway, &upstream, &question("Tell me what rain is"), &[]).0, "miss");
    let counts = gateway.books().metrics.caches().events;
    assert_eq!(counts.get(&gateway::metrics::CacheCounter::NotEmbedded), Some(&2));
}

#[test]
fn sampled_hits_are_compared_with_fresh_answers() {
    use gateway::metrics::CacheCounter::{SampledFalse, SampledTrue};
    let sampling = MEANING.replace("max_turns = 3", "sample_percent = 100");
    for (fresh, agrees) in [("said 1", true), ("something else entirely", false)] {
        let gateway = gateway_with(&format!("{CACHE}{sampling}"));
        let second = Reply::json(200, ANSWER.replace('@', "stop").replace("said #", fresh));
        let upstream = FakeUpstream::new([numbered(1), second, numbered(3)]);
        ask(&gateway, &upstream, &question("What is the capital of France?"), &[]);
        let (state, body) = ask(&gateway, &upstream, &question("Tell me the capital of France"), &[]);
        assert!(state == "miss" && body.contains(fresh), "a sample is answered anew: {body}");
        let counter = if agrees { SampledTrue } else { SampledFalse };
        assert_eq!(gateway.books().metrics.caches().events.get(&counter), Some(&1), "{fresh}");
        let left =
            gateway.caches().and_then(|own| own.semantic.as_ref()).expect("configured").filling().entries;
        assert_eq!(left, if agrees { 2 } else { 1 }, "a false one is forgotten");
    }
}

#[test]
fn the_narrow_key_may_cache_too() {
    let gateway = gateway_with(CACHE);
    let upstream = FakeUpstream::default();
    let clock = upstream.clock().clone();
    let body = ASK.replace("gpt-x", "builtin");
    for state in ["miss", "hit"] {
        let answer = clock.run(exchange(&gateway, &upstream, &body, NARROW_KEY, &[])).expect("answers");
        assert_eq!(header(&answer, "postern-cache"), state, "one at a time is enough");
    }
}
