//! Lists of models, answered here from the configuration: `GET /v1/models` and `/v1/models/{id}` (`OpenAI` and Anthropic
//! API references, "Models"), `GET /v1beta/models` and `/v1beta/models/{id}` (Gemini API reference, "Models").
//!
//! Under `/v1` one object satisfies both APIs. Whose paging rules hold is told by the head: Anthropic's clients send
//! `anthropic-version` or `x-api-key`. Gemini's newer clients ask under `/v1` as well, with headers of Google's.

use serde::Serialize;
use serde_json::{Map, Value};

use super::openai_shape::is_model_name;
use super::{Operation, RequestHead};
use crate::error::Error;

/// Whose shape an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anthropic's: 20 models a page unless asked otherwise.
    Anthropic,
    /// Gemini's own: 50 models a page unless asked otherwise.
    Gemini,
    /// `OpenAI`'s: all models at once.
    OpenAi,
}

/// Which part of the list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose shape.
    pub form: Form,
    /// Most models; all if absent.
    pub limit: Option<usize>,
    /// Those after this one.
    pub after: Option<String>,
    /// Those before this one.
    pub before: Option<String>,
}

/// One model.
pub struct Listed<'a> {
    /// The model's name.
    pub id: &'a str,
    /// Who provides it.
    pub owned_by: &'a str,
    /// Most tokens of prompt and answer together, where all its deployments say.
    pub context_tokens: Option<u64>,
    /// Most tokens of an answer, where all its deployments say.
    pub max_output_tokens: Option<u64>,
    /// What the gateway adds: `exposure_class` and more.
    pub extension: Map<String, Value>,
}

/// What a path under `/v1/models` or `/v1beta/models` asks for; nothing if it is another path.
pub(super) fn target(head: &RequestHead<'_>) -> Result<Option<Operation>, Error> {
    let (rest, form) = match (head.path.strip_prefix("/v1/models"), head.path.strip_prefix("/v1beta/models"))
    {
        (Some(rest), _) => (rest, form(head)),
        (None, Some(rest)) => (rest, Form::Gemini),
        (None, None) => return Ok(None),
    };
    if rest.is_empty() {
        return Ok(Some(Operation::ListModels(page(head.query.unwrap_or_default(), form)?)));
    }
    let Some(id) = rest.strip_prefix('/') else { return Ok(None) };
    let id = percent_decode(id).filter(|id| is_model_name(id)).ok_or(Error::ModelUnknown)?;
    Ok(Some(Operation::ShowModel(id, form)))
}

fn form(head: &RequestHead<'_>) -> Form {
    let sent = |wanted: &str| head.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if sent("x-goog-api-key") || sent("x-goog-api-client") {
        Form::Gemini
    } else if sent("anthropic-version") || sent("x-api-key") {
        Form::Anthropic
    } else {
        Form::OpenAi
    }
}

/// Reads `limit`, `after_id`, `before_id`, or Gemini's `pageSize` and `pageToken`; other members do not matter.
fn page(query: &str, form: Form) -> Result<Page, Error> {
    let usual = match form {
        Form::Anthropic => Some(20),
        Form::Gemini => Some(50),
        Form::OpenAi => None,
    };
    let mut page = Page { form, limit: usual, after: None, before: None };
    for (name, text) in query.split('&').filter_map(|member| member.split_once('=')) {
        let id = |param| {
            let name = percent_decode(text).filter(|own| is_model_name(own));
            name.ok_or(Error::FieldInvalid { param, expected: "a model of this list" })
        };
        match name {
            "limit" | "pageSize" => {
                let limit = text.parse().ok().filter(|limit| (1..=1000).contains(limit));
                let expected = "a number from 1 to 1000";
                page.limit = Some(limit.ok_or(Error::FieldInvalid { param: "limit", expected })?);
            }
            "after_id" | "pageToken" if !text.is_empty() => page.after = Some(id("after_id")?),
            "before_id" => page.before = Some(id("before_id")?),
            _ => {}
        }
    }
    Ok(page)
}

/// One page of the list as JSON.
///
/// # Errors
/// [`Error::FieldInvalid`] if the page begins or ends at a model that the list does not have.
pub fn list<'a>(models: impl Iterator<Item = Listed<'a>>, page: &Page) -> Result<Vec<u8>, Error> {
    let mut models: Vec<Listed<'_>> = models.collect();
    let place = |id: &Option<String>, param| match id {
        None => Ok(None),
        Some(id) => match models.iter().position(|model| model.id == id) {
            Some(at) => Ok(Some(at)),
            None => Err(Error::FieldInvalid { param, expected: "a model of this list" }),
        },
    };
    let start = place(&page.after, "after_id")?.map_or(0, |at| at.saturating_add(1));
    let end = place(&page.before, "before_id")?.unwrap_or(models.len());
    models.truncate(end);
    models.drain(..start.min(end));
    let limit = page.limit.unwrap_or(usize::MAX);
    let more = models.len() > limit;
    // Going backwards, a page is the last models before its end.
    if page.before.is_some() {
        models.drain(..models.len().saturating_sub(limit));
    }
    models.truncate(limit);
    let (first_id, last_id) = (models.first().map(|own| own.id), models.last().map(|own| own.id));
    Ok(if page.form == Form::Gemini {
        json(&GeminiList {
            models: models.iter().map(GeminiModel::of).collect(),
            next_page_token: last_id.filter(|_| more),
        })
    } else {
        let data = models.iter().map(OneModel::of).collect();
        json(&List { object: "list", data, has_more: more, first_id, last_id })
    })
}

/// One model as JSON.
pub fn show(model: &Listed<'_>, form: Form) -> Vec<u8> {
    if form == Form::Gemini { json(&GeminiModel::of(model)) } else { json(&OneModel::of(model)) }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<OneModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// What `OpenAI`'s and Anthropic's clients look for, in one object.
#[derive(Serialize)]
struct OneModel<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
    r#type: &'static str,
    display_name: &'a str,
    created_at: &'static str,
    max_input_tokens: Option<u64>,
    max_tokens: Option<u64>,
    postern: &'a Map<String, Value>,
}

impl<'a> OneModel<'a> {
    fn of(model: &'a Listed<'a>) -> Self {
        Self {
            id: model.id,
            object: "model",
            created: CREATED,
            owned_by: model.owned_by,
            r#type: "model",
            display_name: model.id,
            created_at: CREATED_AT,
            max_input_tokens: model.context_tokens,
            max_tokens: model.max_output_tokens,
            postern: &model.extension,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiList<'a> {
    models: Vec<GeminiModel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiModel<'a> {
    name: String,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_token_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_token_limit: Option<u64>,
    supported_generation_methods: [&'static str; 3],
    postern: &'a Map<String, Value>,
}

impl<'a> GeminiModel<'a> {
    fn of(model: &'a Listed<'a>) -> Self {
        Self {
            name: format!("models/{}", model.id),
            display_name: model.id,
            input_token_limit: model.context_tokens,
            output_token_limit: model.max_output_tokens,
            supported_generation_methods: ["generateContent", "streamGenerateContent", "countTokens"],
            postern: &model.extension,
        }
    }
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

/// The APIs want a creation time; a configured name has none, so every model carries the same (2026-01-01).
const CREATED: u64 = 1_767_225_600;
/// The same as text (RFC 3339).
const CREATED_AT: &str = "2026-01-01T00:00:00Z";

#[cfg(test)]
mod tests;
