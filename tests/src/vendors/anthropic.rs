//! Anthropic's Messages API (API reference, "Create a message", "Streaming messages", "Count tokens in a message").

use serde_json::{Value, json};

use super::{cities, never_ends};
use crate::upstream::{Received, Step, chunk, stream_head, whole};

/// A count, calls of the offered tool, the structured answer asked for, or a greeting.
pub(super) fn answer(request: &Received) -> Vec<Step> {
    if request.line.contains("/count_tokens") {
        return vec![Step::Send(whole(200, &json!({"input_tokens": 7})))];
    }
    let body = request.json();
    let blocks = blocks(&body);
    let reason = if blocks[0]["type"] == "tool_use" { "tool_use" } else { "end_turn" };
    if body["stream"] == true {
        return stream(&blocks, reason, never_ends(request));
    }
    let usage = json!({"input_tokens": 3, "output_tokens": 2});
    let mut message = message(&blocks, &usage);
    message["stop_reason"] = reason.into();
    vec![Step::Send(whole(200, &message))]
}

fn message(blocks: &[Value], usage: &Value) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks,
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    })
}

fn blocks(body: &Value) -> Vec<Value> {
    let last = body["messages"].as_array().and_then(|messages| messages.last()).expect("messages");
    let answered = last["content"]
        .as_array()
        .is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"));
    if searches(body) {
        return found();
    }
    if let Some(name) = body["tools"][0]["name"].as_str().filter(|_| !answered) {
        let choice = &body["tool_choice"];
        let alone = choice["type"] == "tool" || choice["disable_parallel_tool_use"] == true;
        let calls = cities(alone).iter().enumerate();
        return calls
            .map(|(place, city)| {
                json!({"type": "tool_use", "id": format!("toolu_{place}"), "name": name, "input": {"city": city}})
            })
            .collect();
    }
    let structured = body["output_config"]["format"].is_object() || body["output_format"].is_object();
    vec![json!({"type": "text", "text": if structured { r#"{"city":"Bonn"}"# } else { "Hello!" }})]
}

/// Whether the search of the web is among the tools.
fn searches(body: &Value) -> bool {
    let is = |tool: &Value| tool["type"].as_str().is_some_and(|kind| kind.starts_with("web_search_"));
    body["tools"].as_array().is_some_and(|tools| tools.iter().any(is))
}

/// A search by the provider, and a text of which one piece rests on a page (API documentation, "Web search tool").
fn found() -> Vec<Value> {
    let page = json!({"type": "web_search_result", "url": PAGE, "title": "Bonn", "encrypted_content": "AAAA", "page_age": null});
    let citation = json!({"type": "web_search_result_location", "url": PAGE, "title": "Bonn", "encrypted_index": "BBBB", "cited_text": "rain"});
    vec![
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "weather"}}),
        json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]}),
        json!({"type": "text", "text": "Über Bonn: "}),
        json!({"type": "text", "text": "it rains", "citations": [citation]}),
        json!({"type": "text", "text": " today."}),
    ]
}

/// What a search finds.
const PAGE: &str = "https://weather.example/bonn";

fn stream(blocks: &[Value], reason: &str, endless: bool) -> Vec<Step> {
    let start = message(&[], &json!({"input_tokens": 3, "output_tokens": 1}));
    let mut events = vec![json!({"type": "message_start", "message": start}), json!({"type": "ping"})];
    for (index, block) in blocks.iter().enumerate() {
        if block["type"] == "web_search_tool_result" {
            events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
            events.push(json!({"type": "content_block_stop", "index": index}));
            continue;
        }
        let (empty, kind, member, text) = if block["type"] == "text" {
            let text = block["text"].as_str().expect("text").to_owned();
            (json!({"type": "text", "text": ""}), "text_delta", "text", text)
        } else {
            let mut empty = block.clone();
            empty["input"] = json!({});
            (empty, "input_json_delta", "partial_json", block["input"].to_string())
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        for citation in block["citations"].as_array().into_iter().flatten() {
            let delta = json!({"type": "citations_delta", "citation": citation});
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        let (first, second) = text.split_at(text.len().min(3));
        for piece in [first, second] {
            let delta = json!({"type": kind, member: piece});
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
            if endless {
                return steps(&events, Step::Hold);
            }
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2}}));
    events.push(json!({"type": "message_stop"}));
    steps(&events, Step::Send(b"0\r\n\r\n".to_vec()))
}

fn steps(events: &[Value], end: Step) -> Vec<Step> {
    let mut steps = vec![Step::Send(stream_head())];
    for event in events {
        let name = event["type"].as_str().expect("a type");
        steps.push(Step::Send(chunk(format!("event: {name}\ndata: {event}\n\n").as_bytes())));
    }
    steps.push(end);
    steps
}
