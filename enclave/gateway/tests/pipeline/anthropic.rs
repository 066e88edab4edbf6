//! What coding agents rely on with Anthropic's API (gateway protocol of Claude Code): head fields, unknown members and
//! errors pass as they are, and refusals are told in Anthropic's words.

use gateway::error::Shape;
use gateway::{Error, RequestHead};
use serde_json::Value;

use crate::fake::{CREDENTIAL, FakeUpstream, KEY, Reply, TestClock, ask_with, collect, gateway, head, text};

const MESSAGES: &str = "/v1/messages";
const BODY: &str = r#"{ "model" : "claude-opus-4-6", "max_tokens": 5, "new": {"a":1}, "messages": [] }"#;
const ANSWER: &str = r#"{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;

fn with_query<'a>(path: &'a str, query: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> RequestHead<'a> {
    RequestHead { query: Some(query), ..head("POST", path, headers) }
}

#[test]
fn anthropic_fields_of_the_head_pass_verbatim_and_nothing_else_does() {
    let headers: &[(&str, &[u8])] = &[
        ("X-Api-Key", KEY.as_bytes()),
        ("Anthropic-Version", b"2023-06-01"),
        ("anthropic-beta", b"context-management-2025-06-27,brand-new-2026-11-01"),
        ("anthropic-dangerous-direct-browser-access", b"true"),
        ("x-claude-code-session-id", b"s1"),
        ("user-agent", b"claude-cli/9.9"),
        ("x-stainless-lang", b"js"),
    ];
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    let head = with_query(MESSAGES, "beta=true", headers);
    let answer = ask_with(&gateway(), &upstream, &head, BODY).expect("answers");
    assert_eq!(text(&collect(answer).0), ANSWER);
    let sent = &upstream.sent.borrow()[0];
    assert_eq!(
        (sent.path.as_str(), sent.body.as_ref(), sent.parts),
        ("/v1/messages?beta=true", BODY.as_bytes(), 1)
    );
    let own = sent.passed_on.iter().filter(|(name, _)| name != "via");
    let passed: Vec<_> = own.map(|(name, value)| (name.as_str(), text(value))).collect();
    assert_eq!(
        passed,
        [
            ("anthropic-version", "2023-06-01".to_owned()),
            ("anthropic-beta", "context-management-2025-06-27,brand-new-2026-11-01".to_owned()),
            ("anthropic-dangerous-direct-browser-access", "true".to_owned()),
        ]
    );
    assert!(sent.headers.contains(&("x-api-key", CREDENTIAL.as_bytes().to_vec())));
    assert!(sent.headers.iter().all(|(name, _)| !matches!(*name, "authorization" | "anthropic-version")));
}

#[test]
fn a_version_is_always_sent_and_no_other_query_is() {
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    let head = with_query(MESSAGES, "beta=true&key=x", headers);
    drop(ask_with(&gateway(), &upstream, &head, BODY).expect("answers"));
    let sent = &upstream.sent.borrow()[0];
    assert_eq!(sent.path, "/v1/messages");
    assert!(sent.headers.contains(&("anthropic-version", b"2023-06-01".to_vec())));
}

/// Head fields of the client mean nothing to an upstream of another dialect.
#[test]
fn translated_requests_take_no_fields_of_the_head_along() {
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes()), ("anthropic-beta", b"b")];
    let body = BODY.replace("claude-opus-4-6", "gpt-x");
    let whole = r#"{"id":"c","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}"#;
    let upstream = FakeUpstream::new([Reply::json(200, whole)]);
    drop(ask_with(&gateway(), &upstream, &head("POST", MESSAGES, headers), body).expect("answers"));
    let sent = &upstream.sent.borrow()[0];
    assert!(sent.passed_on.iter().all(|(name, _)| name == "via") && sent.path == "/v1/chat/completions");
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_path() {
    let gateway = gateway();
    let refused = |path: &str, headers: &[(&str, &[u8])]| -> Value {
        let opened =
            gateway::open(&head("POST", path, headers), &gateway, gateway::Clock::now(&TestClock::default()));
        let error = opened.err().expect("refused");
        serde_json::from_slice(&error.body_json(Shape::of_path(path))).expect("JSON")
    };
    let anthropic = refused(MESSAGES, &[]);
    assert_eq!(
        (&anthropic["type"], &anthropic["error"]["type"]),
        (&"error".into(), &"authentication_error".into())
    );
    assert_eq!(refused("/v1/messages/batches", &[])["error"]["type"], "not_found_error");
    assert_eq!(refused("/v1/chat/completions", &[])["error"]["code"], "missing_api_key");
    assert_eq!(refused("/v1/messagesx", &[])["error"]["code"], "unsupported_endpoint");
}

#[test]
fn what_is_overloaded_has_a_status_of_its_own_there() {
    let error = Error::Overloaded { retry_after_ms: 1000 };
    assert_eq!((error.status_in(Shape::Anthropic), error.status_in(Shape::OpenAi)), (529, 503));
    let told: Value = serde_json::from_slice(&error.body_json(Shape::Anthropic)).expect("JSON");
    assert_eq!(told["error"]["type"], "overloaded_error");
}

#[test]
fn two_different_credentials_are_refused_wherever_they_stand() {
    let bearer = format!("Bearer {KEY}");
    for other in ["x-api-key", "api-key"] {
        let headers: &[(&str, &[u8])] = &[("authorization", bearer.as_bytes()), (other, b"sk-another")];
        let upstream = FakeUpstream::new([]);
        let error = ask_with(&gateway(), &upstream, &head("POST", MESSAGES, headers), BODY).err();
        assert!(error.is_some_and(|own| own.code() == "ambiguous_credentials"), "{other}");
    }
}

#[test]
fn lists_have_their_limits() {
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    let message = r#"{"role":"user","content":"x"}"#;
    let tool = r#"{"name":"t","input_schema":{"type":"object"}}"#;
    let list = |one: &str, count: usize| vec![one; count].join(",");
    let long = format!(r#"{{"name":"t","description":"{}"}}"#, "x".repeat(256 * 1024));
    let cases = [
        (list(message, 4096), list(tool, 512), None),
        (list(message, 4097), list(tool, 1), Some("messages")),
        (list(message, 1), list(tool, 513), Some("tools")),
        (list(message, 1), long, Some("tools")),
    ];
    for (messages, tools, wanted) in cases {
        for path in [MESSAGES, "/v1/chat/completions", "/v1/messages/count_tokens"] {
            let body = format!(
                r#"{{"model":"claude-opus-4-6","max_tokens":5,"messages":[{messages}],"tools":[{tools}]}}"#
            );
            let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
            let error = ask_with(&gateway(), &upstream, &head("POST", path, headers), body).err();
            let refused = match error.as_deref() {
                Some(Error::FieldInvalid { param, .. }) => Some(*param),
                _ => None,
            };
            assert!(
                refused == wanted || (wanted.is_none() && refused.is_none()),
                "{path} {wanted:?} {error:?}"
            );
        }
    }
}
