//! A marker goes into every path that refuses; it must not come out in any error text, `Debug`, audit record or metric.

use gateway::config::{GatewayConfig, build, parse};
use gateway::error::Reason;
use gateway::{Error, Plaintext};

use crate::fake::{
    CHAT, CONFIG, FakeUpstream, KEY, Reply, Secrets, ask, ask_with, gateway, gateway_with, head, text,
};

const CANARY: &str = "CANARY7f3a";

/// Everything an error shows to logs and, unless it is the upstream's own, to the client.
fn shown(error: &Error) -> String {
    let headers: Vec<String> =
        error.headers().into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!(
        "{error} {error:?} {} {} {}",
        error.code(),
        headers.join(" "),
        text(&error.body_json(gateway::error::Shape::OpenAi))
    )
}

fn assert_silent(what: &str, shown: &str) {
    assert!(!shown.contains(CANARY), "{what} repeats the marker: {shown}");
}

#[test]
fn the_check_itself_sees_a_marker() {
    let seen = std::panic::catch_unwind(|| assert_silent("control", &format!("text {CANARY} text")));
    assert!(seen.is_err());
}

#[test]
fn malformed_bodies_are_not_quoted() {
    let bodies = [
        format!(r#"{{"model":"gpt-x","messages":[{{"content":"{CANARY}"#),
        format!(r#"{{"model":"gpt-x","messages":["{CANARY}" x]}}"#),
        format!(r#"{{"model":"{CANARY}","messages":[]}}"#),
        format!(r#"{{"model":"{CANARY}%2f..","messages":[]}}"#),
        format!(r#"{{"model":["{CANARY}"],"messages":[]}}"#),
        format!(r#"{{"{CANARY}":1,"{CANARY}":2,"model":"gpt-x","messages":[]}}"#),
        format!(r#"{{"model":"gpt-x","messages":"{CANARY}"}}"#),
        format!(r#"{{"model":"gpt-x","messages":[],"stream":"{CANARY}"}}"#),
        format!(r#"{{"model":"gpt-x","messages":[],"stream":true,"stream_options":"{CANARY}"}}"#),
        format!(
            r#"{{"model":"gpt-x","messages":[],"stream":true,"stream_options":{{"include_usage":"{CANARY}"}}}}"#
        ),
        format!(r#"{{"model":"gpt-x","messages":["\q{CANARY}"]}}"#),
        CANARY.to_owned(),
        format!("\"{CANARY}\""),
        format!(r#"{{"model":"gpt-x","messages":["blocked {CANARY}"]}}"#),
    ];
    let gateway = gateway_with("[guardrails.g]\nkind = \"deny_list\"\nphrases = [\"blocked\"]\n");
    for path in [CHAT, "/v1/embeddings"] {
        for body in &bodies {
            let error =
                ask(&gateway, &FakeUpstream::default(), path, body.as_bytes()).err().expect("refused");
            assert_silent(body, &shown(&error));
        }
    }
    let mut raw = CANARY.as_bytes().to_vec();
    raw.extend_from_slice(b"\xff\xfe");
    let error = ask(&gateway, &FakeUpstream::default(), CHAT, raw).err().expect("refused");
    assert_silent("invalid UTF-8", &shown(&error));
    for record in gateway.books().journal.take().0 {
        assert_silent("audit record", &format!("{record:?} {}", text(&record.to_json())));
    }
    assert_silent("metrics", &format!("{:?}", gateway.books().metrics.snapshot()));
}

#[test]
fn heads_are_not_quoted() {
    let gateway = gateway();
    let path = format!("/v1/{CANARY}");
    let model = format!("/v1/models/{CANARY}%zz");
    let credential = format!("Bearer {CANARY}");
    let cases: [(&str, &str, Vec<(&str, &[u8])>); 5] = [
        ("POST", &path, vec![]),
        ("GET", &model, vec![]),
        (CANARY, CHAT, vec![]),
        ("POST", CHAT, vec![("authorization", credential.as_bytes())]),
        ("POST", CHAT, vec![("authorization", credential.as_bytes()), ("x-api-key", KEY.as_bytes())]),
    ];
    for (method, path, headers) in cases {
        let refused = ask_with(&gateway, &FakeUpstream::default(), &head(method, path, &headers), "");
        assert_silent(path, &shown(&refused.err().expect("refused")));
    }
}

#[test]
fn upstream_words_reach_logs_nowhere() {
    let request = format!(r#"{{"model":"gpt-x","messages":["{CANARY}"]}}"#);
    let streamed = request.replace("\"messages\"", "\"stream\":true,\"messages\"");
    let replies = [
        (&request, Reply::json(400, format!(r#"{{"error":{{"message":"{CANARY}"}}}}"#))),
        (&request, Reply::json(500, format!(r#"{{"error":{{"message":"{CANARY}"}}}}"#))),
        (&request, Reply::json(200, format!("{{\"{CANARY}"))),
        (&request, Reply::json(200, format!(r#"{{"error":"{CANARY}"}}"#))),
        (&streamed, Reply::stream(vec![format!("data: {CANARY}\n\n").into_bytes()])),
        (&streamed, Reply::stream(vec![format!("data: {{\"error\":\"{CANARY}\"}}\n\n").into_bytes()])),
        (&streamed, Reply::of(200, CANARY, vec![CANARY.into()])),
    ];
    let gateway = gateway();
    for (body, reply) in replies {
        let upstream = FakeUpstream::new([reply]);
        let error = ask(&gateway, &upstream, CHAT, body.as_bytes()).err().expect("refused");
        assert_silent("log form", &format!("{error} {error:?}"));
        if error.status() != 400 {
            assert_silent("client form of a masked error", &shown(&error));
        }
    }
    for record in gateway.books().journal.take().0 {
        assert_silent("audit record", &format!("{record:?} {}", text(&record.to_json())));
    }
}

#[test]
fn configuration_errors_name_keys_and_never_values() {
    let damage = [
        ("version = 1", format!("version = \"{CANARY}\"")),
        ("version = 1", format!("version = 1\n\"x\" = {CANARY}")),
        ("request_body_bytes = 1000000", format!("request_body_bytes = \"{CANARY}\"")),
        ("sha256 = \"@KEY@\"", format!("sha256 = \"{CANARY}\"")),
        ("models = [\"*\"]", format!("models = [\"{CANARY}\"]")),
        ("models = [\"*\"]", format!("models = \"{CANARY}\"")),
        ("id = \"tester\"", format!("id = \"{CANARY} \"")),
        ("provider = \"openai\"", format!("provider = \"{CANARY}\"")),
        ("model = \"gpt-y\"", format!("model = \"{CANARY}..\"")),
        ("credential = \"test:main\"", format!("credential = \"{CANARY}\"")),
        ("credential = \"test:main\"", format!("credential = \"test:{CANARY}\"")),
        ("credential = \"test:main\"", format!("credential = [\"{CANARY}\"]")),
        ("http://127.0.0.1:9000/api/v1/", format!("http://user:{CANARY}@127.0.0.1/")),
        ("http://127.0.0.1:9000/api/v1/", format!("http://{CANARY}.example/")),
        ("http://127.0.0.1:9000/api/v1/", format!("ftp://{CANARY}")),
        ("deployments = [\"main\", \"second\"]", format!("deployments = [\"{CANARY}\"]")),
        ("[models.smart]", format!("[models.smart]\nstrategy = \"{CANARY}\"")),
        ("[models.smart]", format!("[guardrails.x]\nkind = \"{CANARY}\"\n[models.smart]")),
    ];
    for (from, to) in damage {
        assert!(CONFIG.contains(from), "{from}");
        let digest = "0".repeat(64);
        let text =
            CONFIG.replacen(from, &to, 1).replace("@KEY@", &digest).replace("@NARROW@", &"1".repeat(64));
        let refused = parse::<GatewayConfig>(&text).and_then(|config| build(&config, &Secrets).map(drop));
        let error = refused.expect_err(&to);
        assert_silent(&to, &format!("{error} {error:?}"));
    }
}

#[test]
fn a_secret_in_place_of_a_reference_is_not_printed() {
    let text = CONFIG.replace("test:main", CANARY);
    let config: GatewayConfig = parse(&text).expect("parses");
    assert_silent("Debug of the configuration", &format!("{config:?}"));
}

#[test]
fn content_does_not_format() {
    // That `Plaintext` has no Debug is proved in compile_fail; here, that an error holding some prints none.
    let forwarded = gateway::error::Forwarded::new(Plaintext::new(CANARY.into()));
    let error = Error::UpstreamStatus {
        status: 400,
        reason: Reason::Request,
        retry_after_ms: None,
        body: Some(forwarded),
    };
    assert_silent("Debug of a forwarded body", &format!("{error:?} {error}"));
}
