//! Guardrails that ask services: what these see, what their word does, and what happens if they lie, hang or say too much.

#![allow(clippy::or_fun_call, clippy::too_many_lines, reason = "tables of cases")]

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use gateway::upstream::SendError;
use gateway::{Answer, Clock, Gateway, Plaintext, Refused, Upstream, UpstreamCall, UpstreamResponse};
use ring::hmac;

use crate::fake::{CHAT, CREDENTIAL, FakeBody, FakeUpstream, KEY, Piece, Reply, collect, gateway_with, head};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"@"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
const HOOK: &str = "[guardrails.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/check\"\nsecret = \"test:main\"\nmodels = [\"gpt-x\"]\n";
const MASKING: &str = "[guardrails.a-pii]\nkind = \"pii\"\naction = \"mask\"\n";
const MAIL: &str = "jane.doe@bank.example";

/// An upstream beside which a webhook answers, signed as it should be.
struct Beside<'u> {
    inner: &'u FakeUpstream,
    says: Option<&'u str>,
    asked: Cell<usize>,
}

impl Upstream for Beside<'_> {
    type Body = FakeBody;

    async fn send(&self, call: UpstreamCall) -> Result<UpstreamResponse<FakeBody>, SendError> {
        if call.deployment.provider == "guardrail" {
            self.asked.set(self.asked.get() + 1);
            if let Some(says) = self.says {
                let sent =
                    call.headers.iter().find(|(name, _)| *name == "postern-signature").expect("signed");
                let key = hmac::Key::new(hmac::HMAC_SHA256, CREDENTIAL.as_bytes());
                let text = [sent.1.expose(), b".", says.as_bytes()].concat();
                let signature: String =
                    hmac::sign(&key, &text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                let reply = Reply::json(200, says).header("postern-signature", &format!("v1={signature}"));
                self.inner.next_of(&call.deployment.name, reply);
            }
        }
        self.inner.send(call).await
    }
}

fn ask(
    gateway: &Gateway,
    upstream: &Beside<'_>,
    stream: bool,
    says: &str,
    more: &[(&str, &[u8])],
) -> Result<Answer<FakeBody>, Refused> {
    let authorization = format!("Bearer {KEY}");
    let mut headers: Vec<(&str, &[u8])> = vec![("authorization", authorization.as_bytes())];
    headers.extend(more);
    let body = serde_json::json!({ "model": "gpt-x", "stream": stream, "messages": [{ "role": "user", "content": says }] });
    let clock = upstream.inner.clock().clone();
    let opened = gateway::open(&head("POST", CHAT, &headers), gateway, clock.now())?;
    let body = Plaintext::new(Bytes::from(body.to_string()));
    clock.run(gateway::handle(opened, body, gateway, upstream, &clock))
}

fn beside<'u>(inner: &'u FakeUpstream, says: Option<&'u str>) -> Beside<'u> {
    Beside { inner, says, asked: Cell::new(0) }
}

fn answering(text: &str) -> FakeUpstream {
    FakeUpstream::new([Reply::json(200, ANSWER.replace('@', text))])
}

fn code(answer: Result<Answer<FakeBody>, Refused>) -> &'static str {
    answer.err().expect("refused").code()
}

fn said(header: &str, answer: &Answer<FakeBody>) -> String {
    let found = answer.headers.iter().find(|(name, _)| *name == header);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

#[test]
fn a_webhook_sees_what_is_masked_and_its_word_counts() {
    let gateway = gateway_with(&format!("{MASKING}{HOOK}"));
    let says = format!("write to {MAIL}");
    let upstream = answering("done");
    let hook = beside(&upstream, Some(r#"{"action":"NONE"}"#));
    let answer = ask(&gateway, &hook, false, &says, &[]).expect("passes");
    assert_eq!(said("postern-guardrails", &answer), "a-pii=intervened, hook=success");
    let sent = upstream.sent.borrow();
    let question: serde_json::Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!((question["phase"].as_str(), question["version"].as_u64()), (Some("input"), Some(1)));
    assert!(question["texts"][0].as_str().unwrap().starts_with("write to [[EMAIL_1_"), "{question}");
    assert!(sent.iter().all(|call| !String::from_utf8_lossy(&call.body).contains(MAIL)));
    assert_eq!((sent[0].path.as_str(), sent.len()), ("/check", 2));
    drop(sent);

    let upstream = answering("done");
    let hook = beside(&upstream, Some(r#"{"action":"BLOCKED","blocked_reason":"secret"}"#));
    assert_eq!(code(ask(&gateway, &hook, false, &says, &[])), "content_policy_violation");
    assert_eq!(upstream.called(), ["hook"], "and the model is not asked");

    let upstream = answering("done");
    let hook = beside(&upstream, Some(r#"{"action":"GUARDRAIL_INTERVENED","texts":["be kind"]}"#));
    ask(&gateway, &hook, false, &says, &[]).expect("passes");
    let sent = upstream.sent.borrow();
    assert!(String::from_utf8_lossy(&sent[1].body).contains(r#""content":"be kind""#));
}

#[test]
fn a_webhook_that_lies_hangs_or_floods_is_bounded_and_closed() {
    let flood = || {
        (0..1600).fold(Reply::of(200, "application/json", vec![]), |reply, _| {
            reply.then(Piece::Bytes(vec![b' '; 64 * 1024]))
        })
    };
    let wrong: [(&str, Reply); 8] = [
        ("unsigned", Reply::json(200, r#"{"action":"NONE"}"#)),
        ("forged", Reply::json(200, r#"{"action":"NONE"}"#).header("postern-signature", "v1=00")),
        ("a failure", Reply::json(500, "{}")),
        ("a redirect", Reply::json(302, "{}")),
        ("silence", Reply::Silence),
        ("no connection", Reply::Fail(SendError::Connection)),
        ("half an answer", Reply::json(200, "{").then(Piece::Hang)),
        ("a flood of 100 MB", flood()),
    ];
    for (what, reply) in wrong {
        for (on_error, passes) in [("closed", false), ("open", true)] {
            let gateway = gateway_with(&format!("{HOOK}on_error = \"{on_error}\"\n"));
            let upstream = answering("done").of("hook", [reply.clone()]);
            let hook = beside(&upstream, None);
            let before = upstream.clock().now().monotonic;
            let answer = ask(&gateway, &hook, false, "hello", &[]);
            let took = upstream.clock().now().monotonic.saturating_sub(before);
            assert!(took <= Duration::from_secs(2), "{what}: {took:?}");
            if passes {
                let answer = answer.unwrap_or_else(|_| panic!("{what} passes"));
                assert_eq!(said("postern-guardrails", &answer), "hook=failed_to_respond", "{what}");
            } else {
                assert_eq!(code(answer), "content_policy_violation", "{what}");
                assert_eq!(upstream.called(), ["hook"], "{what}");
            }
        }
    }
}

#[test]
fn content_that_may_not_leave_is_not_sent_to_a_service() {
    for (on_error, called) in [("closed", 0), ("open", 0)] {
        let gateway = gateway_with(&format!("{HOOK}on_error = \"{on_error}\"\n"));
        let upstream = answering("done");
        let hook = beside(&upstream, Some(r#"{"action":"NONE"}"#));
        let narrow: &[(&str, &[u8])] = &[("postern-exposure-max", b"attested")];
        assert!(ask(&gateway, &hook, false, "hello", narrow).is_err());
        assert_eq!(hook.asked.get(), called, "{on_error}");
    }
}

#[test]
fn a_service_beside_the_call_ends_it_as_soon_as_it_objects() {
    let gateway = gateway_with(&format!("{HOOK}hooks = [\"input_parallel\"]\n"));
    let upstream = FakeUpstream::default().of("main", [Reply::Silence]);
    let hook = beside(&upstream, Some(r#"{"action":"BLOCKED"}"#));
    let before = upstream.clock().now().monotonic;
    assert_eq!(code(ask(&gateway, &hook, false, "hello", &[])), "content_policy_violation");
    assert_eq!(upstream.clock().now().monotonic, before, "without waiting for the model");

    let upstream = answering("done");
    let hook = beside(&upstream, Some(r#"{"action":"NONE"}"#));
    let answer = ask(&gateway, &hook, false, "hello", &[]).expect("passes");
    assert_eq!(said("postern-guardrails", &answer), "hook=success");

    let upstream = answering("done").of("hook", [Reply::Silence]);
    let hook = beside(&upstream, None);
    assert_eq!(code(ask(&gateway, &hook, false, "hello", &[])), "content_policy_violation");
}

#[test]
fn answers_go_out_only_after_the_service_has_seen_them_masked() {
    let gateway = gateway_with(&format!("{MASKING}{HOOK}hooks = [\"output\"]\n"));
    let says = format!("write to {MAIL}");
    let chunk = |text: &str| {
        format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-x\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n").into_bytes()
    };
    for stream in [false, true] {
        for (action, passes) in [("NONE", true), ("BLOCKED", false)] {
            let reply = if stream {
                Reply::stream(vec![chunk("kept "), chunk("apart"), b"data: [DONE]\n\n".to_vec()])
            } else {
                Reply::json(200, ANSWER.replace('@', "kept apart"))
            };
            let upstream = FakeUpstream::new([reply]);
            let verdict = format!(r#"{{"action":"{action}"}}"#);
            let hook = beside(&upstream, Some(&verdict));
            let answer = ask(&gateway, &hook, stream, &says, &[]);
            let sent = upstream.sent.borrow();
            let question: serde_json::Value = serde_json::from_slice(&sent[1].body).unwrap();
            assert_eq!(question["phase"], "output");
            assert!(question["texts"].as_array().unwrap().contains(&"kept apart".into()), "{question}");
            assert!(!question.to_string().contains(MAIL));
            if passes {
                let (body, _) = collect(answer.expect("passes"));
                assert!(String::from_utf8_lossy(&body).contains("apart"), "{stream}");
            } else {
                assert_eq!(code(answer), "content_policy_violation", "{stream}");
            }
        }
    }
}

/// A kind, more of its table, its path, its answers that pass and that object.
type Adapter = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[test]
fn each_adapter_asks_as_its_service_wants_it() {
    let adapters: [Adapter; 4] = [
        ("lakera", "secret = \"test:main\"", "/v2/guard", r#"{"flagged":false}"#, r#"{"flagged":true}"#),
        (
            "openai_moderation",
            "",
            "/moderations",
            r#"{"results":[{"flagged":false}]}"#,
            r#"{"results":[{"flagged":true}]}"#,
        ),
        (
            "bedrock_guardrail",
            "secret = \"test:main\"\npolicy = \"abc/1\"",
            "/guardrail/abc/version/1/apply",
            r#"{"action":"NONE","outputs":[]}"#,
            r#"{"action":"GUARDRAIL_INTERVENED","outputs":[{"text":"no"}]}"#,
        ),
        ("presidio", "", "/analyze", "[]", r#"[{"entity_type":"PERSON","start":0,"end":5,"score":0.9}]"#),
    ];
    for (kind, more, path, passes, objects) in adapters {
        let gateway = gateway_with(&format!(
            "[guardrails.g]\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:9\"\nmodels = [\"gpt-x\"]\n{more}\n"
        ));
        for (reply, passes) in [(passes, true), (objects, false), ("{}", false), ("[]x", false)] {
            let upstream = answering("done").of("g", [Reply::json(200, reply)]);
            let answer = ask(&gateway, &beside(&upstream, None), false, "hello", &[]);
            assert_eq!(answer.is_ok(), passes, "{kind}: {reply}");
            let sent = upstream.sent.borrow();
            assert_eq!(sent[0].path, path);
            assert!(String::from_utf8_lossy(&sent[0].body).contains("hello"), "{kind}");
        }
    }
}

#[test]
fn names_that_presidio_finds_are_masked_and_come_back() {
    let gateway = gateway_with(
        "[guardrails.names]\nkind = \"presidio\"\nurl = \"http://127.0.0.1:9\"\nmodels = [\"gpt-x\"]\naction = \"mask\"\n",
    );
    let found = r#"[{"entity_type":"PERSON","start":3,"end":8,"score":0.9}]"#;
    let upstream = answering("ok").of("names", [Reply::json(200, found)]);
    ask(&gateway, &beside(&upstream, None), false, "Ask Zoë today", &[]).err();
    let sent = upstream.sent.borrow();
    let body = String::from_utf8_lossy(&sent[1].body).into_owned();
    assert!(body.contains("Ask[[PERSON_1_") && !body.contains("Zoë"), "{body}");
}

#[test]
fn what_a_service_cannot_be_is_refused_at_the_start() {
    let wrong = |more: &str| {
        let text = format!("{HOOK}{more}\n");
        std::panic::catch_unwind(|| gateway_with(&text)).is_err()
    };
    assert!(!wrong(""), "control");
    for more in [
        "hooks = [\"log\"]",
        "hooks = [\"input_parallel\"]\naction = \"mask\"",
        "hooks = [\"output\"]\nstream = \"detect\"",
        "timeout_ms = 1",
        "phrases = [\"x\"]",
        "label = \"x\"\nhooks = [\"output\"]",
    ] {
        assert!(wrong(more), "{more}");
    }
    // A route whose deployments are narrower than the service stays what it says it is.
    let everywhere = HOOK.replace("models = [\"gpt-x\"]\n", "");
    assert!(std::panic::catch_unwind(|| gateway_with(&everywhere)).is_err());
    for without in ["secret = \"test:main\"\n", "url = \"http://127.0.0.1:9/check\"\n"] {
        let text = HOOK.replace(without, "");
        assert!(std::panic::catch_unwind(|| gateway_with(&text)).is_err(), "{without}");
    }
}
