//! What the gateway needs to know of a request or an answer that goes through as it came.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::answer::{Ending, ending};
use super::grounding::searches;
use super::shape::UsageMetadata;
use super::stream::status;
use crate::chat::{FinishReason, Usage};
use crate::error::Error;
use crate::scan::{Fields, Kind};
use crate::wire::{Asked, Chunk, Frame, Malformed, RequestHead, Whole, is_model_name, percent_decode};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Seen {
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<UsageMetadata>,
    model_version: Option<String>,
    error: Option<Box<RawValue>>,
}

impl Seen {
    /// Tokens, and the searches that a provider charges for beside them.
    fn usage(&self) -> Option<Usage> {
        let model = self.model_version.as_deref().unwrap_or_default();
        let found = self.candidates.iter().map(|own| searches(own.grounding_metadata.as_deref(), model));
        let web_searches = found.max().unwrap_or(0);
        self.usage_metadata.map(|own| Usage { web_searches, ..own.canonical() })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    grounding_metadata: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    parts: Vec<Part>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Part {
    function_call: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PromptFeedback {
    block_reason: Option<IgnoredAny>,
}

/// What a path asks for: the model and the method after its last colon; nothing if it is another path.
pub(in crate::wire) fn asked(head: &RequestHead<'_>, method: &str) -> Option<Result<Asked, Error>> {
    let rest = head.path.strip_prefix(PREFIX).or_else(|| head.path.strip_prefix(STABLE_PREFIX))?;
    let (model, own) = rest.rsplit_once(':')?;
    if own != method {
        return None;
    }
    let model = percent_decode(model).filter(|model| is_model_name(model));
    Some(model.ok_or(Error::ModelUnknown).map(|model| Asked { model: Some(model), ..Asked::default() }))
}

/// The paths' common beginning.
pub(in crate::wire) const PREFIX: &str = "/v1beta/models/";
/// The same in the API's stable version, which newer SDKs ask for.
const STABLE_PREFIX: &str = "/v1/models/";

/// Whether the query asks for server-sent events.
pub(super) fn wants_events(head: &RequestHead<'_>) -> bool {
    head.query.is_some_and(|query| query.split('&').any(|own| own == "alt=sse"))
}

/// Checks that there is something to answer.
pub(in crate::wire) fn check_contents(document: &[u8], fields: &Fields) -> Result<(), Error> {
    let contents = fields.find(document, "contents").ok_or(Error::FieldMissing { param: "contents" })?;
    if contents.kind == Kind::Array {
        return Ok(());
    }
    Err(Error::FieldInvalid { param: "contents", expected: "an array of contents" })
}

pub(super) fn whole(body: &[u8]) -> Result<Whole, Malformed> {
    let seen: Seen = serde_json::from_slice(body).map_err(|_| Malformed)?;
    Ok(Whole { usage: seen.usage(), finish: finish(&seen), is_error: seen.error.is_some() })
}

pub(super) fn event(data: &[u8]) -> Result<Frame, Malformed> {
    let seen: Seen = serde_json::from_slice(data).map_err(|_| Malformed)?;
    if let Some(error) = &seen.error {
        return Ok(Frame::Failure { status: status(error) });
    }
    let finish = finish(&seen);
    let said = |own: &Candidate| own.content.as_ref().is_some_and(|content| !content.parts.is_empty());
    Ok(Frame::Chunk(Chunk {
        content: finish.is_some() || seen.candidates.iter().any(said),
        usage: seen.usage(),
        finish,
        ..Chunk::default()
    }))
}

/// Why the first candidate stopped, or the prompt was refused.
fn finish(seen: &Seen) -> Option<FinishReason> {
    let Some(first) = seen.candidates.first() else {
        let blocked = seen.prompt_feedback.as_ref().is_some_and(|own| own.block_reason.is_some());
        return blocked.then_some(FinishReason::ContentFilter);
    };
    let parts = first.content.iter().flat_map(|content| &content.parts);
    let called = parts.filter(|part| part.function_call.is_some()).count() > 0;
    Some(match ending(first.finish_reason.as_deref()?, called) {
        Ending::Finish(finish) => finish,
        Ending::Failed => FinishReason::Other,
    })
}
