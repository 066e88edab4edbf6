//! What clients of other gateways ask for in their bodies: further models, an order, less exposure. No name of a model goes
//! further than this gateway.

use gateway::Gateway;

use crate::fake::{
    CHAT, FakeUpstream, KEY, NARROW_KEY, Reply, ask, ask_with, gateway, gateway_with, head, text,
};

const ANSWER: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;

fn body(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]{more}}}"#)
}

/// Three deployments with a price each; the first of each model is the dear one.
fn priced(more: &str) -> Gateway {
    let deployment = |(name, price)| {
        format!(
            "[deployments.{name}]\nprovider = 'openai_compatible'\nmodel = '{name}'\nbase_url = 'http://127.0.0.1:9'\nprice = {{ input = '{price}', output = '{price}' }}\n"
        )
    };
    let model = |strategy| {
        format!("[models.{strategy}]\nstrategy = '{strategy}'\nmembers = ['dear', 'middle', 'cheap']\n")
    };
    let deployments: Vec<String> = [("dear", 9), ("middle", 5), ("cheap", 1)].map(deployment).into();
    let models: Vec<String> = ["round_robin", "priority"].map(model).into();
    let own = "[models.'own:floor']\ndeployments = ['middle']\n[models.own]\ndeployments = ['dear']\n";
    gateway_with(&[more, &deployments.concat(), &models.concat(), own].concat())
}

fn served(gateway: &Gateway, body: &str) -> String {
    let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
    ask(gateway, &upstream, CHAT, body).unwrap_or_else(|error| panic!("{body}: {error}"));
    let sent = upstream.sent.borrow();
    assert_eq!(sent.len(), 1);
    sent[0].deployment.clone()
}

#[test]
fn other_models_are_tried_and_their_names_stay_here() {
    for (field, fallback) in [("models", r#"["gpt-x","claude"]"#), ("fallbacks", r#"["claude"]"#)] {
        let message = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
        let upstream = FakeUpstream::new([Reply::json(400, "{}"), Reply::json(200, message)]);
        let more = format!(r#","route":"fallback","{field}":{fallback}"#);
        ask(&gateway(), &upstream, CHAT, body("gpt-x", &more)).expect("the second model answers");
        let sent = upstream.sent.borrow();
        let to: Vec<_> = sent.iter().map(|call| call.deployment.as_str()).collect();
        assert_eq!(to, ["main", "claude"], "{field}");
        let first = text(&sent[0].body);
        assert_eq!(first, body("gpt-x", ""), "nothing of it goes upstream");
    }
    // Whoever wants none gets none.
    let upstream = FakeUpstream::new([Reply::json(400, "{}")]);
    let more = r#","models":["claude"],"provider":{"allow_fallbacks":false}"#;
    ask(&gateway(), &upstream, CHAT, body("gpt-x", more)).err().expect("refused");
    assert_eq!(upstream.sent.borrow().len(), 1);
}

#[test]
fn st_01_no_list_of_models_reaches_a_model_that_the_key_may_not_use() {
    let bearer = format!("Bearer {NARROW_KEY}");
    let headers: &[(&str, &[u8])] = &[("authorization", bearer.as_bytes())];
    for more in [r#","models":["smart"]"#, r#","fallbacks":["smart","gpt-x"]"#, r#","\u006dodels":["smart"]"#]
    {
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]).of("builtin", [Reply::json(400, "{}")]);
        let asked = ask_with(&gateway(), &upstream, &head("POST", CHAT, headers), body("builtin", more));
        asked.err().expect("refused");
        let sent = upstream.sent.borrow();
        assert!(sent.iter().all(|call| call.deployment == "builtin"), "{more}");
        assert!(sent.iter().all(|call| !text(&call.body).contains("smart")), "{more}");
    }
}

#[test]
fn an_order_counts_where_any_would_do() {
    let gateway = priced("");
    assert_eq!(served(&gateway, &body("round_robin:floor", "")), "cheap");
    assert_eq!(served(&gateway, &body("round_robin", r#","provider":{"sort":"price"}"#)), "cheap");
    assert_eq!(served(&gateway, &body("priority:floor", "")), "dear", "the operator's order stays");
    assert_eq!(served(&gateway, &body("own:floor", "")), "middle", "a model of that name comes first");
    assert_eq!(served(&gateway, &body("own:nitro", "")), "dear");
    // A guardrail that changes the body does not bring the suffix back.
    let masking = priced("[guardrails.pii]\nkind = 'pii'\naction = 'mask'\n");
    let mail = body("round_robin:floor", "").replace("Hi", "Write to jane@example.com");
    assert_eq!(served(&masking, &mail), "cheap");
    let unknown =
        ask(&gateway, &FakeUpstream::default(), CHAT, body("own:online", "")).err().expect("refused");
    assert_eq!(unknown.status(), 404);
}

#[test]
fn tags_in_metadata_count_and_stay_here() {
    let gateway = priced(
        "[models.tagged]\nstrategy = 'conditional'\nmembers = [{ use = 'cheap', when = \"'batch' in tags && metadata.team == 'red'\" }, 'dear']\n",
    );
    let ask = |more: &str| {
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
        ask(&gateway, &upstream, CHAT, body("tagged", more))
            .unwrap_or_else(|error| panic!("{more}: {error}"));
        let sent = upstream.sent.borrow();
        (sent[0].deployment.clone(), text(&sent[0].body))
    };
    let tagged = r#","metadata":{"tags":["x","b\u0061tch"],"team":"red","rank":1}"#;
    let (served, sent) = ask(tagged);
    assert_eq!(served, "cheap");
    assert!(!sent.contains("metadata") && !sent.contains("red"), "{sent}");
    // Without tags it is the provider's own field.
    let (served, sent) = ask(r#","metadata":{"team":"red"}"#);
    assert_eq!(served, "dear");
    assert!(sent.contains(r#""metadata":{"team":"red"}"#), "{sent}");
    for wrong in [
        r#","metadata":{"tags":[1]}"#.to_owned(),
        format!(r#","metadata":{{"tags":[{}"x"]}}"#, r#""x","#.repeat(64)),
    ] {
        let refused = crate::fake::ask(&gateway, &FakeUpstream::default(), CHAT, body("tagged", &wrong));
        assert_eq!(refused.err().map(|error| error.code()), Some("invalid_value"), "{wrong}");
    }
}

#[test]
fn a_body_can_ask_for_less_exposure() {
    for more in [r#","provider":{"data_collection":"deny"}"#, r#","provider":{"zdr":true}"#] {
        let refused = ask(&gateway(), &FakeUpstream::default(), CHAT, body("gpt-x", more)).err().expect(more);
        assert_eq!(refused.code(), "no_compliant_deployment", "{more}");
    }
}

#[test]
fn lists_that_are_none_are_refused() {
    let many = format!(r#","models":[{}"x"]"#, r#""x","#.repeat(8));
    for more in
        [r#","models":"gpt-x""#, r#","fallbacks":[{"model":"x"}]"#, r#","provider":{"a":1,"a":2}"#, &many]
    {
        let refused = ask(&gateway(), &FakeUpstream::default(), CHAT, body("gpt-x", more)).err().expect(more);
        assert_eq!(refused.code(), "invalid_value", "{more}");
    }
}

#[test]
fn what_only_openrouter_knows_goes_nowhere_else() {
    let router = gateway_with(
        "[deployments.router]\nprovider = 'openrouter'\nmodel = 'a/b'\ncredential = 'test:main'\n[models.router]\ndeployments = ['router']\n",
    );
    let more = r#","provider":{"order":["a"]},"models":["claude"]"#;
    for (model, wanted) in [("router", true), ("gpt-x", false)] {
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
        ask(&router, &upstream, CHAT, body(model, more)).expect("an answer");
        let sent = upstream.sent.borrow();
        assert_eq!(text(&sent[0].body).contains(r#""provider":{"order":["a"]}"#), wanted, "{model}");
        assert!(!text(&sent[0].body).contains("claude"), "{model}: no list of models");
    }
    let plugins = body("gpt-x", r#","plugins":[{"id":"web"}]"#);
    let refused = ask(&router, &FakeUpstream::default(), CHAT, plugins).err().expect("refused");
    assert_eq!(refused.code(), "unsupported_parameter");
}

#[test]
fn keys_are_taken_where_clients_of_other_gateways_put_them() {
    let bearer = format!("Bearer {KEY}");
    for (name, value) in [
        ("x-portkey-api-key", KEY),
        ("x-bf-vk", KEY),
        ("X-LiteLLM-API-Key", bearer.as_str()),
        ("Helicone-Auth", bearer.as_str()),
        ("cf-aig-authorization", bearer.as_str()),
    ] {
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
        let headers: &[(&str, &[u8])] = &[(name, value.as_bytes())];
        ask_with(&gateway(), &upstream, &head("POST", CHAT, headers), body("gpt-x", "")).expect(name);
        let sent = upstream.sent.borrow();
        assert!(sent[0].headers.iter().all(|(_, own)| !text(own).contains(KEY)), "{name} goes upstream");
        let two: &[(&str, &[u8])] = &[(name, value.as_bytes()), ("x-api-key", b"sk-other")];
        let refused = ask_with(&gateway(), &upstream, &head("POST", CHAT, two), body("gpt-x", ""));
        assert_eq!(refused.err().map(|error| error.status()), Some(401), "{name}: two different keys");
    }
}

#[test]
fn a_client_can_ask_for_less_of_the_cache() {
    let cached = gateway_with("[cache.exact]\nttl_seconds = 60\nmax_bytes = 65536\n");
    let asked = |headers: &[(&str, &[u8])], more: &str| {
        let bearer = format!("Bearer {KEY}");
        let mut all: Vec<(&str, &[u8])> = vec![("authorization", bearer.as_bytes())];
        all.extend(headers);
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
        ask_with(&cached, &upstream, &head("POST", CHAT, &all), body("gpt-x", more)).expect("an answer");
        let calls = upstream.sent.borrow().len();
        calls == 1
    };
    assert!(asked(&[("postern-cache", b"off")], ""), "nothing is there yet");
    assert!(asked(&[], ""), "and it was not stored");
    assert!(!asked(&[], ""), "now it was");
    assert!(!asked(&[("postern-cache", b"use")], r#","cache":{"ttl":60}"#));
    assert!(asked(&[("postern-cache", b"refresh")], ""));
    assert!(asked(&[], r#","cache":{"no-cache":true}"#));
    assert!(asked(&[("cf-aig-skip-cache", b"true")], ""));
    assert!(asked(&[], r#","models":["claude"]"#), "another model might have answered");
}

#[test]
fn clients_of_azure_name_the_model_in_the_path() {
    let bearer = format!("Bearer {KEY}");
    let headers: &[(&str, &[u8])] = &[("api-key", KEY.as_bytes()), ("authorization", bearer.as_bytes())];
    let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
    for body in [format!("{{{messages}}}"), format!(r#"{{"model":"other",{messages}}}"#)] {
        let upstream = FakeUpstream::new([Reply::json(200, ANSWER)]);
        let mut asked = head("POST", "/openai/deployments/smart/chat/completions", headers);
        asked.query = Some("api-version=2024-10-21");
        ask_with(&gateway(), &upstream, &asked, body).expect("an answer");
        let sent = upstream.sent.borrow();
        assert_eq!((sent[0].deployment.as_str(), sent[0].path.as_str()), ("main", "/v1/chat/completions"));
        let told: serde_json::Value = serde_json::from_slice(&sent[0].body).expect("JSON");
        assert_eq!(told["model"], "gpt-x");
    }
    for path in [
        "/openai/deployments//chat/completions",
        "/openai/deployments/../chat/completions",
        "/openai/deployments/a%2fb/chat/completions",
        "/openai/deployments/smart/messages",
        "/openai/deployments/smart/v1/chat/completions",
        "/openai/deployments/smart/chat/completions/",
    ] {
        let refused = ask_with(&gateway(), &FakeUpstream::default(), &head("POST", path, headers), "{}");
        assert_eq!(refused.err().map(|error| error.status()), Some(404), "{path}");
    }
}
