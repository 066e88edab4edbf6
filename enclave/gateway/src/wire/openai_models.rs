//! `GET /v1/models` and `GET /v1/models/{id}` (`OpenAI` API reference, "Models"): answered here, from configuration.

use super::Operation;
use super::openai_shape::is_model_name;
use crate::error::Error;

/// One line of the list.
pub struct Listed<'a> {
    /// The model's name.
    pub id: &'a str,
    /// Who provides it.
    pub owned_by: &'a str,
    /// How far content is exposed: `attested`, `contract_zdr` or `provider_visible`.
    pub exposure_class: &'a str,
}

/// What a path under `/v1/models` asks for; nothing if it is another path.
pub(super) fn target(path: &str) -> Result<Option<Operation>, Error> {
    let Some(rest) = path.strip_prefix("/v1/models") else { return Ok(None) };
    if rest.is_empty() {
        return Ok(Some(Operation::ListModels));
    }
    let Some(id) = rest.strip_prefix('/') else { return Ok(None) };
    let id = percent_decode(id).filter(|id| is_model_name(id)).ok_or(Error::ModelUnknown)?;
    Ok(Some(Operation::ShowModel(id)))
}

/// The whole list as JSON.
pub fn list<'a>(models: impl Iterator<Item = Listed<'a>>) -> Vec<u8> {
    let mut out = br#"{"object":"list","data":["#.to_vec();
    for (place, model) in models.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        append(&mut out, &model);
    }
    out.extend_from_slice(b"]}");
    out
}

/// One model as JSON.
pub fn show(model: &Listed<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, model);
    out
}

/// Names come from the checked configuration and need no escaping.
fn append(out: &mut Vec<u8>, model: &Listed<'_>) {
    let Listed { id, owned_by, exposure_class } = model;
    let object = format!(
        r#"{{"id":"{id}","object":"model","created":{CREATED},"owned_by":"{owned_by}","postern":{{"exposure_class":"{exposure_class}"}}}}"#
    );
    out.extend_from_slice(object.as_bytes());
}

pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (bytes.next().and_then(digit)?, bytes.next().and_then(digit)?);
        decoded.push(u8::try_from(high.wrapping_shl(4) | low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// The API wants a creation time; a configured name has none, so every model carries the same (2026-01-01).
const CREATED: u64 = 1_767_225_600;
