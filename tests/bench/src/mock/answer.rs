//! The mock's bytes: one fixed completion, and events that differ only in their send time.

use std::io::Write as _;

/// Whole answer with its head, about 1.1 KB of JSON.
pub(super) fn whole() -> Vec<u8> {
    let body = format!(
        concat!(
            r#"{{"id":"chatcmpl-bench0000000000000000000000","object":"chat.completion","created":1760000000,"#,
            r#""model":"mock","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","#,
            r#""refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"#,
            r#""usage":{usage},"service_tier":"default","system_fingerprint":"fp_bench00000"}}"#
        ),
        text = "The mock upstream always gives this same answer, which is about as long as a short one. "
            .repeat(8),
        usage = USAGE
    );
    with_length("application/json", &body)
}

/// A JSON body with its head.
pub(super) fn with_length(media_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nX-Request-Id: bench\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Head of a streamed answer.
pub(super) const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nX-Request-Id: bench\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Appends one event with content, sent at `now_ns`, as one HTTP chunk.
pub(super) fn push_event(into: &mut Vec<u8>, first: bool, now_ns: u64) {
    let role = if first { r#""role":"assistant","# } else { "" };
    push_chunk(into, |event| {
        write!(
            event,
            concat!(
                r#"data: {{"id":"chatcmpl-bench0000000000000000000000","object":"chat.completion.chunk","#,
                r#""created":1760000000,"model":"mock","system_fingerprint":"fp_bench00000","choices":[{{"index":0,"#,
                r#""delta":{{{role}"content":"@{now:019}@ and so on"}},"logprobs":null,"finish_reason":null}}]}}"#,
                "\n\n"
            ),
            role = role,
            now = now_ns
        )
    });
}

/// Appends the finish reason, the usage, `[DONE]` and the last HTTP chunk.
pub(super) fn push_end(into: &mut Vec<u8>) {
    push_chunk(into, |event| {
        write!(
            event,
            concat!(
                r#"data: {{"id":"chatcmpl-bench0000000000000000000000","object":"chat.completion.chunk","#,
                r#""created":1760000000,"model":"mock","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}"#,
                "\n\n",
                r#"data: {{"id":"chatcmpl-bench0000000000000000000000","object":"chat.completion.chunk","#,
                r#""created":1760000000,"model":"mock","choices":[],"usage":{usage}}}"#,
                "\n\ndata: [DONE]\n\n"
            ),
            usage = USAGE
        )
    });
    into.extend_from_slice(b"0\r\n\r\n");
}

fn push_chunk(into: &mut Vec<u8>, event: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
    let start = into.len();
    into.extend_from_slice(b"0000\r\n");
    // Writing to a Vec cannot fail.
    let _written = event(into);
    let size = into.len() - start - 6;
    for (place, digit) in into[start..start + 4].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(size >> (4 * (3 - place))) & 15];
    }
    into.extend_from_slice(b"\r\n");
}

const USAGE: &str = r#"{"prompt_tokens":40,"completion_tokens":64,"total_tokens":104,"prompt_tokens_details":{"cached_tokens":0}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_published_sizes() {
        let whole = whole();
        let body = whole.len() - memchr::memmem::find(&whole, b"\r\n\r\n").unwrap() - 4;
        assert!((1050..1200).contains(&body), "{body}");
        let mut event = Vec::new();
        push_event(&mut event, false, 1);
        assert!((260..320).contains(&event.len()), "{}", event.len());
    }
}
