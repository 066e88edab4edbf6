//! The requests that the load generator sends, as whole HTTP/1.1 messages.
//!
//! Two fields that any chat request may carry tell the mock what to answer: `max_tokens` is the number of chunks of a
//! stream and `seed` their pace in microseconds.

use std::time::Duration;

/// Shape of the answer that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `chunks` events, one every `pace` (zero: as fast as they can be written).
    Stream {
        /// Events with content.
        chunks: u32,
        /// Time between two of them.
        pace: Duration,
    },
    /// One JSON answer.
    Whole,
}

/// Body of a chat request whose last message is `prompt_bytes` long, less at most a sentence.
pub fn body(model: &str, shape: Shape, prompt_bytes: usize) -> String {
    let directives = match shape {
        Shape::Stream { chunks, pace } => format!(
            r#""stream":true,"stream_options":{{"include_usage":true}},"max_tokens":{chunks},"seed":{},"#,
            pace.as_micros()
        ),
        Shape::Whole => String::new(),
    };
    let prompt = PROSE.repeat((prompt_bytes / PROSE.len()).max(1));
    format!(
        concat!(
            r#"{{"model":"{model}",{directives}"temperature":0.2,"user":"bench","messages":["#,
            r#"{{"role":"system","content":"You answer briefly."}},{{"role":"user","content":"{prompt}"}}]}}"#
        ),
        model = model,
        directives = directives,
        prompt = prompt
    )
}

/// A whole `POST /v1/chat/completions` around `body`; `close` asks for the connection to end with the answer.
pub fn message(body: &str, headers: &str, close: bool) -> Vec<u8> {
    post("/v1/chat/completions", "application/json", body.as_bytes(), headers, close)
}

/// The header line of a bearer token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Any `POST` as a whole message; `headers` are further lines, each with its line end.
pub fn post(path: &str, media_type: &str, body: &[u8], headers: &str, close: bool) -> Vec<u8> {
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: postern-bench/0.1\r\nAccept: */*\r\n\
         Content-Type: {media_type}\r\nContent-Length: {}\r\n",
        body.len()
    );
    head.push_str(headers);
    head.push_str(if close { "Connection: close\r\n\r\n" } else { "\r\n" });
    let mut message = head.into_bytes();
    message.extend_from_slice(body);
    message
}

/// 100 bytes of JSON string text with one escape, as prose has.
const PROSE: &str =
    "Please read the following passage with care, then say what it means for the plan that we agreed.\\n  ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_asked_size() {
        for size in [100, 300, 16 * 1024, 1024 * 1024] {
            for shape in [Shape::Whole, Shape::Stream { chunks: 64, pace: Duration::from_millis(5) }] {
                let text = body("mock", shape, size);
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let content = value["messages"][1]["content"].as_str().unwrap();
                assert!(content.len() <= size && text.len() + 200 > size, "{size}: {}", text.len());
                assert_eq!(value["stream"].as_bool().unwrap_or(false), shape != Shape::Whole);
            }
        }
    }
}
