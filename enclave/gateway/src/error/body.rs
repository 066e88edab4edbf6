//! The words of an error, in the shapes of all dialects: fixed texts and numbers, and what an upstream says of the
//! client's own mistake.

use super::{Error, Fault, Reason, Shape};

/// The body, as the official SDKs of that dialect read it.
pub(super) fn render(error: &Error, shape: Shape) -> Vec<u8> {
    let (message, param) = words(error);
    let body = match shape {
        Shape::Anthropic => {
            format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#,
                kind = anthropic_kind(error)
            )
        }
        Shape::Google => format!(
            r#"{{"error":{{"code":{code},"message":"{message}","status":"{status}"}}}}"#,
            code = error.status(),
            status = google_status(error.status()),
        ),
        Shape::OpenAi => {
            let param = param.map_or_else(|| "null".to_owned(), |name| format!("\"{name}\""));
            format!(
                r#"{{"error":{{"message":"{message}","type":"{kind}","param":{param},"code":"{code}"}}}}"#,
                kind = kind(error),
                code = error.code(),
            )
        }
    };
    body.into_bytes()
}

/// `OpenAI`'s `type`.
const fn kind(error: &Error) -> &'static str {
    if matches!(error, Error::BudgetExceeded) {
        return "insufficient_quota";
    }
    match (error.fault(), error.status()) {
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 429) => "rate_limit_error",
        (Fault::Client | Fault::Policy, _) => "invalid_request_error",
        (Fault::Gateway | Fault::Upstream, _) => "api_error",
    }
}

/// Anthropic's `type`, which goes by the status.
const fn anthropic_kind(error: &Error) -> &'static str {
    if let Error::UpstreamStatus { reason: Reason::Overloaded, .. } = error {
        return "overloaded_error";
    }
    match error.status_in(Shape::Anthropic) {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Google's `status`, the names of `google.rpc.Code`.
const fn google_status(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        413 => "OUT_OF_RANGE",
        429 => "RESOURCE_EXHAUSTED",
        502 | 503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        402 | 405..=499 => "FAILED_PRECONDITION",
        _ => "INTERNAL",
    }
}

/// The message and the parameter. Texts are written so that they need no JSON escaping.
#[allow(clippy::too_many_lines, reason = "a table: one row for each error")]
pub(super) fn words(error: &Error) -> (String, Option<&'static str>) {
    let fixed = match error {
        Error::AmbiguousCredentials => "two different credentials were sent; send one",
        Error::AnswerTooLarge => "the upstream's answer is larger than this gateway accepts",
        Error::BodyTooLarge { limit } => {
            return (format!("the request body is larger than {limit} bytes"), None);
        }
        Error::BudgetExceeded => "a budget of this API key, or of whom it belongs to, is used up",
        Error::ContentEncoding => "the request body must not be compressed",
        Error::ContentRefused { .. } => "a content rule of this gateway refused this content",
        Error::ContextTooLong => "the request is longer than the context of any model that may serve it",
        Error::CredentialUnknown => "the API key is not known to this gateway",
        Error::EndpointUnknown => "this gateway has no such endpoint",
        Error::FieldInvalid { param, expected } => {
            return (format!("invalid value for '{param}': expected {expected}"), Some(param));
        }
        Error::FieldMissing { param } => {
            return (format!("missing required parameter: '{param}'"), Some(param));
        }
        Error::FieldUnsupported { param } => {
            return (format!("'{param}' is not supported here with this value"), Some(param));
        }
        Error::JsonInvalid { problem, line, column } => {
            let problem = problem.as_str();
            return (
                format!("the request body is not valid: {problem} at line {line} column {column}"),
                None,
            );
        }
        Error::MethodUnsupported { .. } => "this endpoint does not have that method",
        Error::MissingCredentials => "no API key was sent: use 'authorization: Bearer KEY'",
        Error::ModelNotAllowed => return ("this API key may not use that model".to_owned(), Some("model")),
        Error::ModelUnknown => return ("that model does not exist here".to_owned(), Some("model")),
        Error::NoCapableDeployment { capability } => {
            return (format!("no model that may serve this request supports {capability}"), None);
        }
        Error::NotProvisioned => "the operator has yet to give this gateway its secrets; come back later",
        Error::OperationUnsupported => "the provider of that model does not do this",
        Error::NoCompliantDeployment => "policy leaves no deployment that may serve this request",
        Error::Overloaded { .. } => "everything that may serve this request is busy; come back later",
        Error::ParameterTooLarge => "a number in the request is larger than this API key allows",
        Error::PriceUnknown => "a budget of money applies, and the price of that model is not known",
        Error::PromptUnknown => {
            return ("that prompt, version or label does not exist here".to_owned(), Some("prompt"));
        }
        Error::PromptVariable { expected } => {
            return (format!("invalid variables of the prompt: expected {expected}"), Some("prompt"));
        }
        Error::ProviderNotAllowed => "this API key may not use the providers of that model",
        Error::RateLimited { .. } => "this API key has asked too much in too short a time",
        Error::RouteNotAllowed => "this API key may not use this API",
        Error::RequestLoop => {
            "the request goes round: it has come by this gateway before, or by too many of its kind"
        }
        Error::AuditStalled => {
            "the gateway cannot write down what it does, so it begins nothing more; come back later"
        }
        Error::ShuttingDown => "the gateway is shutting down",
        Error::TooManyInFlight => "this API key has too many requests in flight",
        Error::UpstreamAttestation => "the upstream has not proved itself as this route demands",
        Error::UpstreamConnection => "the upstream could not be reached or broke off",
        Error::UpstreamCredential => "the upstream refused the gateway's credential",
        Error::UpstreamFailed => "the upstream reported a failure",
        Error::UpstreamMalformed => "the upstream answered something that is not its API",
        Error::UpstreamStatus { body: Some(own), .. } if own.message().is_some() => {
            return (own.message().unwrap_or_default().to_owned(), None);
        }
        Error::UpstreamStatus { status, .. } => {
            return (format!("the upstream answered with status {status}"), None);
        }
        Error::UpstreamTimeout => "the upstream took too long",
        Error::UpstreamTruncated => "the upstream's stream ended before its end",
    };
    (fixed.to_owned(), None)
}
