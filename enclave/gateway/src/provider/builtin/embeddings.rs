//! Embeddings of the built-in models.
//!
//! `postern-words` gives texts with the same content words the same direction, without any weights: good for finding the
//! same question in other phrasing, blind to synonyms. Any other model gives a direction that depends on the input's bytes
//! only: equal inputs are equal, all others are unrelated, which is good for tests of the path.

use bytes::Bytes;
use ring::digest;

use super::generator::mix;
use super::{Reply, refuse, words};
use crate::scan::{Fields, Kind, elements, unescape};
use crate::wire::embedding::append_vector;

/// The model that looks at words.
const WORDS: &str = "postern-words";
/// Dimensions unless the client asks for fewer or more.
const DEFAULT_DIMENSIONS: usize = 256;
/// Most dimensions.
const MAX_DIMENSIONS: usize = 3072;
/// Most inputs of one request.
const MAX_INPUTS: usize = 2048;

/// Answers one request body.
pub(super) fn answer(body: &Bytes) -> Reply {
    let mut fields = Fields::new();
    if fields.scan(body).is_err() {
        return refuse(400, "the body is not a JSON object", None);
    }
    match write(body, &fields) {
        Ok(answer) => Reply::json(200, answer),
        Err(param) => refuse(400, "the built-in model does not support this value", Some(param)),
    }
}

fn write(body: &[u8], fields: &Fields) -> Result<Vec<u8>, &'static str> {
    let find = |name| fields.find(body, name).filter(|field| field.kind != Kind::Null);
    let model = find("model").and_then(|field| field.raw_string(body)).and_then(unescape);
    let model = model.filter(|name| crate::wire::is_model_name(name)).ok_or("model")?;
    let base64 = match find("encoding_format").map(|field| field.raw_string(body)) {
        None | Some(Some(b"float")) => false,
        Some(Some(b"base64")) => true,
        Some(_) => return Err("encoding_format"),
    };
    let dimensions = match find("dimensions") {
        None => DEFAULT_DIMENSIONS,
        Some(field) => field
            .unsigned(body)
            .and_then(|own| usize::try_from(own).ok())
            .filter(|own| (1..=MAX_DIMENSIONS).contains(own))
            .ok_or("dimensions")?,
    };
    let input = find("input").ok_or("input")?;
    let inputs = inputs(input.value(body), input.kind)?;
    let mut out = br#"{"object":"list","data":["#.to_vec();
    let mut tokens: usize = 0;
    for (place, text) in inputs.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"{{"object":"embedding","index":{place},"embedding":"#).as_bytes());
        append_vector(&mut out, &direction(&model, text, dimensions), base64);
        out.push(b'}');
        tokens = tokens.saturating_add(text.split(|byte| matches!(byte, b' ' | b',')).count());
    }
    let end =
        format!(r#"],"model":"{model}","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#);
    out.extend_from_slice(end.as_bytes());
    Ok(out)
}

/// The inputs: a string, strings, one token array, or token arrays.
fn inputs(value: &[u8], kind: Kind) -> Result<Vec<Vec<u8>>, &'static str> {
    if kind == Kind::String {
        return Ok(vec![value.to_vec()]);
    }
    let mut inputs = Vec::new();
    let (mut numbers, mut others, mut wrong) = (false, false, false);
    let visited = elements(value, |element, kind| {
        match kind {
            Kind::Number => numbers = true,
            Kind::Array | Kind::String => others = true,
            Kind::False | Kind::Null | Kind::Object | Kind::True => wrong = true,
        }
        if kind != Kind::Number && inputs.len() <= MAX_INPUTS {
            inputs.push(element.to_vec());
        }
    });
    if numbers && !others {
        inputs.push(value.to_vec());
    }
    let mixed = numbers && others;
    if visited.is_err() || wrong || mixed || inputs.is_empty() || inputs.len() > MAX_INPUTS {
        return Err("input");
    }
    Ok(inputs)
}

/// What the model makes of one input, which is JSON.
fn direction(model: &str, input: &[u8], dimensions: usize) -> Vec<f32> {
    let inner = input.strip_prefix(b"\"").and_then(|own| own.strip_suffix(b"\""));
    match inner.filter(|_| model == WORDS).and_then(unescape) {
        Some(text) => words::vector(&text, dimensions),
        None => vector(input, dimensions),
    }
}

/// A unit vector from the text's digest.
fn vector(text: &[u8], dimensions: usize) -> Vec<f32> {
    let seed = digest::digest(&digest::SHA256, text);
    let mut state = seed.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mut values: Vec<f32> = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        state = mix(state);
        let high = u16::try_from(state.wrapping_shr(48)).unwrap_or(0);
        values.push(f32::from(high) / 32_767.5 - 1.0);
    }
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in &mut values {
            *value /= length;
        }
    }
    values
}
