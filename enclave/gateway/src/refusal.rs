//! What an upstream's refusal is about, and when to come back: vendors' error bodies and headers, as data.
//!
//! Codes are read from the fields where vendors put codes, never searched for in the whole body: a body may quote the
//! prompt, and a prompt must not be able to make a credential look empty. Only the two reasons that concern nobody but
//! the caller, a prompt too long and a prompt refused, are also told by the words of the message.

use crate::error::Reason;
use crate::scan::{Field, Fields, Kind};

mod retry_after;

pub use retry_after::{HEADERS, retry_after_ms};

/// A sign of a reason: what a field of an error body says.
struct Sign {
    says: Says,
    reason: Reason,
}

/// Where a sign is looked for; compared ignoring ASCII case.
enum Says {
    /// `code`, `type` or `status` of the error is this word.
    Code(&'static str),
    /// The message contains these words.
    Words(&'static str),
}

const fn code(word: &'static str, reason: Reason) -> Sign {
    Sign { says: Says::Code(word), reason }
}

const fn words(words: &'static str, reason: Reason) -> Sign {
    Sign { says: Says::Words(words), reason }
}

/// Signs in the order in which they count. Sources: the vendors' API references and published error texts, as collected
/// in the issue trackers of their clients.
const SIGNS: &[Sign] = &[
    // Our account is empty: coming back does not help. OpenAI, DeepSeek (402), OpenRouter (402), xAI.
    code("insufficient_quota", Reason::Quota),
    code("billing_hard_limit_reached", Reason::Quota),
    code("billing_not_active", Reason::Quota),
    code("insufficient_balance", Reason::Quota),
    // Anthropic.
    code("billing_error", Reason::Quota),
    // OpenAI and those like it.
    code("context_length_exceeded", Reason::ContextWindow),
    code("string_above_max_length", Reason::ContextWindow),
    // Groq, Cerebras.
    code("request_too_large_for_context", Reason::ContextWindow),
    // OpenAI, Azure.
    code("content_policy_violation", Reason::ContentPolicy),
    code("content_filter", Reason::ContentPolicy),
    code("ResponsibleAIPolicyViolation", Reason::ContentPolicy),
    code("moderation_blocked", Reason::ContentPolicy),
    // Bedrock.
    code("guardrail_intervened", Reason::ContentPolicy),
    // OpenAI, Azure, Groq, Google.
    code("model_not_found", Reason::ModelMissing),
    code("DeploymentNotFound", Reason::ModelMissing),
    code("model_decommissioned", Reason::ModelMissing),
    code("not_found_error", Reason::ModelMissing),
    code("ResourceNotFoundException", Reason::ModelMissing),
    // Anthropic (529), Bedrock, Google.
    code("overloaded_error", Reason::Overloaded),
    code("ServiceUnavailableException", Reason::Overloaded),
    code("ModelNotReadyException", Reason::Overloaded),
    code("UNAVAILABLE", Reason::Overloaded),
    code("server_overloaded", Reason::Overloaded),
    // Anthropic, Bedrock, Google.
    code("rate_limit_error", Reason::RateLimit),
    code("rate_limit_exceeded", Reason::RateLimit),
    code("ThrottlingException", Reason::RateLimit),
    code("RESOURCE_EXHAUSTED", Reason::RateLimit),
    // OpenAI, vLLM, SGLang, DeepSeek, OpenRouter.
    words("maximum context length", Reason::ContextWindow),
    // Anthropic.
    words("prompt is too long", Reason::ContextWindow),
    words("exceed context limit", Reason::ContextWindow),
    // Bedrock.
    words("input is too long for requested model", Reason::ContextWindow),
    // Gemini, Vertex.
    words("exceeds the maximum number of tokens", Reason::ContextWindow),
    // Mistral, Together, Fireworks, llama.cpp.
    words("too large for model with", Reason::ContextWindow),
    words("tokens + `max_new_tokens` must be", Reason::ContextWindow),
    words("the prompt is too long", Reason::ContextWindow),
    words("exceeds the available context size", Reason::ContextWindow),
    // xAI.
    words("maximum prompt length", Reason::ContextWindow),
    // Groq, Cohere, Perplexity.
    words("reduce the length of the messages", Reason::ContextWindow),
    words("too many tokens", Reason::ContextWindow),
    // Azure, OpenAI.
    words("content management policy", Reason::ContentPolicy),
    words("rejected as a result of our safety system", Reason::ContentPolicy),
    // Anthropic.
    words("output blocked by content filtering policy", Reason::ContentPolicy),
];

/// What a refusal with that status and body is about.
pub fn reason(status: u16, headers: &[(String, Vec<u8>)], body: &[u8]) -> Reason {
    let said = Said::read(headers, body);
    let sign = SIGNS.iter().filter(|sign| said.shows(&sign.says)).find(|sign| fits(status, sign.reason));
    match (sign, status) {
        (Some(sign), _) => sign.reason,
        (None, 401 | 403) => Reason::Credential,
        (None, 402) => Reason::Quota,
        (None, 404 | 410) => Reason::ModelMissing,
        (None, 408 | 504) => Reason::Timeout,
        (None, 429) => Reason::RateLimit,
        (None, 503 | 529) => Reason::Overloaded,
        (None, 500..=599) => Reason::Server,
        (None, _) => Reason::Request,
    }
}

/// Whether a status can mean that reason, whatever the body says.
const fn fits(status: u16, reason: Reason) -> bool {
    match reason {
        Reason::ContextWindow => matches!(status, 400 | 413 | 422 | 500),
        Reason::ContentPolicy => matches!(status, 400 | 403 | 422 | 451),
        Reason::ModelMissing => matches!(status, 400 | 404 | 410 | 424),
        Reason::Quota => matches!(status, 400 | 402 | 403 | 429),
        // 413: Groq, for a request that is larger than a minute's tokens.
        Reason::RateLimit => matches!(status, 413 | 429),
        Reason::Overloaded => matches!(status, 429 | 500..=599),
        Reason::Credential | Reason::Request | Reason::Server | Reason::Timeout => true,
    }
}

/// The words of an error body, wherever the vendor puts them.
#[derive(Default)]
struct Said<'a> {
    codes: Vec<&'a [u8]>,
    messages: Vec<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn read(headers: &'a [(String, Vec<u8>)], body: &'a [u8]) -> Self {
        let mut said = Self::default();
        // Bedrock: `ValidationException:http://...`.
        let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amzn-errortype"));
        if let Some((_, value)) = kind {
            said.codes.extend(value.split(|byte| *byte == b':').next());
        }
        // Gemini's streaming method answers with an array of one.
        let body = body.trim_ascii();
        let body = body.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(body);
        let mut top = Fields::new();
        if top.scan(body).is_err() {
            return said;
        }
        said.object(body, &top);
        for name in ["error", "fault", "innererror"] {
            said.nested(body, &top, name);
        }
        said
    }

    /// `error`, which is an object (with an `innererror` at Azure) or a text (at Ollama).
    fn nested(&mut self, outer: &'a [u8], fields: &Fields, name: &str) {
        let Some(field) = fields.find(outer, name) else { return };
        if let Some(text) = field.raw_string(outer) {
            self.messages.push(text);
        }
        let object = field.value(outer);
        let mut inner = Fields::new();
        if field.kind != Kind::Object || inner.scan_utf8(object).is_err() {
            return;
        }
        self.object(object, &inner);
        if let Some(below) = inner.find(object, "innererror").filter(|below| below.kind == Kind::Object) {
            let text = below.value(object);
            let mut fields = Fields::new();
            if fields.scan_utf8(text).is_ok() {
                self.object(text, &fields);
            }
        }
    }

    /// The fields in which vendors put codes and messages.
    fn object(&mut self, object: &'a [u8], fields: &Fields) {
        let texts = |names: &'static [&'static str]| {
            let find =
                move |name: &&str| fields.find(object, name).and_then(|own: &Field| own.raw_string(object));
            names.iter().filter_map(find)
        };
        self.codes.extend(texts(&["code", "type", "status", "__type"]));
        self.messages.extend(texts(&["message", "detail", "faultstring"]));
    }

    fn shows(&self, says: &Says) -> bool {
        match says {
            Says::Code(word) => self.codes.iter().any(|own| own.eq_ignore_ascii_case(word.as_bytes())),
            Says::Words(words) => self.messages.iter().any(|own| contains(own, words.as_bytes())),
        }
    }
}

/// Whether the text contains the words, ignoring ASCII case.
fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window.eq_ignore_ascii_case(words))
}

#[cfg(test)]
mod tests;
