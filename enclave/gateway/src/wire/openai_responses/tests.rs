use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::completion::{Choice, Delta, Output};
use crate::chat::conversation::{Effort, OutputFormat, Part, Role, Thought, ToolCall, ToolChoice};
use crate::chat::{FinishReason, Usage};
use crate::wire::dialect::StreamFailure;

fn parse(body: &Value) -> Result<Request, Error> {
    OpenAiResponses.parse(Asked::default(), Plaintext::new(body.to_string().into()))
}

fn read(body: &Value) -> Result<Conversation, Error> {
    let request = parse(body)?;
    let read = OpenAiResponses.read_request(&request, &mut Expressible::default());
    read.map(Plaintext::into_exposed)
}

fn refused(body: &Value) -> &'static str {
    match read(body) {
        Err(Error::FieldUnsupported { param }) => param,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("went through"),
    }
}

#[test]
fn what_needs_a_stored_response_is_refused() {
    for (name, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("background", json!(true)),
        ("store", json!(true)),
    ] {
        let mut body = json!({"model": "m", "input": "hi"});
        body[name] = value;
        assert_eq!(refused(&body), name);
        body[name] = Value::Null;
        assert!(parse(&body).is_ok(), "{name}");
    }
    assert!(parse(&json!({"model": "m", "input": "hi", "store": false})).is_ok());
    assert!(matches!(parse(&json!({"model": "m"})), Err(Error::FieldMissing { param: "input" })));
}

#[test]
fn items_become_turns() {
    let conversation = read(&json!({
        "model": "m", "instructions": "be brief", "stream": true,
        "input": [
            {"role": "developer", "content": "and kind"},
            {"role": "user", "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "ENC"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "postern-signature:gemini:c2ln"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"z": 1, "a": 2}, "strict": true}},
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "max_output_tokens": 9,
    }))
    .unwrap();
    assert_eq!(conversation.instructions.len(), 2);
    let roles: Vec<Role> = conversation.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    let [Part::Reasoning(own), Part::Text { .. }, Part::ToolCall(first), Part::ToolCall(second)] =
        &conversation.turns[1].parts[..]
    else {
        panic!("thought, text and two calls")
    };
    assert_eq!((own.text.as_str(), own.redacted.as_deref()), ("hm", Some("openai:rs_1:ENC")));
    assert_eq!(first.signature.as_deref(), Some("gemini:c2ln"));
    assert_eq!(second.signature, None);
    assert_eq!(conversation.turns[2].parts.len(), 2);
    assert!(matches!(&conversation.tool_choice, Some(ToolChoice::Tool(name)) if name == "f"));
    assert!(matches!(&conversation.format, OutputFormat::JsonSchema { strict: Some(true), .. }));
    let reasoning = conversation.reasoning.unwrap();
    assert_eq!((reasoning.effort, reasoning.visible), (Some(Effort::High), true));
    assert!(conversation.stream);
}

#[test]
fn what_other_vendors_lack_is_refused() {
    assert_eq!(refused(&json!({"model": "m", "input": "x", "tools": [{"type": "file_search"}]})), "tools");
    assert_eq!(refused(&json!({"model": "m", "input": [{"type": "item_reference", "id": "x"}]})), "input");
    assert_eq!(refused(&json!({"model": "m", "input": "x", "top_logprobs": 2})), "top_logprobs");
}

#[test]
fn a_request_is_written_for_an_upstream_and_stores_nothing() {
    let body = json!({
        "model": "m", "instructions": "be brief", "stream": true, "store": false,
        "include": ["reasoning.encrypted_content"],
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "detail": "auto", "image_url": "https://example.com/a.png"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ENC"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}],
        "tool_choice": "required", "parallel_tool_calls": false,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 9, "temperature": 0.5,
    });
    let conversation = Plaintext::new(read(&body).unwrap());
    let target = Target { model: "m", max_output_tokens: None };
    let written = OpenAiResponses.write_request(&conversation, &target, &mut Expressible::default());
    let written: Value = serde_json::from_slice(written.unwrap().body.expose()).unwrap();
    assert_eq!(written, body);
}

fn shown() -> Shown {
    Shown {
        id: "req-7".to_owned(),
        model: "mine".to_owned(),
        created: 5,
        include_usage: false,
        reasoning: true,
    }
}

fn completion() -> Completion {
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "f".to_owned(),
        arguments: String::new(),
        signature: Some("gemini:c2ln".to_owned()),
    };
    let thought = Thought { text: "hm".to_owned(), signature: Some("U0lH".to_owned()), redacted: None };
    Completion {
        choices: vec![Choice {
            output: vec![Output::Reasoning(thought), Output::Text("hi".to_owned()), Output::ToolCall(call)],
            finish: Some(FinishReason::ToolCalls),
            ..Choice::default()
        }],
        usage: Some(Usage { input_tokens: 3, output_tokens: 5, total_tokens: 8, ..Usage::default() }),
        ..Completion::default()
    }
}

#[test]
fn a_whole_answer_is_written_and_read_again() {
    let written = OpenAiResponses.write_answer(&Plaintext::new(completion()), &shown());
    let value: Value = serde_json::from_slice(written.expose()).unwrap();
    let kinds: Vec<&str> =
        value["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "reasoning", "function_call"]);
    assert_eq!(value["status"], "completed");
    assert_eq!(value["store"], false);
    assert_eq!(value["output"][0]["encrypted_content"], "postern-signature:U0lH");
    assert_eq!(value["output"][3]["arguments"], "{}");
    assert_eq!(value["usage"]["total_tokens"], 8);
    let again = OpenAiResponses.read_answer(written.expose(), &ToolNames::default());
    let again = again.unwrap_or_else(|_| panic!("reads")).into_exposed();
    assert_eq!(again.choices[0].finish, Some(FinishReason::ToolCalls));
    assert_eq!(again.choices[0].output.len(), 4);
    assert!(
        OpenAiResponses.read_answer(br#"{"status":"failed","error":{}}"#, &ToolNames::default()).is_err()
    );
}

#[test]
fn a_limit_makes_an_answer_incomplete() {
    let mut completion = completion();
    completion.choices[0].finish = Some(FinishReason::Length);
    let written = OpenAiResponses.write_answer(&Plaintext::new(completion), &shown());
    let value: Value = serde_json::from_slice(written.expose()).unwrap();
    assert_eq!(value["status"], "incomplete");
    assert_eq!(value["incomplete_details"]["reason"], "max_output_tokens");
}

fn think(text: &str, signature: Option<&str>) -> Delta {
    let signature = signature.map(str::to_owned);
    Delta::Reasoning { choice: 0, thought: Thought { text: text.to_owned(), signature, redacted: None } }
}

fn deltas() -> Vec<Delta> {
    let text = |text: &str| Delta::Text { choice: 0, text: text.to_owned() };
    let call = |call, name: &str| Delta::ToolCall {
        choice: 0,
        call,
        id: format!("c{call}"),
        name: name.to_owned(),
        signature: None,
    };
    let arguments = |call, json: &str| Delta::ToolArguments { choice: 0, call, json: json.to_owned() };
    vec![
        Delta::Begin { id: "up".to_owned(), model: "theirs".to_owned() },
        think("h", None),
        think("m", None),
        think("", Some("U0lH")),
        text("h"),
        text("é"),
        call(0, "f"),
        arguments(0, "{\"a\":"),
        arguments(0, "1}"),
        call(1, "g"),
        Delta::Finish { choice: 0, reason: FinishReason::ToolCalls, stop_sequence: None },
        Delta::Usage(Usage { input_tokens: 1, output_tokens: 2, total_tokens: 3, ..Usage::default() }),
    ]
}

fn written(deltas: &[Delta], end: impl FnOnce(&mut dyn WriteStream, &mut Vec<u8>)) -> Vec<u8> {
    let mut writer = OpenAiResponses.stream_writer(shown());
    let mut out = Vec::new();
    for delta in deltas {
        writer.write(delta, &mut out);
    }
    end(&mut *writer, &mut out);
    out
}

/// Names and payloads of events.
fn events(stream: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(stream).unwrap();
    let event = |event: &str| {
        let (name, data) = event.split_once("\ndata: ").unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), serde_json::from_str(data).unwrap())
    };
    text.trim_end().split("\n\n").map(event).collect()
}

#[test]
fn events_come_in_the_exact_order() {
    let stream = written(&deltas(), |writer, out| writer.end(out));
    let events = events(&stream);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.strip_prefix("response.").unwrap()).collect();
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "output_item.added",
            "function_call_arguments.done",
            "output_item.done",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    for (number, (name, payload)) in events.iter().enumerate() {
        assert_eq!(payload["sequence_number"], number, "numbered from 0 without gaps");
        assert_eq!(payload["type"], name.as_str());
    }
    let last = &events.last().unwrap().1["response"];
    assert_eq!(last["status"], "completed");
    assert_eq!(last["output"].as_array().unwrap().len(), 4);
    assert_eq!(last["output"][0]["encrypted_content"], "postern-signature:U0lH");
    assert_eq!(last["output"][1]["content"][0]["text"], "hé");
    assert_eq!(last["output"][2]["arguments"], "{\"a\":1}");
    assert_eq!(last["output"][3]["arguments"], "{}");
    assert_eq!(last["usage"]["total_tokens"], 3);
    assert_eq!(events[12].1["content_index"], 0);
    assert_eq!(events[12].1["output_index"], 1);
    assert_eq!(events[15].1["item"]["id"], events[9].1["item"]["id"], "an item keeps its id");
}

#[test]
fn a_failure_is_told_and_ends_the_response() {
    let stream = written(&deltas()[..6], |writer, out| writer.fail(&Error::UpstreamTruncated, out));
    let events = events(&stream);
    let [.., (error, _), (failed, payload)] = &events[..] else { panic!("two events") };
    assert_eq!((error.as_str(), failed.as_str()), ("error", "response.failed"));
    assert_eq!(payload["response"]["status"], "failed");
    assert!(!events.iter().any(|(name, _)| name == "response.completed"));
}

#[test]
fn thoughts_nobody_asked_for_are_not_told_but_come_back() {
    let mut writer = OpenAiResponses.stream_writer(Shown { reasoning: false, ..shown() });
    let mut out = Vec::new();
    for delta in deltas() {
        writer.write(&delta, &mut out);
    }
    writer.end(&mut out);
    let events = events(&out);
    assert!(!events.iter().any(|(name, _)| name.contains("reasoning_summary")));
    let output = &events.last().unwrap().1["response"]["output"];
    assert_eq!(output[0]["summary"], json!([]));
    assert_eq!(output[0]["encrypted_content"], "postern-signature:U0lH");
    assert_eq!(output[1]["type"], "message");
}

/// Deltas in one line, texts joined.
fn show(deltas: &[Delta]) -> String {
    let one = |delta: &Delta| match delta {
        Delta::Begin { .. } => "begin ".to_owned(),
        Delta::Citation { citation, .. } => format!(" cites {} {:?}", citation.url, citation.span),
        Delta::Finish { reason, .. } => format!(" {reason:?}"),
        Delta::Reasoning { thought, .. } => {
            format!("({}{})", thought.text, thought.signature.as_deref().unwrap_or_default())
        }
        Delta::Refusal { text, .. } | Delta::Text { text, .. } => text.clone(),
        Delta::ToolArguments { call, json, .. } => format!(" {call}<{json}"),
        Delta::ToolCall { call, id, name, .. } => format!(" {call}={name}/{id}"),
        Delta::Usage(usage) => format!(" {}+{}", usage.input_tokens, usage.output_tokens),
    };
    deltas.iter().map(one).collect()
}

const WANTED: &str = "begin (h)(m)(U0lH)hé 0=f/c0 0<{\"a\": 0<1} 1=g/c1 ToolCalls 1+2";

#[test]
fn upstream_failures_and_cuts() {
    let failures = [
        (r#"{"type":"error","code":"rate_limit_exceeded"}"#, StreamFailure::Reported { status: 429 }),
        (
            r#"{"type":"response.failed","response":{"error":{"code":"server_error"}}}"#,
            StreamFailure::Reported { status: 500 },
        ),
        ("{", StreamFailure::Malformed),
    ];
    for (event, failure) in failures {
        let mut reader = OpenAiResponses.stream_reader(ToolNames::default());
        let event = format!("event: x\ndata: {event}\n\n");
        assert_eq!(reader.feed(event.as_bytes(), &mut Vec::new()), Err(failure));
    }
    let mut reader = OpenAiResponses.stream_reader(ToolNames::default());
    let whole = written(&deltas(), |writer, out| writer.end(out));
    reader.feed(&whole[..whole.len() / 2], &mut Vec::new()).unwrap();
    assert_eq!(reader.finish(&mut Vec::new()), Err(StreamFailure::Truncated));
}

#[test]
fn events_that_go_through_are_understood() {
    let mut scratch = Scratch::default();
    let mut frame = |data: &str| OpenAiResponses.inspect_event(data.as_bytes(), &mut scratch).unwrap();
    assert!(matches!(
        frame(r#"{"type":"response.created","response":{}}"#),
        Frame::Chunk(Chunk { content: false, .. })
    ));
    assert!(matches!(
        frame(r#"{"type":"response.output_text.delta","delta":"x"}"#),
        Frame::Chunk(Chunk { content: true, .. })
    ));
    assert!(matches!(frame(r#"{"type":"response.something.new"}"#), Frame::Chunk(_)));
    assert_eq!(frame(r#"{"type":"response.failed"}"#), Frame::Failure { status: 502 });
    let last = frame(
        r#"{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"},
            "usage":{"input_tokens":4,"output_tokens":2,"total_tokens":6}}}"#,
    );
    let Frame::Last(chunk) = last else { panic!("the last one") };
    assert_eq!(chunk.finish, Some(FinishReason::Length));
    assert_eq!(chunk.usage.unwrap().input_tokens, 4);
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_deltas(cuts in prop::collection::vec(1_usize..300, 1..60)) {
        let whole = written(&deltas(), |writer, out| writer.end(out));
        let (mut rest, mut sizes) = (whole.as_slice(), cuts.iter().cycle());
        let mut reader = OpenAiResponses.stream_reader(ToolNames::default());
        let mut got = Vec::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            reader.feed(now, &mut got).unwrap();
            rest = later;
        }
        prop_assert!(reader.is_over());
        prop_assert_eq!(show(&got), WANTED);
    }
}
