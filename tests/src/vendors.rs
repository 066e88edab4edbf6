//! Providers with an API of their own, as [`Upstream`](crate::upstream::Upstream) plans: Gemini's `generateContent`,
//! Bedrock's `Converse` and, in a module each, Anthropic's Messages and OpenAI's chat with tools, written from their public
//! documentation and apart from the gateway's code.

mod anthropic;
mod completions;
mod openai;

use serde_json::{Value, json};

use crate::upstream::{Received, Step, chunk, data, stream_head, whole};

/// Answers each provider's paths in its own format, and everything else as OpenAI does.
pub fn all(request: &Received) -> Vec<Step> {
    if says(request, "Never answer") {
        vec![Step::Hold]
    } else if request.line.contains("/converse") {
        bedrock(request)
    } else if request.line.contains(":countTokens") {
        vec![Step::Send(whole(200, &json!({"totalTokens": 7})))]
    } else if request.line.contains(" /v1/completions") {
        completions::answer(request)
    } else if request.line.contains(":generateContent") || request.line.contains(":streamGenerateContent") {
        gemini(request)
    } else if request.line.contains("/messages") {
        anthropic::answer(request)
    } else {
        openai::answer(request)
    }
}

/// Cities that the tools are called with: two calls at once, or one if the request demands a certain tool.
fn cities(demanded: bool) -> &'static [&'static str] {
    if demanded { &["Bonn"] } else { &["Bonn", "Kiel"] }
}

/// Whether a test wants an answer that begins and does not end.
fn never_ends(request: &Received) -> bool {
    says(request, "Never end")
}

fn says(request: &Received, words: &str) -> bool {
    String::from_utf8_lossy(&request.body).contains(words)
}

/// A request that offers a tool gets a call of it; any other gets a greeting.
fn gemini(request: &Received) -> Vec<Step> {
    let body = request.json();
    let contents = body["contents"].as_array().expect("contents");
    let answered = contents.last().is_some_and(|last| last["parts"][0].get("functionResponse").is_some());
    let tool = body["tools"][0]["functionDeclarations"][0]["name"].as_str().filter(|_| !answered);
    let parts = match tool {
        Some(name) => vec![
            json!({"functionCall": {"name": name, "args": {"city": "Bonn"}}, "thoughtSignature": "c2lnbmF0dXJl"}),
        ],
        None => vec![json!({"text": "Hel"}), json!({"text": "lo!"})],
    };
    let piece = |parts: &[Value], finish: Option<&str>, output: u64| {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        let usage =
            json!({"promptTokenCount": 3, "candidatesTokenCount": output, "totalTokenCount": 3 + output});
        json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-real", "responseId": "r-1"})
    };
    if !request.line.contains("alt=sse") {
        return vec![Step::Send(whole(200, &piece(&parts, Some("STOP"), 2)))];
    }
    let mut steps = vec![Step::Send(stream_head())];
    for (place, part) in parts.iter().enumerate() {
        let finish = (place + 1 == parts.len()).then_some("STOP");
        let event = data(&piece(std::slice::from_ref(part), finish, place as u64 + 1));
        steps.push(Step::Send(chunk(&event)));
    }
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

fn bedrock(request: &Received) -> Vec<Step> {
    let usage = json!({"inputTokens": 3, "outputTokens": 2, "totalTokens": 5});
    if !request.line.contains("/converse-stream") {
        let message = json!({"role": "assistant", "content": [{"text": "Hello!"}]});
        let answer = json!({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}});
        return vec![Step::Send(whole(200, &answer))];
    }
    let events = [
        ("messageStart", json!({"role": "assistant", "p": "abc"})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "Hel"}, "p": "ab"})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "lo!"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        ("metadata", json!({"usage": usage, "metrics": {"latencyMs": 1}})),
    ];
    let bytes: Vec<u8> = events.iter().flat_map(|(name, payload)| message(name, payload)).collect();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut steps = vec![Step::Send(head.into())];
    // In pieces that respect no message.
    steps.extend(bytes.chunks(37).map(|piece| Step::Send(chunk(piece))));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// One event-stream message.
fn message(name: &str, payload: &Value) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in
        [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(key.len() as u8);
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let total = (16 + headers.len() + payload.len()) as u32;
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(u32::MAX, step)
}
