//! Buffered exchanges: what is sent, what comes back, what is written down.

use gateway::audit::Outcome;
use gateway::upstream::SendError;
use gateway::{AnswerBody, Clock, Plaintext};

use crate::fake::{
    CHAT, CREDENTIAL, FakeUpstream, NARROW_KEY, Piece, Reply, TestClock, ask, ask_with, collect, gateway,
    gateway_with, head, poll_once, run, text,
};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4},"vendor_extra":1.50}"#;
const ASK: &str =
    r#"{"model":"gpt-x","messages":[{"role":"user","content":"Say hi"}],"vendor_extra":{"a":1.0}}"#;

#[test]
fn forwards_the_original_bytes_both_ways() {
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    let answer = ask(&gateway(), &upstream, CHAT, ASK).expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(text(&collect(answer).0), ANSWER);
    let sent = &upstream.sent.borrow()[0];
    assert_eq!((text(&sent.body).as_str(), sent.parts), (ASK, 1), "one piece: the original");
    assert_eq!(sent.path, "/v1/chat/completions");
    let header = |name: &str| sent.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| text(value));
    assert_eq!(header("authorization"), Some(format!("Bearer {CREDENTIAL}")), "trimmed");
    assert_eq!(header("accept-encoding").as_deref(), Some("identity"));
}

#[test]
fn a_client_chooses_neither_host_nor_credential() {
    let body = r#"{"model":"gpt-x","messages":[],"metadata":{"api_base":"http://evil"},"user":"x"}"#;
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    let key = format!("Bearer {}", crate::fake::KEY);
    let headers: &[(&str, &[u8])] = &[
        ("authorization", key.as_bytes()),
        ("host", b"evil"),
        ("x-forwarded-host", b"evil"),
        ("cookie", b"evil"),
    ];
    ask_with(&gateway(), &upstream, &head("POST", CHAT, headers), body).expect("an answer");
    let sent = &upstream.sent.borrow()[0];
    assert_eq!(sent.deployment, "main");
    assert!(sent.headers.iter().all(|(_, value)| !text(value).contains("evil")), "client headers stay here");
}

#[test]
fn says_who_answered() {
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)
        .header("set-cookie", "a=b")
        .header("x-ratelimit-x", "1")]);
    let answer = ask(&gateway(), &upstream, CHAT, ASK).expect("an answer");
    let header = |name: &str| {
        answer
            .headers
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    assert_eq!(header("postern-deployment"), "main");
    assert_eq!(header("postern-provider"), "openai");
    assert_eq!(header("postern-model"), "gpt-x");
    assert_eq!(header("postern-exposure-class"), "provider_visible");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-request-id").len(), 32);
    assert_eq!(header("x-request-id"), header("request-id"));
    assert!(answer.headers.iter().all(|(name, _)| *name != "set-cookie" && !name.starts_with("x-ratelimit")));
}

#[test]
fn writes_down_counts_and_never_content() {
    let gateway = gateway();
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    ask(&gateway, &upstream, CHAT, ASK).expect("an answer");
    let (records, lost) = gateway.books().journal.take();
    assert_eq!((records.len(), lost), (1, 0));
    let record = &records[0];
    assert_eq!((record.outcome, record.error, &*record.key), (Outcome::Complete, None, "tester"));
    assert_eq!(record.usage.map(|usage| usage.total_tokens), Some(4));
    assert_eq!((record.request_bytes, record.answer_bytes), (ASK.len() as u64, ANSWER.len() as u64));
    let json = text(&record.to_json());
    assert!(!json.contains("Say hi") && !json.contains("\"Hi\""));
    let series = gateway.books().metrics.snapshot();
    let own = &series[0].1;
    assert_eq!((own.exchanges, own.input_tokens.sum(), own.output_tokens.sum()), (1, 3, 1));
    assert_eq!((own.duration.count(), own.first_content.count()), (1, 1));
}

#[test]
fn passes_a_client_error_of_the_upstream_on_unchanged() {
    let body = r#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"},"x":1}"#;
    let upstream = FakeUpstream::new([Reply::json(400, body)]);
    let error = ask(&gateway(), &upstream, CHAT, ASK).err().expect("an error");
    assert_eq!(
        (error.status(), text(&error.body_json(gateway::error::Shape::OpenAi))),
        (400, body.to_owned())
    );
    assert!(error.headers().contains(&("x-should-retry", "false".to_owned())));
    assert_eq!(upstream.sent.borrow().len(), 1, "a client's mistake is not tried elsewhere");
}

#[test]
fn never_passes_our_credential_our_host_or_server_texts_on() {
    let smart = r#"{"model":"smart","messages":[]}"#;
    let named = format!(r#"{{"error":{{"message":"bad key {CREDENTIAL}"}}}}"#);
    let host = r#"{"error":{"message":"no route on api.openai.com"}}"#;
    for (reply, status) in [
        (Reply::json(400, named.clone()), 400),
        (Reply::json(400, host), 400),
        (Reply::json(401, r#"{"error":{"message":"CANARY"}}"#), 502),
        (Reply::json(403, r#"{"error":{"message":"CANARY"}}"#), 502),
        (Reply::json(402, r#"{"error":{"message":"CANARY"}}"#), 502),
        (Reply::json(500, r#"{"error":{"message":"CANARY"}}"#), 500),
        (Reply::of(400, "text/html", vec![b"<html>CANARY".to_vec()]), 400),
        (Reply::json(302, "CANARY"), 502),
        (Reply::json(200, "not JSON CANARY"), 502),
    ] {
        let gateway = gateway();
        let upstream = FakeUpstream::new([reply, Reply::Fail(SendError::Connection)]);
        let error = ask(&gateway, &upstream, CHAT, smart).err().expect("an error");
        assert_eq!(error.status(), status, "{error}: the first error counts");
        let shown = text(&error.body_json(gateway::error::Shape::OpenAi));
        assert!(
            !shown.contains(CREDENTIAL) && !shown.contains("api.openai.com") && !shown.contains("CANARY"),
            "{shown}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
    }
}

#[test]
fn caps_the_advice_to_wait() {
    let waits = |name: &str, value: &str| {
        let reply = Reply::json(429, r#"{"error":{"message":"slow down"}}"#).header(name, value);
        let error = ask(&gateway(), &FakeUpstream::new([reply]), CHAT, ASK).err().expect("an error");
        assert!(error.client_should_retry());
        error.retry_after_ms()
    };
    assert_eq!(waits("Retry-After", "7"), Some(7000));
    assert_eq!(waits("retry-after-ms", "250"), Some(250));
    assert_eq!(waits("retry-after", "999999999999999999"), Some(120_000));
    assert_eq!(waits("retry-after", "-1"), None);
    assert_eq!(waits("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(0), "long past");
    assert_eq!(waits("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT"), Some(120_000));
}

#[test]
fn refuses_unknown_and_forbidden_models() {
    let ask = |key: &str, model: &str| {
        let headers: &[(&str, &[u8])] = &[("x-api-key", key.as_bytes())];
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        ask_with(&gateway(), &FakeUpstream::default(), &head("POST", CHAT, headers), body)
            .err()
            .map(|e| e.code())
    };
    assert_eq!(ask(crate::fake::KEY, "nope"), Some("model_not_found"));
    assert_eq!(ask(NARROW_KEY, "smart"), Some("model_not_allowed"));
    assert_eq!(ask(NARROW_KEY, "nope"), Some("model_not_allowed"), "a narrow key learns nothing");
    assert_eq!(ask(NARROW_KEY, "builtin"), None);
}

#[test]
fn refuses_bad_requests_with_the_field() {
    let gateway = gateway();
    for (body, code, param) in [
        (r#"{"messages":[]}"#, "missing_required_parameter", Some("model")),
        (r#"{"model":"gpt-x"}"#, "missing_required_parameter", Some("messages")),
        (r#"{"model":7,"messages":[]}"#, "invalid_value", Some("model")),
        (r#"{"model":"../x","messages":[]}"#, "invalid_value", Some("model")),
        (r#"{"model":"a%2fb","messages":[]}"#, "invalid_value", Some("model")),
        (r#"{"model":"a\u0000","messages":[]}"#, "invalid_value", Some("model")),
        (r#"{"model":"gpt-x","messages":"x"}"#, "invalid_value", Some("messages")),
        (r#"{"model":"gpt-x","messages":[],"stream":"yes"}"#, "invalid_value", Some("stream")),
        (
            r#"{"model":"gpt-x","messages":[],"stream_options":{}}"#,
            "unsupported_parameter",
            Some("stream_options"),
        ),
        (
            r#"{"model":"gpt-x","messages":[],"stream":true,"stream_options":[]}"#,
            "invalid_value",
            Some("stream_options"),
        ),
        (
            r#"{"model":"gpt-x","messages":[],"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
            "invalid_value",
            Some("stream_options"),
        ),
        (r#"{"model":"gpt-x","model":"smart","messages":[]}"#, "invalid_json", None),
        ("", "invalid_json", None),
        ("[]", "invalid_json", None),
    ] {
        let error = ask(&gateway, &FakeUpstream::default(), CHAT, body).err().expect("refused");
        assert_eq!((error.status(), error.code()), (400, code), "{body}");
        let shown: serde_json::Value =
            serde_json::from_slice(&error.body_json(gateway::error::Shape::OpenAi)).expect("JSON");
        assert_eq!(shown["error"]["param"].as_str(), param, "{body}");
        assert_eq!(shown["error"]["code"], code);
    }
    let oversized =
        ask(&gateway, &FakeUpstream::default(), CHAT, vec![b' '; 1_000_001]).err().expect("refused");
    assert_eq!(oversized.status(), 413);
}

#[test]
fn holds_a_place_until_the_answer_ends() {
    let gateway = gateway();
    let headers: &[(&str, &[u8])] = &[("x-api-key", NARROW_KEY.as_bytes())];
    let stream = r#"{"model":"builtin","messages":[],"stream":true}"#;
    let ask = || ask_with(&gateway, &FakeUpstream::default(), &head("POST", CHAT, headers), stream);
    let first = ask().expect("the first is admitted");
    let error = ask().err().expect("the second is not");
    assert_eq!((error.status(), error.code()), (429, "concurrency_limit_exceeded"));
    assert_eq!(error.retry_after_ms(), Some(1000));
    drop(first);
    let again = ask().expect("the place is free again");
    collect(again);
    assert!(ask().is_ok(), "a finished stream frees it as well");
}

#[test]
fn a_client_that_leaves_cancels_and_settles() {
    let gateway = gateway();
    let upstream = FakeUpstream::new([Reply::json(200, "{").then(Piece::Hang)]);
    let clock = TestClock::default();
    let headers: &[(&str, &[u8])] = &[("x-api-key", crate::fake::KEY.as_bytes())];
    let opened = gateway::open(&head("POST", CHAT, headers), &gateway, clock.now()).expect("opens");
    let waiting = gateway::handle(opened, Plaintext::new(ASK.into()), &gateway, &upstream, &clock);
    assert!(poll_once(waiting).is_none(), "it waits, and is dropped");
    assert_eq!(upstream.dropped.get(), 1);
    let (records, _) = gateway.books().journal.take();
    assert_eq!((records.len(), records[0].outcome), (1, Outcome::Cancelled));
}

#[test]
fn an_answer_over_the_limit_is_refused() {
    let pieces: Vec<Vec<u8>> = (0..3).map(|_| vec![b' '; 400_000]).collect();
    let upstream = FakeUpstream::new([Reply::of(200, "application/json", pieces)]);
    let error = ask(&gateway(), &upstream, CHAT, ASK).err().expect("refused");
    assert_eq!(error.code(), "upstream_answer_too_large");
}

#[test]
fn a_deny_list_sees_through_escapes_and_case() {
    let gateway =
        gateway_with("[guardrails.names]\nkind = \"deny_list\"\nphrases = [\"Project Nighthawk\"]\n");
    let with = |text: &str| {
        format!(
            r#"{{"model":"gpt-x","messages":[{{"role":"user","content":[{{"type":"text","text":"{text}"}}]}}]}}"#
        )
    };
    for hidden in ["about project NIGHTHAWK now", r"project\u0020nighth\u0061wk", r"\u0050roject Nighthawk"] {
        let error = ask(&gateway, &FakeUpstream::default(), CHAT, with(hidden)).err().expect("refused");
        assert_eq!((error.status(), error.code()), (400, "content_policy_violation"));
    }
    let records = gateway.books().journal.take().0;
    assert!(records.iter().all(|record| record.guardrail.as_deref() == Some("names")));
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    assert!(ask(&gateway, &upstream, CHAT, with("about project falcon")).is_ok());
}

#[test]
fn the_exact_cache_answers_the_same_key_only() {
    let cache = "[cache.exact]\nttl_seconds = 60\nmax_bytes = 65536\n";
    let gateway = gateway_with(cache);
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER), Reply::json(200, ANSWER)]);
    let state = |answer: &gateway::Answer<_>| {
        answer.headers.iter().find(|(name, _)| *name == "postern-cache").map(|(_, value)| value.clone())
    };
    let first = ask(&gateway, &upstream, CHAT, ASK).expect("an answer");
    assert_eq!(state(&first).as_deref(), Some("miss"));
    let second = ask(&gateway, &upstream, CHAT, ASK).expect("an answer");
    assert_eq!(state(&second).as_deref(), Some("hit"));
    let id = second.headers.iter().find(|(name, _)| *name == "x-request-id").expect("an id").1.clone();
    assert_eq!(text(&collect(second).0), ANSWER.replace("c1", &id), "as it was, with an id of its own");
    assert_eq!(upstream.sent.borrow().len(), 1);
    assert!(ask(&gateway, &upstream, CHAT, ASK.replace("Say", "say")).is_ok());
    assert_eq!(upstream.sent.borrow().len(), 2, "another byte, another answer");
    let records = gateway.books().journal.take().0;
    assert_eq!(records.iter().map(|record| record.cache_hit).collect::<Vec<_>>(), [false, true, false]);
    let headers: &[(&str, &[u8])] = &[("x-api-key", NARROW_KEY.as_bytes())];
    let builtin = ASK.replace("gpt-x", "builtin");
    assert!(ask(&gateway, &upstream, CHAT, builtin.clone()).is_ok());
    let other = ask_with(&gateway, &upstream, &head("POST", CHAT, headers), builtin).expect("an answer");
    assert_eq!(state(&other).as_deref(), Some("miss"), "another key never shares");
}

#[test]
fn the_exact_cache_keeps_whole_answers_that_passed_the_same_guardrails() {
    let rule = |name: &str, applies: &str, hook: &str, phrase: &str| {
        format!(
            "[guardrails.{name}]\nkind = \"deny_list\"\nphrases = [\"{phrase}\"]\n{applies}hooks = [\"{hook}\"]\n"
        )
    };
    let more = [
        "[cache.exact]\nttl_seconds = 60\nmax_bytes = 65536\n".to_owned(),
        rule("asked", "applies = \"on_request\"\n", "output", "never said"),
        rule("kept", "", "log", "not to be kept"),
    ];
    let gateway = gateway_with(&more.concat());
    let with = |finish: &str, said: &str| {
        format!(
            r#"{{"id":"a","object":"chat.completion","created":1,"model":"gpt-x","choices":[{{"index":0,"message":{{"role":"assistant","content":"{said}"}},"finish_reason":"{finish}"}}],"usage":{{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}}}"#
        )
    };
    let calls = |answers: &[String], headers: &[&[(&str, &[u8])]], body: &str| {
        let upstream = FakeUpstream::new(answers.iter().map(|own| Reply::json(200, own.clone())));
        for own in headers {
            let all = [&[("x-api-key", crate::fake::KEY.as_bytes())], *own].concat();
            assert!(ask_with(&gateway, &upstream, &head("POST", CHAT, &all), body.to_owned()).is_ok());
        }
        upstream.sent.borrow().len()
    };
    let body = |text: &str| ASK.replace("Say", text);
    for (finish, said, sent) in
        [("stop", "x", 1), ("length", "x", 2), ("content_filter", "", 2), ("stop", "not to be kept", 2)]
    {
        let answers = [with(finish, said), with(finish, said)];
        assert_eq!(calls(&answers, &[&[], &[]], &body(&format!("{finish} {said}"))), sent, "{finish} {said}");
    }
    let named: &[(&str, &[u8])] = &[("postern-guardrails", b"asked")];
    let answers = [with("stop", "x"), with("stop", "x")];
    assert_eq!(
        calls(&answers, &[&[], named, named], &body("guarded")),
        2,
        "once without and once with the guardrail"
    );
}

#[test]
fn embeddings_go_the_same_way() {
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAA"}],"model":"gpt-x","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let body = r#"{"input":["a"],"model":"smart","encoding_format":"base64"}"#;
    let gateway = gateway();
    let upstream = FakeUpstream::new([Reply::json(200, answer)]);
    let got = ask(&gateway, &upstream, "/v1/embeddings", body).expect("an answer");
    assert_eq!(text(&collect(got).0), answer);
    assert_eq!(upstream.sent.borrow()[0].path, "/v1/embeddings");
    assert_eq!(text(&upstream.sent.borrow()[0].body), body.replace("smart", "gpt-x"));
    let error =
        ask(&gateway, &upstream, "/v1/embeddings", r#"{"model":"smart","input":7}"#).err().expect("refused");
    assert_eq!(error.code(), "invalid_value");
}

#[test]
fn the_builtin_model_streams_through_the_same_path() {
    let body = |more: &str| {
        format!(r#"{{"model":"builtin","messages":[{{"role":"user","content":"Say hello"}}]{more}}}"#)
    };
    let gateway = gateway();
    let whole = ask(&gateway, &FakeUpstream::default(), CHAT, body("")).expect("an answer");
    let whole: serde_json::Value = serde_json::from_slice(&collect(whole).0).expect("JSON");
    let said = whole["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    assert!(said.starts_with("I am Postern's built-in test model"), "{said}");
    let streamed =
        ask(&gateway, &FakeUpstream::default(), CHAT, body(r#","stream":true"#)).expect("an answer");
    assert!(matches!(streamed.body, AnswerBody::Stream(_)));
    let told = text(&collect(streamed).0);
    let mut joined = String::new();
    assert!(told.ends_with(": postern-cost-usd 0.000000000\n\ndata: [DONE]\n\n"), "{told}");
    let is_data = |event: &&str| !event.is_empty() && !event.starts_with(':') && !event.ends_with("[DONE]");
    for event in told.split("\n\n").filter(is_data) {
        let event: serde_json::Value =
            serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON");
        assert!(event.get("usage").is_none(), "nobody asked for usage");
        assert_eq!(event["id"], whole["id"]);
        joined.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    assert_eq!(joined, said, "streamed and buffered are the same text");
    let records = gateway.books().journal.take().0;
    assert_eq!(records[0].usage, records[1].usage, "and the same usage");
    assert!(run(async { true }));
}
