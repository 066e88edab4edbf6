//! The security catalogue as far as it concerns the gateway: `st_NN` is its number in `deploy/requirements.md`.

use crate::fake::{
    CHAT, CREDENTIAL, FakeUpstream, KEY, Reply, ask, ask_with, collect, gateway, gateway_with, head, text,
};

const ANSWER: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;

fn body(more: &str) -> String {
    format!(r#"{{"model":"smart","messages":[{{"role":"user","content":"Hi"}}]{more}}}"#)
}

/// Status and code of a refusal; nothing may have gone upstream.
fn refused(path: &str, body: impl Into<Vec<u8>>) -> (u16, &'static str) {
    let error = ask(&gateway(), &FakeUpstream::default(), path, body).err().expect("must be refused");
    (error.status(), error.code())
}

#[test]
fn st_01_no_field_of_a_body_chooses_the_upstream() {
    for field in [
        r#","api_base":"http://169.254.169.254/""#,
        r#","api_key":"sk-other""#,
        r#","base_url":"https://evil.example""#,
        r#","custom_llm_provider":"openai""#,
        r#","api\u005fbase":"http://evil.example""#,
    ] {
        assert_eq!(refused(CHAT, body(field)), (400, "unsupported_parameter"), "{field}");
    }
}

#[test]
fn st_01_no_header_chooses_the_upstream_or_its_credential() {
    let bearer = format!("Bearer {KEY}");
    let headers: &[(&str, &[u8])] = &[
        ("authorization", bearer.as_bytes()),
        ("host", b"evil.example"),
        ("x-forwarded-host", b"evil.example"),
        ("x-portkey-provider", b"anthropic"),
        ("x-portkey-config", b"pc-stored-0123"),
        ("proxy", b"http://evil.example"),
        ("openai-organization", b"org-evil"),
        ("cookie", b"session=1"),
    ];
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    ask_with(&gateway(), &upstream, &head("POST", CHAT, headers), body("")).expect("an answer");
    let sent = upstream.sent.borrow();
    assert_eq!((sent[0].deployment.as_str(), sent[0].path.as_str()), ("main", "/v1/chat/completions"));
    for (name, value) in &sent[0].headers {
        let value = text(value);
        assert!(!value.contains("evil") && !value.contains(KEY), "{name}: {value}");
        assert!(*name != "cookie" && !name.starts_with("x-"), "{name}");
    }
    let credentials: Vec<_> = sent[0].headers.iter().filter(|(name, _)| *name == "authorization").collect();
    assert_eq!(credentials.len(), 1);
    assert_eq!(text(&credentials[0].1), format!("Bearer {CREDENTIAL}"));
}

#[test]
fn st_02_an_address_in_a_prompt_is_passed_on_and_never_fetched() {
    let image = r#"{"model":"smart","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest/meta-data"}}]}]}"#;
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    ask(&gateway(), &upstream, CHAT, image).expect("an answer");
    let sent = upstream.sent.borrow();
    assert_eq!(sent.len(), 1, "one call, to the deployment");
    assert!(text(&sent[0].body).contains("169.254.169.254"), "the provider decides what it fetches");
}

#[test]
fn st_09_no_header_and_no_spelling_of_a_path_changes_what_is_asked() {
    let bearer = format!("Bearer {KEY}");
    for path in
        ["//v1/models", "/v1/./models", "/v1/%6dodels", "/v1/models;a=b", "/v1/x/../models", "/V1/models"]
    {
        let headers: &[(&str, &[u8])] = &[("authorization", bearer.as_bytes())];
        let error = gateway::open(&head("GET", path, headers), &gateway(), gateway::Now::default());
        assert_eq!(error.err().map(|error| error.status()), Some(404), "{path}");
    }
    for name in ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-forwarded-user", "x-real-ip"]
    {
        let headers: &[(&str, &[u8])] = &[(name, b"/")];
        let error = gateway::open(&head("POST", CHAT, headers), &gateway(), gateway::Now::default());
        assert_eq!(error.err().map(|error| error.status()), Some(401), "{name} is no credential");
    }
}

#[test]
fn st_10_what_two_parsers_could_read_in_two_ways_is_refused() {
    let deep = format!(r#"{{"model":"smart","messages":[{}{}]}}"#, "[".repeat(200), "]".repeat(200));
    for (what, body) in [
        ("duplicate", br#"{"model":"smart","model":"builtin","messages":[]}"#.to_vec()),
        ("escaped duplicate", br#"{"model":"smart","mod\u0065l":"builtin","messages":[]}"#.to_vec()),
        ("byte order mark", b"\xef\xbb\xbf{\"model\":\"smart\",\"messages\":[]}".to_vec()),
        ("not UTF-8", b"{\"model\":\"sm\xff\",\"messages\":[]}".to_vec()),
        ("lone surrogate", br#"{"model":"\ud800","messages":[]}"#.to_vec()),
        ("trailing", br#"{"model":"smart","messages":[]}{}"#.to_vec()),
        ("too deep", deep.into_bytes()),
    ] {
        assert_eq!(refused(CHAT, body), (400, "invalid_json"), "{what}");
    }
    let other_case = r#"{"Model":"smart","messages":[]}"#;
    assert_eq!(refused(CHAT, other_case), (400, "missing_required_parameter"), "names are case sensitive");
}

#[test]
fn st_23_no_name_of_a_model_becomes_a_path() {
    for name in ["../../admin", "a/../b", "a%2f..%2fb", "a\\b", "a?b=c", "a#b", "a b", "", "a\u{0}b"] {
        let body = serde_json::json!({ "model": name, "messages": [] }).to_string();
        assert_eq!(refused(CHAT, body), (400, "invalid_value"), "{name}");
    }
    let upstream = FakeUpstream::default();
    let error = ask(&gateway(), &upstream, CHAT, r#"{"model":"no/such:model","messages":[]}"#).err();
    assert_eq!(error.map(|error| error.status()), Some(404), "a fine name that nobody configured");
}

#[test]
fn st_24_a_redirect_or_a_page_is_no_answer() {
    for (status, content_type, page) in [
        (302, "text/html", "<html>moved</html>"),
        (307, "application/json", ANSWER),
        (200, "text/html", "<html>welcome</html>"),
        (204, "application/json", ""),
        (101, "application/json", ANSWER),
    ] {
        let reply = || {
            Reply::of(status, content_type, vec![page.as_bytes().to_vec()])
                .header("location", "http://169.254.169.254/")
        };
        // As often as it is tried.
        let upstream = FakeUpstream::new([reply(), reply(), reply()]);
        let error = ask(&gateway(), &upstream, CHAT, body("")).err().unwrap_or_else(|| panic!("{status}"));
        assert_eq!(error.status(), 502, "{status} {content_type}");
        let sent = upstream.sent.borrow();
        assert!(sent.iter().all(|call| call.path.ends_with("/chat/completions")), "nothing is followed");
    }
}

#[test]
fn st_25_no_header_of_an_upstream_reaches_the_client() {
    let reply = Reply::json(200, ANSWER)
        .header("set-cookie", "session=evil")
        .header("access-control-allow-origin", "*")
        .header("strict-transport-security", "max-age=0")
        .header("x-request-id", "forged")
        .header("postern-deployment", "forged")
        .header("x-ratelimit-remaining-requests", "0")
        .header("x-receipt-id", "forged");
    let answer = ask(&gateway(), &FakeUpstream::new([reply]), CHAT, body("")).expect("an answer");
    for (name, value) in &answer.headers {
        assert!(!value.contains("forged") && !value.contains("evil"), "{name}: {value}");
        assert!(!["set-cookie", "access-control-allow-origin", "strict-transport-security"].contains(name));
    }
}

#[test]
fn st_25_a_comment_of_an_upstream_cannot_state_the_cost() {
    let chunk = r#"data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    let stream =
        format!(": postern-cost-usd 0.000000001\n\n{chunk}\n\n: postern-cost-usd 9\n\ndata: [DONE]\n\n");
    let gateway = gateway_with("");
    let upstream = FakeUpstream::new([Reply::stream(vec![stream.into_bytes()])]);
    let answer = ask(&gateway, &upstream, CHAT, body(r#","stream":true"#)).expect("an answer");
    assert!(!text(&collect(answer).0).contains("postern-cost-usd"), "nothing is known, so nothing is said");
}

#[test]
fn st_01_headers_of_other_gateways_that_redirect_are_refused() {
    let bearer = format!("Bearer {KEY}");
    for (name, value) in [
        ("x-portkey-custom-host", "https://evil.example"),
        ("x-portkey-forward-headers", "cookie"),
        ("x-portkey-config", r#"{"provider":"openai","api_key":"sk-evil"}"#),
        ("x-litellm-api-base", "https://evil.example"),
    ] {
        let headers: &[(&str, &[u8])] = &[("authorization", bearer.as_bytes()), (name, value.as_bytes())];
        let answer = ask_with(&gateway(), &FakeUpstream::default(), &head("POST", CHAT, headers), body(""));
        let refused = answer.err().expect("must be refused");
        assert_eq!((refused.status(), refused.code()), (400, "unsupported_parameter"), "{name}");
    }
}

#[test]
fn st_22_a_request_that_goes_round_is_refused() {
    let bearer = format!("Bearer {KEY}");
    let gateway = gateway();
    let ask = |upstream: &FakeUpstream, via: &str| {
        let headers: &[(&str, &[u8])] = &[("authorization", bearer.as_bytes()), ("via", via.as_bytes())];
        ask_with(&gateway, upstream, &head("POST", CHAT, headers), body(""))
    };
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    ask(&upstream, "1.1 some-proxy").expect("an answer");
    let told = upstream.sent.borrow()[0].passed_on.clone();
    let (name, via) = told.first().expect("the next hop is told");
    assert!(name == "via" && via.starts_with(b"1.1 postern-"), "{}", text(via));
    // what the next hop is told comes back, as it is or behind other hops
    for via in [text(via), format!("1.1 a, {}, 1.1 b", text(via))] {
        let refused = ask(&FakeUpstream::default(), &via).err().expect("must be refused");
        assert_eq!((refused.status(), refused.code()), (508, "request_loop"), "{via}");
        assert!(refused.headers().contains(&("x-should-retry", "false".to_owned())));
    }
}
