//! `POST /v1/messages` (Anthropic API reference, "Messages" and "Streaming messages"; event shapes as the official SDKs
//! read them).

use bytes::Bytes;

use super::dialect::{Dialect, Expressible, FrontDialect, ReadStream, Shown, Target, WriteStream, Written};
use super::openai_shape::{boolean, check_messages, check_tools, model, scan_request};
use super::{
    Asked, Chunk, Frame, Layout, Malformed, OperationName, Request, RequestHead, Scratch, Whole, Wire,
};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation, FinishReason};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};

mod abilities;

mod usage;

mod blocks;

mod citations;

mod read_request;

mod write_request;

mod answer;

mod read_stream;

mod write_stream;

pub use usage::Counts;

/// The messages format.
pub struct AnthropicMessages;

impl Wire for AnthropicMessages {
    fn name(&self) -> &'static str {
        "anthropic_messages"
    }

    fn operation(&self) -> OperationName {
        OperationName::Chat
    }

    fn layout(&self) -> Layout {
        Layout::Anthropic
    }

    fn path(&self) -> &'static str {
        "/v1/messages"
    }

    fn asked(&self, head: &RequestHead<'_>) -> Option<Result<Asked, Error>> {
        (head.path == self.path()).then(|| Ok(passed_on(head)))
    }

    fn dialect(&self) -> Option<&'static dyn FrontDialect> {
        Some(&Self)
    }

    fn parse(&self, asked: Asked, body: Plaintext<Bytes>) -> Result<Request, Error> {
        let fields = scan_request(&body)?;
        let document = body.expose();
        let model = model(&asked, &body, &fields)?;
        check_messages(document, &fields)?;
        check_tools(document, &fields)?;
        let stream = boolean(document, &fields, "stream")?.unwrap_or(false);
        Ok(Request { wire: &Self, model, stream, include_usage: true, asked, body, fields })
    }

    fn inspect_whole(&self, body: &[u8], scratch: &mut Scratch) -> Result<Whole, Malformed> {
        scratch.top.scan(body)?;
        let word = |name| scratch.top.find(body, name).and_then(|field| field.raw_string(body));
        let (is_error, finish) = (word("type") == Some(b"error"), word("stop_reason").map(finish));
        let mut counts = Counts::default();
        if let Some(field) = scratch.top.find(body, "usage") {
            counts.take(field.value(body))?;
        }
        Ok(Whole { usage: counts.total(), finish, is_error })
    }

    fn inspect_event(&self, data: &[u8], scratch: &mut Scratch) -> Result<Frame, Malformed> {
        scratch.top.scan(data)?;
        let Scratch { top, inner, counts, content_seen, .. } = scratch;
        let kind = top.find(data, "type").and_then(|field| field.raw_string(data)).ok_or(Malformed)?;
        let member =
            |name| top.find(data, name).filter(|own| own.kind == Kind::Object).map(|own| own.value(data));
        let mut chunk = Chunk::default();
        match kind {
            b"error" => {
                let object = member("error").unwrap_or(b"{}");
                inner.scan_utf8(object)?;
                let word = inner.find(object, "type").and_then(|field| field.raw_string(object));
                return Ok(Frame::Failure { status: read_stream::status(word.unwrap_or_default()) });
            }
            b"message_stop" => return Ok(Frame::Done),
            b"content_block_delta" => chunk.content = true,
            b"content_block_start" if !*content_seen => {
                let block = member("content_block").unwrap_or_default();
                let empty: [&[u8]; 2] = [b"text", b"thinking"];
                inner.scan_utf8(block)?;
                let kind = inner.find(block, "type").and_then(|field| field.raw_string(block));
                chunk.content = !kind.is_some_and(|kind| empty.contains(&kind));
            }
            b"message_start" => {
                let message = member("message").ok_or(Malformed)?;
                inner.scan_utf8(message)?;
                if let Some(field) = inner.find(message, "usage") {
                    counts.take(field.value(message))?;
                }
                chunk.usage = counts.total();
            }
            b"message_delta" => {
                chunk.content = true;
                counts.take(member("usage").unwrap_or(b"{}"))?;
                chunk.usage = counts.total();
                chunk.finish = member("delta").and_then(|delta| stop_reason(delta, inner));
            }
            _ => {}
        }
        Ok(Frame::Chunk(chunk))
    }
}

/// What an upstream of the same dialect is told of the head, unchanged: every `anthropic-` field, and whether the client
/// asked for beta features in the query, the only thing that the official SDKs say there.
pub(super) fn passed_on(head: &RequestHead<'_>) -> Asked {
    let own = |name: &str| name.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("anthropic-"));
    let fields = head.headers.iter().filter(|(name, _)| own(name));
    Asked {
        passed_on: fields
            .map(|(name, value)| (name.to_ascii_lowercase(), Plaintext::new(value.to_vec())))
            .collect(),
        query: (head.query == Some("beta=true")).then_some("?beta=true"),
        ..Asked::default()
    }
}

fn stop_reason(delta: &[u8], scratch: &mut Fields) -> Option<FinishReason> {
    scratch.scan_utf8(delta).ok()?;
    scratch.find(delta, "stop_reason").and_then(|field| field.raw_string(delta)).map(finish)
}

/// The reason for this API's word.
fn finish(word: &[u8]) -> FinishReason {
    match word {
        b"end_turn" | b"pause_turn" | b"stop_sequence" => FinishReason::Stop,
        b"max_tokens" | b"model_context_window_exceeded" => FinishReason::Length,
        b"refusal" => FinishReason::ContentFilter,
        b"tool_use" => FinishReason::ToolCalls,
        _ => FinishReason::Other,
    }
}

/// This API's word for a reason.
const fn stop_word(reason: FinishReason, stop_sequence: Option<&str>) -> &'static str {
    match (reason, stop_sequence) {
        (FinishReason::ContentFilter, _) => "refusal",
        (FinishReason::FunctionCall | FinishReason::ToolCalls, _) => "tool_use",
        (FinishReason::Length, _) => "max_tokens",
        (FinishReason::Other | FinishReason::Stop, Some(_)) => "stop_sequence",
        (FinishReason::Other | FinishReason::Stop, None) => "end_turn",
    }
}

/// The id shown for an answer: the upstream's own if it looks like this API's.
fn answer_id(upstream: &str, own: &str) -> String {
    if upstream.starts_with("msg_") { upstream.to_owned() } else { format!("msg_{own}") }
}

impl Dialect for AnthropicMessages {
    fn name(&self) -> &'static str {
        Wire::name(self)
    }

    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error> {
        write_request::write(conversation.expose(), target, expressible)
    }

    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed> {
        answer::read(body, names)
    }

    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream> {
        Box::new(read_stream::Reader::new(names))
    }
}

impl FrontDialect for AnthropicMessages {
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error> {
        read_request::read(request, expressible)
    }

    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes> {
        answer::write(completion.expose(), shown)
    }

    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream> {
        Box::new(write_stream::Writer::new(shown))
    }
}
