//! How a client refers to a stored prompt: with a member `prompt` as the Responses API has it (`OpenAI` API reference,
//! "Create a model response": `id`, `version`, `variables`), in the body of any format, or in the head.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind};
use crate::wire::RequestHead;

/// The header with the prompt: `NAME`, `NAME@3` or `NAME@staging`.
pub const HEADER: &str = "postern-prompt";
/// The header with its variables: a JSON object of strings.
pub const VARIABLES: &str = "postern-prompt-variables";
/// Longest value of either header.
const MAX_VALUE: usize = 8 * 1024;

const EXPECTED: &str =
    "an object with 'id', 'version' (a number) or 'label', and 'variables' (an object of strings)";
const IN_HEAD: &str = "NAME, NAME@VERSION or NAME@LABEL";

/// A reference to a stored prompt. What clients fill in is content.
pub struct Reference {
    id: String,
    version: Which,
    variables: Plaintext<BTreeMap<String, String>>,
}

/// Which version is meant.
pub(super) enum Which {
    /// The one with this label.
    Label(String),
    /// This one.
    Number(u32),
    /// The one with the usual label.
    Usual,
}

impl Reference {
    /// Reads a head; nothing if it refers to no prompt.
    ///
    /// # Errors
    /// [`Error::FieldInvalid`].
    pub fn of_head(head: &RequestHead<'_>) -> Result<Option<Self>, Error> {
        let of = |name: &'static str, expected| {
            let mut values = head.headers.iter().filter(|own| own.0.eq_ignore_ascii_case(name));
            let value = values.next().map(|own| own.1);
            let twice = values.next().is_some();
            let text = value.map(|value| std::str::from_utf8(value).map(str::trim));
            match text {
                None => Ok(None),
                Some(Ok(text)) if !twice && text.len() <= MAX_VALUE => Ok(Some(text)),
                Some(_) => Err(Error::FieldInvalid { param: name, expected }),
            }
        };
        let expected = "a JSON object of strings, beside 'postern-prompt'";
        let (named, given) = (of(HEADER, IN_HEAD)?, of(VARIABLES, expected)?);
        let wrong = Error::FieldInvalid { param: VARIABLES, expected };
        let Some(named) = named else { return if given.is_some() { Err(wrong) } else { Ok(None) } };
        let (id, version) = match named.split_once('@') {
            None => (named, Which::Usual),
            Some((id, which)) => (id, which_of(which)),
        };
        let variables = match given {
            None => BTreeMap::new(),
            Some(text) => strings(text.as_bytes()).ok_or(wrong)?,
        };
        Ok(Some(Self { id: id.to_owned(), version, variables: Plaintext::new(variables) }))
    }

    fn of_body(object: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written<'b> {
            id: String,
            #[serde(default, borrow)]
            version: Option<&'b RawValue>,
            #[serde(default)]
            label: Option<String>,
            #[serde(default, borrow)]
            variables: Option<&'b RawValue>,
        }
        let written: Written<'_> = serde_json::from_slice(object).ok()?;
        let number = written.version.map(RawValue::get).filter(|text| *text != "null");
        let version = match (number, written.label) {
            (None, None) => Which::Usual,
            (None, Some(label)) => Which::Label(label),
            (Some(text), None) => Which::Number(text.trim_matches('"').parse().ok()?),
            (Some(_), Some(_)) => return None,
        };
        let variables = match written.variables.map(RawValue::get).filter(|text| *text != "null") {
            None => BTreeMap::new(),
            Some(text) => strings(text.as_bytes())?,
        };
        Some(Self { id: written.id, version, variables: Plaintext::new(variables) })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn version(&self) -> &Which {
        &self.version
    }

    pub(super) const fn variables(&self) -> &BTreeMap<String, String> {
        self.variables.expose()
    }
}

fn which_of(text: &str) -> Which {
    text.parse().map_or_else(|_| Which::Label(text.to_owned()), Which::Number)
}

/// An object of strings without a name that comes twice.
fn strings(object: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut fields = Fields::new();
    fields.scan(object).ok()?;
    serde_json::from_slice(object).ok()
}

/// Takes the reference out of a body, if there is one: a `prompt` that is an object. What else a format calls `prompt`
/// stays, and so does a body that is not JSON, which its format will refuse.
///
/// # Errors
/// [`Error::FieldInvalid`] for an object that is no reference.
pub(super) fn take(body: Plaintext<Bytes>) -> Result<(Plaintext<Bytes>, Option<Reference>), Error> {
    let mut fields = Fields::new();
    let document = body.expose();
    if fields.scan(document).is_err() {
        return Ok((body, None));
    }
    let Some(field) = fields.find(document, "prompt").filter(|own| own.kind == Kind::Object) else {
        return Ok((body, None));
    };
    let reference = Reference::of_body(field.value(document));
    let reference = reference.ok_or(Error::FieldInvalid { param: "prompt", expected: EXPECTED })?;
    let span = fields.member_span(field);
    let before = document.get(..span.start).unwrap_or_default();
    let without = [before, document.get(span.end..).unwrap_or_default()].concat();
    Ok((Plaintext::new(without.into()), Some(reference)))
}
