//! Turns as the messages format wants them: neighbours of one role together, results first and once for each call, no
//! empty text.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::conversation::{Media, MediaSource, Part, Role, Seal, Thought, Turn};
use crate::error::Error;
use crate::wire::anthropic_messages::blocks::{CacheMark, Source, input};
use crate::wire::dialect::{Expressible, Weight};

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Image {
        source: Source<'a>,
    },
    RedactedThinking {
        data: &'a str,
    },
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheMark>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Self>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
}

/// All turns; those that say nothing are left out, since the API refuses them.
pub(super) fn merged<'a>(
    turns: &'a [Turn],
    expressible: &mut Expressible,
) -> Result<Vec<Message<'a>>, Error> {
    let mut messages: Vec<Message<'a>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let role = match turn.role {
            Role::Assistant => "assistant",
            Role::User => "user",
        };
        let mut blocks = Vec::with_capacity(turn.parts.len());
        for part in &turn.parts {
            blocks.extend(block(part, expressible)?);
        }
        match messages.last_mut().filter(|last| last.role == role) {
            _ if blocks.is_empty() => {}
            Some(last) => last.content.extend(blocks),
            None => messages.push(Message { role, content: blocks }),
        }
    }
    for message in &mut messages {
        order(&mut message.content);
    }
    Ok(messages)
}

/// Results and thoughts come first; of several results of one call the last counts.
fn order(content: &mut Vec<Block<'_>>) {
    let ids: Vec<String> = content.iter().filter_map(Block::answers).map(str::to_owned).collect();
    if !ids.is_empty() {
        let mut left: Vec<&str> = ids.iter().map(String::as_str).collect();
        content.retain(|block| {
            let Some(id) = block.answers() else { return true };
            left.remove(0);
            !left.contains(&id)
        });
    }
    content.sort_by_key(|block| match block {
        Block::RedactedThinking { .. } | Block::Thinking { .. } | Block::ToolResult { .. } => 0_u8,
        Block::Document { .. } | Block::Image { .. } | Block::Text { .. } | Block::ToolUse { .. } => 1,
    });
}

impl Block<'_> {
    /// The call that it is a result of.
    const fn answers(&self) -> Option<&str> {
        match self {
            Self::ToolResult { tool_use_id, .. } => Some(tool_use_id),
            Self::Document { .. }
            | Self::Image { .. }
            | Self::RedactedThinking { .. }
            | Self::Text { .. }
            | Self::Thinking { .. }
            | Self::ToolUse { .. } => None,
        }
    }
}

fn block<'a>(part: &'a Part, expressible: &mut Expressible) -> Result<Option<Block<'a>>, Error> {
    Ok(match part {
        Part::Audio(_) => {
            expressible.cannot("messages.content", Weight::Meaning)?;
            None
        }
        Part::Document { media, name } => document(media, name.as_deref(), expressible)?,
        Part::Image { media, .. } => Some(Block::Image { source: Source::new(media) }),
        Part::Reasoning(thought) => thinking(thought),
        Part::Refusal(text) => text_block(text, None),
        Part::Text { text, cache } => text_block(text, CacheMark::new(*cache)),
        Part::ToolCall(call) => {
            let input = input(&call.arguments);
            Some(Block::ToolUse { id: &call.id, name: &call.name, input })
        }
        Part::ToolResult { call_id, parts, is_error } => {
            let mut content = Vec::with_capacity(parts.len());
            for part in parts {
                content.extend(block(part, expressible)?);
            }
            Some(Block::ToolResult { tool_use_id: call_id, content, is_error: *is_error })
        }
    })
}

fn text_block(text: &str, cache_control: Option<CacheMark>) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text, cache_control })
}

/// Thought goes back only with the seal of the vendor that made it; the API refuses any other.
fn thinking(thought: &Thought) -> Option<Block<'_>> {
    Some(match thought.unmarked_seal()? {
        Seal::Encrypted(data) => Block::RedactedThinking { data },
        Seal::Signature(signature) => Block::Thinking { thinking: &thought.text, signature },
    })
}

/// PDFs go as they are, plain text as text; other types the API does not read.
fn document<'a>(
    media: &'a Media,
    title: Option<&'a str>,
    expressible: &mut Expressible,
) -> Result<Option<Block<'a>>, Error> {
    let source = match &media.source {
        MediaSource::Base64(data) if media.media_type.starts_with("text/") => {
            let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.map(|data| Source::Text { media_type: "text/plain", data })
        }
        MediaSource::Base64(_) if media.media_type != "application/pdf" => None,
        MediaSource::Base64(_) | MediaSource::FileId(_) | MediaSource::Url(_) => Some(Source::new(media)),
    };
    if source.is_none() {
        expressible.cannot("messages.content", Weight::Meaning)?;
    }
    Ok(source.map(|source| Block::Document { source, title }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thought_of_another_vendor_is_not_sent() {
        let sent = |signature: Option<&str>, redacted: Option<&str>| {
            let [signature, redacted] = [signature, redacted].map(|own| own.map(str::to_owned));
            let thought = Thought { text: "t".to_owned(), signature, redacted };
            thinking(&thought).map(|block| serde_json::to_value(&block).unwrap())
        };
        let own = serde_json::json!({"type": "thinking", "thinking": "t", "signature": "c2ln"});
        assert_eq!(sent(Some("c2ln"), None), Some(own));
        let own = serde_json::json!({"type": "redacted_thinking", "data": "c2ln"});
        assert_eq!(sent(None, Some("c2ln")), Some(own));
        for (signature, redacted) in [
            (Some("gemini:c2ln"), None),
            (None, Some("openai:rs_1:c2ln")),
            (Some("c2ln"), Some("openai:rs_1:c2ln")),
            (Some(""), None),
            (None, None),
        ] {
            assert_eq!(sent(signature, redacted), None, "{signature:?} {redacted:?}");
        }
    }
}
