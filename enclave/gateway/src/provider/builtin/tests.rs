use serde_json::Value;

use super::*;

const CHAT: &str = "/v1/chat/completions";

fn ask(path: &str, body: &str) -> (u16, Value) {
    let reply = answer(path, &Bytes::from(body.to_owned()), Now::default(), None);
    match reply.body {
        ReplyBody::Whole(body) => (reply.status, serde_json::from_slice(body.expose()).expect("JSON")),
        ReplyBody::Stream(_) => panic!("a stream"),
    }
}

fn stream(body: &str) -> Vec<Value> {
    let reply = answer(CHAT, &Bytes::from(body.to_owned()), Now::default(), None);
    let ReplyBody::Stream(events) = reply.body else { panic!("not a stream") };
    let mut events = events.into_exposed();
    let mut parsed = Vec::new();
    let mut done = false;
    let mut out = Vec::new();
    while events.append_next(&mut out) {
        assert!(!done, "nothing follows [DONE]");
        let text = std::str::from_utf8(&out).expect("UTF-8");
        let data = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).expect("one event");
        done = data == "[DONE]";
        if !done {
            parsed.push(serde_json::from_str(data).expect("JSON"));
        }
        out.clear();
    }
    assert!(done, "a stream ends with [DONE]");
    assert!(!events.append_next(&mut out), "and stays ended");
    parsed
}

#[test]
fn says_what_it_is_and_repeats_itself() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Say hello"}]}"#;
    let (status, first) = ask(CHAT, body);
    let text = first["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!(status, 200);
    assert!(
        text.starts_with("I am Postern's built-in test model: I write filler text, not answers."),
        "{text}"
    );
    assert!(text.ends_with('.'));
    assert_eq!(first, ask(CHAT, body).1);
    assert_ne!(first["choices"], ask(CHAT, &body.replace("hello", "bye")).1["choices"]);
    assert_eq!(first["choices"][0]["finish_reason"], "stop");
    assert_eq!(first["usage"]["prompt_tokens"], 5, "words of all strings, names included");
    let tokens = first["usage"]["completion_tokens"].as_u64().expect("a number");
    assert!((64..140).contains(&tokens), "{tokens}");
    assert_eq!(first["usage"]["total_tokens"], tokens + 5);
}

#[test]
fn streams_one_token_an_event() {
    let body = r#"{"model":"m","messages":[],"stream":true,"max_tokens":5}"#;
    let events = stream(body);
    assert_eq!(events.len(), 7, "role, five tokens, finish");
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[6]["choices"][0]["finish_reason"], "length");
    assert_eq!(events[6]["choices"][0]["delta"], serde_json::json!({}));
    assert!(events.iter().all(|event| event.get("usage").is_none() && event["id"] == events[0]["id"]));
    let asked =
        stream(&body.replace("\"max_tokens\"", "\"stream_options\":{\"include_usage\":true},\"max_tokens\""));
    assert_eq!(asked.len(), 8);
    assert!(asked[..7].iter().all(|event| event["usage"].is_null() && event.get("usage").is_some()));
    assert_eq!(asked[7]["choices"], serde_json::json!([]));
    assert_eq!(asked[7]["usage"]["completion_tokens"], 5);
}

#[test]
fn honours_limits_and_stops() {
    let finish = |more: &str| {
        let (_, whole) = ask(CHAT, &format!(r#"{{"model":"m","messages":[]{more}}}"#));
        let text = whole["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
        (text, whole["choices"][0]["finish_reason"].as_str().expect("a reason").to_owned())
    };
    assert_eq!(finish(r#","max_tokens":2"#), ("I am".to_owned(), "length".to_owned()));
    assert_eq!(finish(r#","max_completion_tokens":3,"max_tokens":9"#).0, "I am Postern");
    assert_eq!(finish(r#","stop":"test""#), ("I am Postern's built-in".to_owned(), "stop".to_owned()));
    assert_eq!(finish(r#","stop":["zzz","\u0027s"]"#).0, "I am Postern");
    assert_eq!(finish(r#","stop":null,"max_tokens":null,"n":1"#).1, "stop");
}

#[test]
fn refuses_what_it_cannot_do() {
    for (more, param) in [
        (r#","n":2"#, "n"),
        (r#","n":"1""#, "n"),
        (r#","logprobs":true"#, "logprobs"),
        (r#","tool_choice":"required""#, "tool_choice"),
        (r#","response_format":{"type":"json_object"}"#, "response_format"),
        (r#","max_tokens":0"#, "max_tokens"),
        (r#","max_completion_tokens":-1"#, "max_completion_tokens"),
        (r#","stop":7"#, "stop"),
        (r#","stop":["a","b","c","d","e"]"#, "stop"),
    ] {
        let (status, error) = ask(CHAT, &format!(r#"{{"model":"m","messages":[]{more}}}"#));
        assert_eq!((status, error["error"]["param"].as_str()), (400, Some(param)), "{more}");
    }
    assert_eq!(ask(CHAT, "{").0, 400);
    assert_eq!(ask("/v1/files", "{}").0, 404);
}

#[test]
fn embeds_in_both_encodings() {
    let embed =
        |more: &str| ask("/v1/embeddings", &format!(r#"{{"model":"m","input":["a","b","a"]{more}}}"#)).1;
    let floats = embed(r#","dimensions":4"#);
    let vector = |answer: &Value, at: usize| -> Vec<f32> {
        let numbers = answer["data"][at]["embedding"].as_array().expect("floats");
        numbers.iter().map(|number| number.as_f64().expect("a number") as f32).collect()
    };
    assert_eq!(vector(&floats, 0), vector(&floats, 2), "equal inputs, equal vectors");
    assert_ne!(vector(&floats, 0), vector(&floats, 1));
    let length: f32 = vector(&floats, 0).iter().map(|value| value * value).sum();
    assert!((length - 1.0).abs() < 1e-5);
    let packed = embed(r#","dimensions":4,"encoding_format":"base64""#);
    let bytes = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        packed["data"][1]["embedding"].as_str().expect("text"),
    );
    let unpacked: Vec<f32> =
        bytes.expect("base64").as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(unpacked, vector(&floats, 1));
    assert_eq!(embed("")["data"][0]["embedding"].as_array().expect("floats").len(), 256);
    assert_eq!(floats["usage"]["prompt_tokens"], 3);
}

#[test]
fn embeds_token_arrays() {
    let count = |input: &str| {
        let (status, answer) = ask("/v1/embeddings", &format!(r#"{{"model":"m","input":{input}}}"#));
        (status, answer["data"].as_array().map(Vec::len))
    };
    assert_eq!(count("\"a b\""), (200, Some(1)));
    assert_eq!(count("[1,2,3]"), (200, Some(1)));
    assert_eq!(count("[[1,2],[3]]"), (200, Some(2)));
    for wrong in ["[]", "[1,\"a\"]", "[{}]", "null", "7"] {
        assert_eq!(count(wrong).0, 400, "{wrong}");
    }
}
