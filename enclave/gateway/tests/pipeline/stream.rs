//! Streams: what is forwarded, what is removed, how they end.

use gateway::audit::Outcome;
use gateway::upstream::{ReadError, SendError};
use gateway::{AnswerBody, Plaintext, Step};
use proptest::prelude::*;

use crate::fake::{
    CHAT, CREDENTIAL, FakeUpstream, Piece, Reply, TestClock, ask, collect, gateway, head, poll_once, run,
    text,
};

const ASKS: &str = r#"{"model":"smart","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
const DOES_NOT_ASK: &str = r#"{"model":"smart","stream":true,"messages":[]}"#;

fn chunk(rest: &str) -> String {
    format!(r#"data: {{"id":"c1","object":"chat.completion.chunk","choices":[{rest}]}}"#) + "\n\n"
}

fn content(text: &str) -> String {
    chunk(&format!(r#"{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}"#))
}

fn role() -> String {
    chunk(r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#)
}

fn finish() -> String {
    chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#)
}

const USAGE: &str = "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What the client gets when the upstream sends these pieces.
fn relayed(request: &str, pieces: Vec<Vec<u8>>) -> (String, Step) {
    let upstream = FakeUpstream::new([Reply::stream(pieces)]);
    let answer = ask(&gateway(), &upstream, CHAT, request).expect("an answer");
    let (bytes, step) = collect(answer);
    (text(&bytes), step)
}

fn whole(request: &str, stream: &str) -> (String, Step) {
    relayed(request, vec![stream.as_bytes().to_vec()])
}

#[test]
fn forwards_events_byte_for_byte_when_usage_was_asked_for() {
    let sent = [role(), content("Hi"), finish(), USAGE.to_owned(), DONE.to_owned()].concat();
    assert_eq!(whole(ASKS, &sent), (sent, Step::Complete));
}

#[test]
fn removes_the_usage_nobody_asked_for() {
    let events = [role(), content("Hi"), finish()].concat();
    let with_null = events.replace("]}\n", "],\"usage\":null}\n");
    let sent = [with_null.as_str(), USAGE, DONE].concat();
    assert_eq!(whole(DOES_NOT_ASK, &sent), ([&events, DONE].concat(), Step::Complete));
}

#[test]
fn reads_usage_on_odd_chunks() {
    let usage = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":1}}"#;
    let odd = content("Hi").replace("]}\n", &format!("],\"usage\":{usage}}}\n"));
    let first = content("Yo").replace("]}\n", "],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n");
    let gateway = gateway();
    let upstream =
        FakeUpstream::new([Reply::stream(vec![[first.as_str(), &odd, DONE].concat().into_bytes()])]);
    let (bytes, _) = collect(ask(&gateway, &upstream, CHAT, DOES_NOT_ASK).expect("an answer"));
    assert_eq!(text(&bytes), [content("Yo").as_str(), &content("Hi"), DONE].concat());
    let (records, _) = gateway.books().journal.take();
    let usage = records[0].usage.expect("usage was reported");
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        (3, 2, 9),
        "the last, never the sum"
    );
    assert_eq!(usage.cached_input_tokens, 1);
}

#[test]
fn reads_usage_in_a_last_event_without_its_empty_line() {
    let gateway = gateway();
    let stream = [content("Hi").as_str(), USAGE, "data: [DONE]"].concat();
    let upstream = FakeUpstream::new([Reply::stream(vec![stream.into_bytes()])]);
    let (bytes, step) = collect(ask(&gateway, &upstream, CHAT, ASKS).expect("an answer"));
    assert_eq!(step, Step::Complete);
    assert!(bytes.ends_with(b"data: [DONE]\n\n"), "the client gets a complete event");
    assert!(gateway.books().journal.take().0[0].usage.is_some());
}

#[test]
fn an_end_without_done_is_told_in_the_stream() {
    for (last, code) in [
        (None, "upstream_truncated"),
        (Some(Piece::Fail(ReadError::Broken)), "upstream_truncated"),
        (Some(Piece::Fail(ReadError::Timeout)), "upstream_timeout"),
        (Some(Piece::Bytes(b"data: {broken\n\n".to_vec())), "upstream_malformed_answer"),
    ] {
        let gateway = gateway();
        let mut reply = Reply::stream(vec![content("Hi").into_bytes()]);
        if let Some(piece) = last {
            reply = reply.then(piece);
        }
        let upstream = FakeUpstream::new([reply]);
        let (bytes, step) = collect(ask(&gateway, &upstream, CHAT, ASKS).expect("an answer"));
        let told = text(&bytes);
        assert_eq!(step, Step::Broken);
        assert!(told.starts_with(&content("Hi")), "what had arrived is delivered");
        let error = told.trim_end().rsplit("data: ").next().expect("an event");
        let error: serde_json::Value = serde_json::from_str(error).expect("JSON");
        assert_eq!(error["error"]["code"], code);
        assert!(!told.contains("[DONE]"));
        let record = &gateway.books().journal.take().0[0];
        assert_eq!((record.outcome, record.error), (Outcome::Broken, Some(code)));
    }
}

#[test]
fn an_upstreams_own_error_event_is_passed_on_once() {
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";
    let (told, step) = whole(ASKS, &[&content("Hi"), error, DONE].concat());
    assert_eq!((told, step), ([&content("Hi"), error].concat(), Step::Broken));
}

#[test]
fn an_upstreams_error_event_that_names_our_credential_is_replaced() {
    let error = format!("data: {{\"error\":{{\"message\":\"key {CREDENTIAL} is over quota\"}}}}\n\n");
    let (told, step) = whole(ASKS, &[&content("Hi"), error.as_str()].concat());
    assert_eq!(step, Step::Broken);
    assert!(!told.contains(CREDENTIAL));
    assert!(told.contains("upstream_failed"));
}

#[test]
fn a_failure_before_the_first_content_goes_to_the_next_deployment() {
    let early_error = [role().as_str(), "data: {\"error\":{\"message\":\"no\"}}\n\n"].concat();
    let good = [content("Hi").as_str(), DONE].concat();
    for first in [
        Reply::Fail(SendError::Connection),
        Reply::Fail(SendError::Timeout),
        Reply::json(503, r#"{"error":{"message":"busy"}}"#),
        Reply::json(429, r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#),
        Reply::json(429, r#"{"error":{"message":"no money","code":"insufficient_quota"}}"#),
        Reply::json(401, r#"{"error":{"message":"who are you"}}"#),
        Reply::json(200, r#"{"error":{"message":"under a success status"}}"#),
        Reply::of(200, "text/html", vec![b"<html>".to_vec()]),
        Reply::stream(vec![early_error.clone().into_bytes()]),
        Reply::stream(vec![role().into_bytes()]),
        Reply::stream(vec![role().into_bytes()]).then(Piece::Fail(ReadError::Broken)),
        Reply::stream(vec![b"data: nonsense\n\n".to_vec()]),
    ] {
        let gateway = gateway();
        let upstream = FakeUpstream::new([first, Reply::stream(vec![good.clone().into_bytes()])]);
        let answer = ask(&gateway, &upstream, CHAT, ASKS).expect("the second deployment answers");
        assert!(answer.headers.contains(&("postern-deployment", "second".to_owned())));
        assert!(answer.headers.contains(&("postern-attempts", "2".to_owned())));
        assert_eq!(
            collect(answer),
            (good.clone().into_bytes(), Step::Complete),
            "nothing of the first is delivered"
        );
        assert_eq!(upstream.sent.borrow()[1].path, "/api/v1/chat/completions");
    }
}

#[test]
fn after_the_first_content_no_other_deployment_is_tried() {
    let upstream = FakeUpstream::new([
        Reply::stream(vec![content("Hi").into_bytes()]).then(Piece::Fail(ReadError::Broken))
    ]);
    let (_, step) = collect(ask(&gateway(), &upstream, CHAT, ASKS).expect("an answer"));
    assert_eq!((step, upstream.sent.borrow().len()), (Step::Broken, 1));
}

#[test]
fn the_first_call_gives_everything_up_to_the_first_content_at_once() {
    let stream = Reply::stream(vec![role().into_bytes(), content("Hi").into_bytes()]).then(Piece::Hang);
    let upstream = FakeUpstream::new([stream]);
    let answer = ask(&gateway(), &upstream, CHAT, ASKS).expect("an answer");
    let AnswerBody::Stream(mut stream) = answer.body else { panic!("not a stream") };
    let clock = TestClock::default();
    let mut out = Plaintext::new(Vec::new());
    assert_eq!(run(stream.next(&mut out, &clock)), Step::More);
    assert_eq!(text(out.expose()), [role(), content("Hi")].concat());
    assert!(poll_once(stream.next(&mut out, &clock)).is_none(), "then it waits");
}

#[test]
fn a_finish_reason_alone_commits() {
    let stream = [role(), finish(), DONE.to_owned()].concat();
    assert_eq!(whole(ASKS, &stream), (stream, Step::Complete));
}

#[test]
fn tool_calls_reasoning_and_refusals_are_content() {
    for delta in [
        r#"{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]}"#,
        r#"{"reasoning_content":"hm"}"#,
        r#"{"refusal":"no"}"#,
        r#"{"audio":{"data":"AA=="}}"#,
    ] {
        let event = chunk(&format!(r#"{{"index":0,"delta":{delta},"finish_reason":null}}"#));
        let upstream = FakeUpstream::new([Reply::stream(vec![event.into_bytes()]).then(Piece::Hang)]);
        assert!(ask(&gateway(), &upstream, CHAT, ASKS).is_ok(), "{delta} commits");
    }
}

#[test]
fn a_flood_without_content_is_held_back_only_so_long() {
    let pieces: Vec<Vec<u8>> = (0..65).map(|_| role().into_bytes()).collect();
    let upstream = FakeUpstream::new([Reply::stream(pieces).then(Piece::Hang)]);
    assert!(ask(&gateway(), &upstream, CHAT, ASKS).is_ok(), "64 events are held back at most");
}

#[test]
fn the_first_content_has_a_deadline() {
    struct SlowClock(std::cell::Cell<u64>);
    impl gateway::Clock for SlowClock {
        fn now(&self) -> gateway::Now {
            self.0.set(self.0.get() + 25);
            gateway::Now { unix_ms: 0, monotonic: std::time::Duration::from_secs(self.0.get()) }
        }

        async fn sleep(&self, _: std::time::Duration) {}
    }
    let pieces = || (0..5).map(|_| role().into_bytes()).collect();
    let upstream = FakeUpstream::new([Reply::stream(pieces()), Reply::stream(pieces())]);
    let gateway = gateway();
    let clock = SlowClock(std::cell::Cell::new(0));
    let key = format!("Bearer {}", crate::fake::KEY);
    let headers: &[(&str, &[u8])] = &[("authorization", key.as_bytes())];
    let opened =
        gateway::open(&head("POST", CHAT, headers), &gateway, gateway::Clock::now(&clock)).expect("opens");
    let error = run(gateway::handle(opened, Plaintext::new(ASKS.into()), &gateway, &upstream, &clock)).err();
    assert_eq!(error.expect("a timeout").code(), "upstream_timeout");
}

#[test]
fn the_finish_reason_is_written_down_wherever_it_comes() {
    for last in [
        r#"{"index":0,"delta":{},"finish_reason":"length"}"#,
        r#"{"index":0,"delta":{},"finish_reason" :  "length"}"#,
        r#"{"index":0,"finish_reason":null},{"index":1,"finish_reason":"length"}"#,
        r#"{"index":0,"delta":{"content":"\"finish_reason\":null"},"finish_reason":"length"}"#,
    ] {
        let gateway = gateway();
        let stream = [content("Hi").as_str(), &chunk(last), USAGE, DONE].concat();
        let upstream = FakeUpstream::new([Reply::stream(vec![stream.clone().into_bytes()])]);
        let (bytes, step) = collect(ask(&gateway, &upstream, CHAT, DOES_NOT_ASK).expect("an answer"));
        assert_eq!((text(&bytes), step), (stream.replace(USAGE, ""), Step::Complete));
        let record = &gateway.books().journal.take().0[0];
        assert_eq!(record.finish_reason, Some(gateway::chat::FinishReason::Length), "{last}");
    }
}

#[test]
fn a_half_character_from_the_upstream_does_not_break_the_stream() {
    let stream = [content(r"\ud83d").as_str(), &content(r"\ude00"), DONE].concat();
    assert_eq!(whole(ASKS, &stream), (stream, Step::Complete));
}

#[test]
fn comments_of_the_upstream_do_not_reach_the_client() {
    let stream = [
        ": PROCESSING\n\n",
        "data:\n\ndata: \n\n",
        &content("Hi"),
        ": postern-receipt forged\n\n",
        ": a\ndata: [DONE]\n\n",
    ]
    .concat();
    assert_eq!(whole(ASKS, &stream), ([&content("Hi"), DONE].concat(), Step::Complete));
}

#[test]
fn nothing_after_done_is_delivered() {
    let stream = [content("Hi").as_str(), DONE, &content("more")].concat();
    assert_eq!(whole(ASKS, &stream), ([&content("Hi"), DONE].concat(), Step::Complete));
}

#[test]
fn the_body_can_be_had_back_after_a_complete_stream() {
    let upstream =
        FakeUpstream::new([Reply::stream(vec![[content("Hi").as_str(), DONE].concat().into_bytes()])]);
    let AnswerBody::Stream(mut stream) = ask(&gateway(), &upstream, CHAT, ASKS).expect("an answer").body
    else {
        panic!("not a stream")
    };
    let mut out = Plaintext::new(Vec::new());
    assert_eq!(run(stream.next(&mut out, &TestClock::default())), Step::Complete);
    assert_eq!(run(stream.next(&mut out, &TestClock::default())), Step::Complete, "and stays so");
    let body = stream.into_upstream_body();
    assert_eq!(upstream.dropped.get(), 0);
    drop(body);
    assert_eq!(upstream.dropped.get(), 1);
}

#[test]
fn dropping_a_stream_cancels_and_settles_once() {
    let gateway = gateway();
    let upstream = FakeUpstream::new([Reply::stream(vec![content("Hi").into_bytes()]).then(Piece::Hang)]);
    let answer = ask(&gateway, &upstream, CHAT, ASKS).expect("an answer");
    assert_eq!(gateway.books().journal.take().0.len(), 0, "not settled while it runs");
    drop(answer);
    assert_eq!(upstream.dropped.get(), 1);
    let (records, _) = gateway.books().journal.take();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, Outcome::Cancelled);
}

#[test]
fn a_cut_leaves_the_rest_of_the_event_alone() {
    let before = "id: 7\r\nevent: x\r\ndata:{\"choices\": [{\"delta\":{\"content\":\"a\\u0041\"}}],";
    let sent = format!("{before} \"usage\" : null , \"zz\":1.50}}\r\n\r\n{DONE}");
    let kept = format!("{before} \"zz\":1.50}}\r\n\r\n{DONE}");
    assert_eq!(whole(DOES_NOT_ASK, &sent), (kept, Step::Complete));
}

#[test]
fn data_over_several_lines_is_understood() {
    let sent = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}],\ndata: \"usage\":null}}\n\n{DONE}"
    );
    let (told, step) = whole(DOES_NOT_ASK, &sent);
    assert_eq!(step, Step::Complete);
    assert_eq!(told, format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\n{DONE}"));
    assert_eq!(whole(ASKS, &sent), (sent, Step::Complete), "and otherwise untouched");
}

proptest! {
    #[test]
    fn any_cuts_of_the_upstreams_bytes_give_the_same_answer(
        words in prop::collection::vec("[a-zé😀 ]{0,6}", 1..6),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        comments: bool,
        null_usage: bool,
        ask_usage: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut stream = role();
        for word in &words {
            if comments {
                stream.push_str(": keep-alive\n\n");
            }
            stream.push_str(&content(word));
        }
        stream.push_str(&finish());
        if null_usage {
            stream = stream.replace("]}\n", "],\"usage\":null}\n");
        }
        stream.push_str(USAGE);
        stream.push_str(DONE);
        let stream = stream.replace('\n', line_end);
        let request = if ask_usage { ASKS } else { DOES_NOT_ASK };
        let expected = whole(request, &stream);
        prop_assert_eq!(expected.1, Step::Complete);
        if !null_usage && !comments {
            let usage = USAGE.replace('\n', line_end);
            let kept = if ask_usage { stream.clone() } else { stream.replace(&usage, "") };
            prop_assert_eq!(&expected.0, &kept, "all other bytes are unchanged");
        }
        let bytes = stream.as_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.dedup();
        let pieces = places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect();
        prop_assert_eq!(relayed(request, pieces), expected);
    }
}

proptest! {
    #[test]
    fn stripping_usage_changes_nothing_else(
        members in prop::collection::vec(("[a-z\"\\\\é]{1,6}", "[ -~é😀]{0,12}", " {0,2}"), 0..5),
        place: prop::sample::Index,
        usage in prop::sample::select(vec!["null", "{\"prompt_tokens\":1,\"completion_tokens\":2}", "{ }"]),
        gap in " {0,2}",
    ) {
        let mut seen = std::collections::BTreeSet::from(["usage".to_owned(), "error".to_owned(), "choices".to_owned()]);
        let mut parts = vec![r#""choices":[{"delta":{"content":"x"}}]"#.to_owned()];
        for (name, value, space) in members {
            if seen.insert(name.clone()) {
                let (name, value) = (serde_json::json!(name), serde_json::json!(value));
                parts.push(format!("{space}{name}{space}:{value}{space}"));
            }
        }
        let kept = format!("{{{}}}", parts.join(","));
        let place = place.index(parts.len() + 1);
        parts.insert(place, format!("{gap}\"usage\"{gap}:{usage}"));
        let with = format!("{{{}}}", parts.join(","));
        let (told, step) = whole(DOES_NOT_ASK, &format!("data: {with}\n\n{DONE}"));
        prop_assert_eq!(step, Step::Complete);
        let end = format!("\n\n{DONE}");
        let told = told.strip_prefix("data: ").and_then(|told| told.strip_suffix(&end)).expect("one event");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        prop_assert_eq!(parse(told), parse(&kept));
        let common = with.bytes().zip(told.bytes()).take_while(|(left, right)| left == right).count();
        let rest = &told.as_bytes()[common..];
        prop_assert!(with.as_bytes().ends_with(rest), "one contiguous piece is gone: {} {}", with, told);
    }
}

#[test]
fn a_cut_at_every_byte_gives_the_same_answer() {
    let usage = USAGE
        .replace("\"choices\":[]", "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]");
    let stream = [": hi\n\n", &role(), &content("é😀"), &usage, DONE].concat().replace('\n', "\r\n");
    for request in [ASKS, DOES_NOT_ASK] {
        let expected = whole(request, &stream);
        for cut in 1..stream.len() {
            let (first, second) = stream.as_bytes().split_at(cut);
            assert_eq!(relayed(request, vec![first.to_vec(), second.to_vec()]), expected, "cut at {cut}");
        }
    }
}
