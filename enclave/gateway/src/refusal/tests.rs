use super::*;
use crate::scan::unescape;

/// Refusals as vendors send them: who, status, body, what it is about.
const CASES: &[(&str, u16, &str, Reason)] = &[
    (
        "openai",
        400,
        r#"{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        Reason::ContextWindow,
    ),
    (
        "openai",
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        Reason::Quota,
    ),
    (
        "openai",
        429,
        r#"{"error":{"message":"Rate limit reached for gpt-x in organization org on tokens per min (TPM)","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
        Reason::RateLimit,
    ),
    (
        "openai",
        400,
        r#"{"error":{"message":"Your request was rejected as a result of our safety system.","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}"#,
        Reason::ContentPolicy,
    ),
    (
        "openai",
        404,
        r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
        Reason::ModelMissing,
    ),
    (
        "openai",
        401,
        r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        Reason::Credential,
    ),
    (
        "openai",
        400,
        r#"{"error":{"message":"Unsupported parameter: 'top_k'","type":"invalid_request_error","param":"top_k","code":"unsupported_parameter"}}"#,
        Reason::Request,
    ),
    (
        "openai",
        503,
        r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}"#,
        Reason::Overloaded,
    ),
    (
        "azure",
        400,
        r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#,
        Reason::ContentPolicy,
    ),
    (
        "azure",
        404,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
        Reason::ModelMissing,
    ),
    (
        "azure",
        429,
        r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current pricing tier."}}"#,
        Reason::RateLimit,
    ),
    (
        "anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 215000 tokens > 200000 maximum"},"request_id":"req_1"}"#,
        Reason::ContextWindow,
    ),
    (
        "anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}"#,
        Reason::ContextWindow,
    ),
    (
        "anthropic",
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        Reason::Overloaded,
    ),
    (
        "anthropic",
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit"}}"#,
        Reason::RateLimit,
    ),
    (
        "anthropic",
        402,
        r#"{"type":"error","error":{"type":"billing_error","message":"Your credit balance is too low"}}"#,
        Reason::Quota,
    ),
    (
        "anthropic",
        403,
        r#"{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission"}}"#,
        Reason::Credential,
    ),
    ("bedrock", 400, r#"{"message":"Input is too long for requested model."}"#, Reason::ContextWindow),
    ("bedrock", 429, r#"{"message":"Too many tokens, please wait before trying again."}"#, Reason::RateLimit),
    (
        "gemini",
        400,
        r#"{"error":{"code":400,"message":"The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        Reason::ContextWindow,
    ),
    (
        "gemini",
        429,
        r#"[{"error":{"code":429,"message":"Resource exhausted","status":"RESOURCE_EXHAUSTED"}}]"#,
        Reason::RateLimit,
    ),
    (
        "gemini",
        503,
        r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
        Reason::Overloaded,
    ),
    (
        "mistral",
        400,
        r#"{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#,
        Reason::ContextWindow,
    ),
    (
        "vllm",
        400,
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}"#,
        Reason::ContextWindow,
    ),
    (
        "vllm",
        404,
        r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
        Reason::ModelMissing,
    ),
    ("ollama", 404, r#"{"error":"model 'x' not found"}"#, Reason::ModelMissing),
    (
        "llama.cpp",
        400,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size. try increasing the context size","type":"invalid_request_error"}}"#,
        Reason::ContextWindow,
    ),
    (
        "groq",
        413,
        r#"{"error":{"message":"Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}"#,
        Reason::RateLimit,
    ),
    (
        "groq",
        400,
        r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        Reason::ContextWindow,
    ),
    (
        "together",
        422,
        r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097.","type":"invalid_request_error"}}"#,
        Reason::ContextWindow,
    ),
    (
        "fireworks",
        400,
        r#"{"fault":{"faultstring":"The prompt is too long: 140000, model maximum context length: 131071","detail":{"errorcode":"x"}}}"#,
        Reason::ContextWindow,
    ),
    (
        "deepseek",
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        Reason::Quota,
    ),
    ("openrouter", 402, r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Reason::Quota),
    (
        "openrouter",
        400,
        r#"{"error":{"code":400,"message":"This endpoint's maximum context length is 8192 tokens."}}"#,
        Reason::ContextWindow,
    ),
    (
        "x_ai",
        400,
        r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 200000 tokens."}"#,
        Reason::ContextWindow,
    ),
    (
        "cohere",
        400,
        r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081","id":"1"}"#,
        Reason::ContextWindow,
    ),
    ("anybody", 500, "<html>oops</html>", Reason::Server),
    ("anybody", 504, "", Reason::Timeout),
    ("anybody", 418, "[[[", Reason::Request),
];

#[test]
fn every_vendors_refusals_are_understood() {
    for (who, status, body, wanted) in CASES {
        assert_eq!(reason(*status, &[], body.as_bytes()), *wanted, "{who} {status} {body}");
    }
}

#[test]
fn every_sign_has_a_case_or_is_a_code_of_the_same_kind() {
    // A pattern of words that no real message shows would be a guess.
    for sign in SIGNS {
        let Says::Words(words) = &sign.says else { continue };
        let shown = CASES.iter().any(|(_, _, body, wanted)| {
            let text = unescape(body.as_bytes()).unwrap_or_else(|| (*body).to_owned());
            *wanted == sign.reason && contains(text.as_bytes(), words.as_bytes())
        });
        assert!(shown || UNSEEN.contains(words), "{words} has no case");
    }
}

/// From issue trackers, where only the phrase is quoted.
const UNSEEN: &[&str] = &["output blocked by content filtering policy"];

#[test]
fn the_type_of_bedrock_is_in_a_header() {
    let headers =
        [("x-amzn-ErrorType".to_owned(), b"ThrottlingException:http://internal.amazon.com/".to_vec())];
    assert_eq!(reason(429, &headers, br#"{"message":"slow down"}"#), Reason::RateLimit);
    let headers = [("x-amzn-ErrorType".to_owned(), b"ServiceUnavailableException".to_vec())];
    assert_eq!(reason(500, &headers, b"{}"), Reason::Overloaded);
}

#[test]
fn a_prompt_that_is_quoted_cannot_make_a_credential_look_dead() {
    let body = br#"{"error":{"message":"invalid prompt: insufficient_quota billing_error","type":"invalid_request_error","param":"insufficient_quota"},"input":{"code":"insufficient_quota"}}"#;
    assert_eq!(reason(400, &[], body), Reason::Request);
    // Nor can a status that says something else.
    let body = br#"{"error":{"message":"x","code":"insufficient_quota"}}"#;
    assert_eq!(reason(500, &[], body), Reason::Server);
}
