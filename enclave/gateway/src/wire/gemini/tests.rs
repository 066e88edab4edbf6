use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::completion::{Choice, Delta, Output};
use crate::chat::conversation::{
    Effort, Media, MediaSource, OutputFormat, Part, Reasoning, Role, Thought, Tool, ToolCall, ToolChoice,
    Turn,
};
use crate::chat::{FinishReason, Usage};
use crate::wire::dialect::StreamFailure;

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), cache: None }
}

const fn target(model: &str) -> Target<'_> {
    Target { model, max_output_tokens: None }
}

fn turn(role: Role, parts: impl Into<Vec<Part>>) -> Turn {
    Turn { role, parts: parts.into() }
}

fn call(id: &str, name: &str, signature: Option<&str>) -> Part {
    let signature = signature.map(str::to_owned);
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: "{}".to_owned(),
        signature,
    })
}

fn result(id: &str, words: &str) -> Part {
    Part::ToolResult { call_id: id.to_owned(), parts: vec![text(words)], is_error: false }
}

fn write(conversation: Conversation, model: &str) -> Result<Value, Error> {
    let mut expressible = Expressible::default();
    let written = Gemini.write_request(&Plaintext::new(conversation), &target(model), &mut expressible)?;
    Ok(serde_json::from_slice(written.body.expose()).unwrap())
}

fn read(body: &Value) -> Conversation {
    read::conversation(body.to_string().as_bytes(), false, &mut Expressible::default()).unwrap()
}

#[test]
fn results_stand_alone_and_in_the_order_of_their_calls() {
    let conversation = Conversation {
        instructions: vec![text("be brief")],
        turns: vec![
            turn(Role::User, [text("go")]),
            turn(Role::Assistant, [text("ok"), call("a", "f", Some("gemini:c2ln")), call("b", "g.h", None)]),
            turn(Role::User, [result("b", r#"{"x":1}"#)]),
            turn(Role::User, [result("a", "sun"), text("and?")]),
        ],
        ..Conversation::default()
    };
    let wanted = json!({
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [
                {"text": "ok"},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "g.h", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"result": "sun"}}},
                {"functionResponse": {"name": "g.h", "response": {"x": 1}}},
            ]},
            {"role": "user", "parts": [{"text": "and?"}]},
        ],
        "generationConfig": {},
    });
    assert_eq!(write(conversation, "gemini-3-pro").unwrap(), wanted);
}

#[test]
fn a_call_of_another_model_gets_the_stand_in_seal() {
    let ask = || Conversation {
        turns: vec![turn(Role::Assistant, [call("a", "f", Some("foreign")), call("b", "g", None)])],
        ..Conversation::default()
    };
    let body = write(ask(), "gemini-3-flash").unwrap();
    let parts = &body["contents"][0]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert!(parts[1].get("thoughtSignature").is_none(), "only the first of parallel calls");
    let body = write(ask(), "gemini-2.5-pro").unwrap();
    assert!(body["contents"][0]["parts"][0].get("thoughtSignature").is_none());
}

#[test]
fn a_result_without_its_call_is_refused() {
    let conversation =
        Conversation { turns: vec![turn(Role::User, [result("a", "x")])], ..Conversation::default() };
    assert!(matches!(write(conversation, "x"), Err(Error::FieldInvalid { param: "messages", .. })));
}

#[test]
fn settings_are_said_in_googles_words() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#;
    let conversation = Conversation {
        tools: vec![
            Tool {
                name: "1 f".to_owned(),
                description: None,
                parameters: Some(serde_json::from_str(schema).unwrap()),
                strict: None,
                cache: None,
            },
            Tool {
                name: "nothing".to_owned(),
                description: Some("d".to_owned()),
                parameters: Some(serde_json::from_str(r#"{"type":"object","properties":{}}"#).unwrap()),
                strict: None,
                cache: None,
            },
        ],
        tool_choice: Some(ToolChoice::Tool("1 f".to_owned())),
        format: OutputFormat::JsonSchema {
            name: None,
            description: None,
            schema: serde_json::from_str(schema).unwrap(),
            strict: None,
        },
        reasoning: Some(Reasoning { effort: Some(Effort::High), visible: true, budget_tokens: None }),
        max_output_tokens: Some(7),
        stop: vec!["x".to_owned()],
        ..Conversation::default()
    };
    let object = json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}});
    let wanted = json!({
        "contents": [],
        "tools": [{"functionDeclarations": [
            {"name": "_1_f", "parameters": object}, {"name": "nothing", "description": "d"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["_1_f"]}},
        "generationConfig": {
            "maxOutputTokens": 7, "stopSequences": ["x"],
            "responseMimeType": "application/json", "responseSchema": object,
            "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 24576},
        },
    });
    assert_eq!(write(conversation, "gemini-2.5-flash").unwrap(), wanted);
}

#[test]
fn media_go_inline_or_by_an_address_the_provider_fetches() {
    let media = |media_type: &str, source| Media { media_type: media_type.to_owned(), source };
    let image = |source| Part::Image { media: media("", source), detail: None };
    let inline = Part::Audio(media("audio/wav", MediaSource::Base64("QUJD".to_owned())));
    let url = || MediaSource::Url("https://example.com/a.PNG?x=1".to_owned());
    let body = write(
        Conversation { turns: vec![turn(Role::User, [inline, image(url())])], ..Conversation::default() },
        "x",
    );
    assert_eq!(
        body.unwrap()["contents"][0]["parts"],
        json!([
            {"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}},
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.PNG?x=1"}},
        ])
    );
    let file = image(MediaSource::FileId("f".to_owned()));
    let refused =
        write(Conversation { turns: vec![turn(Role::User, [file])], ..Conversation::default() }, "x");
    assert!(matches!(refused, Err(Error::FieldUnsupported { param: "image_url" })));
}

#[test]
fn a_clients_request_is_read_in_either_spelling() {
    let conversation = read(&json!({
        "system_instruction": {"parts": [{"text": "s"}]},
        "contents": [
            {"parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "_-8"}}]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true},
                {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "f", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"result": "one"}}},
                {"functionResponse": {"name": "f", "response": {"error": "two"}}},
            ]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"topK": 40.0, "maxOutputTokens": 5, "responseMimeType": "application/json",
            "thinkingConfig": {"thinkingBudget": 0, "includeThoughts": true}},
        "safetySettings": [],
    }));
    let [Part::Text { text, .. }, Part::Image { media, .. }] = &conversation.turns[0].parts[..] else {
        panic!("text and picture")
    };
    assert_eq!(text, "hi");
    assert!(matches!(&media.source, MediaSource::Base64(data) if data == "/+8="));
    let [Part::Reasoning(thought), Part::ToolCall(one), Part::ToolCall(two)] =
        &conversation.turns[1].parts[..]
    else {
        panic!("thought and calls")
    };
    assert_eq!((thought.text.as_str(), one.arguments.as_str()), ("hm", r#"{"a":1}"#));
    assert_eq!(one.signature.as_deref(), Some("gemini:c2ln"));
    for (part, call, said, failed) in [
        (&conversation.turns[2].parts[0], one, "one", false),
        (&conversation.turns[2].parts[1], two, "two", true),
    ] {
        let Part::ToolResult { call_id, parts, is_error } = part else { panic!("a result") };
        assert_eq!((call_id, *is_error), (&call.id, failed));
        assert!(matches!(&parts[..], [Part::Text { text, .. }] if text == said));
    }
    assert_eq!(conversation.tools[0].parameters.as_ref().unwrap().get(), r#"{"type":"object"}"#);
    assert!(matches!(conversation.tool_choice, Some(ToolChoice::Required)));
    assert!(matches!(conversation.format, OutputFormat::JsonObject));
    assert_eq!(conversation.sampling.top_k, Some(40));
    assert_eq!(conversation.reasoning.as_ref().unwrap().effort, Some(Effort::None));
}

#[test]
fn a_request_survives_both_ways() {
    let body = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"b": 1, "a": 2}}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"z": 1, "a": 2}}}]},
            {"role": "model", "parts": [{"text": "ok"}, {"text": "", "thoughtSignature": "bW9yZQ=="}]},
        ],
        "generationConfig": {"temperature": 0.5},
    });
    assert_eq!(write(read(&body), "gemini-3-pro").unwrap(), body);
}

#[test]
fn what_other_vendors_lack_is_refused() {
    for (body, wanted) in [
        (json!({"contents": [], "cachedContent": "c"}), "cachedContent"),
        (json!({"contents": [], "tools": [{"codeExecution": {}}]}), "tools"),
        (
            json!({"contents": [], "generationConfig": {"responseModalities": ["IMAGE"]}}),
            "generationConfig.responseModalities",
        ),
    ] {
        let read = read::conversation(body.to_string().as_bytes(), false, &mut Expressible::default());
        assert!(matches!(read, Err(Error::FieldUnsupported { param }) if param == wanted));
    }
}

#[test]
fn seals_of_other_vendors_pass_through_a_gemini_client() {
    let foreign = shape::seal_for_client("c2lnbmF0dXJl");
    assert_eq!(shape::seal_from_client(&foreign), "c2lnbmF0dXJl");
    let url_safe = foreign.replace('+', "-").replace('/', "_");
    assert_eq!(shape::seal_from_client(url_safe.trim_end_matches('=')), "c2lnbmF0dXJl");
    assert_eq!(shape::seal_for_client("gemini:c2ln"), "c2ln");
    assert_eq!(shape::seal_from_client("c2ln"), "gemini:c2ln");
}

/// The model and whether a stream is wanted.
type Wish = Option<(String, bool)>;

/// What each of the two formats sees in a path.
fn asked(path: &str, query: Option<&str>) -> (Wish, Wish) {
    let head = RequestHead { method: "POST", path, query, headers: &[] };
    let of = |wire: &dyn Wire| wire.asked(&head)?.ok().map(|own| (own.model.unwrap(), own.stream));
    (of(&Gemini), of(&GeminiArray))
}

#[test]
fn paths_name_model_and_method() {
    let named = |model: &str, stream| Some((model.to_owned(), stream));
    for version in ["v1", "v1beta"] {
        let path = |rest: &str| format!("/{version}/models/{rest}");
        assert_eq!(asked(&path("a:generateContent"), None), (named("a", false), None));
        assert_eq!(asked(&path("a%2Fb:8b:generateContent"), None), (named("a/b:8b", false), None));
        assert_eq!(asked(&path("a:streamGenerateContent"), Some("key=k&alt=sse")), (named("a", true), None));
        assert_eq!(asked(&path("a:streamGenerateContent"), None), (None, named("a", false)));
        assert_eq!(asked(&path("../a:generateContent"), None), (None, None));
        assert_eq!(asked(&path("%2e%2e%2fa:generateContent"), None), (None, None));
        assert_eq!(asked(&path("a:embedContent"), None), (None, None));
    }
}

fn answer(body: &Value) -> Result<Completion, Malformed> {
    answer::read(body.to_string().as_bytes(), &ToolNames::pair("g_h", "g h"))
}

#[test]
fn a_whole_answer_is_read() {
    let body = json!({
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "hm", "thought": true}, {"text": "a"}, {"text": "b", "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g_h", "args": {"z": 1}}},
        ]}}],
        "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5,
            "thoughtsTokenCount": 7, "totalTokenCount": 22},
        "modelVersion": "gemini-x", "responseId": "r1",
    });
    let completion = answer(&body).unwrap();
    let choice = &completion.choices[0];
    assert_eq!(choice.finish, Some(FinishReason::ToolCalls));
    let [Output::Reasoning(hm), Output::Text(text), Output::Reasoning(seal), Output::ToolCall(call)] =
        &choice.output[..]
    else {
        panic!("four pieces")
    };
    assert_eq!((hm.text.as_str(), text.as_str()), ("hm", "ab"));
    assert_eq!(seal.signature.as_deref(), Some("gemini:c2ln"));
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("g h", r#"{"z":1}"#));
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 12,
        total_tokens: 22,
        cached_input_tokens: 4,
        reasoning_tokens: 7,
        ..Usage::default()
    };
    assert_eq!(completion.usage, Some(usage));
}

#[test]
fn blocked_and_broken_answers() {
    let blocked = answer(&json!({"promptFeedback": {"blockReason": "SAFETY"}})).unwrap();
    assert_eq!(blocked.choices[0].finish, Some(FinishReason::ContentFilter));
    for reason in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"] {
        let body = json!({"candidates": [{"finishReason": reason}]});
        assert_eq!(answer(&body).unwrap().choices[0].finish, Some(FinishReason::ContentFilter), "{reason}");
    }
    let body = json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]});
    assert!(answer(&body).is_err());
    assert!(answer(&json!({"error": {"code": 500}})).is_err());
    assert!(answer(&json!({})).is_err());
}

fn shown() -> Shown {
    Shown {
        id: "made-here".to_owned(),
        model: "mine".to_owned(),
        created: 1,
        include_usage: false,
        reasoning: true,
    }
}

#[test]
fn an_answer_is_written() {
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "f".to_owned(),
        arguments: String::new(),
        signature: Some("gemini:c2ln".to_owned()),
    };
    let thought = Thought { text: "hm".to_owned(), ..Thought::default() };
    let completion = Completion {
        choices: vec![Choice {
            output: vec![Output::Reasoning(thought), Output::Text("hi".to_owned()), Output::ToolCall(call)],
            finish: Some(FinishReason::ToolCalls),
            ..Choice::default()
        }],
        usage: Some(Usage {
            input_tokens: 3,
            output_tokens: 5,
            total_tokens: 8,
            reasoning_tokens: 2,
            ..Usage::default()
        }),
        ..Completion::default()
    };
    let written: Value = serde_json::from_slice(&answer::write(&completion, &shown())).unwrap();
    let wanted = json!({
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "hm", "thought": true}, {"text": "hi"},
            {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "c2ln"},
        ]}}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 3, "thoughtsTokenCount": 2,
            "totalTokenCount": 8},
        "modelVersion": "mine", "responseId": "made-here",
    });
    assert_eq!(written, wanted);
}

/// Deltas in one line.
fn show(deltas: &[Delta]) -> String {
    let one = |delta: &Delta| match delta {
        Delta::Begin { id, model } => format!("begin {id} {model}"),
        Delta::Citation { citation, .. } => format!(" cites {} {:?}", citation.url, citation.span),
        Delta::Finish { reason, .. } => format!(" {reason:?}"),
        Delta::Reasoning { thought, .. } => {
            format!(" thinks({}{})", thought.text, thought.signature.as_deref().unwrap_or_default())
        }
        Delta::Refusal { text, .. } | Delta::Text { text, .. } => format!(" {text}"),
        Delta::ToolArguments { call, json, .. } => format!(" {call}<{json}"),
        Delta::ToolCall { call, name, .. } => format!(" {call}={name}"),
        Delta::Usage(usage) => format!(" {}+{}", usage.input_tokens, usage.output_tokens),
    };
    deltas.iter().map(one).collect()
}

/// A stream with thought, text, two calls, running totals, and usage after the finish reason.
fn stream() -> String {
    let piece = |parts: Value, more: Value| {
        let mut body = json!({"candidates": [{"content": {"role": "model", "parts": parts}}],
            "responseId": "r", "modelVersion": "m"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("data: {body}\r\n\r\n")
    };
    let usage = |count: u64| json!({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": count}});
    [
        piece(json!([{"text": "hm", "thought": true}]), usage(1)),
        piece(json!([{"text": "hé"}]), usage(2)),
        piece(
            json!([{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g"}}]),
            json!({}),
        ),
        "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n".to_owned(),
        piece(json!([]), usage(9)),
    ]
    .concat()
}

const WANTED: &str = "begin r m thinks(hm) 3+1 hé 3+2 0=f 0<{\"a\":1} 1=g 1<{} ToolCalls 3+9";

#[test]
fn a_stream_ends_with_its_bytes() {
    let mut reader = Gemini.stream_reader(ToolNames::default());
    let mut deltas = Vec::new();
    let whole = stream();
    reader.feed(whole.trim_end().as_bytes(), &mut deltas).unwrap();
    reader.finish(&mut deltas).unwrap();
    assert_eq!(show(&deltas), WANTED);
    let mut reader = Gemini.stream_reader(ToolNames::default());
    reader.feed(&whole.as_bytes()[..whole.find("finishReason").unwrap()], &mut deltas).unwrap();
    assert_eq!(reader.finish(&mut deltas), Err(StreamFailure::Truncated));
}

#[test]
fn errors_in_a_stream_are_failures() {
    for (event, failure) in [
        (r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#, StreamFailure::Reported { status: 429 }),
        (r#"{"error":{"code":"x"}}"#, StreamFailure::Reported { status: 502 }),
        (
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#,
            StreamFailure::Reported { status: 502 },
        ),
        ("[DONE]", StreamFailure::Malformed),
    ] {
        let mut reader = Gemini.stream_reader(ToolNames::default());
        let event = format!("data: {event}\n\n");
        assert_eq!(reader.feed(event.as_bytes(), &mut Vec::new()), Err(failure));
    }
}

#[test]
fn a_stream_is_written_and_read_again() {
    let mut deltas = Vec::new();
    Gemini.stream_reader(ToolNames::default()).feed(stream().as_bytes(), &mut deltas).unwrap();
    let mut writer = Gemini.stream_writer(shown());
    let mut out = Vec::new();
    for delta in &deltas {
        writer.write(delta, &mut out);
    }
    writer.end(&mut out);
    let mut again = Vec::new();
    let mut reader = Gemini.stream_reader(ToolNames::default());
    reader.feed(&out, &mut again).unwrap();
    reader.finish(&mut again).unwrap();
    assert_eq!(show(&again), "begin r mine thinks(hm) hé 0=f 0<{\"a\":1} 1=g 1<{} ToolCalls 3+9");
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_deltas(cuts in prop::collection::vec(1_usize..70, 1..60)) {
        let whole = stream();
        let (mut rest, mut sizes) = (whole.as_bytes(), cuts.iter().cycle());
        let mut reader = Gemini.stream_reader(ToolNames::default());
        let mut deltas = Vec::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            reader.feed(now, &mut deltas).unwrap();
            rest = later;
        }
        reader.finish(&mut deltas).unwrap();
        prop_assert_eq!(show(&deltas), WANTED);
    }
}
