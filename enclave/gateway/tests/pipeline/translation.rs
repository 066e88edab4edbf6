//! What translated exchanges have in common, whatever they say: cuts change nothing, a stream says what a whole answer
//! says, failures after the first content are told and never look like an end.

#![expect(clippy::disallowed_methods, reason = "the streams are those of the golden cases")]

use std::fs;
use std::path::{Path, PathBuf};

use gateway::upstream::ReadError;
use gateway::{AnswerBody, Gateway, Plaintext, Step};
use serde_json::Value;

use crate::fake::{CHAT, FakeUpstream, Piece, Reply, TestClock, ask, collect, gateway, poll_once, text};

const MESSAGES: &str = "/v1/messages";

/// Every golden case whose upstream streams in another dialect than the client's: path, request, stream.
fn translated() -> Vec<(&'static str, PathBuf, Vec<u8>, Vec<u8>)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    for (path, folder, prefix) in
        [(CHAT, "openai_chat", "claude_"), (MESSAGES, "anthropic_messages", "openai_")]
    {
        for entry in fs::read_dir(golden.join(folder)).expect("golden cases") {
            let case = entry.expect("readable").path();
            let named =
                case.file_name().and_then(|name| name.to_str()).is_some_and(|own| own.starts_with(prefix));
            let stream = case.join("upstream.200.sse");
            if named && stream.exists() {
                let request = fs::read(case.join("request.json")).expect("request");
                found.push((path, case, request, fs::read(stream).expect("stream")));
            }
        }
    }
    assert!(found.len() >= 18, "cases were found");
    found
}

/// What the client gets of a stream that arrives in these pieces; the exchange's own id apart.
fn told(
    gateway: &Gateway,
    path: &str,
    request: &[u8],
    pieces: Vec<Vec<u8>>,
) -> Result<(String, Step), &'static str> {
    // What fails may be asked again; it answers the same.
    let upstream = FakeUpstream::new(std::iter::repeat_n(Reply::stream(pieces), 4));
    let answer = ask(gateway, &upstream, path, request).map_err(|error| error.code())?;
    let id = answer.headers.iter().find(|(name, _)| *name == "x-request-id").expect("an id").1.clone();
    let (out, step) = collect(answer);
    Ok((text(&out).replace(&id, "ID"), step))
}

#[test]
fn every_cut_of_the_upstreams_bytes_gives_the_same_stream() {
    let gateway = gateway();
    for (path, case, request, stream) in translated() {
        let whole = told(&gateway, path, &request, vec![stream.clone()]);
        for cut in 1..stream.len() {
            let (first, second) = stream.split_at(cut);
            let pieces = vec![first.to_vec(), second.to_vec()];
            assert_eq!(told(&gateway, path, &request, pieces), whole, "{} cut at {cut}", case.display());
        }
        let bytes = stream.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(told(&gateway, path, &request, bytes), whole, "{} byte by byte", case.display());
        let crlf = String::from_utf8(stream).expect("UTF-8").replace('\n', "\r\n");
        assert_eq!(
            told(&gateway, path, &request, vec![crlf.into_bytes()]),
            whole,
            "{} with CRLF",
            case.display()
        );
    }
}

/// Whatever is cut off, the client never takes the rest for a whole answer.
#[test]
fn a_stream_that_breaks_off_never_looks_complete() {
    let gateway = gateway();
    for (path, case, request, stream) in translated() {
        let Ok((_, Step::Complete)) = told(&gateway, path, &request, vec![stream.clone()]) else { continue };
        let end = stream.len() - 4;
        for cut in (1..end).step_by(7) {
            if let Ok((out, step)) = told(&gateway, path, &request, vec![stream[..cut].to_vec()]) {
                assert_eq!(step, Step::Broken, "{} cut off at {cut}", case.display());
                assert!(!out.contains("[DONE]") && !out.contains("message_stop"), "{out}");
                assert!(
                    out.trim_end().lines().last().is_some_and(|line| line.contains(r#""error""#)),
                    "{out}"
                );
            }
        }
    }
}

/// The text of a stream, from either dialect's events.
fn streamed_text(out: &str) -> String {
    let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
    let values = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let piece = |value: &Value| {
        let own =
            value["choices"][0]["delta"]["content"].as_str().or_else(|| value["delta"]["text"].as_str());
        own.unwrap_or_default().to_owned()
    };
    values.map(|value| piece(&value)).collect()
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let words = ["Hel", "lo \u{fc}", " \u{1f600}", "\n\"quoted\"", "\\", "", " end"];
    let joined = words.concat();
    let quote = |text: &str| serde_json::to_string(text).expect("JSON");
    let anthropic: String = words
        .iter()
        .map(|word| {
            format!("data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{}}}}}\n\n", quote(word))
        })
        .collect();
    let start = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let end = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    let request = r#"{"model":"claude","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let stream = format!("{start}{anthropic}{end}").into_bytes();
    let (out, step) = told(&gateway(), CHAT, request.as_bytes(), vec![stream]).expect("streams");
    assert_eq!((streamed_text(&out), step), (joined.clone(), Step::Complete));

    let whole = format!(
        r#"{{"id":"msg_1","type":"message","model":"m","content":[{{"type":"text","text":{}}}],"stop_reason":"end_turn","usage":{{"input_tokens":3,"output_tokens":9}}}}"#,
        quote(&joined)
    );
    let upstream = FakeUpstream::new([Reply::json(200, whole)]);
    let buffered = request.replace("\"stream\":true,", "");
    let (body, _) = collect(ask(&gateway(), &upstream, CHAT, buffered).expect("answers"));
    let value: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(value["choices"][0]["message"]["content"], Value::from(joined));
}

#[test]
fn usage_and_cost_of_a_stream_are_those_of_the_whole_answer() {
    let usage = r#"{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":500,"output_tokens":70}"#;
    let whole = format!(
        r#"{{"id":"m","type":"message","model":"m","content":[{{"type":"text","text":"x"}}],"stop_reason":"end_turn","usage":{usage}}}"#
    );
    let stream = format!(
        "data: {{\"type\":\"message_start\",\"message\":{{\"id\":\"m\",\"model\":\"m\",\"usage\":{}}}}}\n\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"x\"}}}}\n\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{usage}}}\n\ndata: {{\"type\":\"message_stop\"}}\n\n",
        usage.replace("70", "1")
    );
    for path in [CHAT, MESSAGES] {
        let (gateway, body) = (gateway(), r#"{"model":"claude","max_tokens":9,"messages":[]}"#);
        collect(
            ask(&gateway, &FakeUpstream::new([Reply::json(200, whole.clone())]), path, body)
                .expect("answers"),
        );
        let streamed = body.replace("\"messages\"", "\"stream\":true,\"messages\"");
        let upstream = FakeUpstream::new([Reply::stream(vec![stream.clone().into_bytes()])]);
        collect(ask(&gateway, &upstream, path, streamed).expect("streams"));
        let (records, _) = gateway.books().journal.take();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].usage, records[1].usage, "{path}");
        assert_eq!(records[0].usage.map(|own| (own.input_tokens, own.cached_input_tokens)), Some((540, 500)));
    }
}

#[test]
fn a_connection_that_breaks_is_told_in_the_clients_dialect() {
    let start = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let reply = Reply::stream(vec![start.into()]).then(Piece::Fail(ReadError::Broken));
    let request = r#"{"model":"gpt-x","max_tokens":9,"stream":true,"messages":[]}"#;
    let answer = ask(&gateway(), &FakeUpstream::new([reply]), MESSAGES, request).expect("begins");
    let (out, step) = collect(answer);
    assert_eq!(step, Step::Broken);
    assert!(text(&out).ends_with(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the upstream's stream ended before its end\"}}\n\n"
    ));
}

/// A client that goes away takes the upstream's body with it, and the exchange is settled as cancelled.
#[test]
fn a_client_that_leaves_cancels_the_upstream() {
    let start = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let upstream = FakeUpstream::new([Reply::stream(vec![start.into()]).then(Piece::Hang)]);
    let (gateway, clock) = (gateway(), TestClock::default());
    let request = r#"{"model":"gpt-x","max_tokens":9,"stream":true,"messages":[]}"#;
    let AnswerBody::Stream(mut stream) = ask(&gateway, &upstream, MESSAGES, request).expect("begins").body
    else {
        panic!("a stream")
    };
    let mut out = Plaintext::new(Vec::new());
    assert_eq!(poll_once(stream.next(&mut out, &clock)), Some(Step::More));
    assert_eq!(poll_once(stream.next(&mut out, &clock)), None);
    assert_eq!(upstream.dropped.get(), 0);
    drop(stream);
    assert_eq!(upstream.dropped.get(), 1);
    let record = gateway.books().journal.take().0.pop().expect("settled");
    assert_eq!(record.error, Some("client_cancelled"));
}

#[test]
fn what_was_left_out_is_told_in_a_header() {
    let whole =
        r#"{"id":"m","type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn"}"#;
    let request =
        r#"{"model":"claude","seed":1,"metadata":{"a":"b"},"messages":[{"role":"user","content":"Hi"}]}"#;
    let answer =
        ask(&gateway(), &FakeUpstream::new([Reply::json(200, whole)]), CHAT, request).expect("answers");
    let told = answer.headers.iter().find(|(name, _)| *name == "postern-dropped-parameters");
    assert_eq!(told.map(|(_, value)| value.as_str()), Some("metadata, seed"));
}
