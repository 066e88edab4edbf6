//! Guardrails from the outside: every hook, in every dialect of the registry, buffered and streamed, in the upstream's own
//! dialect and translated.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::nonminimal_bool,
    clippy::or_fun_call,
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "fixtures of whole answers, and reading them as a client does"
)]

use gateway::guardrail::GUARDRAILS;
use gateway::wire::{OperationName, WIRES, Wire};
use gateway::{Answer, Gateway, Step};

use crate::fake::{FakeBody, FakeUpstream, Reply, ask, ask_with, collect, gateway_with, head, text};

pub const VENDORS: &str = r#"
[deployments.google]
provider = "gemini"
model = "gemini-2.5-flash"
credential = "test:main"
[models.google]
deployments = ["google"]
retry = { max_attempts = 1 }
"#;

pub const MAIL: &str = "jane.doe@bank.example";
pub const MASKING: &str = "[guardrails.pii]\nkind = \"pii\"\naction = \"mask\"\n";

/// A model, and the dialect that its provider answers in.
pub const UPSTREAMS: [(&str, &str); 3] =
    [("gpt-x", "openai_chat"), ("claude", "anthropic_messages"), ("google", "gemini")];

pub fn guarded(more: &str) -> Gateway {
    gateway_with(&format!("{VENDORS}{more}"))
}

/// Where and how a dialect is asked. A dialect without its fixture here fails the matrix.
pub fn request(wire: &dyn Wire, model: &str, says: &str, stream: bool) -> (String, String) {
    let says = serde_json::to_string(says).unwrap();
    let body = match wire.name() {
        "openai_chat" => format!(
            r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":{says}}}]}}"#
        ),
        "anthropic_messages" => {
            format!(
                r#"{{"model":"{model}","stream":{stream},"max_tokens":99,"messages":[{{"role":"user","content":{says}}}]}}"#
            )
        }
        "anthropic_count_tokens" => {
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":{says}}}]}}"#)
        }
        "openai_responses" => format!(r#"{{"model":"{model}","stream":{stream},"input":{says}}}"#),
        "openai_embeddings" => format!(r#"{{"model":"{model}","input":[{says}]}}"#),
        "openai_input_tokens" => format!(r#"{{"model":"{model}","input":{says}}}"#),
        "gemini_count_tokens" => {
            return (
                format!("/v1beta/models/{model}:countTokens"),
                format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":{says}}}]}}]}}"#),
            );
        }
        "gemini" | "gemini_array" => {
            let method = match (wire.name(), stream) {
                ("gemini_array", _) => "streamGenerateContent",
                (_, true) => "streamGenerateContent?alt=sse",
                (_, false) => "generateContent",
            };
            return (
                format!("/v1beta/models/{model}:{method}"),
                format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":{says}}}]}}]}}"#),
            );
        }
        "openai_completions" => format!(r#"{{"model":"{model}","stream":{stream},"prompt":{says}}}"#),
        other => panic!("{other} has no fixture: add one, so that guardrails are tried in it"),
    };
    (wire.path().to_owned(), body)
}

/// What an upstream answers in its dialect: these pieces of text, and a call of `mail` with these pieces of arguments.
pub fn answer(dialect: &str, pieces: &[&str], arguments: &[&str], stream: bool) -> Reply {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let (all, call) = (json(&pieces.concat()), json(&arguments.concat()));
    let object = if arguments.is_empty() { "{}".to_owned() } else { arguments.concat() };
    let calls = !arguments.is_empty();
    let events = |events: Vec<(String, String)>| {
        let named = dialect == "anthropic_messages";
        let one = |(name, data): (String, String)| {
            if named { format!("event: {name}\ndata: {data}\n\n") } else { format!("data: {data}\n\n") }
        };
        Reply::stream(events.into_iter().map(|own| one(own).into_bytes()).collect())
    };
    let plain = |data: String| (String::new(), data);
    match (dialect, stream) {
        ("openai_chat", false) => {
            let calls = if calls {
                format!(
                    r#","tool_calls":[{{"id":"c1","type":"function","function":{{"name":"mail","arguments":{call}}}}}]"#
                )
            } else {
                String::new()
            };
            Reply::json(
                200,
                format!(
                    r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-x","choices":[{{"index":0,"message":{{"role":"assistant","content":{all}{calls}}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}}}"#
                ),
            )
        }
        ("openai_chat", true) => {
            let chunk = |delta: String, finish: &str| {
                plain(format!(
                    r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
                ))
            };
            let mut all = vec![chunk(r#"{"role":"assistant","content":""}"#.to_owned(), "null")];
            all.extend(pieces.iter().map(|own| chunk(format!(r#"{{"content":{}}}"#, json(own)), "null")));
            if calls {
                all.push(chunk(r#"{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"mail","arguments":""}}]}"#.to_owned(), "null"));
            }
            all.extend(arguments.iter().map(|own| {
                chunk(
                    format!(r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{}}}}}]}}"#, json(own)),
                    "null",
                )
            }));
            all.push(chunk("{}".to_owned(), "\"stop\""));
            all.push(plain("[DONE]".to_owned()));
            events(all)
        }
        ("anthropic_messages", false) => {
            let calls = if calls {
                format!(r#",{{"type":"tool_use","id":"t1","name":"mail","input":{object}}}"#)
            } else {
                String::new()
            };
            Reply::json(
                200,
                format!(
                    r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{{"type":"text","text":{all}}}{calls}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":1,"output_tokens":1}}}}"#
                ),
            )
        }
        ("anthropic_messages", true) => {
            let named =
                |name: &str, rest: String| (name.to_owned(), format!(r#"{{"type":"{name}",{rest}}}"#));
            let mut all = vec![
                named("message_start", r#""message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#.to_owned()),
                named("content_block_start", r#""index":0,"content_block":{"type":"text","text":""}"#.to_owned()),
            ];
            all.extend(pieces.iter().map(|own| {
                named(
                    "content_block_delta",
                    format!(r#""index":0,"delta":{{"type":"text_delta","text":{}}}"#, json(own)),
                )
            }));
            all.push(named("content_block_stop", r#""index":0"#.to_owned()));
            if calls {
                all.push(named(
                    "content_block_start",
                    r#""index":1,"content_block":{"type":"tool_use","id":"t1","name":"mail","input":{}}"#
                        .to_owned(),
                ));
                all.extend(arguments.iter().map(|own| {
                    named(
                        "content_block_delta",
                        format!(
                            r#""index":1,"delta":{{"type":"input_json_delta","partial_json":{}}}"#,
                            json(own)
                        ),
                    )
                }));
                all.push(named("content_block_stop", r#""index":1"#.to_owned()));
            }
            all.push(named(
                "message_delta",
                r#""delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}"#
                    .to_owned(),
            ));
            all.push(("message_stop".to_owned(), r#"{"type":"message_stop"}"#.to_owned()));
            events(all)
        }
        ("gemini", _) => {
            let part = |parts: String, finish: &str| {
                format!(
                    r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}}{finish},"index":0}}],"modelVersion":"gemini-2.5-flash","responseId":"r1","usageMetadata":{{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}}}}"#
                )
            };
            let stop = r#","finishReason":"STOP""#;
            let calls = calls.then(|| format!(r#"{{"functionCall":{{"name":"mail","args":{object}}}}}"#));
            if stream {
                let mut all: Vec<_> = pieces
                    .iter()
                    .map(|own| plain(part(format!(r#"{{"text":{}}}"#, json(own)), "")))
                    .collect();
                all.extend(calls.map(|own| plain(part(own, ""))));
                all.push(plain(part(r#"{"text":""}"#.to_owned(), stop)));
                events(all)
            } else {
                let text = format!(r#"{{"text":{all}}}"#);
                Reply::json(200, part(calls.map_or(text.clone(), |own| format!("{text},{own}")), stop))
            }
        }
        ("openai_responses", false) => {
            let calls = if calls {
                format!(
                    r#",{{"type":"function_call","id":"fc_1","call_id":"c1","status":"completed","name":"mail","arguments":{call}}}"#
                )
            } else {
                String::new()
            };
            Reply::json(
                200,
                format!(
                    r#"{{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"gpt-x","output":[{{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","text":{all},"annotations":[]}}]}}{calls}],"usage":{{"input_tokens":1,"output_tokens":1,"total_tokens":2}}}}"#
                ),
            )
        }
        ("openai_responses", true) => {
            let mut sent = vec![plain(r#"{"type":"response.created","response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"gpt-x","output":[]}}"#.to_owned())];
            sent.extend(pieces.iter().map(|own| plain(format!(r#"{{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":{}}}"#, json(own)))));
            sent.push(plain(format!(r#"{{"type":"response.output_text.done","item_id":"msg_1","output_index":0,"content_index":0,"text":{all}}}"#)));
            let item = format!(
                r#"{{"type":"function_call","id":"fc_1","call_id":"c1","status":"completed","name":"mail","arguments":{call}}}"#
            );
            if calls {
                sent.push(plain(r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"c1","name":"mail","arguments":""}}"#.to_owned()));
                sent.extend(arguments.iter().map(|own| plain(format!(r#"{{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":1,"delta":{}}}"#, json(own)))));
                sent.push(plain(format!(r#"{{"type":"response.function_call_arguments.done","item_id":"fc_1","output_index":1,"arguments":{call}}}"#)));
            }
            let calls = if calls { format!(",{item}") } else { String::new() };
            sent.push(plain(format!(r#"{{"type":"response.completed","response":{{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"gpt-x","output":[{{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","text":{all},"annotations":[]}}]}}{calls}],"usage":{{"input_tokens":1,"output_tokens":1,"total_tokens":2}}}}}}"#)));
            events(sent)
        }
        (other, _) => panic!("{other} has no answers"),
    }
}

/// Everything a client can be asked and answered in: dialect, model, the dialect of its answers, streamed or not.
fn exchanges() -> Vec<(&'static dyn Wire, &'static str, &'static str, bool)> {
    let mut all = Vec::new();
    for wire in WIRES.iter().copied().filter(|wire| wire.operation() == OperationName::Chat) {
        for (model, dialect) in UPSTREAMS {
            // The vendor of the first speaks two dialects.
            let dialect = if wire.name() == "openai_responses" && model == "gpt-x" {
                "openai_responses"
            } else {
                dialect
            };
            for stream in [false, true] {
                let array = wire.name() == "gemini_array";
                if !(array && stream) && !(array && model == "google") {
                    all.push((wire, model, dialect, stream));
                }
            }
        }
    }
    assert!(all.len() >= 20, "{}", all.len());
    all
}

pub fn send(
    gateway: &Gateway,
    upstream: &FakeUpstream,
    path: &str,
    body: String,
) -> Result<Answer<FakeBody>, gateway::Refused> {
    ask(gateway, upstream, path, body)
}

/// The text and the arguments that an answer says, whatever its dialect, read as a client reads it.
pub fn said(body: &str) -> (String, String) {
    let (mut texts, mut arguments) = (String::new(), String::new());
    let mut read =
        |value: &serde_json::Value, stream: bool| collect_said(value, stream, &mut texts, &mut arguments);
    if body.trim_start().starts_with(['{', '[']) {
        read(&serde_json::from_str(body).expect("JSON"), false);
    } else {
        for data in
            body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]")
        {
            read(&serde_json::from_str(data).expect("JSON"), true);
        }
    }
    (texts, arguments)
}

fn collect_said(value: &serde_json::Value, stream: bool, texts: &mut String, arguments: &mut String) {
    use serde_json::Value;
    let kind = value["type"].as_str().unwrap_or_default();
    // What Responses says again at the end.
    if stream && (kind.ends_with(".done") || kind == "response.completed") {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, own) in members {
                match (name.as_str(), own) {
                    ("content" | "text" | "delta", Value::String(text))
                        if kind != "response.function_call_arguments.delta" =>
                    {
                        texts.push_str(text)
                    }
                    ("arguments" | "partial_json" | "delta", Value::String(text)) => arguments.push_str(text),
                    ("input" | "args", Value::Object(own)) if !own.is_empty() => {
                        arguments.push_str(&Value::Object(own.clone()).to_string())
                    }
                    (_, own) => collect_said(own, stream, texts, arguments),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|own| collect_said(own, stream, texts, arguments)),
        _ => {}
    }
}

#[test]
fn input_is_checked_and_masked_in_every_dialect() {
    let (blocking, masking) = (guarded("[guardrails.pii]\nkind = \"pii\"\n"), guarded(MASKING));
    let mut tried = 0;
    for wire in WIRES {
        for (model, _) in
            UPSTREAMS.iter().filter(|_| wire.operation() == OperationName::Chat).chain(&[UPSTREAMS[0]])
        {
            for stream in [false, true] {
                let (path, body) = request(*wire, model, &format!("write to {MAIL} now"), stream);
                let none = FakeUpstream::default();
                let error = send(&blocking, &none, &path, body.clone()).err().expect("refused");
                assert_eq!(error.code(), "content_policy_violation", "{}", wire.name());
                assert!(none.sent.borrow().is_empty());
                let upstream = FakeUpstream::new(std::iter::repeat_n(Reply::json(500, "{}"), 8));
                drop(send(&masking, &upstream, &path, body));
                let sent = upstream.sent.borrow();
                // A question for a count is answered here where the provider cannot.
                assert!(
                    !sent.is_empty() || wire.operation() == OperationName::CountTokens,
                    "{}",
                    wire.name()
                );
                for sent in sent.iter() {
                    let sent = text(&sent.body);
                    assert!(!sent.contains("jane") && sent.contains("[[EMAIL_1_"), "{}: {sent}", wire.name());
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 30, "{tried}");
}

/// The placeholder that went upstream.
fn placeholder(sent: &str) -> String {
    let start = sent.find("[[EMAIL_1_").expect("a placeholder");
    sent[start..start + sent[start..].find("]]").expect("its end") + 2].to_owned()
}

/// Asks twice: once to learn what the placeholder looks like is impossible, since each request has its own. So the upstream
/// answers with whatever it was sent.
fn echoing(
    wire: &dyn Wire,
    model: &str,
    dialect: &str,
    stream: bool,
    pieces: usize,
) -> (String, Step, String) {
    let gateway = guarded(MASKING);
    let (path, body) = request(wire, model, &format!("write to {MAIL} now"), stream);
    // The draw is the gateway's own: the first request of a fresh one always gets the same.
    let probe = FakeUpstream::new([Reply::json(500, "{}")]);
    drop(send(&guarded(MASKING), &probe, &path, body.clone()));
    let own = placeholder(&text(&probe.sent.borrow()[0].body));
    let says = format!("I wrote to {own}, that is {own}.");
    let arguments = format!(r#"{{"to":"{own}","note":"a \"quote\""}}"#);
    let cut = |text: &str| -> Vec<String> {
        let letters: Vec<char> = text.chars().collect();
        letters.chunks(pieces).map(|own| own.iter().collect()).collect()
    };
    let (says, arguments) = (cut(&says), cut(&arguments));
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let upstream = FakeUpstream::new([answer(dialect, &says, &arguments, stream)]);
    let got = send(&gateway, &upstream, &path, body).expect("an answer");
    let (body, step) = collect(got);
    (text(&body), step, own)
}

#[test]
fn what_was_masked_comes_back_in_every_dialect() {
    for (wire, model, dialect, stream) in exchanges() {
        for pieces in [1, 3, 7, 1000] {
            let (body, step, own) = echoing(wire, model, dialect, stream, pieces);
            let what = format!("{} {model} {stream} {pieces}: {body}", wire.name());
            assert_eq!(step, Step::Complete, "{what}");
            assert!(!body.contains(&own) && !body.contains("[[EMAIL"), "{what}");
            let (says, arguments) = said(&body);
            assert_eq!(says, format!("I wrote to {MAIL}, that is {MAIL}."), "{what}");
            let arguments: serde_json::Value = serde_json::from_str(&arguments).expect("JSON");
            assert_eq!(arguments, serde_json::json!({ "to": MAIL, "note": "a \"quote\"" }), "{what}");
        }
    }
}

#[test]
fn output_is_checked_in_every_dialect_buffered_and_streamed() {
    let block = guarded(
        "[guardrails.words]\nkind = \"deny_list\"\nphrases = [\"Project Nighthawk\"]\nhooks = [\"output\"]\n",
    );
    let redact = guarded("[guardrails.pii]\nkind = \"pii\"\naction = \"redact\"\nhooks = [\"output\"]\n");
    for (wire, model, dialect, stream) in exchanges() {
        let what = format!("{} {model} {stream}", wire.name());
        let (path, body) = request(wire, model, "hi", stream);
        let upstream =
            FakeUpstream::new([answer(dialect, &["about proj", "ect night", "hawk now"], &[], stream)]);
        match send(&block, &upstream, &path, body.clone()) {
            Err(error) => assert_eq!(error.code(), "content_policy_violation", "{what}"),
            Ok(answer) => {
                assert!(stream, "{what}");
                let (got, step) = collect(answer);
                let got = text(&got);
                assert_eq!(step, Step::Broken, "{what}: {got}");
                assert!(!got.contains("night") && !got.contains("proj"), "{what}: {got}");
            }
        }
        let record = block.books().journal.take().0.pop().expect("a record");
        assert_eq!(record.guardrail.as_deref(), Some("words"), "{what}");
        let pieces = ["mail ja", "ne.doe@ba", "nk.exam", "ple for it"];
        let arguments = [r#"{"to":"jane"#, r#".doe\u0040bank.example","n":1}"#];
        let upstream = FakeUpstream::new([answer(dialect, &pieces, &arguments, stream)]);
        let (got, step) = collect(send(&redact, &upstream, &path, body).expect("an answer"));
        let got = text(&got);
        assert_eq!(step, Step::Complete, "{what}: {got}");
        assert!(!got.contains("jane") && !got.contains("doe"), "{what}: {got}");
        let (says, arguments) = said(&got);
        assert_eq!(says, "mail [EMAIL] for it", "{what}");
        let arguments: serde_json::Value = serde_json::from_str(&arguments).expect("JSON");
        assert_eq!(arguments, serde_json::json!({ "to": "[EMAIL]", "n": 1 }), "{what}: {got}");
    }
}

#[test]
fn calls_are_checked_in_every_dialect_before_any_of_them_goes_out() {
    let rules = "[guardrails.tools]\nkind = \"tool_rules\"\nrules = [{ name = \"mail\", argument = \"/to\", matches = \".*@bank\\\\.example\", verdict = \"allow\" }]\n";
    let gateway = guarded(rules);
    for (wire, model, dialect, stream) in exchanges() {
        let what = format!("{} {model} {stream}", wire.name());
        let (path, body) = request(wire, model, "hi", stream);
        let upstream =
            FakeUpstream::new([answer(dialect, &["so"], &[r#"{"to":"x@e"#, r#"vil.example"}"#], stream)]);
        let error = send(&gateway, &upstream, &path, body.clone()).err().expect(&what);
        assert_eq!(error.code(), "content_policy_violation", "{what}");
        let upstream =
            FakeUpstream::new([answer(dialect, &["so"], &[r#"{"to":"x@ba"#, r#"nk.example"}"#], stream)]);
        let (got, step) = collect(send(&gateway, &upstream, &path, body).expect(&what));
        assert_eq!(step, Step::Complete, "{what}: {}", text(&got));
        assert_eq!(said(&text(&got)).1.replace(' ', ""), r#"{"to":"x@bank.example"}"#, "{what}");
    }
}

#[test]
fn results_of_tools_are_checked_in_every_dialect() {
    let gateway = guarded(
        "[guardrails.words]\nkind = \"deny_list\"\nphrases = [\"nighthawk\"]\nhooks = [\"tool_result\"]\n",
    );
    let bodies = |word: &str| {
        [
            (
                "/v1/chat/completions",
                format!(
                    r#"{{"model":"gpt-x","messages":[{{"role":"user","content":"nighthawk is fine here"}},{{"role":"assistant","tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"c","content":"{word}"}}]}}"#
                ),
            ),
            (
                "/v1/messages",
                format!(
                    r#"{{"model":"gpt-x","max_tokens":9,"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"c","name":"f","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c","content":[{{"type":"text","text":"{word}"}}]}}]}}]}}"#
                ),
            ),
            (
                "/v1/responses",
                format!(
                    r#"{{"model":"claude","input":[{{"role":"user","content":"x"}},{{"type":"function_call","call_id":"c","name":"f","arguments":"{{}}"}},{{"type":"function_call_output","call_id":"c","output":"{word}"}}]}}"#
                ),
            ),
            (
                "/v1beta/models/gpt-x:generateContent",
                format!(
                    r#"{{"contents":[{{"role":"user","parts":[{{"text":"x"}}]}},{{"role":"model","parts":[{{"functionCall":{{"name":"f","args":{{}}}}}}]}},{{"role":"user","parts":[{{"functionResponse":{{"name":"f","response":{{"r":"{word}"}}}}}}]}}]}}"#
                ),
            ),
        ]
    };
    for (path, body) in bodies("a Nighthawk") {
        let error = send(&gateway, &FakeUpstream::default(), path, body).err().expect(path);
        assert_eq!(error.code(), "content_policy_violation", "{path}");
    }
    for (path, body) in bodies("a falcon") {
        let upstream = FakeUpstream::new([Reply::json(500, "{}")]);
        drop(send(&gateway, &upstream, path, body));
        assert_eq!(upstream.sent.borrow().len(), 1, "{path}");
    }
}

#[test]
fn a_client_adds_guardrails_and_takes_none_away() {
    let gateway = guarded(
        "[guardrails.always]\nkind = \"deny_list\"\nphrases = [\"alpha\"]\n[guardrails.more]\nkind = \"deny_list\"\nphrases = [\"beta\"]\napplies = \"on_request\"\n",
    );
    let key = format!("Bearer {}", crate::fake::KEY);
    let asks = |word: &str, header: &str| {
        let headers: Vec<(&str, &[u8])> =
            vec![("authorization", key.as_bytes()), ("Postern-Guardrails", header.as_bytes())];
        let upstream = FakeUpstream::new([answer("openai_chat", &["ok"], &[], false)]);
        let body = request(
            WIRES.iter().copied().find(|own| own.name() == "openai_chat").unwrap(),
            "gpt-x",
            word,
            false,
        )
        .1;
        ask_with(&gateway, &upstream, &head("POST", "/v1/chat/completions", &headers), body)
            .map(|_| ())
            .map_err(|error| error.code())
    };
    assert_eq!(asks("alpha", ""), Err("content_policy_violation"));
    assert_eq!(asks("alpha", "more"), Err("content_policy_violation"));
    assert_eq!(asks("beta", ""), Ok(()));
    assert_eq!(asks("beta", "more"), Err("content_policy_violation"));
    assert_eq!(asks("gamma", "none"), Err("invalid_value"), "a wish that is not understood is refused");
}

#[test]
fn shadow_writes_down_and_changes_nothing() {
    let gateway = guarded("[guardrails.pii]\nkind = \"pii\"\naction = \"mask\"\nmode = \"shadow\"\n");
    let wire = WIRES.iter().copied().find(|own| own.name() == "openai_chat").unwrap();
    let (path, body) = request(wire, "gpt-x", MAIL, false);
    let upstream = FakeUpstream::new([answer("openai_chat", &["ok"], &[], false)]);
    let got = send(&gateway, &upstream, &path, body.clone()).expect("an answer");
    assert_eq!(text(&upstream.sent.borrow()[0].body), body);
    let header =
        got.headers.iter().find(|(name, _)| *name == "postern-guardrails").map(|(_, value)| value.as_str());
    assert_eq!(header, Some("pii=shadow_would_block"));
}

#[test]
fn labelled_content_goes_to_attested_deployments_only() {
    let gateway = guarded("[guardrails.pii]\nkind = \"pii\"\naction = \"require_attested\"\n");
    let wire = WIRES.iter().copied().find(|own| own.name() == "openai_chat").unwrap();
    let (path, body) = request(wire, "gpt-x", MAIL, false);
    let error = send(&gateway, &FakeUpstream::default(), &path, body).err().expect("refused");
    assert_eq!(error.code(), "no_compliant_deployment");
}

#[test]
fn hidden_content_is_seen() {
    let gateway = guarded(
        "[guardrails.pii]\nkind = \"pii\"\n[guardrails.secrets]\nkind = \"secrets\"\nhooks = [\"input\"]\n",
    );
    let refused = |body: String| {
        let upstream = FakeUpstream::new([Reply::json(500, "{}")]);
        matches!(send(&gateway, &upstream, "/v1/chat/completions", body), Err(error) if error.code() == "content_policy_violation")
    };
    let message =
        |content: &str| format!(r#"{{"model":"gpt-x","messages":[{{"role":"user","content":{content}}}]}}"#);
    assert!(refused(message(r#""jane.doe\u0040bank.example""#)), "escapes");
    assert!(
        refused(message(r#"[{"type":"text","text":"AKIAIOSFO"},{"type":"text","text":"DNN7EXAMPLE"}]"#)),
        "two parts"
    );
    assert!(refused(r#"{"model":"gpt-x","messages":[{"role":"user","content":"4111 1111 "},{"role":"assistant","content":"go on"},{"role":"user","content":"1111 1111"}]}"#.to_owned()), "two turns");
    assert!(refused(r#"{"model":"gpt-x","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","description":"mails jane.doe@bank.example","parameters":{"type":"object"}}}]}"#.to_owned()), "definitions");
    assert!(refused(r#"{"model":"gpt-x","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"to\":\"jane.doe\\u0040bank.example\"}"}}]}]}"#.to_owned()), "arguments");
    assert!(
        refused(
            r#"{"model":"gpt-x","messages":[{"role":"user","content":"x"}],"user":"jane.doe@bank.example"}"#
                .to_owned()
        ),
        "the end user's name"
    );
    assert!(refused(r#"{"model":"gpt-x","messages":[{"role":"user","content":"x"}],"brand_new":{"deep":["jane.doe@bank.example"]}}"#.to_owned()), "unknown fields");
    assert!(!refused(message(r#""plain words""#)));
    let long = "x".repeat(900_000);
    assert!(!refused(message(&format!("\"{long}\""))), "a text without a space");
    assert!(refused(message(&format!("\"{long} jane.doe@bank.example\""))));
}

#[test]
fn a_forged_placeholder_stands_for_nothing() {
    let wire = WIRES.iter().copied().find(|own| own.name() == "openai_chat").unwrap();
    let gateway = guarded(MASKING);
    let forged = "[[EMAIL_1_aaaa]] and [[EMAIL_2_k7x2]] and [[EMAIL_1_";
    let (path, body) = request(wire, "gpt-x", &format!("{forged} {MAIL}"), false);
    let upstream = FakeUpstream::new([answer("openai_chat", &[forged], &[], false)]);
    let (got, _) = collect(send(&gateway, &upstream, &path, body).expect("an answer"));
    assert_eq!(said(&text(&got)).0, forged);
}

#[test]
fn without_guardrails_the_bytes_are_the_clients_own() {
    let wire = WIRES.iter().copied().find(|own| own.name() == "openai_chat").unwrap();
    let (path, body) = request(wire, "gpt-x", MAIL, false);
    let upstream = FakeUpstream::new([answer("openai_chat", &["ok"], &[], false)]);
    let got = send(&guarded(""), &upstream, &path, body.clone()).expect("an answer");
    assert!(got.headers.iter().all(|(name, _)| *name != "postern-guardrails"));
    assert_eq!(text(&upstream.sent.borrow()[0].body), body);
    assert!(GUARDRAILS.len() >= 13);
}
