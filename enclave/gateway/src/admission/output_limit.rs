//! Numbers in a request that a key bounds: how long the answer may be, and others such as `temperature`.

use bytes::Bytes;

use super::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};
use crate::wire::Request;

/// Whether a number at the top of the body is larger than a bound on it. What cannot be compared counts as larger.
pub(super) fn exceeds(request: &Request, bounds: &[(String, i64)]) -> bool {
    let document = request.body.expose();
    bounds.iter().any(|(name, bound)| {
        let Some(field) = request.fields.find(document, name) else { return false };
        match field.kind {
            Kind::Null => false,
            Kind::Number => {
                let text = std::str::from_utf8(field.value(document)).unwrap_or_default();
                #[expect(
                    clippy::as_conversions,
                    clippy::cast_precision_loss,
                    reason = "bounds are small numbers"
                )]
                let bound = *bound as f64;
                text.parse::<f64>().map_or(true, |own| own > bound)
            }
            Kind::Array | Kind::False | Kind::Object | Kind::String | Kind::True => true,
        }
    })
}

/// Makes the longest answer that a request asks for at most so many tokens: the number that is there is lowered, or one
/// is put in. Formats that have no such number stay as they are.
///
/// # Errors
/// As [`crate::wire::Wire::parse`].
pub fn lower(request: Request, most: u64) -> Result<Request, Error> {
    let (nest, names): (Option<&str>, &[&str]) = match request.wire.name() {
        "anthropic_messages" | "openai_completions" => (None, &["max_tokens"]),
        "openai_chat" => (None, &["max_completion_tokens", "max_tokens"]),
        "openai_responses" => (None, &["max_output_tokens"]),
        "gemini_count_tokens" => return Ok(request),
        name if name.starts_with("gemini") => (Some("generationConfig"), &["maxOutputTokens"]),
        _ => return Ok(request),
    };
    let document = request.body.expose();
    let number = most.to_string();
    let changed = match nest {
        None => with_number(document, &request.fields, names, &number),
        Some(nest) => match request.fields.find(document, nest).filter(|field| field.kind == Kind::Object) {
            None => {
                inserted(document, &request.fields, &format!("\"{nest}\":{{\"{}\":{number}}}", first(names)))
            }
            Some(field) => {
                let inner = field.value(document);
                let mut fields = Fields::new();
                let scanned = fields.scan_utf8(inner).is_ok();
                let inner = if scanned { with_number(inner, &fields, names, &number) } else { None };
                inner.and_then(|inner| replaced(document, field.value.clone(), &inner))
            }
        },
    };
    let Some(changed) = changed else { return Ok(request) };
    let Request { wire, asked, .. } = request;
    wire.parse(asked, Plaintext::new(Bytes::from(changed)))
}

fn first<'n>(names: &[&'n str]) -> &'n str {
    names.first().copied().unwrap_or_default()
}

/// The object with that number under the first of the names that it has, or under the first of all.
fn with_number(document: &[u8], fields: &Fields, names: &[&str], number: &str) -> Option<Vec<u8>> {
    match names.iter().find_map(|name| fields.find(document, name)) {
        Some(field) => replaced(document, field.value.clone(), number.as_bytes()),
        None => inserted(document, fields, &format!("\"{}\":{number}", first(names))),
    }
}

fn replaced(document: &[u8], at: std::ops::Range<usize>, with: &[u8]) -> Option<Vec<u8>> {
    Some([document.get(..at.start)?, with, document.get(at.end..)?].concat())
}

fn inserted(document: &[u8], fields: &Fields, member: &str) -> Option<Vec<u8>> {
    let open = memchr::memchr(b'{', document)?.saturating_add(1);
    let comma: &[u8] = if fields.iter().next().is_some() { b"," } else { b"" };
    Some([document.get(..open)?, member.as_bytes(), comma, document.get(open..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Asked, named, read};

    fn lowered(wire: &str, body: &str) -> String {
        let wire = named(wire).expect("a format");
        let asked =
            Asked { model: wire.name().starts_with("gemini").then(|| "m".to_owned()), ..Asked::default() };
        let request =
            read(wire, asked, Plaintext::new(Bytes::copy_from_slice(body.as_bytes()))).expect("valid");
        let request = lower(request, 7).expect("still valid");
        String::from_utf8(request.body.expose().to_vec()).expect("text")
    }

    #[test]
    fn a_limit_is_lowered_where_it_stands_or_put_in() {
        let messages = r#""messages":[{"role":"user","content":"x"}]"#;
        let chat = |more: &str| format!(r#"{{{more}"model":"m",{messages}}}"#);
        let expected = chat(r#""max_completion_tokens":7,"#);
        assert_eq!(lowered("openai_chat", &chat("")), expected);
        assert_eq!(lowered("openai_chat", &chat(r#""max_tokens":90,"#)), chat(r#""max_tokens":7,"#));
        let message = |tokens: u32| format!(r#"{{"model":"m","max_tokens":{tokens},{messages}}}"#);
        assert_eq!(lowered("anthropic_messages", &message(500)), message(7));
        let contents = r#""contents":[{"role":"user","parts":[{"text":"x"}]}]"#;
        let gemini = |more: &str| format!("{{{more}{contents}}}");
        let expected = gemini(r#""generationConfig":{"maxOutputTokens":7},"#);
        assert_eq!(lowered("gemini", &gemini("")), expected);
        let config = |tokens: u32| format!(r#""generationConfig":{{"maxOutputTokens":{tokens},"topK":1}},"#);
        assert_eq!(lowered("gemini", &gemini(&config(99))), gemini(&config(7)));
    }

    #[test]
    fn what_is_larger_than_its_bound_or_no_number_is_too_large() {
        let too_large = |value: &str| {
            let body = format!(
                r#"{{"model":"m","temperature":{value},"messages":[{{"role":"user","content":"x"}}]}}"#
            );
            let wire = named("openai_chat").expect("a format");
            let request = read(wire, Asked::default(), Plaintext::new(body.into())).expect("valid");
            exceeds(&request, &[("temperature".to_owned(), 1)])
        };
        for (value, expected) in
            [("1", false), ("0.9", false), ("null", false), ("1.01", true), ("1e9", true)]
        {
            assert_eq!(too_large(value), expected, "{value}");
        }
    }
}
