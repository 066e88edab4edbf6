//! The objects that requests and answers have in common (Gemini API reference, "Content", "Part",
//! `GenerateContentResponse`). Google's JSON parsers take both `camelCase` and `snake_case`; so does this one.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::grounding::Grounding;
use crate::chat::{ServiceTier, Usage};

/// One side's say.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct Content<'a> {
    /// `user` or `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) parts: Vec<Part<'a>>,
}

/// A union with marks: one of the kinds is set, beside `thought` and its seal.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) thought: bool,
    #[serde(borrow, skip_serializing_if = "Option::is_none", alias = "inline_data")]
    pub(super) inline_data: Option<Blob<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", alias = "file_data")]
    pub(super) file_data: Option<FileData<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", alias = "function_call")]
    pub(super) function_call: Option<FunctionCall<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", alias = "function_response")]
    pub(super) function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", alias = "thought_signature")]
    pub(super) thought_signature: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing, alias = "executable_code")]
    pub(super) executable_code: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing, alias = "code_execution_result")]
    pub(super) code_execution_result: Option<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    #[serde(alias = "mime_type")]
    pub(super) mime_type: Cow<'a, str>,
    pub(super) data: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none", alias = "mime_type")]
    pub(super) mime_type: Option<Cow<'a, str>>,
    #[serde(rename = "fileUri", alias = "file_uri")]
    pub(super) uri: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Cow<'a, RawValue>>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) response: Cow<'a, RawValue>,
}

/// A whole answer, or one piece of a streamed one.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) candidates: Vec<Candidate<'a>>,
    #[serde(skip_serializing)]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_metadata: Option<UsageMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_version: Option<Cow<'a, str>>,
    #[serde(rename = "responseId", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Candidate<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finish_reason: Option<Cow<'a, str>>,
    pub(super) index: u64,
    /// As an upstream sent it; read when the candidate's text is known.
    #[serde(borrow, skip_serializing)]
    pub(super) grounding_metadata: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing)]
    pub(super) citation_metadata: Option<&'a RawValue>,
    /// As it is written.
    #[serde(rename = "groundingMetadata", skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) grounding: Option<Grounding<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PromptFeedback<'a> {
    pub(super) block_reason: Option<Cow<'a, str>>,
}

/// Tokens so far. The prompt's count includes cached tokens; thoughts stand beside the candidates' count.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct UsageMetadata {
    #[serde(rename = "promptTokenCount")]
    pub(super) prompt: u64,
    #[serde(rename = "cachedContentTokenCount", skip_serializing_if = "is_zero")]
    pub(super) cached: u64,
    #[serde(rename = "candidatesTokenCount")]
    pub(super) candidates: u64,
    #[serde(rename = "toolUsePromptTokenCount", skip_serializing_if = "is_zero")]
    pub(super) tool_use_prompt: u64,
    #[serde(rename = "thoughtsTokenCount", skip_serializing_if = "is_zero")]
    pub(super) thoughts: u64,
    #[serde(rename = "totalTokenCount")]
    pub(super) total: u64,
    #[serde(rename = "trafficType", skip_serializing, deserialize_with = "tier")]
    tier: ServiceTier,
}

/// Google's word for how a request was served.
fn tier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServiceTier, D::Error> {
    let word = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    Ok(ServiceTier::from_word(word.unwrap_or_default().as_bytes()))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl UsageMetadata {
    pub(super) fn canonical(self) -> Usage {
        let input = self.prompt.saturating_add(self.tool_use_prompt);
        let output = self.candidates.saturating_add(self.thoughts);
        Usage {
            input_tokens: input,
            output_tokens: output,
            total_tokens: self.total.max(input.saturating_add(output)),
            cached_input_tokens: self.cached,
            reasoning_tokens: self.thoughts,
            tier: self.tier,
            ..Usage::default()
        }
    }

    pub(super) fn of(usage: &Usage) -> Self {
        Self {
            prompt: usage.input_tokens,
            cached: usage.cached_input_tokens,
            candidates: usage.output_tokens.saturating_sub(usage.reasoning_tokens),
            tool_use_prompt: 0,
            thoughts: usage.reasoning_tokens,
            total: usage.total_tokens,
            tier: ServiceTier::Standard,
        }
    }
}

/// Before a seal of Gemini's in canonical form, so that no other vendor is sent it. Other vendors' seals are base64 and
/// have no colon.
const OWN_SEAL: &str = "gemini:";
/// Before another vendor's seal on its way through a Gemini client, which takes only base64.
const FOREIGN_SEAL: &[u8] = b"postern-seal:";

/// A seal as an upstream sent it, in canonical form.
pub(super) fn seal_from_upstream(signature: &str) -> String {
    format!("{OWN_SEAL}{signature}")
}

/// A canonical seal as an upstream takes it; nothing if another vendor made it.
pub(super) fn seal_for_upstream(seal: &str) -> Option<&str> {
    seal.strip_prefix(OWN_SEAL)
}

/// A canonical seal as a client gets it.
pub(super) fn seal_for_client(seal: &str) -> Cow<'_, str> {
    seal_for_upstream(seal)
        .map_or_else(|| STANDARD.encode([FOREIGN_SEAL, seal.as_bytes()].concat()).into(), Cow::Borrowed)
}

/// A client's seal in canonical form. SDKs write base64 in either alphabet.
pub(super) fn seal_from_client(signature: &str) -> String {
    let standard = standard_base64(signature);
    let decoded = STANDARD.decode(standard.as_ref()).unwrap_or_default();
    let foreign = decoded.strip_prefix(FOREIGN_SEAL).and_then(|own| std::str::from_utf8(own).ok());
    foreign.map_or_else(|| seal_from_upstream(&standard), str::to_owned)
}

/// Base64 in the usual alphabet with padding, whichever of the two it came in.
pub(super) fn standard_base64(data: &str) -> Cow<'_, str> {
    let padding = match data.len() & 3 {
        2 => "==",
        3 => "=",
        _ => "",
    };
    if padding.is_empty() && !data.contains(['-', '_']) {
        return Cow::Borrowed(data);
    }
    let mut out: String = data
        .chars()
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    out.push_str(padding);
    Cow::Owned(out)
}
