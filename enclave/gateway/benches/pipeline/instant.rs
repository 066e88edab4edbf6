//! An upstream that costs nothing, and what passes between it and a client.

use std::collections::VecDeque;
use std::hint::black_box;

use bytes::Bytes;
use gateway::upstream::{Progress, ReadError, SendError};
use gateway::{Upstream, UpstreamBody, UpstreamCall, UpstreamResponse};

/// Answers with shared bytes and keeps nothing.
pub struct Instant {
    pub content_type: &'static [u8],
    pub pieces: Vec<Bytes>,
}

pub struct Pieces(VecDeque<Bytes>);

impl Upstream for Instant {
    type Body = Pieces;

    async fn send(&self, call: UpstreamCall) -> Result<UpstreamResponse<Pieces>, SendError> {
        black_box(call.body.expose().parts());
        let headers = vec![("content-type".to_owned(), self.content_type.to_vec())];
        Ok(UpstreamResponse { status: 200, headers, body: Pieces(self.pieces.iter().cloned().collect()) })
    }
}

impl UpstreamBody for Pieces {
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<Progress, ReadError> {
        match self.0.pop_front() {
            Some(piece) => {
                into.extend_from_slice(&piece);
                Ok(Progress::Data)
            }
            None => Ok(Progress::End),
        }
    }
}

pub const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1770000000,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"@"},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":200,"total_tokens":500,"prompt_tokens_details":{"cached_tokens":0}}}"#;
pub const CHUNK: &str = "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1770000000,\"model\":\"gpt-x\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";

pub const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{"type":"text","text":"@"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":300,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":200}}"#;
pub const MESSAGE_START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-4-6\",\"content\":[],\"usage\":{\"input_tokens\":300,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
pub const MESSAGE_DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n";

pub fn request(model: &str, stream: &str) -> Bytes {
    let prompt = "word and word, ".repeat(130);
    format!(r#"{{"model":"{model}","temperature":0.7{stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#).into()
}
