use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::completion::{Delta, Output};
use crate::chat::conversation::{
    CacheHint, Effort, Media, MediaSource, OutputFormat, Part, Reasoning, Role, Sampling, Thought, Tool,
    ToolCall, ToolChoice, Turn,
};
use crate::chat::{FinishReason, Usage};
use crate::wire::dialect::StreamFailure;
use crate::wire::event_stream::encode;

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), cache: None }
}

const fn target(model: &str) -> Target<'_> {
    Target { model, max_output_tokens: None }
}

fn turn(role: Role, parts: impl Into<Vec<Part>>) -> Turn {
    Turn { role, parts: parts.into() }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
    })
}

fn result(id: &str, words: &str) -> Part {
    Part::ToolResult { call_id: id.to_owned(), parts: vec![text(words)], is_error: false }
}

fn tool(name: &str, schema: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("d".to_owned()),
        parameters: Some(serde_json::from_str(schema).unwrap()),
        strict: None,
        cache: None,
    }
}

fn write(conversation: Conversation, model: &str) -> Result<(Value, ToolNames), Error> {
    let mut expressible = Expressible::default();
    let written =
        BedrockConverse.write_request(&Plaintext::new(conversation), &target(model), &mut expressible)?;
    Ok((serde_json::from_slice(written.body.expose()).unwrap(), written.names))
}

#[test]
fn neighbours_merge_and_blank_text_goes() {
    let conversation = Conversation {
        instructions: vec![Part::Text { text: "be brief".to_owned(), cache: Some(CacheHint::Hour) }],
        turns: vec![
            turn(Role::User, [text("one"), text(" ")]),
            turn(Role::User, [text("two")]),
            turn(Role::Assistant, [text("")]),
            turn(Role::User, [text("three")]),
        ],
        max_output_tokens: Some(9),
        stop: vec!["x".to_owned()],
        sampling: Sampling { temperature: Some(0.5), top_p: Some(0.25), ..Sampling::default() },
        ..Conversation::default()
    };
    let (body, _) = write(conversation, "meta.llama3").unwrap();
    let wanted = json!({
        "messages": [{ "role": "user", "content": [{"text": "one"}, {"text": "two"}, {"text": "three"}] }],
        "system": [{"text": "be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["x"]},
    });
    assert_eq!(body, wanted);
}

#[test]
fn names_and_ids_are_made_fit_and_restored() {
    let long = "a".repeat(80);
    let conversation = Conversation {
        turns: vec![
            turn(Role::User, [text("go")]),
            turn(Role::Assistant, [call("call:1", "get.weather", ""), call("ok_2", &long, "no json")]),
            turn(Role::User, [result("call:1", "sun"), result("ok_2", "")]),
        ],
        tools: vec![tool("get_weather", r#"{"z":1,"a":2}"#), tool("get.weather", "{}")],
        ..Conversation::default()
    };
    let (body, names) = write(conversation, "x").unwrap();
    let tools: Vec<&str> = body["toolConfig"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| own["toolSpec"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(tools[0], "get_weather");
    assert!(tools[1].starts_with("get_weather_") && tools[1].len() == 20, "{tools:?}");
    assert_eq!(names.original(tools[1]), "get.weather");
    let calls = &body["messages"][1]["content"];
    assert_eq!(calls[0]["toolUse"]["name"], tools[1]);
    assert_eq!(calls[0]["toolUse"]["input"], json!({}));
    assert_eq!(calls[1]["toolUse"]["input"], json!({ "text": "no json" }));
    assert_eq!(calls[1]["toolUse"]["name"].as_str().unwrap().len(), 64);
    assert_eq!(names.original(&"a".repeat(64)), long);
    let results = &body["messages"][2]["content"];
    assert_eq!(results[0]["toolResult"]["toolUseId"], calls[0]["toolUse"]["toolUseId"]);
    assert_eq!(results[1]["toolResult"]["content"], json!([]));
}

#[test]
fn schemas_keep_the_order_of_their_members() {
    let conversation = Conversation {
        turns: vec![turn(Role::User, [text("go")])],
        tools: vec![tool("f", r#"{"type":"object","properties":{"z":{},"a":{}}}"#)],
        format: OutputFormat::JsonSchema {
            name: Some("n".to_owned()),
            description: None,
            schema: serde_json::from_str(r#"{"z":1,"a":2}"#).unwrap(),
            strict: Some(true),
        },
        ..Conversation::default()
    };
    let mut expressible = Expressible::default();
    let written =
        BedrockConverse.write_request(&Plaintext::new(conversation), &target("x"), &mut expressible);
    let body = String::from_utf8(written.unwrap().body.expose().to_vec()).unwrap();
    assert!(body.contains(r#"{"type":"object","properties":{"z":{},"a":{}}}"#), "{body}");
    assert!(body.contains(r#""schema":"{\"z\":1,\"a\":2}""#), "{body}");
}

#[test]
fn history_with_tools_brings_a_tool_configuration() {
    let conversation = Conversation {
        turns: vec![
            turn(Role::User, [text("go")]),
            turn(Role::Assistant, [call("c", "f", "{}")]),
            turn(Role::User, [result("c", "r")]),
        ],
        ..Conversation::default()
    };
    let (body, _) = write(conversation, "x").unwrap();
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    let without = Conversation {
        turns: vec![turn(Role::User, [text("go")])],
        tools: vec![tool("f", "{}")],
        tool_choice: Some(ToolChoice::None),
        ..Conversation::default()
    };
    assert!(write(without, "x").unwrap().0.get("toolConfig").is_none());
}

#[test]
fn thinking_is_asked_for_in_the_makers_words() {
    let ask = |effort, max| Conversation {
        turns: vec![turn(Role::User, [text("go")])],
        reasoning: Some(Reasoning { effort: Some(effort), ..Reasoning::default() }),
        max_output_tokens: max,
        sampling: Sampling { temperature: Some(0.2), top_k: Some(4), ..Sampling::default() },
        ..Conversation::default()
    };
    let (body, _) = write(ask(Effort::High, Some(2000)), "eu.anthropic.claude-x-v1:0").unwrap();
    assert_eq!(
        body["additionalModelRequestFields"],
        json!({ "thinking": { "type": "enabled", "budget_tokens": 1999 } })
    );
    assert!(body["inferenceConfig"].get("temperature").is_none());
    let (body, _) = write(ask(Effort::Low, None), "anthropic.claude-x").unwrap();
    assert_eq!(body["inferenceConfig"]["maxTokens"], 1024 + 4096);
    let (body, _) = write(ask(Effort::Max, Some(50)), "us.amazon.nova-2-lite-v1:0").unwrap();
    assert_eq!(body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"], "high");
    assert_eq!(body["additionalModelRequestFields"]["inferenceConfig"]["topK"], 4);
    let (body, _) = write(ask(Effort::High, Some(500)), "anthropic.claude-x").unwrap();
    assert_eq!(body["additionalModelRequestFields"], json!({ "top_k": 4 }), "no room to think");
}

#[test]
fn media_and_thought_become_blocks() {
    let media = |media_type: &str, source| Media { media_type: media_type.to_owned(), source };
    let inline = || MediaSource::Base64("QUJD".to_owned());
    let thought = |signature: &str| {
        Part::Reasoning(Thought {
            text: "t".to_owned(),
            signature: Some(signature.to_owned()),
            redacted: None,
        })
    };
    let conversation = Conversation {
        turns: vec![
            turn(
                Role::User,
                [
                    Part::Image { media: media("image/png", inline()), detail: None },
                    Part::Document {
                        media: media("application/pdf", inline()),
                        name: Some("a/b  c.pdf".to_owned()),
                    },
                    Part::Image {
                        media: media("image/webp", MediaSource::Url("s3://b/k".to_owned())),
                        detail: None,
                    },
                ],
            ),
            turn(Role::Assistant, [thought("c2ln"), thought("gemini:c2ln"), text("x")]),
        ],
        ..Conversation::default()
    };
    let (body, _) = write(conversation, "x").unwrap();
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
            {"document": {"format": "pdf", "name": "a b c pdf 1", "source": {"bytes": "QUJD"}}},
            {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        ])
    );
    assert_eq!(
        body["messages"][1]["content"],
        json!([{"reasoningContent": {"reasoningText": {"text": "t", "signature": "c2ln"}}}, {"text": "x"}])
    );
}

#[test]
fn what_cannot_be_said_is_refused() {
    let refused = |conversation: Conversation| match write(conversation, "x") {
        Err(Error::FieldUnsupported { param }) => param,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("went through"),
    };
    let user = |part| vec![turn(Role::User, [part])];
    let url = Media { media_type: "image/png".to_owned(), source: MediaSource::Url("https://x".to_owned()) };
    let image = Part::Image { media: url, detail: None };
    assert_eq!(refused(Conversation { turns: user(image), ..Conversation::default() }), "image_url");
    assert_eq!(refused(Conversation { choices: Some(2), ..Conversation::default() }), "n");
    let format = OutputFormat::JsonObject;
    assert_eq!(refused(Conversation { format, ..Conversation::default() }), "response_format");
}

#[test]
fn a_whole_answer_is_read() {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
            {"text": "hi"},
            {"somethingNew": {}},
            {"toolUse": {"toolUseId": "t1", "name": "f_x", "input": {"b": 1, "a": 2}}},
        ]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 18,
            "cacheReadInputTokens": 4, "cacheWriteInputTokens": 6,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 2}, {"ttl": "5m", "inputTokens": 4}]},
        "metrics": {"latencyMs": 7},
    });
    let names = ToolNames::pair("f_x", "f.x");
    let read = BedrockConverse.read_answer(body.to_string().as_bytes(), &names);
    let completion = read.unwrap_or_else(|_| panic!("reads")).into_exposed();
    let usage = Usage {
        input_tokens: 13,
        output_tokens: 5,
        total_tokens: 18,
        cached_input_tokens: 4,
        cache_write_tokens: 6,
        cache_write_1h_tokens: 2,
        reasoning_tokens: 0,
        ..Usage::default()
    };
    assert_eq!(completion.usage, Some(usage));
    let choice = &completion.choices[0];
    assert_eq!(choice.finish, Some(FinishReason::ToolCalls));
    let [Output::Reasoning(thought), Output::Text(text), Output::ToolCall(call)] = &choice.output[..] else {
        panic!("three pieces")
    };
    assert_eq!((thought.text.as_str(), text.as_str()), ("hm", "hi"));
    assert_eq!(call.name, "f.x");
    assert!(BedrockConverse.read_answer(b"{\"message\":\"no\"}", &names).is_err());
}

fn event(name: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    encode(&headers, payload.to_string().as_bytes())
}

fn exception(name: &str) -> Vec<u8> {
    encode(&[(":exception-type", name), (":message-type", "exception")], br#"{"message":"secret"}"#)
}

/// A stream with thought, text, a call with arguments and one without.
fn stream() -> Vec<u8> {
    [
        event("messageStart", &json!({"role": "assistant", "p": "abcd"})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}})),
        event("contentBlockStop", &json!({"contentBlockIndex": 0})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 1, "delta": {"text": "hé"}})),
        event("contentBlockStop", &json!({"contentBlockIndex": 1})),
        event("contentBlockStart", &json!({"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "a", "name": "f"}}})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{\"x\":"}}})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 2, "delta": {"toolUse": {"input": "1}"}}})),
        event("contentBlockStop", &json!({"contentBlockIndex": 2})),
        event("contentBlockStart", &json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "b", "name": "g"}}})),
        event("contentBlockStop", &json!({"contentBlockIndex": 3})),
        event("messageStop", &json!({"stopReason": "tool_use"})),
        event("metadata", &json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}})),
    ]
    .concat()
}

/// Deltas in one line.
fn show(deltas: &[Delta]) -> String {
    let one = |delta: &Delta| match delta {
        Delta::Begin { .. } => "begin".to_owned(),
        Delta::Citation { citation, .. } => format!(" cites {} {:?}", citation.url, citation.span),
        Delta::Finish { reason, .. } => format!(" {reason:?}"),
        Delta::Reasoning { thought, .. } => {
            format!(" thinks({}{})", thought.text, thought.signature.as_deref().unwrap_or_default())
        }
        Delta::Refusal { text, .. } | Delta::Text { text, .. } => format!(" {text}"),
        Delta::ToolArguments { call, json, .. } => format!(" {call}<{json}"),
        Delta::ToolCall { call, id, name, .. } => format!(" {call}={name}({id})"),
        Delta::Usage(usage) => format!(" {}+{}", usage.input_tokens, usage.output_tokens),
    };
    deltas.iter().map(one).collect()
}

const WANTED: &str = "begin thinks(hm) thinks(c2ln) hé 0=f(a) 0<{\"x\": 0<1} 1=g(b) 1<{} ToolCalls 1+2";

#[test]
fn a_stream_is_read() {
    let mut reader = BedrockConverse.stream_reader(ToolNames::default());
    let mut deltas = Vec::new();
    reader.feed(&stream(), &mut deltas).unwrap();
    assert!(reader.is_over());
    reader.finish(&mut deltas).unwrap();
    assert_eq!(show(&deltas), WANTED);
}

#[test]
fn an_exception_before_any_event_fails_at_once() {
    for (name, status) in [
        ("throttlingException", 429),
        ("validationException", 400),
        ("modelTimeoutException", 504),
        ("serviceUnavailableException", 503),
        ("internalServerException", 500),
        ("modelStreamErrorException", 502),
    ] {
        let mut reader = BedrockConverse.stream_reader(ToolNames::default());
        let mut deltas = Vec::new();
        assert_eq!(reader.feed(&exception(name), &mut deltas), Err(StreamFailure::Reported { status }));
        assert!(deltas.is_empty());
    }
}

#[test]
fn a_stream_that_stops_early_is_truncated() {
    let whole = stream();
    for length in 0..whole.len() {
        let mut reader = BedrockConverse.stream_reader(ToolNames::default());
        let mut deltas = Vec::new();
        reader.feed(&whole[..length], &mut deltas).unwrap();
        let stopped = deltas.iter().any(|delta| matches!(delta, Delta::Finish { .. }));
        let at_a_boundary = stopped && reader.finish(&mut deltas).is_ok();
        let metadata = event(
            "metadata",
            &json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}}),
        );
        assert_eq!(at_a_boundary, length == whole.len() - metadata.len(), "{length}");
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_deltas(cuts in prop::collection::vec(1_usize..90, 1..60)) {
        let whole = stream();
        let (mut rest, mut sizes) = (whole.as_slice(), cuts.iter().cycle());
        let mut reader = BedrockConverse.stream_reader(ToolNames::default());
        let mut deltas = Vec::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            reader.feed(now, &mut deltas).unwrap();
            rest = later;
        }
        prop_assert_eq!(show(&deltas), WANTED);
    }
}
