//! What goes to vendors besides the body: paths, headers, salts.

use gateway::config::{GatewayConfig, build, parse};

use crate::fake::{
    CHAT, CONFIG, CREDENTIAL, FakeUpstream, KEY, NARROW_KEY, Reply, Secrets, ask, ask_with, gateway_with,
    head, text,
};

const BODY: &str = r#"{"model":"v","messages":[{"role":"user","content":"Hi"}]}"#;
const ANSWER: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;

fn deployment(lines: &str) -> String {
    format!("[deployments.v]\nmodel = \"m\"\n{lines}\n[models.v]\ndeployments = [\"v\"]\n")
}

/// Path and credential header of a call.
fn called(lines: &str) -> (String, Vec<(&'static str, String)>) {
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    ask(&gateway_with(&deployment(lines)), &upstream, CHAT, BODY).expect("an answer");
    let sent = upstream.sent.borrow();
    let credentials = sent[0].headers.iter().filter(|(name, _)| ["authorization", "api-key"].contains(name));
    (sent[0].path.clone(), credentials.map(|(name, value)| (*name, text(value))).collect())
}

#[test]
fn azure_has_two_kinds_of_paths_and_two_ways_in() {
    let azure = "provider = \"azure_openai\"\ncredential = \"test:main\"\n";
    let key = || vec![("api-key", CREDENTIAL.to_owned())];
    for base in [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/v1/",
    ] {
        let lines = format!("{azure}base_url = \"{base}\"\n");
        assert_eq!(called(&lines), ("/openai/v1/chat/completions".to_owned(), key()), "{base}");
        let versioned = "/openai/deployments/m/chat/completions?api-version=2024-10-21".to_owned();
        assert_eq!(called(&format!("{lines}api_version = \"2024-10-21\"")), (versioned, key()), "{base}");
    }
    let bearer = format!("{azure}base_url = \"https://r.example/azure\"\nauthentication = \"bearer\"\n");
    let (path, credentials) = called(&bearer);
    assert_eq!(path, "/azure/openai/v1/chat/completions");
    assert_eq!(credentials, [("authorization", format!("Bearer {CREDENTIAL}"))]);
}

#[test]
fn a_name_with_separators_never_becomes_part_of_a_path() {
    let refused_as = |model: &str, lines: &str| {
        let keys = CONFIG.replace("@KEY@", &"0".repeat(64)).replace("@NARROW@", &"1".repeat(64));
        let own = deployment(lines).replace("model = \"m\"", &format!("model = \"{model}\""));
        let config: GatewayConfig = parse(&format!("{keys}{own}")).expect("reads");
        build(&config, &Secrets).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let refused = |lines: &str| refused_as("m", lines);
    let azure = "provider = \"azure_openai\"\ncredential = \"test:main\"\nbase_url = \"https://r.example\"\n";
    let versioned = format!("{azure}api_version = \"2024-10-21\"");
    assert_eq!((refused(azure), refused(&versioned)), (String::new(), String::new()));
    for model in ["a/b", "a:b", "../a", "a%2fb", "a?b"] {
        assert!(refused_as(model, &versioned).starts_with("CONFIG_VALUE: deployments.v."), "{model}");
    }
    for version in ["2024-10-21&x=y", "", "a/b", "a?b"] {
        let wrong = refused(&format!("{azure}api_version = \"{version}\""));
        assert!(wrong.starts_with("CONFIG_VALUE: deployments.v.api_version"), "{version}: {wrong}");
    }
    let elsewhere = refused("provider = \"openai\"\ncredential = \"test:main\"\napi_version = \"1\"");
    assert!(elsewhere.contains("for 'azure_openai' only"), "{elsewhere}");
}

#[test]
fn each_tenant_has_a_salt_of_its_own_and_chooses_none() {
    let more = deployment("provider = \"vllm\"\nbase_url = \"http://127.0.0.1:9/v1\"")
        .replace("models.v", "models.x");
    let text = CONFIG.replace("models = [\"builtin\"]", "models = [\"*\"]");
    let hex = |key: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let text = format!("{}{more}", text.replace("@KEY@", &hex(KEY)).replace("@NARROW@", &hex(NARROW_KEY)));
    let config: GatewayConfig = parse(&text).expect("reads");
    let gateway = build(&config, &Secrets).expect("builds");
    let salt = |key: &str, more: &str| {
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
        let authorization = format!("Bearer {key}");
        let headers: &[(&str, &[u8])] = &[("authorization", authorization.as_bytes())];
        let body = BODY.replace("\"v\"", "\"x\"").replace("}]}", &format!("}}]{more}}}"));
        ask_with(&gateway, &upstream, &head("POST", CHAT, headers), body).expect("an answer");
        let sent: serde_json::Value = serde_json::from_slice(&upstream.sent.borrow()[0].body).expect("JSON");
        sent["cache_salt"].as_str().expect("salted").to_owned()
    };
    let (own, other) = (salt(KEY, ""), salt(NARROW_KEY, ""));
    assert!(own != other && own.len() == 43);
    assert_eq!(salt(KEY, ""), own, "its own prompts still hit");
    assert_eq!(salt(NARROW_KEY, &format!(r#","cache_salt":"{own}""#)), other, "nobody takes another's");
}

#[test]
fn what_was_left_out_is_told() {
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    let gateway = gateway_with(&deployment("provider = \"perplexity\"\ncredential = \"test:main\"\n"));
    let body = BODY.replace("}]}", r#"}],"metadata":{"a":"b"}}"#);
    let answer = ask(&gateway, &upstream, CHAT, body).expect("an answer");
    let told = answer.headers.iter().find(|(name, _)| *name == "postern-dropped-parameters");
    assert_eq!(told.map(|(_, value)| value.as_str()), Some("metadata"));
    let body = BODY.replace("}]}", r#"}],"n":2}"#);
    let error = ask(&gateway, &FakeUpstream::default(), CHAT, body).err().expect("refused");
    assert_eq!((error.status(), error.code()), (400, "unsupported_parameter"));
}
