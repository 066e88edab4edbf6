//! Calls to vendors with an API of their own: where they go and how they prove themselves.

use gateway::config::{GatewayConfig, build, parse};

use crate::fake::{
    ACCESS_TOKEN, CHAT, CREDENTIAL, FakeUpstream, Reply, Secrets, ask, collect, gateway_with, text,
};

const CONFIG: &str = r#"
[deployments.bedrock]
provider = "bedrock"
model = "eu.anthropic.claude-x-v1:0"
base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"
credential = "test:aws"

[deployments.bedrock-key]
provider = "bedrock"
model = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x-v1:0"
base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"
credential = "test:main"

[deployments.gemini]
provider = "gemini"
model = "gemini-x"
credential = "test:main"

[deployments.bedrock-region]
provider = "bedrock"
model = "m"
region = "eu-central-1"
credential = "test:aws"

[deployments.bedrock-proxy]
provider = "bedrock"
model = "m"
base_url = "https://bedrock.example/aws"
region = "eu-north-1"
credential = "test:aws"

[deployments.vertex]
provider = "vertex"
model = "gemini-x"
project = "postern-test"
region = "europe-west1"
credential = "test:google"

[deployments.vertex-claude]
provider = "vertex"
model = "claude-x@20260101"
project = "postern-test"
region = "global"
credential = "test:google"

[deployments.vertex-llama]
provider = "vertex"
model = "meta/llama-x"
project = "postern-test"
region = "us"
credential = "test:google"

[models]
region = { deployments = ["bedrock-region"] }
proxy = { deployments = ["bedrock-proxy"] }
vertex = { deployments = ["vertex"] }
vertex-claude = { deployments = ["vertex-claude"] }
vertex-llama = { deployments = ["vertex-llama"] }
signed = { deployments = ["bedrock"] }
keyed = { deployments = ["bedrock-key"] }
google = { deployments = ["gemini"] }
"#;

const REQUEST: &str = r#"{"model":"@","messages":[{"role":"user","content":"hi"}]}"#;
const CONVERSE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn",
    "usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":1}}"#;
const GENERATED: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}],
    "usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3}}"#;

fn header(sent: &[(&'static str, Vec<u8>)], wanted: &str) -> String {
    let mut found = sent.iter().filter(|(name, _)| *name == wanted);
    let value = found.next().map(|(_, value)| text(value)).unwrap_or_default();
    assert!(found.next().is_none(), "{wanted} once");
    value
}

fn ask_model(model: &str, answer: &str) -> FakeUpstream {
    let upstream = FakeUpstream::new([Reply::json(200, answer)]);
    let answer = ask(&gateway_with(CONFIG), &upstream, CHAT, REQUEST.replace('@', model));
    let (body, _) = collect(answer.expect("an answer"));
    assert!(text(&body).contains(r#""content":"hello""#), "{}", text(&body));
    upstream
}

#[test]
fn bedrock_calls_are_signed_with_the_time_they_are_sent_at() {
    let upstream = ask_model("signed", CONVERSE);
    let sent = upstream.sent.borrow();
    assert_eq!(sent[0].path, "/model/eu.anthropic.claude-x-v1%3A0/converse");
    assert_eq!(header(&sent[0].headers, "x-amz-date"), "20260202T024000Z");
    assert_eq!(header(&sent[0].headers, "x-amz-security-token"), "TOKEN/+=");
    let authorization = header(&sent[0].headers, "authorization");
    let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260202/eu-west-1/bedrock/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(authorization.starts_with(expected), "{authorization}");
}

#[test]
fn a_bedrock_api_key_is_a_bearer_token_and_an_arn_one_segment() {
    let upstream = ask_model("keyed", CONVERSE);
    let sent = upstream.sent.borrow();
    let segment = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x-v1%3A0";
    assert_eq!(sent[0].path, format!("/model/{segment}/converse"));
    assert_eq!(header(&sent[0].headers, "authorization"), format!("Bearer {CREDENTIAL}"));
    assert_eq!(header(&sent[0].headers, "x-amz-date"), "");
}

#[test]
fn gemini_gets_its_key_in_its_own_header() {
    let upstream = ask_model("google", GENERATED);
    let sent = upstream.sent.borrow();
    assert_eq!(sent[0].path, "/v1beta/models/gemini-x:generateContent");
    assert_eq!(header(&sent[0].headers, "x-goog-api-key"), CREDENTIAL);
    assert_eq!(header(&sent[0].headers, "authorization"), "");
}

#[test]
fn bedrock_is_signed_for_the_region_of_its_address_or_the_one_stated() {
    for (model, region, path) in [
        ("signed", "eu-west-1", "/model/eu.anthropic.claude-x-v1%3A0/converse"),
        ("region", "eu-central-1", "/model/m/converse"),
        ("proxy", "eu-north-1", "/aws/model/m/converse"),
    ] {
        let upstream = ask_model(model, CONVERSE);
        let sent = upstream.sent.borrow();
        assert!(
            header(&sent[0].headers, "authorization").contains(&format!("/{region}/bedrock/")),
            "{model}"
        );
        assert_eq!(sent[0].path, path);
    }
    let told = |change: (&str, &str)| {
        let base = crate::fake::CONFIG.replace("@KEY@", &"0".repeat(64)).replace("@NARROW@", &"1".repeat(64));
        let text = format!("{base}{}", CONFIG.replace(change.0, change.1));
        let config: GatewayConfig = parse(&text).expect("reads");
        build(&config, &Secrets).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(told(("", "")), "");
    for (change, expected) in [
        (("region = \"eu-north-1\"", ""), "deployments.bedrock-proxy.region"),
        (("region = \"eu-north-1\"", "region = \"eu\""), "deployments.bedrock-proxy.region"),
        (("region = \"eu-central-1\"", ""), "deployments.bedrock-region.base_url"),
        (("region = \"eu-central-1\"", "region = \"eu\""), "deployments.bedrock-region.region"),
    ] {
        assert!(told(change).contains(expected), "{}", told(change));
    }
}

#[test]
fn vertex_addresses_follow_location_and_publisher() {
    const MESSAGE: &str = r#"{"id":"1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hello"}],
        "stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;
    const COMPLETED: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
    for (model, answer, host, rest) in [
        (
            "vertex",
            GENERATED,
            "europe-west1-aiplatform.googleapis.com",
            "europe-west1/publishers/google/models/gemini-x:generateContent",
        ),
        (
            "vertex-claude",
            MESSAGE,
            "aiplatform.googleapis.com",
            "global/publishers/anthropic/models/claude-x%4020260101:rawPredict",
        ),
        (
            "vertex-llama",
            COMPLETED,
            "aiplatform.us.rep.googleapis.com",
            "us/endpoints/openapi/chat/completions",
        ),
    ] {
        let upstream = FakeUpstream::new([Reply::json(200, answer)]);
        let gateway = gateway_with(CONFIG);
        let at = gateway.models().find(model).expect("configured").deployments().next().expect("one").clone();
        assert_eq!(at.endpoint.to_string(), format!("https://{host}:443"));
        let answer = ask(&gateway, &upstream, CHAT, REQUEST.replace('@', model)).expect("an answer");
        assert!(text(&collect(answer).0).contains(r#""content":"hello""#));
        let sent = upstream.sent.borrow();
        assert_eq!(sent[0].path, format!("/v1/projects/postern-test/locations/{rest}"));
        assert_eq!(header(&sent[0].headers, "authorization"), format!("Bearer {ACCESS_TOKEN}"));
        let body = text(&sent[0].body);
        assert_eq!(body.contains(r#""model""#), model == "vertex-llama", "{body}");
        assert_eq!(
            body.contains(r#""anthropic_version":"vertex-2023-10-16""#),
            model == "vertex-claude",
            "{body}"
        );
    }
}

#[test]
fn st_23_a_model_of_a_cloud_is_one_segment_of_its_path() {
    let deployment = |provider: &str, model: &str| {
        let credential = if provider == "vertex" { "google" } else { "main" };
        format!(
            "[deployments.d]\nprovider = \"{provider}\"\nmodel = \"{model}\"\ncredential = \"test:{credential}\"\n\
             region = \"eu-west-1\"\n{}\n[models.m]\ndeployments = [\"d\"]\nretry = {{ max_attempts = 1 }}\n",
            if provider == "vertex" { "project = \"postern-test\"" } else { "" },
        )
    };
    for (provider, model, before, after) in [
        ("bedrock", "a/b:c@d+e", "/model/", "a%2Fb%3Ac%40d%2Be/converse"),
        ("vertex", "gemini:predict@1", "/publishers/google/models/", "gemini%3Apredict%401:generateContent"),
        ("vertex", "claude:x@1", "/publishers/anthropic/models/", "claude%3Ax%401:rawPredict"),
        ("vertex", "meta/x:y", "/endpoints/openapi", "/chat/completions"),
    ] {
        let upstream = FakeUpstream::new([Reply::json(500, "")]);
        let refused =
            ask(&gateway_with(&deployment(provider, model)), &upstream, CHAT, REQUEST.replace('@', "m"));
        assert!(refused.is_err());
        let path = upstream.sent.borrow()[0].path.clone();
        assert_eq!(path.split_once(before).map(|(_, rest)| rest), Some(after), "{path}");
    }
    let base = crate::fake::CONFIG.replace("@KEY@", &"0".repeat(64)).replace("@NARROW@", &"1".repeat(64));
    for model in ["../x", "a/../b", "%2e%2e", "a?b", "a#b", "a b", "a\\\\b"] {
        for provider in ["bedrock", "vertex", "cohere"] {
            let config: GatewayConfig =
                parse(&format!("{base}{}", deployment(provider, model))).expect("reads");
            let told = build(&config, &Secrets).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains("deployments.d.model"), "{provider} {model}: {told}");
        }
    }
}

#[test]
fn a_count_of_tokens_in_the_head_is_the_usage_of_embeddings() {
    let more = "[deployments.d]\nprovider = \"bedrock\"\nmodel = \"cohere.embed-english-v3\"\nregion = \"eu-west-1\"\n\
        credential = \"test:main\"\nprice = { input = \"2\", output = \"0\" }\n[models.m]\ndeployments = [\"d\"]\n";
    let reply =
        Reply::json(200, r#"{"embeddings":[[0.5,1]]}"#).header("X-Amzn-Bedrock-Input-Token-Count", "9");
    let gateway = gateway_with(more);
    let upstream = FakeUpstream::new([reply]);
    let answer =
        ask(&gateway, &upstream, "/v1/embeddings", r#"{"model":"m","input":"a"}"#).expect("an answer");
    assert_eq!(header_of(&answer.headers, "postern-cost-usd"), "0.000018000");
    assert!(text(&collect(answer).0).contains(r#""prompt_tokens":9"#));
    assert_eq!(upstream.sent.borrow()[0].path, "/model/cohere.embed-english-v3/invoke");
    assert!(gateway::upstream::is_read(200, "X-Amzn-Bedrock-Input-Token-Count"));
}

fn header_of<'a>(headers: &'a [(&'static str, String)], wanted: &str) -> &'a str {
    headers.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value)
}
