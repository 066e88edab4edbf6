//! Credentials that are traded for access tokens: what is asked, how often, and what becomes of failures.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway::Gateway;
use gateway::config::{GatewayConfig, build, parse};
use gateway::upstream::SendError;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use std::time::Duration;

use crate::fake::{
    ACCESS_TOKEN, CHAT, CONFIG, FakeUpstream, GOOGLE_ACCOUNT, KEY, Piece, Reply, Secrets, TestClock, ask,
    both, gateway_with, head, text,
};

const VERTEX: &str = r#"
[deployments.vertex]
provider = "vertex"
model = "gemini-x"
project = "postern-test"
region = "europe-west1"
credential = "test:google"
[models.v]
deployments = ["vertex"]
retry = { max_attempts = 1 }
"#;
const AZURE: &str = r#"
[deployments.azure]
provider = "azure_openai"
model = "mine"
base_url = "https://resource.openai.azure.com"
authentication = "entra"
credential = "test:entra"
[models.v]
deployments = ["azure"]
retry = { max_attempts = 1 }
"#;

const BODY: &str = r#"{"model":"v","messages":[{"role":"user","content":"hi"}]}"#;
const GENERATED: &str =
    r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}]}"#;
const COMPLETED: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;

fn authorization(upstream: &FakeUpstream, call: usize) -> String {
    let sent = upstream.sent.borrow();
    let mut found = sent[call].headers.iter().filter(|(name, _)| *name == "authorization");
    let value = text(&found.next().expect("a credential").1);
    assert!(found.next().is_none(), "one credential");
    value
}

fn generated() -> Reply {
    Reply::json(200, GENERATED)
}

/// One request to `v`; its error, if that is how it ends.
fn one(gateway: &Gateway, upstream: &FakeUpstream) -> Option<&'static str> {
    ask(gateway, upstream, CHAT, BODY).err().map(|refused| refused.code())
}

#[test]
fn a_service_account_signs_a_statement_and_its_token_is_sent() {
    let upstream = FakeUpstream::new([generated()]);
    assert_eq!(one(&gateway_with(VERTEX), &upstream), None);
    assert_eq!(authorization(&upstream, 0), format!("Bearer {ACCESS_TOKEN}"));
    let traded = upstream.traded.borrow();
    let [trade] = &traded[..] else { panic!("one trade") };
    assert_eq!((trade.deployment.as_str(), trade.path.as_str()), ("vertex.token", "/token"));
    let form = text(&trade.body);
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let statement = form.strip_prefix(grant).expect("the grant").to_owned();
    let [header, claims, signature] = statement.split('.').collect::<Vec<_>>()[..] else { panic!("a JWT") };
    let json = |part: &str| -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
    };
    assert_eq!(json(header), serde_json::json!({"alg":"RS256","kid":"0123456789abcdef","typ":"JWT"}));
    let expected = serde_json::json!({
        "iss": "gateway@postern-test.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1_770_000_000, "exp": 1_770_003_600,
    });
    assert_eq!(json(claims), expected);
    let account: serde_json::Value = serde_json::from_str(GOOGLE_ACCOUNT).expect("JSON");
    let pem = account["private_key"].as_str().expect("a key");
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).expect("base64")).expect("a key");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    let signed = format!("{header}.{claims}");
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64")).expect("signed");
}

#[test]
fn an_entra_application_sends_its_secret_to_its_own_directory_only() {
    let upstream = FakeUpstream::new([Reply::json(200, COMPLETED)]);
    assert_eq!(one(&gateway_with(AZURE), &upstream), None);
    assert_eq!(authorization(&upstream, 0), format!("Bearer {ACCESS_TOKEN}"));
    let traded = upstream.traded.borrow();
    assert_eq!(traded[0].path, "/tenant-1/oauth2/v2.0/token");
    assert_eq!(
        text(&traded[0].body),
        "client_id=app-1&client_secret=s3cret~%26%2B&grant_type=client_credentials\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    assert!(!text(&upstream.sent.borrow()[0].body).contains("s3cret"));
}

#[test]
fn a_token_is_kept_until_five_minutes_before_its_end() {
    let clock = TestClock::default();
    let upstream = FakeUpstream::timed(&clock).of("vertex", std::iter::repeat_n(generated(), 4));
    let gateway = gateway_with(VERTEX);
    for (pass, trades) in [(0, 1), (3_298, 1), (2, 2), (3_000, 2)] {
        clock.pass(Duration::from_secs(pass));
        assert_eq!(one(&gateway, &upstream), None);
        assert_eq!(upstream.traded.borrow().len(), trades, "after {pass} s more");
    }
}

#[test]
fn one_of_many_callers_asks_and_the_others_wait() {
    let clock = TestClock::default();
    let slow = Reply::of(200, "application/json", Vec::new())
        .then(Piece::Wait(Duration::from_millis(300)))
        .then(Piece::Bytes(
            format!(r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":"3599","token_type":"bearer"}}"#)
                .into(),
        ));
    let upstream =
        FakeUpstream::timed(&clock).of("vertex", [generated(), generated()]).of("vertex.token", [slow]);
    let gateway = gateway_with(VERTEX);
    let bearer = format!("Bearer {KEY}");
    let headers: &[(&str, &[u8])] = &[("authorization", bearer.as_bytes())];
    let request = || async {
        let opened = gateway::open(&head("POST", CHAT, headers), &gateway, gateway::Clock::now(&clock))
            .expect("opened");
        gateway::handle(opened, gateway::Plaintext::new(BODY.into()), &gateway, &upstream, &clock)
            .await
            .is_ok()
    };
    let mut second = None;
    let first = clock.run(both(request(), async { second = Some(request().await) }));
    assert_eq!((first, second), (true, Some(true)));
    assert_eq!((upstream.traded.borrow().len(), upstream.sent.borrow().len()), (1, 2));
}

#[test]
fn a_caller_that_gives_up_passes_its_turn_on() {
    let clock = TestClock::default();
    let upstream =
        FakeUpstream::timed(&clock).of("vertex", [generated()]).of("vertex.token", [Reply::Silence]);
    let gateway = gateway_with(&VERTEX.replace("[models.v]", "timeouts = { total_ms = 1000 }\n[models.v]"));
    assert_eq!(one(&gateway, &upstream), Some("upstream_timeout"));
    assert_eq!(one(&gateway, &upstream), None, "nobody waits for the one that gave up");
}

#[test]
fn failures_of_the_service_are_failures_of_the_attempt() {
    for (reply, code) in [
        (Reply::json(400, r#"{"error":"invalid_grant"}"#), "upstream_credentials_exhausted"),
        (Reply::json(503, ""), "upstream_overloaded"),
        (
            Reply::json(200, r#"{"access_token":"a b","expires_in":1,"token_type":"Bearer"}"#),
            "upstream_malformed_answer",
        ),
        (
            Reply::json(200, r#"{"access_token":"a","expires_in":0,"token_type":"Bearer"}"#),
            "upstream_malformed_answer",
        ),
        (
            Reply::json(200, r#"{"access_token":"a","expires_in":1,"token_type":"mac"}"#),
            "upstream_malformed_answer",
        ),
        (Reply::json(200, vec![b' '; 70_000]), "upstream_malformed_answer"),
        (Reply::Fail(SendError::Connection), "upstream_unreachable"),
    ] {
        let upstream = FakeUpstream::new([]).of("vertex.token", [reply]);
        let error = one(&gateway_with(VERTEX), &upstream);
        assert_eq!(error, Some(code));
        assert!(upstream.sent.borrow().is_empty(), "no prompt leaves without a token");
    }
}

#[test]
fn an_old_token_carries_on_while_its_renewal_fails() {
    let clock = TestClock::default();
    let upstream = FakeUpstream::timed(&clock).of("vertex", std::iter::repeat_n(generated(), 4));
    let gateway = gateway_with(VERTEX);
    assert_eq!(one(&gateway, &upstream), None);
    clock.pass(Duration::from_secs(3_400));
    let upstream = upstream.of("vertex.token", [Reply::json(503, ""), Reply::json(503, "")]);
    assert_eq!(one(&gateway, &upstream), None);
    assert_eq!(one(&gateway, &upstream), None);
    assert_eq!(upstream.traded.borrow().len(), 2, "and it is not tried at each request");
    clock.pass(Duration::from_secs(195));
    assert!(one(&gateway, &upstream).is_some(), "until it ends");
}

#[test]
fn a_token_that_the_provider_refuses_is_renewed_but_not_each_time() {
    let clock = TestClock::default();
    let refused = || Reply::json(401, r#"{"error":{"code":401,"message":"bad","status":"UNAUTHENTICATED"}}"#);
    let upstream = FakeUpstream::timed(&clock).of("vertex", [refused(), refused(), generated()]);
    let gateway = gateway_with(VERTEX);
    assert_eq!(one(&gateway, &upstream), Some("upstream_credentials_exhausted"));
    clock.pass(Duration::from_secs(90));
    assert_eq!(one(&gateway, &upstream), Some("upstream_credentials_exhausted"));
    assert_eq!(upstream.traded.borrow().len(), 1, "a new token would be refused as well");
    assert_eq!(one(&gateway, &upstream), None);
    assert_eq!(upstream.traded.borrow().len(), 2);
}

#[test]
fn a_token_in_an_error_text_is_not_passed_on() {
    let told = format!(r#"{{"error":{{"message":"who is {ACCESS_TOKEN}"}}}}"#);
    let upstream = FakeUpstream::new([Reply::json(400, told)]);
    let error = ask(&gateway_with(AZURE), &upstream, CHAT, BODY).err().expect("refused");
    assert!(!text(&error.body_json(gateway::error::Shape::OpenAi)).contains(ACCESS_TOKEN));
}

#[test]
fn structured_credentials_are_checked_and_taken_for_granted_without_secrets() {
    let check = |more: &str| -> Result<(), String> {
        let text = format!(
            "{}{more}",
            CONFIG.replace("@KEY@", &"0".repeat(64)).replace("@NARROW@", &"1".repeat(64))
        );
        let config: GatewayConfig = parse(&text).map_err(|error| error.to_string())?;
        build(&config, &Secrets).map(drop).map_err(|error| error.to_string())
    };
    let wrong = |change: (&str, &str), expected: &str| {
        let told = check(&VERTEX.replace(change.0, change.1)).expect_err("wrong");
        assert!(told.contains(expected), "{told}");
    };
    assert_eq!(check(VERTEX), Ok(()));
    wrong(("test:google", "test:main"), "deployments.vertex.credential");
    wrong(("test:google", "test:aws"), "JSON key of a Google service account");
    wrong(("credential = \"test:google\"", ""), "deployments.vertex.credential");
    wrong(("postern-test", "../x/yyyyy"), "deployments.vertex.project");
    wrong(("project = \"postern-test\"", ""), "deployments.vertex.project");
    wrong(("europe-west1", "x.example"), "deployments.vertex.region");
    wrong(("region = \"europe-west1\"", ""), "deployments.vertex.region");
    wrong(
        ("credential", "token_url = \"http://tokens.example/t\"\ncredential"),
        "deployments.vertex.token_url",
    );
    let told = check(&AZURE.replace("test:entra", "test:google")).expect_err("wrong");
    assert!(told.contains("Entra application"), "{told}");
    let told = check(
        &AZURE
            .replace("\"entra\"", "\"bearer\"\ntoken_url = \"https://x.example/\"")
            .replace("test:entra", "test:main"),
    );
    assert!(told.expect_err("wrong").contains("deployments.azure.token_url"));

    let text =
        format!("{}{VERTEX}", CONFIG.replace("@KEY@", &"0".repeat(64)).replace("@NARROW@", &"1".repeat(64)));
    let config: GatewayConfig = parse(&text).expect("reads");
    let secrets = gateway::config::problems::NoSecrets::of(&config);
    assert_eq!(gateway::config::problems::problems(config, &secrets), []);
}
