//! Guardrails that ask a model of this gateway: what it sees, what its word does, who pays, and what happens where it has
//! none.

use std::time::Duration;

use gateway::config::{GatewayConfig, build, parse};
use gateway::upstream::SendError;
use gateway::{Answer, Clock, Refused};
use serde_json::{Value, json};

use crate::fake::{
    CHAT, CONFIG, FakeBody, FakeUpstream, KEY, Piece, Reply, Secrets, ask_with, collect, gateway_with, head,
    text,
};
use crate::guardrails::{UPSTREAMS, VENDORS, answer, request};

/// A judge of its own, dear enough to see.
const JUDGE: &str = r#"
[deployments.judge]
provider = "openai_compatible"
model = "guard-1"
base_url = "http://127.0.0.1:9001/v1"
price = { input = "0", output = "1" }
[models.judge]
deployments = ["judge"]
retry = { max_attempts = 1 }
[guardrails.moderation]
kind = "moderation"
model = "judge"
models = ["gpt-x", "claude", "google"]
"#;
const MAIL: &str = "jane.doe@bank.example";

fn judged(more: &str) -> gateway::Gateway {
    gateway_with(&format!("{VENDORS}{JUDGE}{more}"))
}

/// What a judge answers.
fn word(says: &str) -> Reply {
    word_that_ended(says, "stop")
}

fn word_that_ended(says: &str, finish: &str) -> Reply {
    let body = json!({
        "id": "j", "object": "chat.completion", "created": 1, "model": "guard-1",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": says }, "finish_reason": finish }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14 },
    });
    Reply::json(200, body.to_string())
}

fn send(
    gateway: &gateway::Gateway,
    upstream: &FakeUpstream,
    path: &str,
    body: String,
    more: &[(&str, &[u8])],
) -> Result<Answer<FakeBody>, Refused> {
    let mut headers: Vec<(&str, &[u8])> = vec![("x-api-key", KEY.as_bytes())];
    headers.extend(more);
    ask_with(gateway, upstream, &head("POST", path, &headers), body)
}

fn chat(says: &str, stream: bool) -> String {
    json!({ "model": "gpt-x", "stream": stream, "messages": [{ "role": "user", "content": says }] })
        .to_string()
}

#[test]
fn a_model_of_ours_judges_requests_in_every_dialect() {
    let gateway = judged("");
    let mut tried = 0;
    for wire in gateway::wire::WIRES {
        for (model, dialect) in UPSTREAMS {
            if wire.dialect().is_none() && model != "gpt-x" {
                continue;
            }
            let (path, body) = request(*wire, model, "something \"vile\"", false);
            let upstream = FakeUpstream::default().of("judge", [word("{\"flagged\": true}")]);
            let refused = send(&gateway, &upstream, &path, body.clone(), &[]).err().expect("refused");
            assert_eq!(refused.code(), "content_policy_violation", "{}", wire.name());
            assert_eq!(upstream.called(), ["judge"], "{} to {model}: nobody else is asked", wire.name());
            let sent: Value = serde_json::from_slice(&upstream.sent.borrow()[0].body).expect("JSON");
            assert_eq!(sent["model"], "guard-1");
            let texts: Vec<String> =
                serde_json::from_str(sent["messages"][1]["content"].as_str().expect("text")).expect("texts");
            assert!(texts.iter().any(|own| own == "something \"vile\""), "{texts:?}");
            let contract = sent["messages"][0]["content"].as_str().expect("text");
            assert!(contract.contains("flagged") && !contract.contains("vile"));

            let upstream = FakeUpstream::new([answer(dialect, &["fine"], &[], false)])
                .of("judge", [word("{\"flagged\": false}")]);
            drop(send(&gateway, &upstream, &path, body, &[]));
            assert_eq!(upstream.called()[0], "judge");
            tried += 1;
        }
    }
    assert!(tried >= 18, "{tried}");
}

#[test]
fn a_model_of_ours_judges_answers_before_any_of_them_goes_out() {
    for stream in [false, true] {
        let gateway = judged("hooks = [\"output\"]\n");
        for (says, passes) in [("safe", true), ("unsafe\nS2", false)] {
            let upstream = FakeUpstream::new([answer("openai_chat", &["so", " and so"], &[], stream)])
                .of("judge", [word(says)]);
            let told = send(&gateway, &upstream, CHAT, chat("hello", stream), &[]);
            let sent = upstream.sent.borrow();
            assert!(text(&sent[1].body).contains("so and so"), "the whole answer is judged");
            match told {
                Ok(answer) => assert!(passes && text(&collect(answer).0).contains("so")),
                Err(refused) => assert!(!passes && refused.code() == "content_policy_violation"),
            }
        }
    }
}

#[test]
fn a_judge_without_a_verdict_is_bounded_and_closed() {
    let flood = || {
        (0..1600).fold(Reply::of(200, "application/json", vec![]), |reply, _| {
            reply.then(Piece::Bytes(vec![b' '; 64 * 1024]))
        })
    };
    let wrong: [(&str, Reply); 10] = [
        ("words", word("I cannot judge that")),
        ("nothing", word("")),
        ("half a verdict", word_that_ended("{\"flagged\": false}", "length")),
        ("a refusal", word_that_ended("{\"flagged\": false}", "content_filter")),
        ("no choices", Reply::json(200, "{\"choices\":[]}")),
        ("a failure", Reply::json(500, "{}")),
        ("no connection", Reply::Fail(SendError::Connection)),
        ("silence", Reply::Silence),
        ("half an answer", Reply::json(200, "{").then(Piece::Hang)),
        ("a flood of 100 MB", flood()),
    ];
    for (what, reply) in wrong {
        for hooks in ["input", "input_parallel", "output"] {
            for (on_error, passes) in [("closed", false), ("open", true)] {
                let gateway =
                    judged(&format!("hooks = [\"{hooks}\"]\non_error = \"{on_error}\"\ntimeout_ms = 1500\n"));
                let upstream = FakeUpstream::default()
                    .of("main", [answer("openai_chat", &["fine"], &[], false)])
                    .of("judge", [reply.clone()]);
                let before = upstream.clock().now().monotonic;
                let told = send(&gateway, &upstream, CHAT, chat("hello", false), &[]);
                let took = upstream.clock().now().monotonic.saturating_sub(before);
                assert!(took <= Duration::from_millis(1500), "{what}: {took:?}");
                let code = told.err().map(|own| own.code());
                assert_eq!(
                    code,
                    (!passes).then_some("content_policy_violation"),
                    "{what}, {hooks}, {on_error}"
                );
            }
        }
    }
}

#[test]
fn a_judge_sees_no_more_than_the_content_may_be_shown() {
    // Masked first, by a guardrail whose name comes before.
    let gateway = judged("[guardrails.a-pii]\nkind = \"pii\"\naction = \"mask\"\n");
    let upstream = FakeUpstream::default()
        .of("main", [answer("openai_chat", &["fine"], &[], false)])
        .of("judge", [word("safe")]);
    drop(send(&gateway, &upstream, CHAT, chat(&format!("write to {MAIL}"), false), &[]).expect("passes"));
    assert!(upstream.sent.borrow().iter().all(|own| !text(&own.body).contains(MAIL)));

    // A request that asks for less exposure than the judge has is not shown to it, and does not pass.
    for on_error in ["closed", "open"] {
        let gateway = judged(&format!("on_error = \"{on_error}\"\n"));
        let upstream = FakeUpstream::default().of("judge", [word("safe")]);
        let narrow: &[(&str, &[u8])] = &[("postern-exposure-max", b"attested")];
        assert!(send(&gateway, &upstream, CHAT, chat("hello", false), narrow).is_err());
        assert!(upstream.sent.borrow().is_empty(), "{on_error}");
    }
    // Nor to one that a label keeps away.
    let labels =
        "[sensitivity]\nmail = \"contract_zdr\"\n[guardrails.a-pii]\nkind = \"pii\"\nlabel = \"mail\"\n";
    let gateway = judged(labels);
    let upstream = FakeUpstream::default().of("judge", [word("safe")]);
    assert!(send(&gateway, &upstream, CHAT, chat(&format!("write to {MAIL}"), false), &[]).is_err());
    assert!(upstream.sent.borrow().is_empty());
}

#[test]
fn a_route_that_is_attested_takes_no_judge_that_is_not() {
    let digest = "0".repeat(64);
    let problem = |guardrail: &str| {
        let config = CONFIG.replace("@KEY@", &digest).replace("@NARROW@", &"1".repeat(64));
        let config: GatewayConfig = parse(&format!("{config}{guardrail}")).expect("reads");
        build(&config, &Secrets).err().map(|own| own.to_string()).unwrap_or_default()
    };
    let guardrail = |more: &str| format!("[guardrails.m]\nkind = \"moderation\"\n{more}");
    // The built-in model is inside, so what asks a provider beside it would make its route visible to one.
    let told = problem(&guardrail("model = \"gpt-x\"\n"));
    assert!(
        told.contains("guardrails.m.model") && told.contains("not wider than 'builtin' exposes"),
        "{told}"
    );
    assert_eq!(problem(&guardrail("model = \"gpt-x\"\nmodels = [\"claude\"]\n")), "");
    assert_eq!(problem(&guardrail("model = \"builtin\"\n")), "", "one that is inside may judge everything");
    for (more, expected) in [
        ("", "'model': one of this gateway's models"),
        ("model = \"gpt-z\"\n", "no such model; did you mean 'gpt-x'?"),
        ("model = \"builtin\"\ntimeout_ms = 5\n", "10 to 30000"),
        ("model = \"builtin\"\nurl = \"https://x.example\"\n", "no such key for the kind 'moderation'"),
        ("model = \"builtin\"\naction = \"mask\"\n", "action"),
        ("model = \"builtin\"\ncriteria = \"\"\n", "'criteria' of 1 to 16384 bytes"),
        ("model = \"builtin\"\nhooks = [\"log\"]\n", "hooks"),
    ] {
        assert!(problem(&guardrail(more)).contains(expected), "{more}: {}", problem(&guardrail(more)));
    }
}

#[test]
fn a_question_to_a_judge_leaves_a_record_of_its_own() {
    let gateway = judged("");
    let upstream = FakeUpstream::default()
        .of("main", [answer("openai_chat", &["fine"], &[], false)])
        .of("judge", [word("safe")]);
    drop(send(&gateway, &upstream, CHAT, chat("hello", false), &[]).expect("passes"));
    let records = gateway.books().journal.take().0;
    let [judge, own] = records.as_slice() else { panic!("{} records", records.len()) };
    assert_eq!((judge.asked_by.as_deref(), own.asked_by.as_deref()), (Some("moderation"), None));
    assert_eq!(judge.request_id, own.request_id);
    assert_eq!((judge.model.as_deref(), own.model.as_deref()), (Some("judge"), Some("gpt-x")));
    assert_eq!(judge.cost_nano_usd.map(|own| own.0), Some(9000));
    assert_eq!(judge.charged_nano_usd, None, "that is the request's");
}
