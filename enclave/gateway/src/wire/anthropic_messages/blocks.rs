//! What requests and answers of the messages format write alike: sources of media, cache marks, tool input.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::conversation::{CacheHint, Media, MediaSource};

/// `cache_control`.
#[derive(Clone, Copy, Serialize)]
pub(super) struct CacheMark {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CacheMark {
    pub(super) fn new(hint: Option<CacheHint>) -> Option<Self> {
        let ttl = (hint? == CacheHint::Hour).then_some("1h");
        Some(Self { r#type: "ephemeral", ttl })
    }
}

/// Where a medium's bytes are.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    File { file_id: &'a str },
    Text { media_type: &'static str, data: String },
    Url { url: &'a str },
}

impl<'a> Source<'a> {
    pub(super) fn new(media: &'a Media) -> Self {
        match &media.source {
            MediaSource::Base64(data) => Self::Base64 { media_type: &media.media_type, data },
            MediaSource::FileId(file_id) => Self::File { file_id },
            MediaSource::Url(url) => Self::Url { url },
        }
    }
}

/// A tool's arguments as the object that the API wants. What a model wrote that is none goes into an object, since
/// leaving it out would make the history a lie.
pub(super) fn input(arguments: &str) -> Cow<'_, RawValue> {
    let whole = arguments.trim();
    let read = serde_json::from_str::<&RawValue>(whole);
    match read {
        Ok(value) if value.get().starts_with('{') => Cow::Borrowed(value),
        _ if whole.is_empty() => Cow::Borrowed(empty()),
        _ => {
            let wrapped = serde_json::json!({ "raw_arguments": arguments }).to_string();
            RawValue::from_string(wrapped).map_or_else(|_| Cow::Borrowed(empty()), Cow::Owned)
        }
    }
}

/// `{}`
fn empty() -> &'static RawValue {
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}
