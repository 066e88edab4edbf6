//! What the head alone decides: paths, methods, credentials, sizes.

use gateway::{Error, Gateway, Now, RequestHead};

use crate::fake::{CHAT, FakeUpstream, KEY, NARROW_KEY, ask_with, collect, gateway, head, text};

fn open(gateway: &Gateway, head: &RequestHead<'_>) -> Result<usize, Error> {
    gateway::open(head, gateway, Now::default()).map(|opened| opened.max_body_bytes())
}

fn refused(head: &RequestHead<'_>) -> (u16, &'static str) {
    let error = open(&gateway(), head).expect_err("must be refused");
    (error.status(), error.code())
}

fn bearer() -> String {
    format!("Bearer {KEY}")
}

#[test]
fn knows_its_paths_exactly() {
    let key = bearer();
    let headers: &[(&str, &[u8])] = &[("authorization", key.as_bytes())];
    let gateway = gateway();
    for path in [CHAT, "/v1/embeddings"] {
        assert_eq!(open(&gateway, &head("POST", path, headers)).expect("known"), 1_000_000);
    }
    for (method, path) in [("GET", "/v1/models"), ("GET", "/v1/models/smart"), ("GET", "/"), ("HEAD", "/")] {
        assert_eq!(open(&gateway, &head(method, path, headers)).expect("known"), 0);
    }
    for path in [
        "",
        "//",
        "/v1",
        "/v1/",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/V1/chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions;x",
        "/v1/modelsx",
        "/v1/files",
        "/.env",
    ] {
        assert_eq!(refused(&head("POST", path, headers)), (404, "unsupported_endpoint"), "{path}");
    }
    for path in [
        "/v1/models/",
        "/v1/models/..",
        "/v1/models/a%2",
        "/v1/models/a%ff",
        "/v1/models/%2e%2e/x",
        "/v1/models/a%00",
    ] {
        assert_eq!(refused(&head("GET", path, headers)), (404, "model_not_found"), "{path}");
    }
}

#[test]
fn knows_its_methods() {
    let error = open(&gateway(), &head("GET", CHAT, &[])).expect_err("refused");
    assert_eq!((error.status(), error.code()), (405, "method_not_allowed"));
    assert!(error.headers().contains(&("allow", "POST".to_owned())));
    assert_eq!(refused(&head("post", CHAT, &[])).0, 405, "methods are case sensitive");
    assert_eq!(refused(&head("DELETE", "/v1/models", &[])).0, 405);
}

#[test]
fn accepts_the_credential_in_each_of_its_places() {
    let bearer = bearer();
    let lower = format!("bearer  {KEY} ");
    let gateway = gateway();
    for headers in [
        vec![("authorization", bearer.as_bytes())],
        vec![("AUTHORIZATION", lower.as_bytes())],
        vec![("x-api-key", KEY.as_bytes())],
        vec![("Api-Key", KEY.as_bytes())],
        vec![("x-api-key", KEY.as_bytes()), ("authorization", bearer.as_bytes())],
    ] {
        assert!(open(&gateway, &head("POST", CHAT, &headers)).is_ok());
    }
}

#[test]
fn refuses_everything_else() {
    let (bearer, basic, other) = (bearer(), format!("Basic {KEY}"), format!("Bearer {NARROW_KEY}"));
    let (prefix, longer) = (&KEY[..KEY.len() - 1], format!("{KEY}x"));
    let endless = "x".repeat(100_000);
    let cases: Vec<(Vec<(&str, &[u8])>, &str)> = vec![
        (vec![], "missing_api_key"),
        (vec![("x-api-key", b"")], "invalid_api_key"),
        (vec![("x-api-key", prefix.as_bytes())], "invalid_api_key"),
        (vec![("x-api-key", longer.as_bytes())], "invalid_api_key"),
        (vec![("x-api-key", endless.as_bytes())], "invalid_api_key"),
        (vec![("x-api-key", b"\xff\x00")], "invalid_api_key"),
        (vec![("authorization", basic.as_bytes())], "invalid_api_key"),
        (vec![("authorization", KEY.as_bytes())], "invalid_api_key"),
        (vec![("authorization", b"Bearer")], "invalid_api_key"),
        (
            vec![("authorization", bearer.as_bytes()), ("authorization", other.as_bytes())],
            "ambiguous_credentials",
        ),
        (
            vec![("authorization", bearer.as_bytes()), ("x-api-key", NARROW_KEY.as_bytes())],
            "ambiguous_credentials",
        ),
        (vec![("api-key", KEY.as_bytes()), ("x-api-key", b"wrong")], "ambiguous_credentials"),
    ];
    for (headers, code) in cases {
        assert_eq!(refused(&head("POST", CHAT, &headers)), (401, code), "{code}");
    }
}

#[test]
fn the_stored_digest_is_not_a_credential() {
    let digest = ring::digest::digest(&ring::digest::SHA256, KEY.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for credential in [hex.as_bytes(), digest.as_ref()] {
        assert_eq!(refused(&head("POST", CHAT, &[("x-api-key", credential)])).1, "invalid_api_key");
    }
}

#[test]
fn refuses_by_size_and_encoding_before_the_body() {
    let with = |name: &'static str, value: &'static str| {
        refused(&head("POST", CHAT, &[("x-api-key", KEY.as_bytes()), (name, value.as_bytes())]))
    };
    assert_eq!(with("Content-Length", "1000001"), (413, "request_too_large"));
    assert_eq!(with("Content-Encoding", "gzip"), (415, "unsupported_content_encoding"));
    let fits: &[(&str, &[u8])] =
        &[("x-api-key", KEY.as_bytes()), ("content-length", b"1000000"), ("content-encoding", b"identity")];
    assert!(open(&gateway(), &head("POST", CHAT, fits)).is_ok());
}

#[test]
fn lists_only_what_the_key_may_use() {
    let get = |path: &str, key: &str| {
        let headers: &[(&str, &[u8])] = &[("x-api-key", key.as_bytes())];
        let answer = ask_with(&gateway(), &FakeUpstream::default(), &head("GET", path, headers), "")?;
        let body = text(&collect(answer).0);
        Ok::<_, gateway::Refused>(serde_json::from_str::<serde_json::Value>(&body).expect("JSON"))
    };
    let ids = |list: &serde_json::Value| {
        let data = list["data"].as_array().expect("an array").clone();
        data.iter().map(|model| model["id"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let all = get("/v1/models", KEY).expect("a list");
    assert_eq!(ids(&all), ["builtin", "claude", "claude-old", "claude-opus-4-6", "gpt-x", "smart"]);
    assert_eq!(all["object"], "list");
    assert_eq!(all["data"][0]["object"], "model");
    assert_eq!(all["data"][0]["postern"]["exposure_class"], "attested");
    assert_eq!(all["data"][1]["postern"]["exposure_class"], "provider_visible");
    assert_eq!(ids(&get("/v1/models", NARROW_KEY).expect("a list")), ["builtin"]);
    assert_eq!(get("/v1/models/sm%61rt", KEY).expect("a model")["owned_by"], "openai");
    assert_eq!(get("/v1/models/smart", NARROW_KEY).expect_err("hidden").code(), "model_not_found");
}

#[test]
fn the_probe_needs_no_key_and_says_nothing() {
    let answer =
        ask_with(&gateway(), &FakeUpstream::default(), &head("GET", "/", &[]), "").expect("an answer");
    assert_eq!((answer.status, collect(answer).0), (200, Vec::new()));
}

#[test]
fn a_gateway_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&gateway());
}
