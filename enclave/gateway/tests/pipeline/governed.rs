//! Issued keys in the pipeline: whatever becomes of a request, what it held comes back and what it took is booked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::audit::Outcome;
use gateway::governance::record::{GroupRecord, KeyRecord, Owner, SecretVersion, Status};
use gateway::governance::secret::{ENTROPY, Presented, Purpose, mint};
use gateway::governance::{Governance, Policy, ScopeKind};
use gateway::{AnswerBody, Gateway, Plaintext, Refused, Secret, Step};

use crate::fake::{
    CHAT, FakeBody, FakeUpstream, Piece, Reply, TestClock, both, collect, gateway_with, head, poll_once, run,
    text,
};

/// A dollar for a million tokens of answers: a thousand nano-dollars each. Prompts cost nothing.
const PRICED: &str = r#"
[deployments.priced]
provider = "openai_compatible"
model = "p"
base_url = "http://127.0.0.1:9000/v1"
price = { input = "0", output = "1" }

[models.priced]
deployments = ["priced"]
retry = { max_attempts = 1 }

[guardrails.words]
kind = "deny_list"
phrases = ["forbidden"]

[cache.exact]
ttl_seconds = 60
max_bytes = 65536
"#;

struct World {
    gateway: Gateway,
    governance: Arc<Governance>,
    record: KeyRecord,
    secret: String,
}

fn world(budget: u64, policy: &str) -> World {
    world_with(budget, policy, PRICED)
}

fn world_with(budget: u64, policy: &str, configured: &str) -> World {
    let governance = Arc::new(Governance::new(&Secret::new([7; 32]), false));
    let (id, secret) = mint(Purpose::Inference, None, [9; ENTROPY]);
    let presented = Presented::parse(Purpose::Inference, secret.expose().as_bytes()).expect("its form");
    let record = KeyRecord {
        id: id.as_str().to_owned(),
        name: "k".to_owned(),
        owner: Owner { org: "o".to_owned(), team: None, user: None },
        created_by: "test".to_owned(),
        created_at_ms: 0,
        expires_at_ms: None,
        status: Status::Active,
        secrets: vec![SecretVersion {
            version: 1,
            tag: governance.pepper().tag(&presented),
            created_at_ms: 0,
            valid_until_ms: None,
        }],
        policy: serde_json::from_str(policy).expect("a policy"),
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    };
    let org = format!(
        r#"{{"allowed_models":["*"],"budgets":[{{"name":"b","unit":"nano_usd","limit":{budget},"window":{{"every":"day"}}}}]}}"#
    );
    let org: Policy = serde_json::from_str(&org).expect("a policy");
    governance.put_group(
        ScopeKind::Org,
        &GroupRecord {
            id: "o".to_owned(),
            name: String::new(),
            org: None,
            team: None,
            blocked: false,
            policy: org,
            created_by: "test".to_owned(),
            created_at_ms: 0,
        },
    );
    governance.put_key(&record);
    let gateway = gateway_with(configured).governed(Arc::clone(&governance));
    World { gateway, governance, record, secret: secret.expose().clone() }
}

impl World {
    fn ask(&self, upstream: &FakeUpstream, body: &str) -> Result<gateway::Answer<FakeBody>, Refused> {
        self.ask_at(CHAT, upstream, body)
    }

    fn ask_at(
        &self,
        path: &str,
        upstream: &FakeUpstream,
        body: &str,
    ) -> Result<gateway::Answer<FakeBody>, Refused> {
        let credential = format!("Bearer {}", self.secret);
        let clock = TestClock::default();
        let headers: &[(&str, &[u8])] = &[("authorization", credential.as_bytes())];
        let opened = gateway::open(&head("POST", path, headers), &self.gateway, gateway::Clock::now(&clock))?;
        let body = Plaintext::new(bytes::Bytes::copy_from_slice(body.as_bytes()));
        run(gateway::handle(opened, body, &self.gateway, upstream, &clock))
    }

    /// Spent and reserved.
    fn books(&self) -> (u64, u64) {
        let read =
            |own: &[gateway::governance::meters::Meter]| own.first().map(|own| (own.spent(), own.reserved));
        self.governance.with_meters(ScopeKind::Org, "o", read).flatten().expect("a budget")
    }

    /// What the ledger says was charged.
    fn charged(&self) -> u64 {
        self.gateway.books().journal.take().0.iter().filter_map(|own| own.charged_nano_usd).sum()
    }
}

fn request(more: &str, content: &str) -> String {
    format!(r#"{{"model":"priced"{more},"messages":[{{"role":"user","content":"{content}"}}]}}"#)
}

fn whole(tokens: u64) -> Reply {
    Reply::json(
        200,
        format!(
            r#"{{"id":"c","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
            tokens + 1
        ),
    )
}

fn event() -> Vec<u8> {
    b"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n".to_vec()
}

#[test]
fn every_way_to_end_gives_back_what_was_held() {
    let world = world(10_000_000, r#"{"allowed_models":["*"]}"#);
    let limit = r#","max_tokens":1000"#;
    let stream = r#","stream":true,"max_tokens":1000"#;

    drop(world.ask(&FakeUpstream::new([whole(200)]), &request(limit, "a")).expect("an answer"));
    assert_eq!((world.books(), world.charged()), ((200_000, 0), 200_000), "answered");

    drop(world.ask(&FakeUpstream::new([]), &request(limit, "a")).expect("the same again"));
    assert_eq!((world.books(), world.charged()), ((200_000, 0), 0), "from the cache");

    drop(
        world.ask(&FakeUpstream::new([Reply::json(500, "{}")]), &request(limit, "b")).err().expect("refused"),
    );
    assert_eq!((world.books(), world.charged()), ((200_000, 0), 0), "the upstream failed");

    drop(world.ask(&FakeUpstream::new([]), &request(limit, "forbidden")).err().expect("refused"));
    assert_eq!((world.books(), world.charged()), ((200_000, 0), 0), "a guardrail refused");

    let broken = Reply::stream(vec![event(); 10]).then(Piece::Fail(gateway::upstream::ReadError::Broken));
    let (_, step) = collect(world.ask(&FakeUpstream::new([broken]), &request(stream, "c")).expect("begins"));
    let charged = world.charged();
    assert_eq!((step, world.books()), (Step::Broken, (200_000 + charged, 0)), "broken");
    assert!((10_000..=20_000).contains(&charged), "about ten tokens had come: {charged}");

    let before = world.books().0;
    let hanging = FakeUpstream::new([Reply::stream(vec![event(); 5]).then(Piece::Hang)]);
    let mut answer = world.ask(&hanging, &request(stream, "d")).expect("begins");
    let AnswerBody::Stream(stream_body) = &mut answer.body else { panic!("a stream") };
    let mut out = Plaintext::new(Vec::new());
    while poll_once(stream_body.next(&mut out, &TestClock::default())).is_some() {}
    assert!(world.books().1 >= 1_000_000, "held while it runs: {:?}", world.books());
    drop(answer);
    let charged = world.charged();
    assert_eq!(world.books(), (before + charged, 0), "the client left");
    assert!(charged > 0, "what had come is paid");
}

#[test]
fn what_a_judge_costs_is_charged_to_the_request() {
    let judge =
        "[guardrails.a-judge]\nkind = \"moderation\"\nmodel = \"priced\"\nmodels = [\"priced\", \"gpt-x\"]\n";
    let word = |says: &str| {
        let Reply::Response { pieces, .. } = whole(7) else { panic!("an answer") };
        let [Piece::Bytes(bytes)] = pieces.as_slice() else { panic!("in one piece") };
        let text = text(bytes);
        Reply::json(200, text.replace("\"x\"", &format!("\"{says}\"")))
    };
    let priced = r#"{"allowed_models":["priced"]}"#;
    let world = world_with(10_000_000, priced, &format!("{PRICED}{judge}"));
    let upstream = FakeUpstream::default().of("priced", [word("safe"), whole(5)]);
    drop(world.ask(&upstream, &request("", "a")).expect("passes"));
    assert_eq!(
        (world.books(), world.charged()),
        ((12_000, 0), 12_000),
        "seven tokens of the judge, five of the answer"
    );
    let upstream = FakeUpstream::default().of("priced", [word("unsafe")]);
    assert!(world.ask(&upstream, &request("", "b")).is_err());
    assert_eq!((world.books(), world.charged()), ((19_000, 0), 7000), "refused, and the judge is paid");
}

#[test]
fn a_runaway_answer_is_cut_where_the_budget_ends() {
    // Room for fifty tokens; the request does not say how long its answer may be, so little is reserved at first.
    let world = world(50_000, r#"{"allowed_models":["*"]}"#);
    let runaway = FakeUpstream::new([Reply::stream(vec![event(); 5000])]);
    let answer = world.ask(&runaway, &request(r#","stream":true"#, "a")).expect("begins");
    let (bytes, step) = collect(answer);
    let told = text(&bytes);
    assert_eq!(step, Step::Broken);
    assert!(told.contains("budget_exceeded") && !told.contains("[DONE]"), "{}", &told[told.len() - 300..]);
    let events = told.matches("\"delta\"").count();
    assert!((30..60).contains(&events), "{events} events passed");
    let (spent, reserved) = world.books();
    assert_eq!(reserved, 0);
    assert!((30_000..=52_000).contains(&spent), "{spent}");
    assert_eq!(world.charged(), spent);
    // The next is refused before anybody is asked, and is told not to come back.
    let refused = world.ask(&FakeUpstream::new([]), &request("", "b")).err().expect("refused");
    assert_eq!(
        (refused.code(), refused.status(), refused.client_should_retry()),
        ("budget_exceeded", 429, false)
    );
}

#[test]
fn an_elastic_budget_tells_the_upstream_how_long_the_answer_may_be() {
    let world = world(100_000, r#"{"allowed_models":["*"],"parameters":{"max_output_tokens":3000}}"#);
    let upstream = FakeUpstream::new([whole(10)]);
    drop(world.ask(&upstream, &request(r#","max_tokens":9000"#, "a")).expect("an answer"));
    let sent: serde_json::Value = serde_json::from_slice(&upstream.sent.borrow()[0].body).expect("JSON");
    let most =
        sent["max_tokens"].as_u64().or_else(|| sent["max_completion_tokens"].as_u64()).expect("a limit");
    assert!((50..=100).contains(&most), "{most}: what the budget has room for");
}

#[test]
fn several_answers_are_reserved_for_as_often_as_they_are_paid() {
    // Room for ten thousand tokens.
    let world = world(10_000_000, r#"{"allowed_models":["*"]}"#);
    let held = |body: &str| {
        let hanging = FakeUpstream::new([Reply::stream(vec![event(); 2]).then(Piece::Hang)]);
        let answer = world.ask(&hanging, body).expect("begins");
        let held = world.books().1;
        drop(answer);
        held
    };
    let one = held(&request(r#","stream":true,"max_tokens":1000"#, "a"));
    let four = held(&request(r#","stream":true,"max_tokens":1000,"n":4"#, "b"));
    assert_eq!((one, four), (1_000_000, 4_000_000));
    // A hundred answers fit only if each is shorter.
    let upstream = FakeUpstream::new([whole(10)]);
    drop(world.ask(&upstream, &request(r#","max_tokens":1000,"n":100"#, "c")).expect("an answer"));
    let sent: serde_json::Value = serde_json::from_slice(&upstream.sent.borrow()[0].body).expect("JSON");
    let most = sent["max_tokens"].as_u64().expect("a limit");
    assert!((40..=100).contains(&most), "{most}: what the budget has room for, a hundred times");
}

#[test]
fn a_key_that_is_revoked_stops_at_once_also_in_the_middle() {
    let world = world(10_000_000, r#"{"allowed_models":["*"]}"#);
    let upstream = FakeUpstream::new([Reply::stream(vec![event(); 100])]);
    let mut answer = world.ask(&upstream, &request(r#","stream":true"#, "a")).expect("begins");
    world.governance.put_key(&KeyRecord { status: Status::Revoked, ..world.record.clone() });
    let AnswerBody::Stream(stream) = &mut answer.body else { panic!("a stream") };
    let mut out = Plaintext::new(Vec::new());
    let mut step = Step::More;
    while step == Step::More {
        step = run(stream.next(&mut out, &TestClock::default()));
    }
    assert_eq!(step, Step::Broken);
    assert!(text(out.expose()).matches("\"delta\"").count() < 5);
    drop(answer);
    assert_eq!(world.gateway.books().journal.take().0[0].outcome, Outcome::Broken);
    let refused = world.ask(&FakeUpstream::new([]), &request("", "b")).err().expect("refused");
    assert_eq!(refused.code(), "invalid_api_key");
}

#[test]
fn a_key_that_is_revoked_while_its_upstream_is_silent_stops_within_a_second() {
    let world = world(10_000_000, r#"{"allowed_models":["*"]}"#);
    let clock = TestClock::default();
    let revoking = |after: Duration| {
        let (clock, governance) = (clock.clone(), Arc::clone(&world.governance));
        let record = KeyRecord { status: Status::Revoked, ..world.record.clone() };
        async move {
            gateway::Clock::sleep(&clock, after).await;
            governance.put_key(&record);
        }
    };
    let asking = |upstream: FakeUpstream, more: &'static str| {
        let credential = format!("Bearer {}", world.secret);
        let (clock, gateway) = (clock.clone(), &world.gateway);
        async move {
            let headers: &[(&str, &[u8])] = &[("authorization", credential.as_bytes())];
            let now = gateway::Clock::now(&clock);
            let opened = gateway::open(&head("POST", CHAT, headers), gateway, now)?;
            let body = Plaintext::new(bytes::Bytes::from(request(more, "a")));
            let mut answer = gateway::handle(opened, body, gateway, &upstream, &clock).await?;
            let AnswerBody::Stream(stream) = &mut answer.body else { panic!("a stream") };
            let (mut out, mut step) = (Plaintext::new(Vec::new()), Step::More);
            while step == Step::More {
                step = stream.next(&mut out, &clock).await;
            }
            Ok::<_, Refused>((text(out.expose()), step))
        }
    };
    let elapsed = || gateway::Clock::now(&clock).monotonic;

    // An answer that has begun, and then nothing for ever.
    let silent = FakeUpstream::new([Reply::stream(vec![event(); 5]).then(Piece::Hang)]);
    let cut = clock.run(both(asking(silent, r#","stream":true"#), revoking(Duration::from_secs(7))));
    let (told, step) = cut.expect("it began");
    assert_eq!(step, Step::Broken);
    assert!(told.contains("invalid_api_key") && told.matches("\"delta\"").count() >= 4, "{told}");
    assert!(elapsed() <= Duration::from_secs(8), "{:?}", elapsed());
    assert_eq!(world.books().1, 0, "nothing is held any more");

    // An answer that has not begun.
    world.governance.put_key(&world.record);
    let began = elapsed();
    let refused =
        clock.run(both(asking(FakeUpstream::new([Reply::Silence]), ""), revoking(Duration::from_secs(7))));
    assert_eq!(refused.expect_err("refused").code(), "invalid_api_key");
    assert!(elapsed() <= began + Duration::from_secs(8), "{began:?} {:?}", elapsed());
    assert_eq!(world.books().1, 0);
}

#[test]
fn what_a_key_may_not_use_it_reaches_under_no_name() {
    for (policy, code) in [
        (r#"{"allowed_models":["smart"]}"#, "model_not_allowed"),
        ("{}", "model_not_allowed"),
        (r#"{"allowed_models":["*"],"blocked_models":["p"]}"#, "provider_not_allowed"),
        (r#"{"allowed_models":["*"],"blocked_deployments":["pri*"]}"#, "provider_not_allowed"),
        (r#"{"allowed_models":["*"],"regions":["eu"]}"#, "provider_not_allowed"),
        (r#"{"allowed_models":["*"],"allowed_routes":["anthropic_messages"]}"#, "route_not_allowed"),
        (r#"{"allowed_models":["*"],"exposure_max":"attested"}"#, "no_compliant_deployment"),
        (
            r#"{"allowed_models":["*"],"parameters":{"upper_bounds":{"temperature":1}}}"#,
            "parameter_too_large",
        ),
    ] {
        let world = world(10_000_000, policy);
        let refused =
            world.ask(&FakeUpstream::new([]), &request(r#","temperature":2"#, "a")).err().expect(policy);
        assert_eq!((refused.code(), world.books()), (code, (0, 0)), "{policy}");
    }
}

#[test]
fn headers_tell_what_is_left_of_the_tightest_limit() {
    let world = world(
        10_000_000,
        r#"{"allowed_models":["*"],"rate_limits":[{"unit":"requests","limit":2},{"unit":"requests","limit":100,"seconds":3600}]}"#,
    );
    let answer = world.ask(&FakeUpstream::new([whole(1)]), &request("", "a")).expect("an answer");
    let header =
        |name: &str| answer.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
    assert_eq!(header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(header("anthropic-ratelimit-requests-limit"), None);
    drop(world.ask(&FakeUpstream::new([whole(1)]), &request("", "b")).expect("an answer"));
    let refused = world.ask(&FakeUpstream::new([]), &request("", "c")).err().expect("refused");
    assert_eq!((refused.code(), refused.retry_after_ms()), ("rate_limit_exceeded", Some(30_000)));
}

/// A key of an organisation, and its secret.
fn key_of(org: &str, name: &str, entropy: u8, governance: &Governance) -> String {
    let (id, secret) = mint(Purpose::Inference, None, [entropy; ENTROPY]);
    let presented = Presented::parse(Purpose::Inference, secret.expose().as_bytes()).expect("its form");
    let tag = governance.pepper().tag(&presented);
    governance.put_key(&KeyRecord {
        id: id.as_str().to_owned(),
        name: name.to_owned(),
        owner: Owner { org: org.to_owned(), team: None, user: None },
        created_by: "test".to_owned(),
        created_at_ms: 0,
        expires_at_ms: None,
        status: Status::Active,
        secrets: vec![SecretVersion { version: 1, tag, created_at_ms: 0, valid_until_ms: None }],
        policy: serde_json::from_str(r#"{"allowed_models":["*"]}"#).expect("a policy"),
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    });
    secret.expose().clone()
}

#[test]
fn answers_are_shared_as_far_as_configured_and_no_further() {
    let governance = Arc::new(Governance::new(&Secret::new([7; 32]), false));
    for id in ["o", "p"] {
        let record = GroupRecord {
            id: id.to_owned(),
            name: String::new(),
            org: None,
            team: None,
            blocked: false,
            policy: serde_json::from_str(r#"{"allowed_models":["*"]}"#).expect("a policy"),
            created_by: "test".to_owned(),
            created_at_ms: 0,
        };
        governance.put_group(ScopeKind::Org, &record);
    }
    // The same name in another organisation is another key.
    let keys = [("o", "a", 1), ("o", "b", 2), ("p", "a", 3)];
    let secrets = keys.map(|(org, name, entropy)| key_of(org, name, entropy, &governance));
    for (sharing, expected) in [
        ("key", ["miss", "miss", "miss", "hit", "hit", "hit"]),
        ("team", ["miss", "miss", "miss", "hit", "hit", "hit"]),
        ("organisation", ["miss", "hit", "miss", "hit", "hit", "hit"]),
    ] {
        let settings = format!("[cache]\npartition = \"{sharing}\"\n{PRICED}");
        let gateway = gateway_with(&settings).governed(Arc::clone(&governance));
        let upstream = FakeUpstream::new([whole(1), whole(1), whole(1)]);
        let clock = TestClock::default();
        let states: Vec<String> = secrets
            .iter()
            .chain(&secrets)
            .map(|secret| {
                let credential = format!("Bearer {secret}");
                let headers: &[(&str, &[u8])] = &[("authorization", credential.as_bytes())];
                let opened =
                    gateway::open(&head("POST", CHAT, headers), &gateway, gateway::Clock::now(&clock));
                let body = Plaintext::new(bytes::Bytes::from(request("", "shared")));
                let handled = gateway::handle(opened.expect("opens"), body, &gateway, &upstream, &clock);
                let answer = run(handled).expect("answers");
                answer.headers.iter().find(|(name, _)| *name == "postern-cache").expect("told").1.clone()
            })
            .collect();
        assert_eq!(states, expected, "{sharing}");
    }
}

#[test]
fn clients_of_anthropics_read_limits_in_its_names() {
    let world = world(
        10_000_000,
        r#"{"allowed_models":["*"],"rate_limits":[{"unit":"requests","limit":2},{"unit":"tokens","limit":5000}]}"#,
    );
    let body = r#"{"model":"priced","max_tokens":10,"messages":[{"role":"user","content":"a"}]}"#;
    let answer = world.ask_at("/v1/messages", &FakeUpstream::new([whole(1)]), body).expect("an answer");
    let header =
        |name: &str| answer.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
    assert_eq!(header("anthropic-ratelimit-requests-limit"), Some("2"));
    assert_eq!(header("anthropic-ratelimit-requests-remaining"), Some("1"));
    assert_eq!(header("anthropic-ratelimit-tokens-limit"), Some("5000"));
    assert_eq!(header("x-ratelimit-limit-tokens"), Some("5000"), "LiteLLM's clients read these");
    let reset = header("anthropic-ratelimit-requests-reset").expect("a time");
    assert!(reset.ends_with('Z') && reset.len() == "2026-01-31T23:59:59Z".len(), "{reset}");
}
