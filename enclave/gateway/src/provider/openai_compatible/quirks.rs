//! What a vendor's API takes otherwise than `OpenAI`'s: names, bounds and fields that it refuses, as data.
//!
//! Sources: the vendors' own API references and error texts, as of November 2026. A field that a vendor ignores without
//! harm is not listed: what goes through unchanged stays byte for byte.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::hmac;

use crate::deployment::Deployment;
use crate::error::Error;
use crate::scan::{Field, Fields, Kind};
use crate::wire::dialect::{Expressible, Weight};

/// The differences of one vendor.
#[derive(Clone, Copy)]
pub struct Quirks {
    /// Top-level fields that have another name there: ours, theirs. Where the client sends theirs too, theirs counts.
    pub renames: &'static [(&'static str, &'static str)],
    /// Top-level fields that it refuses, and how much they matter. Values that ask for nothing (`null`, `false`, one
    /// choice) are left out without a word.
    pub refuses: &'static [(&'static str, Weight)],
    /// Top-level numbers that have another upper bound there; larger ones become the bound.
    pub most: &'static [(&'static str, &'static str)],
    /// Whether a stream's usage has to be asked for in `stream_options`, or comes by itself.
    pub usage: AsksForUsage,
    /// Whether it keeps prompts of different `cache_salt` apart in its cache. A client's own salt never passes.
    pub cache_salt: bool,
}

/// How a stream's usage is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsksForUsage {
    /// It comes by itself, and `stream_options` is refused.
    Never,
    /// By `stream_options.include_usage`.
    StreamOptions,
}

/// No differences.
pub const NONE: Quirks =
    Quirks { renames: &[], refuses: &[], most: &[], usage: AsksForUsage::StreamOptions, cache_salt: false };

impl Quirks {
    /// Whether a body has to be looked at.
    const fn any(&self) -> bool {
        !self.renames.is_empty()
            || !self.refuses.is_empty()
            || !self.most.is_empty()
            || self.cache_salt
            || matches!(self.usage, AsksForUsage::Never)
    }
}

/// Members that `OpenRouter` alone knows (API reference, "Create a chat completion"), and how much they matter elsewhere.
const OF_OPENROUTER: [(&str, Weight); 4] = [
    ("plugins", Weight::Meaning),
    ("provider", Weight::Hint),
    ("transforms", Weight::Hint),
    ("usage", Weight::Hint),
];

/// The body as the vendor takes it; nothing if it is that already. `abroad` says that whoever this is does not know `OpenRouter`'s words.
///
/// # Errors
/// [`Error::FieldUnsupported`] for a field that changes the meaning and that the vendor refuses.
pub(super) fn apply(
    body: &Bytes,
    fields: &Fields,
    quirks: &Quirks,
    salt: Option<&str>,
    abroad: bool,
    expressible: &mut Expressible,
) -> Result<Option<Bytes>, Error> {
    let foreign = abroad && fields.iter().any(|field| of_openrouter(body, field).is_some());
    if !quirks.any() && salt.is_none() && !foreign {
        return Ok(None);
    }
    let mut members: Vec<(&[u8], &[u8])> = Vec::with_capacity(20);
    let mut changed = salt.is_some();
    let quoted: Vec<String> = quirks.renames.iter().map(|(_, theirs)| format!("\"{theirs}\"")).collect();
    for field in fields {
        let (name, value) = (body.get(field.name.clone()).unwrap_or_default(), field.value(body));
        if let Some((param, weight)) = of_openrouter(body, field).filter(|_| foreign) {
            expressible.cannot(param, weight)?;
            changed = true;
            continue;
        }
        match fate(body, fields, field, quirks, expressible)? {
            Fate::Bounded(most) => members.push((name, most.as_bytes())),
            Fate::Gone => {}
            Fate::Kept => {
                members.push((name, value));
                continue;
            }
            Fate::Renamed(place) => members.push((quoted.get(place).map_or(name, String::as_bytes), value)),
        }
        changed = true;
    }
    if !changed {
        return Ok(None);
    }
    let salt = salt.map(|salt| format!("\"{salt}\""));
    if let Some(salt) = &salt {
        members.push((b"\"cache_salt\"", salt.as_bytes()));
    }
    let mut out = Vec::with_capacity(body.len().saturating_add(64));
    for (name, value) in members {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(name);
        out.push(b':');
        out.extend_from_slice(value);
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(Some(out.into()))
}

fn of_openrouter(body: &[u8], field: &Field) -> Option<(&'static str, Weight)> {
    OF_OPENROUTER.into_iter().find(|(name, _)| field.is(body, name))
}

/// What becomes of a field.
enum Fate {
    /// It has this value now.
    Bounded(&'static str),
    /// Left out.
    Gone,
    /// As it is.
    Kept,
    /// It has the other name at this place of [`Quirks::renames`].
    Renamed(usize),
}

fn fate(
    body: &[u8],
    fields: &Fields,
    field: &Field,
    quirks: &Quirks,
    expressible: &mut Expressible,
) -> Result<Fate, Error> {
    let technical = quirks.usage == AsksForUsage::Never && field.is(body, "stream_options")
        || quirks.cache_salt && field.is(body, "cache_salt");
    if technical {
        return Ok(Fate::Gone);
    }
    if let Some((param, weight)) = quirks.refuses.iter().find(|(name, _)| field.is(body, name)) {
        if !asks_for_nothing(body, field) {
            expressible.cannot(param, *weight)?;
        }
        return Ok(Fate::Gone);
    }
    if let Some(place) = quirks.renames.iter().position(|(ours, _)| field.is(body, ours)) {
        let theirs = quirks.renames.get(place).map(|(_, theirs)| *theirs);
        let both = theirs.is_some_and(|theirs| fields.find(body, theirs).is_some());
        return Ok(if both { Fate::Gone } else { Fate::Renamed(place) });
    }
    let bound = quirks.most.iter().find(|(name, _)| field.is(body, name)).map(|(_, most)| *most);
    Ok(bound.filter(|most| exceeds(body, field, most)).map_or(Fate::Kept, Fate::Bounded))
}

fn asks_for_nothing(body: &[u8], field: &Field) -> bool {
    matches!(field.kind, Kind::Null | Kind::False) || field.is(body, "n") && field.unsigned(body) == Some(1)
}

fn exceeds(body: &[u8], field: &Field, most: &str) -> bool {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    let own = (field.kind == Kind::Number).then(|| number(field.value(body))).flatten();
    own.zip(number(most.as_bytes())).is_some_and(|(own, most)| own > most)
}

/// A tenant's own salt for a provider's prompt cache: always the same, so that its own prompts still hit, and nobody
/// else's, so that hits do not tell one tenant what another asked. The provider's credential, if there is one, keeps
/// others from guessing it.
pub(super) fn cache_salt(at: &Deployment, tenant: &str) -> String {
    let secret = at.credential.as_ref().map_or(b"".as_slice(), |own| own.bare());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[b"postern cache salt".as_slice(), secret].concat());
    let tag = hmac::sign(&key, tenant.as_bytes());
    URL_SAFE_NO_PAD.encode(tag.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dialect::OnUnsupported;

    const QUIRKS: Quirks = Quirks {
        renames: &[("seed", "random_seed")],
        refuses: &[("n", Weight::Meaning), ("user", Weight::Hint)],
        most: &[("temperature", "1.5")],
        usage: AsksForUsage::Never,
        cache_salt: true,
    };

    fn applied(body: &str, salt: Option<&str>) -> Result<Option<String>, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let mut fields = Fields::new();
        fields.scan(&body).expect("JSON");
        let mut expressible = Expressible::new(OnUnsupported::Error);
        let out = apply(&body, &fields, &QUIRKS, salt, true, &mut expressible)?;
        Ok(out.map(|out| String::from_utf8(out.to_vec()).expect("UTF-8")))
    }

    #[test]
    fn changes_what_differs_and_nothing_else() {
        for (body, wanted) in [
            (r#"{"model":"m", "top_p":1}"#, None),
            (r#"{"seed":7,"a":{"seed":8}}"#, Some(r#"{"random_seed":7,"a":{"seed":8}}"#)),
            (r#"{"seed":7,"random_seed":8}"#, Some(r#"{"random_seed":8}"#)),
            (r#"{"temperature":1.7,"b":[ 1 ]}"#, Some(r#"{"temperature":1.5,"b":[ 1 ]}"#)),
            (r#"{"temperature":1.5}"#, None),
            (
                r#"{"provider":{"order":["a"]},"transforms":[],"usage":{"include":true},"a":1}"#,
                Some(r#"{"a":1}"#),
            ),
            (r#"{"n":1,"user":"u","stream_options":{}}"#, Some("{}")),
            (r#"{"cache_salt":"mine","a":1}"#, Some(r#"{"a":1}"#)),
            (r#"{"us\u0065r":"u","a":1}"#, Some(r#"{"a":1}"#)),
        ] {
            let got = applied(body, None).expect("expressible");
            assert_eq!(got.as_deref(), wanted, "{body}");
        }
        let salted = applied(r#"{"a":1,"cache_salt":"mine"}"#, Some("ours")).expect("expressible");
        assert_eq!(salted.as_deref(), Some(r#"{"a":1,"cache_salt":"ours"}"#));
    }

    #[test]
    fn what_changes_the_meaning_is_not_dropped_in_silence() {
        let error = applied(r#"{"n":2}"#, None).expect_err("refused");
        assert!(matches!(error, Error::FieldUnsupported { param: "n" }));
    }
}
