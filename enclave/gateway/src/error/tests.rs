use super::*;

/// One of each variant; the match makes a new variant fail to compile until it is added.
fn all() -> Vec<Error> {
    let one = |error: &Error| match error {
        Error::AmbiguousCredentials
        | Error::AnswerTooLarge
        | Error::BodyTooLarge { .. }
        | Error::BudgetExceeded
        | Error::ContentEncoding
        | Error::ContentRefused { .. }
        | Error::ContextTooLong
        | Error::CredentialUnknown
        | Error::EndpointUnknown
        | Error::FieldInvalid { .. }
        | Error::FieldMissing { .. }
        | Error::FieldUnsupported { .. }
        | Error::JsonInvalid { .. }
        | Error::MethodUnsupported { .. }
        | Error::MissingCredentials
        | Error::ModelNotAllowed
        | Error::ModelUnknown
        | Error::NoCapableDeployment { .. }
        | Error::NoCompliantDeployment
        | Error::NotProvisioned
        | Error::OperationUnsupported
        | Error::Overloaded { .. }
        | Error::ParameterTooLarge
        | Error::PriceUnknown
        | Error::PromptUnknown
        | Error::PromptVariable { .. }
        | Error::ProviderNotAllowed
        | Error::RateLimited { .. }
        | Error::RouteNotAllowed
        | Error::RequestLoop
        | Error::AuditStalled
        | Error::ShuttingDown
        | Error::TooManyInFlight
        | Error::UpstreamAttestation
        | Error::UpstreamConnection
        | Error::UpstreamCredential
        | Error::UpstreamFailed
        | Error::UpstreamMalformed
        | Error::UpstreamStatus { .. }
        | Error::UpstreamTimeout
        | Error::UpstreamTruncated => (),
    };
    let all = vec![
        Error::AmbiguousCredentials,
        Error::AnswerTooLarge,
        Error::BodyTooLarge { limit: 7 },
        Error::BudgetExceeded,
        Error::ContentEncoding,
        Error::ContentRefused { guardrail: "g".into() },
        Error::ContextTooLong,
        Error::CredentialUnknown,
        Error::EndpointUnknown,
        Error::FieldInvalid { param: "model", expected: "x" },
        Error::FieldMissing { param: "model" },
        Error::FieldUnsupported { param: "n" },
        Error::JsonInvalid { problem: Problem::Syntax, line: 1, column: 2 },
        Error::MethodUnsupported { allow: "POST" },
        Error::MissingCredentials,
        Error::ModelNotAllowed,
        Error::ModelUnknown,
        Error::NoCapableDeployment { capability: "tools" },
        Error::NoCompliantDeployment,
        Error::NotProvisioned,
        Error::OperationUnsupported,
        Error::Overloaded { retry_after_ms: 2500 },
        Error::ParameterTooLarge,
        Error::PriceUnknown,
        Error::PromptUnknown,
        Error::PromptVariable { expected: "a value for 'x'".into() },
        Error::ProviderNotAllowed,
        Error::RateLimited { retry_after_ms: 1500 },
        Error::RouteNotAllowed,
        Error::RequestLoop,
        Error::AuditStalled,
        Error::ShuttingDown,
        Error::TooManyInFlight,
        Error::UpstreamAttestation,
        Error::UpstreamConnection,
        Error::UpstreamCredential,
        Error::UpstreamFailed,
        Error::UpstreamMalformed,
        Error::UpstreamStatus {
            status: 503,
            reason: Reason::Overloaded,
            retry_after_ms: Some(1500),
            body: None,
        },
        Error::UpstreamTimeout,
        Error::UpstreamTruncated,
    ];
    all.iter().for_each(one);
    all
}

#[test]
fn every_error_is_a_well_formed_answer() {
    let mut codes = std::collections::BTreeSet::new();
    for error in all() {
        let body: serde_json::Value = serde_json::from_slice(&error.body_json(Shape::OpenAi)).expect("JSON");
        let shape: Vec<&String> = body["error"].as_object().expect("an object").keys().collect();
        assert_eq!(shape, ["code", "message", "param", "type"], "{error}");
        assert_eq!(body["error"]["code"], error.code());
        assert!((400..600).contains(&error.status()));
        assert!(codes.insert(error.code()), "{error} shares its code");
        let message = body["error"]["message"].as_str().expect("text");
        assert!(!message.ends_with('.') && message.len() > 10, "{message}");
    }
}

#[test]
fn clients_come_back_only_when_it_helps() {
    for error in all() {
        let retry = error.client_should_retry();
        assert!(!retry || matches!(error.status(), 408 | 409 | 429 | 500..), "{error}");
        assert!(retry || error.retry_after_ms().is_none(), "{error} advises to wait for nothing");
        let header = ("x-should-retry", retry.to_string());
        assert!(error.headers().contains(&header));
    }
    let busy = Error::UpstreamStatus {
        status: 503,
        reason: Reason::Overloaded,
        retry_after_ms: Some(1500),
        body: None,
    };
    assert!(busy.headers().contains(&("retry-after", "2".to_owned())), "seconds are rounded up");
    assert!(busy.headers().contains(&("retry-after-ms", "1500".to_owned())));
}

#[test]
fn a_clients_mistake_is_never_tried_elsewhere() {
    for error in all() {
        let own = matches!(error.fault(), Fault::Client | Fault::Policy);
        assert!(!own || error.retry() == Retry::Never, "{error}");
    }
    for reason in [Reason::ContentPolicy, Reason::ContextWindow, Reason::Request] {
        let error = Error::UpstreamStatus { status: 400, reason, retry_after_ms: None, body: None };
        assert_eq!((error.retry(), error.fault()), (Retry::Never, Fault::Client));
    }
}

#[test]
fn an_event_is_one_event() {
    let mut out = Vec::new();
    Error::UpstreamTruncated.append_event(Shape::OpenAi, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(
        text.starts_with("data: {\"error\":{") && text.ends_with("}\n\n") && text.matches('\n').count() == 2
    );
}

#[test]
fn google_tells_errors_in_its_own_words_in_both_versions() {
    for path in ["/v1beta/models", "/v1beta/models/m:generateContent", "/v1/models/a:b:streamGenerateContent"]
    {
        assert_eq!(Shape::of_path(path), Shape::Google, "{path}");
    }
    for path in ["/v1/models", "/v1/models/m", "/v1/models/ft:m:org::id", "/v1betax", "/v1/x:generateContent"]
    {
        assert_eq!(Shape::of_path(path), Shape::OpenAi, "{path}");
    }
    let error = Error::BodyTooLarge { limit: 7 };
    let told: serde_json::Value = serde_json::from_slice(&error.body_json(Shape::Google)).unwrap();
    assert_eq!((&told["error"]["code"], &told["error"]["status"]), (&413.into(), &"OUT_OF_RANGE".into()));
}
