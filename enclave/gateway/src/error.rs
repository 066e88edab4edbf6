//! What stopped a request, whose fault it is, and whether to try elsewhere.
//!
//! Errors carry facts, never strings from outside: no prompt, no credential, no parser's quotation. The one exception
//! is an upstream's own answer ([`Forwarded`]), which goes back to the client and cannot be printed.

use std::sync::Arc;

use bytes::Bytes;

use crate::plaintext::Plaintext;
use crate::scan::{Fields, Kind, Problem};

mod body;

/// Why a request was not answered, or why an answer stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Two different credentials arrived; which one counts would be a guess.
    AmbiguousCredentials,
    /// The upstream's whole answer is larger than configured.
    AnswerTooLarge,
    /// A budget of the key, or of whom it belongs to, is used up.
    BudgetExceeded,
    /// What was settled cannot be written down, so nothing more is begun.
    AuditStalled,
    /// The request body is larger than `limit` bytes.
    BodyTooLarge {
        /// Most bytes accepted.
        limit: usize,
    },
    /// The body arrived compressed.
    ContentEncoding,
    /// A guardrail refused the content.
    ContentRefused {
        /// The guardrail's name in the configuration.
        guardrail: Arc<str>,
    },
    /// A credential arrived that no key matches.
    CredentialUnknown,
    /// No path of the gateway.
    EndpointUnknown,
    /// A field of the request has a value that the API does not allow.
    FieldInvalid {
        /// The field.
        param: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A field that the API requires is absent.
    FieldMissing {
        /// The field.
        param: &'static str,
    },
    /// A field asks for something this route does not do.
    FieldUnsupported {
        /// The field.
        param: &'static str,
    },
    /// The body is not the JSON object that the API wants.
    JsonInvalid {
        /// What is wrong.
        problem: Problem,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// The path exists, for another method.
    MethodUnsupported {
        /// The method that it has.
        allow: &'static str,
    },
    /// The request does not fit the context of any deployment that may serve it.
    ContextTooLong,
    /// No credential arrived.
    MissingCredentials,
    /// The key may not use this model.
    ModelNotAllowed,
    /// No model of that name.
    ModelUnknown,
    /// No deployment that may serve this request has what it needs.
    NoCapableDeployment {
        /// What is missing.
        capability: &'static str,
    },
    /// Policy leaves no deployment that may serve this request.
    NoCompliantDeployment,
    /// Secrets are missing that the operator has yet to give.
    NotProvisioned,
    /// The model's provider does not do what this endpoint is for.
    OperationUnsupported,
    /// Everything that may serve this request is busy.
    Overloaded {
        /// When to come back, in milliseconds.
        retry_after_ms: u64,
    },
    /// A number in the request is larger than the key allows.
    ParameterTooLarge,
    /// A budget of money applies, and nobody has said what the model costs.
    PriceUnknown,
    /// No stored prompt, or no version or label of it, as the request refers to; or it is not for this key and model.
    PromptUnknown,
    /// A variable of a stored prompt is missing, is not one of it, or has a value that does not fit.
    PromptVariable {
        /// What would be right, in the configuration's words.
        expected: Arc<str>,
    },
    /// The key may not use any provider of this model.
    ProviderNotAllowed,
    /// The key, or whom it belongs to, has asked too much in too short a time.
    RateLimited {
        /// When to come back, in milliseconds.
        retry_after_ms: u64,
    },
    /// The key may not speak this API.
    RouteNotAllowed,
    /// The request has come by this gateway before, or by too many of its kind.
    RequestLoop,
    /// The gateway ends, and with it this answer.
    ShuttingDown,
    /// The key already has as many requests in flight as it may.
    TooManyInFlight,
    /// The upstream has not proved itself as this route demands.
    UpstreamAttestation,
    /// The upstream could not be reached, or broke off before answering.
    UpstreamConnection,
    /// The upstream refused the gateway's own credential.
    UpstreamCredential,
    /// The upstream reported a failure inside an answer that had begun well.
    UpstreamFailed,
    /// The upstream answered something that is not its API.
    UpstreamMalformed,
    /// The upstream answered with an error status.
    UpstreamStatus {
        /// Its status, 400 to 599.
        status: u16,
        /// What it is about.
        reason: Reason,
        /// Its advice when to come back, in milliseconds, as received.
        retry_after_ms: Option<u64>,
        /// Its body, if the client may see it.
        body: Option<Forwarded>,
    },
    /// The upstream took longer than configured.
    UpstreamTimeout,
    /// The stream ended without its end.
    UpstreamTruncated,
}

/// In whose words an error is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Anthropic's.
    Anthropic,
    /// Google's.
    Google,
    /// `OpenAI`'s, which is also everybody else's.
    #[default]
    OpenAi,
}

impl Shape {
    /// The words that a client of this path understands.
    pub fn of_path(path: &str) -> Self {
        let under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // The stable version's paths of models are everybody's; only Google's name a method.
        let has_method = path.strip_prefix("/v1/models/").and_then(|rest| rest.rsplit_once(':'));
        if under("/v1/messages") {
            Self::Anthropic
        } else if under("/v1beta") || has_method.is_some_and(|(_, method)| GOOGLE_METHODS.contains(&method)) {
            Self::Google
        } else {
            Self::OpenAi
        }
    }
}

/// Methods of models in Google's API (Gemini API reference).
const GOOGLE_METHODS: &[&str] =
    &["batchEmbedContents", "countTokens", "embedContent", "generateContent", "streamGenerateContent"];

/// What an upstream's refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The prompt, or what the model was about to say, is against the provider's rules.
    ContentPolicy,
    /// Prompt and answer do not fit into the model's context.
    ContextWindow,
    /// The gateway's credential is not accepted.
    Credential,
    /// The provider does not have the model.
    ModelMissing,
    /// The provider cannot keep up with all of its customers.
    Overloaded,
    /// The gateway's account is empty.
    Quota,
    /// The gateway's account has had as much as it may have for now.
    RateLimit,
    /// Anything else that is wrong with the request.
    Request,
    /// Anything else that is wrong with the provider.
    Server,
    /// The provider gave up waiting for itself.
    Timeout,
}

/// Who has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller.
    Client,
    /// The gateway's operator.
    Gateway,
    /// Nobody: a rule did what it is for.
    Policy,
    /// The upstream.
    Upstream,
}

/// Where a second try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nowhere.
    Never,
    /// At the next deployment.
    NextDeployment,
    /// At the same deployment, or the next.
    SameDeployment,
}

/// An upstream's error body on its way to the client. Opaque: it may quote the prompt.
pub struct Forwarded(Plaintext<Bytes>, Form);

/// What a [`Forwarded`] body is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The message alone, as JSON writes it, without quotes.
    Message,
    /// The whole body in the client's own dialect.
    Whole,
}

/// Longest advice to wait that is passed on: SDKs ignore longer ones.
pub const MAX_RETRY_AFTER_MS: u64 = 120_000;

impl Error {
    /// HTTP status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::FieldInvalid { .. }
            | Self::FieldMissing { .. }
            | Self::FieldUnsupported { .. }
            | Self::ContentRefused { .. }
            | Self::ContextTooLong
            | Self::JsonInvalid { .. }
            | Self::NoCapableDeployment { .. }
            | Self::ParameterTooLarge
            | Self::PromptVariable { .. } => 400,
            Self::AmbiguousCredentials | Self::CredentialUnknown | Self::MissingCredentials => 401,
            Self::ModelNotAllowed
            | Self::NoCompliantDeployment
            | Self::PriceUnknown
            | Self::ProviderNotAllowed
            | Self::RouteNotAllowed => 403,
            Self::EndpointUnknown | Self::ModelUnknown | Self::OperationUnsupported | Self::PromptUnknown => {
                404
            }
            Self::MethodUnsupported { .. } => 405,
            Self::BodyTooLarge { .. } => 413,
            Self::ContentEncoding => 415,
            Self::BudgetExceeded | Self::RateLimited { .. } | Self::TooManyInFlight => 429,
            Self::AnswerTooLarge
            | Self::UpstreamAttestation
            | Self::UpstreamConnection
            | Self::UpstreamCredential
            | Self::UpstreamFailed
            | Self::UpstreamMalformed
            | Self::UpstreamTruncated => 502,
            Self::AuditStalled | Self::NotProvisioned | Self::Overloaded { .. } | Self::ShuttingDown => 503,
            Self::UpstreamTimeout => 504,
            Self::RequestLoop => 508,
            Self::UpstreamStatus { status, .. } => *status,
        }
    }

    /// A stable name for audit records and metrics (`error.type`).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AmbiguousCredentials => "ambiguous_credentials",
            Self::AnswerTooLarge => "upstream_answer_too_large",
            Self::BodyTooLarge { .. } => "request_too_large",
            Self::BudgetExceeded => "budget_exceeded",
            Self::ContentEncoding => "unsupported_content_encoding",
            Self::ContentRefused { .. } => "content_policy_violation",
            Self::ContextTooLong => "context_length_exceeded",
            Self::CredentialUnknown => "invalid_api_key",
            Self::EndpointUnknown => "unsupported_endpoint",
            Self::FieldInvalid { .. } => "invalid_value",
            Self::FieldMissing { .. } => "missing_required_parameter",
            Self::FieldUnsupported { .. } => "unsupported_parameter",
            Self::JsonInvalid { .. } => "invalid_json",
            Self::MethodUnsupported { .. } => "method_not_allowed",
            Self::MissingCredentials => "missing_api_key",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::ModelUnknown => "model_not_found",
            Self::NoCapableDeployment { .. } => "no_capable_deployment",
            Self::NoCompliantDeployment => "no_compliant_deployment",
            Self::Overloaded { .. } => "overloaded",
            Self::ParameterTooLarge => "parameter_too_large",
            Self::PriceUnknown => "price_unknown",
            Self::PromptUnknown => "prompt_not_found",
            Self::PromptVariable { .. } => "invalid_prompt_variable",
            Self::ProviderNotAllowed => "provider_not_allowed",
            Self::RateLimited { .. } => "rate_limit_exceeded",
            Self::RouteNotAllowed => "route_not_allowed",
            Self::OperationUnsupported => "unsupported_operation",
            Self::NotProvisioned => "not_provisioned",
            Self::RequestLoop => "request_loop",
            Self::AuditStalled => "audit_stalled",
            Self::ShuttingDown => "server_shutting_down",
            Self::TooManyInFlight => "concurrency_limit_exceeded",
            Self::UpstreamAttestation => "upstream_attestation_failed",
            Self::UpstreamConnection => "upstream_unreachable",
            Self::UpstreamCredential => "upstream_credentials_exhausted",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamMalformed => "upstream_malformed_answer",
            Self::UpstreamStatus { reason, .. } => reason.code(),
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamTruncated => "upstream_truncated",
        }
    }

    /// Who has to change something.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::AmbiguousCredentials
            | Self::BodyTooLarge { .. }
            | Self::ContentEncoding
            | Self::ContextTooLong
            | Self::CredentialUnknown
            | Self::EndpointUnknown
            | Self::FieldInvalid { .. }
            | Self::FieldMissing { .. }
            | Self::FieldUnsupported { .. }
            | Self::JsonInvalid { .. }
            | Self::MethodUnsupported { .. }
            | Self::MissingCredentials
            | Self::ModelUnknown
            | Self::NoCapableDeployment { .. }
            | Self::PromptUnknown
            | Self::PromptVariable { .. } => Fault::Client,
            Self::BudgetExceeded
            | Self::ContentRefused { .. }
            | Self::ModelNotAllowed
            | Self::NoCompliantDeployment
            | Self::OperationUnsupported
            | Self::Overloaded { .. }
            | Self::ParameterTooLarge
            | Self::PriceUnknown
            | Self::ProviderNotAllowed
            | Self::RateLimited { .. }
            | Self::RouteNotAllowed
            | Self::TooManyInFlight => Fault::Policy,
            Self::AuditStalled
            | Self::NotProvisioned
            | Self::RequestLoop
            | Self::ShuttingDown
            | Self::UpstreamCredential => Fault::Gateway,
            Self::AnswerTooLarge
            | Self::UpstreamAttestation
            | Self::UpstreamConnection
            | Self::UpstreamFailed
            | Self::UpstreamMalformed
            | Self::UpstreamTimeout
            | Self::UpstreamTruncated => Fault::Upstream,
            Self::UpstreamStatus { reason, .. } => reason.fault(),
        }
    }

    /// Whether the gateway itself may try again, before the commit point.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::AmbiguousCredentials
            | Self::BodyTooLarge { .. }
            | Self::ContentEncoding
            | Self::ContentRefused { .. }
            | Self::CredentialUnknown
            | Self::EndpointUnknown
            | Self::FieldInvalid { .. }
            | Self::FieldMissing { .. }
            | Self::FieldUnsupported { .. }
            | Self::JsonInvalid { .. }
            | Self::MethodUnsupported { .. }
            | Self::MissingCredentials
            | Self::NotProvisioned
            | Self::RequestLoop
            | Self::AuditStalled
            | Self::ShuttingDown
            | Self::ModelNotAllowed
            | Self::ModelUnknown
            | Self::ContextTooLong
            | Self::NoCapableDeployment { .. }
            | Self::NoCompliantDeployment
            | Self::OperationUnsupported
            | Self::Overloaded { .. }
            | Self::BudgetExceeded
            | Self::ParameterTooLarge
            | Self::PriceUnknown
            | Self::PromptUnknown
            | Self::PromptVariable { .. }
            | Self::ProviderNotAllowed
            | Self::RateLimited { .. }
            | Self::RouteNotAllowed
            | Self::TooManyInFlight => Retry::Never,
            Self::AnswerTooLarge
            | Self::UpstreamAttestation
            | Self::UpstreamCredential
            | Self::UpstreamMalformed
            | Self::UpstreamTimeout
            | Self::UpstreamTruncated => Retry::NextDeployment,
            Self::UpstreamConnection | Self::UpstreamFailed => Retry::SameDeployment,
            Self::UpstreamStatus { reason, .. } => reason.retry(),
        }
    }

    /// What the client is told: whether coming back makes sense.
    pub const fn client_should_retry(&self) -> bool {
        match self {
            Self::NotProvisioned
            | Self::Overloaded { .. }
            | Self::RateLimited { .. }
            | Self::TooManyInFlight
            | Self::AuditStalled
            | Self::ShuttingDown
            | Self::UpstreamConnection
            | Self::UpstreamFailed
            | Self::UpstreamTimeout
            | Self::UpstreamTruncated => true,
            Self::UpstreamStatus { status, .. } => matches!(*status, 408 | 409 | 429 | 500..=599),
            Self::AmbiguousCredentials
            | Self::AnswerTooLarge
            | Self::BodyTooLarge { .. }
            | Self::ContentEncoding
            | Self::ContentRefused { .. }
            | Self::CredentialUnknown
            | Self::EndpointUnknown
            | Self::FieldInvalid { .. }
            | Self::FieldMissing { .. }
            | Self::FieldUnsupported { .. }
            | Self::JsonInvalid { .. }
            | Self::MethodUnsupported { .. }
            | Self::MissingCredentials
            | Self::OperationUnsupported
            | Self::ModelNotAllowed
            | Self::ModelUnknown
            | Self::ContextTooLong
            | Self::NoCapableDeployment { .. }
            | Self::NoCompliantDeployment
            | Self::BudgetExceeded
            | Self::ParameterTooLarge
            | Self::PriceUnknown
            | Self::PromptUnknown
            | Self::PromptVariable { .. }
            | Self::RequestLoop
            | Self::ProviderNotAllowed
            | Self::RouteNotAllowed
            | Self::UpstreamAttestation
            | Self::UpstreamCredential
            | Self::UpstreamMalformed => false,
        }
    }

    /// When to come back, in milliseconds, never more than [`MAX_RETRY_AFTER_MS`].
    pub fn retry_after_ms(&self) -> Option<u64> {
        if let Self::UpstreamStatus { retry_after_ms, .. } = self {
            let wait = retry_after_ms.filter(|_| self.client_should_retry())?;
            return Some(wait.min(MAX_RETRY_AFTER_MS));
        }
        if let Self::Overloaded { retry_after_ms } | Self::RateLimited { retry_after_ms } = self {
            return Some((*retry_after_ms).clamp(1, MAX_RETRY_AFTER_MS));
        }
        matches!(self, Self::TooManyInFlight).then_some(1000)
    }

    /// The same for a client of another dialect than the upstream's: of its body only the message stays.
    #[must_use]
    pub fn for_another_dialect(self) -> Self {
        let Self::UpstreamStatus { status, reason, retry_after_ms, body } = self else { return self };
        Self::UpstreamStatus { status, reason, retry_after_ms, body: body.and_then(Forwarded::into_message) }
    }

    /// Headers of the answer, names in lower case.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-should-retry", self.client_should_retry().to_string()),
        ];
        if let Some(wait) = self.retry_after_ms() {
            headers.push(("retry-after-ms", wait.to_string()));
            headers.push(("retry-after", wait.div_ceil(1000).to_string()));
        }
        if let Self::MethodUnsupported { allow } = self {
            headers.push(("allow", (*allow).to_owned()));
        }
        headers
    }

    /// What is told of it in words, whatever the dialect; needs no JSON escaping.
    pub fn message(&self) -> String {
        body::words(self).0
    }

    /// HTTP status for clients of a dialect: Anthropic's has one of its own for what is overloaded.
    pub const fn status_in(&self, shape: Shape) -> u16 {
        match (shape, self.status()) {
            (Shape::Anthropic, 503) => 529,
            (_, status) => status,
        }
    }

    /// Body of the answer; an upstream's own error of the same dialect is passed on unchanged.
    pub fn body_json(&self, shape: Shape) -> Vec<u8> {
        if let Self::UpstreamStatus { body: Some(Forwarded(body, Form::Whole)), .. } = self {
            return body.expose().to_vec();
        }
        body::render(self, shape)
    }

    /// The in-band form for a stream that has begun: one SSE event. Nothing may follow it, above all no `[DONE]`.
    pub fn append_event(&self, shape: Shape, out: &mut Vec<u8>) {
        out.extend_from_slice(if shape == Shape::Anthropic { b"event: error\ndata: " } else { b"data: " });
        out.extend_from_slice(&body::render(self, shape));
        out.extend_from_slice(b"\n\n");
    }
}

impl Reason {
    /// See [`Error::code`]; the words that clients know from `OpenAI` where there are such.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ContentPolicy => "content_policy_violation",
            Self::ContextWindow => "context_length_exceeded",
            Self::Credential | Self::Quota => "upstream_credentials_exhausted",
            Self::ModelMissing => "upstream_model_not_found",
            Self::Overloaded => "upstream_overloaded",
            Self::RateLimit => "upstream_rate_limited",
            Self::Request | Self::Server => "upstream_error",
            Self::Timeout => "upstream_timeout",
        }
    }

    /// See [`Error::fault`].
    const fn fault(self) -> Fault {
        match self {
            Self::ContentPolicy | Self::ContextWindow | Self::Request => Fault::Client,
            Self::Credential | Self::Quota => Fault::Gateway,
            Self::ModelMissing | Self::Overloaded | Self::RateLimit | Self::Server | Self::Timeout => {
                Fault::Upstream
            }
        }
    }

    /// See [`Error::retry`]. A prompt that is too long or against the rules goes elsewhere only where the configuration
    /// names a place for it.
    const fn retry(self) -> Retry {
        match self {
            Self::ContentPolicy | Self::ContextWindow | Self::Request => Retry::Never,
            Self::Credential | Self::ModelMissing | Self::Quota | Self::RateLimit => Retry::NextDeployment,
            Self::Overloaded | Self::Server | Self::Timeout => Retry::SameDeployment,
        }
    }
}

impl Forwarded {
    /// Marks an upstream's error body as fit for the client.
    pub const fn new(body: Plaintext<Bytes>) -> Self {
        Self(body, Form::Whole)
    }

    /// The upstream's message, as JSON writes it, if only that is passed on.
    pub(crate) fn message(&self) -> Option<&str> {
        let bytes = (self.1 == Form::Message).then(|| self.0.expose())?;
        std::str::from_utf8(bytes).ok()
    }

    /// Keeps the message alone: `error.message`, or `message` at the top, as all vendors write it.
    fn into_message(self) -> Option<Self> {
        let Self(body, _) = self;
        let whole = body.expose();
        let mut fields = Fields::new();
        fields.scan(whole).ok()?;
        let start = match fields.find(whole, "error").filter(|field| field.kind == Kind::Object) {
            Some(field) => {
                let start = field.value.start;
                let inner = field.value(whole);
                fields.scan_utf8(inner).ok()?;
                start
            }
            None => 0,
        };
        let object = whole.get(start..)?;
        let field = fields.find(object, "message").filter(|field| field.kind == Kind::String)?;
        let (from, to) = (field.value.start.saturating_add(1), field.value.end.saturating_sub(1));
        let message = start.saturating_add(from)..start.saturating_add(to);
        Some(Self(body.map(|bytes| bytes.slice(message)), Form::Message))
    }
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Forwarded(withheld)")
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.code())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
