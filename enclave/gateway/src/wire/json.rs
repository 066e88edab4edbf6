//! JSON of translated bodies: members with their own error, texts that may be lists, media in data URLs.
//!
//! Only translation builds values; same-dialect bodies are scanned in place and never come here.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, SeqAccess, Visitor, value};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use super::Request;
use super::dialect::{Expressible, Weight};
use crate::chat::conversation::{CacheHint, Media, MediaSource};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::Kind;

/// A top-level member of a request; `null` counts as absent.
pub(super) fn member<T: DeserializeOwned>(
    request: &Request,
    param: &'static str,
    expected: &'static str,
) -> Result<Option<T>, Error> {
    let document = request.body.expose();
    match request.fields.find(document, param).filter(|field| field.kind != Kind::Null) {
        None => Ok(None),
        Some(field) => match serde_json::from_slice(field.value(document)) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Error::FieldInvalid { param, expected }),
        },
    }
}

/// A limit that must be a plain positive number.
pub(super) fn positive(request: &Request, param: &'static str) -> Result<Option<u64>, Error> {
    let expected = "a positive whole number";
    match member::<u64>(request, param, expected)? {
        Some(0) => Err(Error::FieldInvalid { param, expected }),
        other => Ok(other),
    }
}

/// Reports every top-level member that the canonical form does not have: those of `weighed` by their weight unless
/// they say what is the default anyway, others as hints.
pub(super) fn report_unread(
    request: &Request,
    read: &[&str],
    weighed: &[(&'static str, Weight)],
    expressible: &mut Expressible,
) -> Result<(), Error> {
    let document = request.body.expose();
    for field in &request.fields {
        let idle =
            matches!(field.kind, Kind::Null | Kind::False) || matches!(field.value(document), b"{}" | b"[]");
        if idle || read.iter().any(|name| field.is(document, name)) {
            continue;
        }
        match weighed.iter().find(|(name, _)| field.is(document, name)) {
            Some((name, weight)) => expressible.cannot(name, *weight)?,
            None => expressible.cannot("unknown fields", Weight::Hint)?,
        }
    }
    Ok(())
}

/// Appends a value as JSON. The types written here cannot fail to serialise.
pub(super) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "strings, numbers and lists always serialise");
}

/// A value as a body.
pub(super) fn body(value: &impl Serialize) -> Plaintext<Bytes> {
    let mut out = Vec::with_capacity(1024);
    append(&mut out, value);
    Plaintext::new(out.into())
}

/// A text, or a list of parts.
pub(super) enum TextOr<T> {
    List(Vec<T>),
    Text(String),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text or a list")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(TextOr::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(value::SeqAccessDeserializer::new(sequence)).map(TextOr::List)
    }
}

/// A text of an upstream. Some cut it between the halves of a surrogate pair; a half alone becomes U+FFFD.
#[derive(Default)]
pub(super) struct Loose(pub(super) String);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(LooseVisitor)
    }
}

struct LooseVisitor;

impl Visitor<'_> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Loose, E> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Loose(text.to_owned())),
            // serde_json gives the half as the three bytes that UTF-8 would have for it.
            Err(_) => {
                Ok(Loose(String::from_utf8_lossy(bytes).replace("\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}")))
            }
        }
    }
}

/// `cache_control`, Anthropic's and its imitators'.
#[derive(DeriveDeserialize)]
pub(super) struct CacheControl {
    #[serde(default)]
    ttl: Option<String>,
}

impl CacheControl {
    /// The canonical form.
    pub(super) fn hint(&self) -> CacheHint {
        if self.ttl.as_deref() == Some("1h") { CacheHint::Hour } else { CacheHint::Default }
    }
}

/// What a URL of a medium says: its bytes if it is a base64 data URL, or else the address.
pub(super) fn media(url: String) -> Media {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match data {
        Some((media_type, data)) => Media {
            media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
            source: MediaSource::Base64(data.to_owned()),
        },
        None => Media { media_type: String::new(), source: MediaSource::Url(url) },
    }
}

/// The URL form of a medium; nothing for files at a provider.
pub(super) fn media_url(media: &Media) -> Option<String> {
    match &media.source {
        MediaSource::Base64(data) => Some(format!("data:{};base64,{data}", media.media_type)),
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::FileId(_) => None,
    }
}
