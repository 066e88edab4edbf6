//! Calls to vendors with an API of their own: where they go and how they prove themselves.

use crate::fake::{CHAT, CREDENTIAL, FakeUpstream, Reply, ask, collect, gateway_with, text};

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

[models]
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
