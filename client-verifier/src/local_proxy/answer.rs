//! Answers that the proxy gives itself, in the shape that OpenAI's SDKs turn into their error classes.

use attestation::rejection::Retry;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use super::forward::ProxyBody;
use super::guard::Denied;
use crate::error::{Error, NetworkFault, Step, Truncation};

/// There is no verified channel, or it failed before an answer began: 502 when trying again cannot help, otherwise
/// 503 (504 when the gateway was too slow) with `Retry-After`.
pub(super) fn failed(error: &Error) -> Response<ProxyBody> {
    // New evidence can be had at once; for everything else the server's word counts, or a few seconds.
    let wait = match error.retry() {
        Retry::RefreshEvidence => 1,
        Retry::Never | Retry::RetryLater => {
            error.retry_after().map_or(DEFAULT_WAIT_SECONDS, |wait| wait.as_secs().max(1))
        }
    };
    let again = error.retry() != Retry::Never && !matches!(error, Error::Truncated(Truncation::Unframed));
    let too_slow = matches!(error, Error::Network { step: Step::Application, fault: NetworkFault::TimedOut });
    let status = if !again {
        StatusCode::BAD_GATEWAY
    } else if too_slow {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let message = format!("no verified answer from the gateway: {error} (hint: {})", error.hint());
    let mut response = json_error(status, "attestation_error", error.code(), &message);
    if again {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
    } else {
        // OpenAI's SDKs obey this and do not try the same again.
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// The caller may not use this proxy.
pub(super) fn denied(denied: Denied) -> Response<ProxyBody> {
    let (status, code, message) = match denied {
        Denied::Host => (
            StatusCode::MISDIRECTED_REQUEST,
            "LOCAL_HOST",
            "the Host header is not this proxy's address (hint: use the base URL that the proxy printed)",
        ),
        Denied::Origin => (
            StatusCode::MISDIRECTED_REQUEST,
            "LOCAL_ORIGIN",
            "requests from web pages are not served (hint: call the proxy from a program, not from a page)",
        ),
        Denied::Token => (
            StatusCode::UNAUTHORIZED,
            "LOCAL_TOKEN",
            "missing or wrong local token (hint: send it as API key, or use the base URL with /t/TOKEN/v1)",
        ),
    };
    let mut response = json_error(status, "authentication_error", code, message);
    if denied == Denied::Token {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Paths of the attested protocol are between the verifier and the enclave.
pub(super) fn not_here() -> Response<ProxyBody> {
    let message = "this path is not forwarded (hint: use `postern verify` to see evidence)";
    json_error(StatusCode::NOT_FOUND, "invalid_request_error", "LOCAL_PATH", message)
}

/// HTTP/1.0 cannot tell a cut from an end.
pub(super) fn old_version() -> Response<ProxyBody> {
    let message = "HTTP/1.0 cannot tell a cut stream from a complete one (hint: use HTTP/1.1 or HTTP/2)";
    json_error(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "invalid_request_error", "LOCAL_HTTP_VERSION", message)
}

fn json_error(status: StatusCode, kind: &str, code: &str, message: &str) -> Response<ProxyBody> {
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    let mut response = Response::new(ProxyBody::own(body.to_string().into_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const DEFAULT_WAIT_SECONDS: u64 = 5;
