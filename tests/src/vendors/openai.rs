//! OpenAI's chat completions with tools and structured answers (API reference, "Create chat completion").

use serde_json::{Value, json};

use super::{cities, never_ends};
use crate::upstream::{
    Received, Step, chunk, completion, data, done, event, stream, stream_head, usage_event, well, whole,
};

/// Calls of the offered tool, the structured answer asked for, or what [`well`] answers.
pub(super) fn answer(request: &Received) -> Vec<Step> {
    if !request.line.contains("/chat/completions") {
        return well(request);
    }
    let body = request.json();
    let streamed = body["stream"] == true;
    let structured = body["response_format"]["type"] == "json_schema";
    if never_ends(request) && streamed {
        return vec![Step::Send(stream_head()), Step::Send(chunk(&event("Hel"))), Step::Hold];
    }
    match calls(&body) {
        Some(calls) if streamed => stream_calls(&calls),
        Some(calls) => {
            let mut answer = completion();
            answer["choices"][0]["message"] =
                json!({"role": "assistant", "content": null, "tool_calls": calls});
            answer["choices"][0]["finish_reason"] = "tool_calls".into();
            vec![Step::Send(whole(200, &answer))]
        }
        None if structured && streamed => stream(&[r#"{"city":"#, r#""Bonn"}"#]),
        None if structured => {
            let mut answer = completion();
            answer["choices"][0]["message"]["content"] = r#"{"city":"Bonn"}"#.into();
            vec![Step::Send(whole(200, &answer))]
        }
        None => well(request),
    }
}

fn calls(body: &Value) -> Option<Vec<Value>> {
    let last = body["messages"].as_array().and_then(|messages| messages.last())?;
    let name = body["tools"][0]["function"]["name"].as_str().filter(|_| last["role"] != "tool")?;
    let alone = body["tool_choice"].is_object() || body["parallel_tool_calls"] == false;
    let calls = cities(alone).iter().enumerate();
    let call = |(place, city): (usize, &&str)| {
        let function = json!({"name": name, "arguments": json!({"city": city}).to_string()});
        json!({"id": format!("call_{place}"), "type": "function", "function": function})
    };
    Some(calls.map(call).collect())
}

/// Each call begins with its name; its arguments follow in two pieces.
fn stream_calls(calls: &[Value]) -> Vec<Step> {
    let mut steps = vec![Step::Send(stream_head())];
    let mut send = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let piece = json!({
            "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "real-model", "choices": [choice],
        });
        steps.push(Step::Send(chunk(&data(&piece))));
    };
    for (index, call) in calls.iter().enumerate() {
        let mut first = call.clone();
        let arguments = call["function"]["arguments"].as_str().expect("arguments").to_owned();
        first["index"] = index.into();
        first["function"]["arguments"] = "".into();
        send(json!({"role": "assistant", "tool_calls": [first]}), None);
        let (front, back) = arguments.split_at(4);
        for piece in [front, back] {
            send(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), None);
        }
    }
    send(json!({}), Some("tool_calls"));
    steps.extend([usage_event(), done()].map(|end| Step::Send(chunk(&end))));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}
