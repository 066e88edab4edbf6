//! What the `OpenAI` formats share: the model field, the usage object, the error object.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Asked, Malformed, Scratch};
use crate::chat::{ServiceTier, Usage};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::price::nano_usd_from_json;
use crate::scan::{Field, Fields, Kind, unescape};

/// Longest model name accepted, in characters after decoding.
const MAX_MODEL: usize = 256;

/// Scans a request body that must be an object.
pub(super) fn scan_request(body: &Plaintext<Bytes>) -> Result<Fields, Error> {
    let mut fields = Fields::for_requests();
    let document = body.expose();
    match fields.scan(document) {
        Ok(()) => Ok(fields),
        Err(refusal) => {
            let (line, column) = refusal.position(document);
            Err(Error::JsonInvalid { problem: refusal.problem, line, column })
        }
    }
}

/// The model that the path names, or else the `model` field: a name that cannot be mistaken for a path.
pub(super) fn model(asked: &Asked, body: &Plaintext<Bytes>, fields: &Fields) -> Result<String, Error> {
    if let Some(name) = &asked.model {
        return Ok(name.clone());
    }
    let document = body.expose();
    let field = fields.find(document, "model").ok_or(Error::FieldMissing { param: "model" })?;
    let expected = "the name of a model, at most 256 characters of A-Z a-z 0-9 . _ : / @ + -";
    let name = field.raw_string(document).and_then(unescape).filter(|name| is_model_name(name));
    name.ok_or(Error::FieldInvalid { param: "model", expected })
}

/// Most messages of a request.
const MAX_MESSAGES: u32 = 4096;
/// Most tools of a request.
const MAX_TOOLS: u32 = 512;
/// Most bytes of one tool, schema included.
const MAX_TOOL: u32 = 256 * 1024;

/// The `messages` field: a list, not too long.
pub(super) fn check_messages(document: &[u8], fields: &Fields) -> Result<(), Error> {
    let messages = fields.find(document, "messages").ok_or(Error::FieldMissing { param: "messages" })?;
    if messages.kind != Kind::Array {
        return Err(Error::FieldInvalid { param: "messages", expected: "an array of messages" });
    }
    if messages.elements.count > MAX_MESSAGES {
        return Err(Error::FieldInvalid { param: "messages", expected: "at most 4096 messages" });
    }
    Ok(())
}

/// The `tools` field, if there is one: not too many, none too large.
pub(super) fn check_tools(document: &[u8], fields: &Fields) -> Result<(), Error> {
    let Some(tools) = fields.find(document, "tools").filter(|field| field.kind == Kind::Array) else {
        return Ok(());
    };
    let expected = "at most 512 tools of at most 256 KiB each";
    if tools.elements.count > MAX_TOOLS || tools.elements.longest > MAX_TOOL {
        return Err(Error::FieldInvalid { param: "tools", expected });
    }
    Ok(())
}

/// Whether a text is usable as a model name: short, printable, without traversal or encoded separators.
pub(crate) fn is_model_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
    !name.is_empty() && name.len() <= MAX_MODEL && name.bytes().all(plain) && !name.contains("..")
}

/// An optional boolean field; `null` counts as absent.
pub(super) fn boolean(document: &[u8], fields: &Fields, param: &'static str) -> Result<Option<bool>, Error> {
    match fields.find(document, param).map(|field| field.kind) {
        None | Some(Kind::Null) => Ok(None),
        Some(Kind::True) => Ok(Some(true)),
        Some(Kind::False) => Ok(Some(false)),
        Some(_) => Err(Error::FieldInvalid { param, expected: "true or false" }),
    }
}

/// Reads a `usage` object, in the shapes in which vendors report details; one without any count says nothing.
pub(super) fn usage(
    document: &[u8],
    field: &Field,
    scratch: &mut Fields,
) -> Result<Option<Usage>, Malformed> {
    if field.kind == Kind::Object { usage_object(field.value(document), scratch) } else { Ok(None) }
}

/// The same for the object's own bytes, which are known to be UTF-8.
pub(super) fn usage_object(object: &[u8], scratch: &mut Fields) -> Result<Option<Usage>, Malformed> {
    if !object.starts_with(b"{") {
        return Ok(None);
    }
    scratch.scan_utf8(object)?;
    let number = |fields: &Fields, name: &str| fields.find(object, name).and_then(|own| own.unsigned(object));
    if ["prompt_tokens", "completion_tokens", "total_tokens"]
        .iter()
        .all(|name| number(scratch, name).is_none())
    {
        return Ok(None);
    }
    let input = number(scratch, "prompt_tokens").unwrap_or(0);
    let output = number(scratch, "completion_tokens").unwrap_or(0);
    let sum = input.saturating_add(output);
    let mut usage = Usage {
        input_tokens: input,
        output_tokens: output,
        total_tokens: number(scratch, "total_tokens").unwrap_or(sum).max(sum),
        cached_input_tokens: number(scratch, "prompt_cache_hit_tokens").unwrap_or(0),
        reasoning_tokens: 0,
        web_searches: number(scratch, "num_search_queries").unwrap_or(0),
        ..Usage::default()
    };
    let ticks = number(scratch, "cost_in_usd_ticks").map(nano_usd_of_ticks);
    let cost = scratch.find(object, "cost").map(|own| (own.kind, own.value.clone()));
    let span =
        |name| scratch.find(object, name).filter(|own| own.kind == Kind::Object).map(|own| own.value.clone());
    let (of_input, of_output) = (span("prompt_tokens_details"), span("completion_tokens_details"));
    usage.reported_cost_nano_usd = match cost {
        Some((Kind::Number, span)) => object.get(span).and_then(nano_usd_from_json),
        Some((Kind::Object, span)) => {
            let details = object.get(span).unwrap_or_default();
            scratch.scan_utf8(details)?;
            let total = scratch.find(details, "total_cost").filter(|own| own.kind == Kind::Number);
            total.and_then(|own| nano_usd_from_json(own.value(details)))
        }
        _ => ticks,
    };
    let mut detail = |span: &Option<std::ops::Range<usize>>, name| -> Result<Option<u64>, Malformed> {
        let Some(details) = span.clone().and_then(|span| object.get(span)) else { return Ok(None) };
        scratch.scan_utf8(details)?;
        Ok(scratch.find(details, name).and_then(|own| own.unsigned(details)))
    };
    if let Some(cached) = detail(&of_input, "cached_tokens")? {
        usage.cached_input_tokens = cached;
    }
    usage.cache_write_tokens = detail(&of_input, "cache_write_tokens")?.unwrap_or(0);
    usage.reasoning_tokens = detail(&of_output, "reasoning_tokens")?.unwrap_or(0);
    Ok(Some(usage))
}

/// xAI counts cost in ticks, of which a dollar has ten thousand million.
pub(super) const fn nano_usd_of_ticks(ticks: u64) -> u64 {
    ticks.saturating_add(5).wrapping_div(10)
}

/// How the answer whose top level is scanned was served.
pub(super) fn tier(document: &[u8], top: &Fields) -> ServiceTier {
    let word = top.find(document, "service_tier").and_then(|field| field.raw_string(document));
    ServiceTier::from_word(word.unwrap_or_default())
}

/// Whether the scanned top level is an error object.
pub(super) fn is_error(document: &[u8], scratch: &Scratch) -> bool {
    scratch.top.find(document, "error").is_some_and(|field| field.kind != Kind::Null)
}

/// The HTTP status that fits the error in a scanned chunk.
pub(super) fn error_status(document: &[u8], fields: &Fields) -> u16 {
    status_in(fields.find(document, "error").map(|field| field.value(document)).unwrap_or_default())
}

/// What an error object may say about its status.
#[derive(Deserialize)]
struct ErrorMember<'a> {
    #[serde(default, borrow)]
    code: Option<&'a RawValue>,
    #[serde(default, borrow)]
    r#type: Option<&'a RawValue>,
}

/// The HTTP status that an error object names, as a number or in a word, or 502.
pub(super) fn status_in(error: &[u8]) -> u16 {
    let Ok(ErrorMember { code, r#type }) = serde_json::from_slice(error) else { return 502 };
    let number = code.and_then(|own| own.get().parse().ok());
    if let Some(status) = number.filter(|status| (400..=599).contains(status)) {
        return status;
    }
    let words = [code, r#type].into_iter().flatten().map(|own| own.get().trim_matches('"'));
    words.map(status_of_code).find(|status| *status != 502).unwrap_or(502)
}

/// The HTTP status that a code or type of an error inside a stream amounts to (`OpenAI` API reference, "Error codes" and
/// "The response object"); 502 if it says nothing of that.
pub(super) fn status_of_code(code: &str) -> u16 {
    match code {
        "context_length_exceeded" | "content_filter" | "invalid_prompt" | "invalid_request_error" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "insufficient_quota" => 402,
        "rate_limit_error" | "rate_limit_exceeded" => 429,
        "server_error" => 500,
        "overloaded" | "overloaded_error" | "server_overloaded" => 503,
        _ => 502,
    }
}
