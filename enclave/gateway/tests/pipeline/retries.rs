//! Attempts: where, when, how often, and what the client is told.

use std::time::Duration;

use gateway::audit::Outcome;
use gateway::upstream::SendError;
use gateway::{Answer, Gateway, Plaintext, Refused, Step};

use crate::fake::{CHAT, FakeBody, FakeUpstream, KEY, Piece, Reply, TestClock, collect, head};

const OK: &str = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
const ASK: &str = r#"{"model":"pair","messages":[{"role":"user","content":"x"}]}"#;
const STREAMED: &str = r#"{"model":"pair","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
const EVENT: &[u8] =
    b"data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Models that are tried again as the configuration's defaults say.
const MODELS: &str = "[models.pair]\nmembers = ['main', 'second']\n[models.single]\nmembers = ['main']\n";

fn gateway() -> Gateway {
    gateway_with("")
}

fn gateway_with(more: &str) -> Gateway {
    crate::fake::gateway_with(&format!("{MODELS}{more}"))
}

fn failure(status: u16) -> Reply {
    Reply::json(status, r#"{"error":{"message":"no","type":"x"}}"#)
}

struct World {
    gateway: Gateway,
    clock: TestClock,
    upstream: FakeUpstream,
}

impl World {
    fn new(gateway: Gateway, set_up: impl FnOnce(FakeUpstream) -> FakeUpstream) -> Self {
        let clock = TestClock::default();
        let upstream = set_up(FakeUpstream::timed(&clock));
        Self { gateway, clock, upstream }
    }

    fn ask(&self, body: &str, more: &[(&str, &[u8])]) -> Result<Answer<FakeBody>, Refused> {
        let mut headers: Vec<(&str, &[u8])> = vec![("x-api-key", KEY.as_bytes())];
        headers.extend(more);
        crate::fake::ask_with(&self.gateway, &self.upstream, &head("POST", CHAT, &headers), body)
    }

    fn seconds(&self) -> f64 {
        gateway::Clock::now(&self.clock).monotonic.as_secs_f64()
    }
}

fn header<'h>(headers: &'h [(&'static str, String)], name: &str) -> &'h str {
    headers.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
}

#[test]
fn the_same_deployment_gets_a_second_chance_after_a_pause() {
    let world = World::new(gateway(), |up| up.of("main", [failure(500), Reply::json(200, OK)]));
    let answer = world.ask(ASK, &[]).expect("an answer");
    assert_eq!(world.upstream.called(), ["main", "main"]);
    assert!((0.4..=0.6).contains(&world.seconds()), "{}", world.seconds());
    assert_eq!(header(&answer.headers, "postern-attempts"), "2");
    assert_eq!(header(&answer.headers, "postern-attempted"), "main=upstream_error, main=ok");
}

#[test]
fn then_the_next_one_and_then_it_is_over() {
    let world = World::new(gateway(), |up| {
        up.of("main", [failure(503), failure(502)]).of("second", [failure(500), failure(500)])
    });
    let refused = world.ask(ASK, &[]).err().expect("an error");
    assert_eq!(world.upstream.called(), ["main", "main", "second"], "three attempts");
    assert_eq!(refused.status(), 503, "the primary's error");
    let headers = refused.headers();
    assert_eq!(header(&headers, "postern-attempts"), "3");
    assert_eq!(
        header(&headers, "postern-attempted"),
        "main=upstream_overloaded, main=upstream_error, second=upstream_error"
    );
    let record = &world.gateway.books().journal.take().0[0];
    assert_eq!((record.attempts, record.outcome), (3, Outcome::Refused));
}

#[test]
fn a_rate_limit_moves_on_at_once_and_leaves_the_deployment_alone() {
    let limited = || failure(429).header("retry-after", "30");
    let world = World::new(gateway(), |up| {
        up.of("main", [limited()])
            .of("second", [Reply::json(200, OK), Reply::json(200, OK), Reply::json(200, OK)])
    });
    for _ in 0..3 {
        world.ask(ASK, &[]).expect("an answer");
    }
    assert_eq!(world.upstream.called(), ["main", "second", "second", "second"]);
    assert!(world.seconds() < 0.001, "nobody waits");
    world.clock.pass(Duration::from_secs(31));
    let again = FakeUpstream::timed(&world.clock).of("main", [Reply::json(200, OK)]);
    World { upstream: again, ..world }.ask(ASK, &[]).expect("its time is over");
}

#[test]
fn short_advice_is_waited_for_and_long_advice_is_passed_on() {
    let one = r#"{"model":"single","messages":[{"role":"user","content":"x"}]}"#;
    let limited = |seconds: &str| failure(429).header("retry-after", seconds);
    let world = World::new(gateway(), |up| up.of("main", [limited("4"), Reply::json(200, OK)]));
    world.ask(one, &[]).expect("an answer");
    assert!((4.0..4.1).contains(&world.seconds()), "{}", world.seconds());
    let world = World::new(gateway(), |up| up.of("main", [limited("40")]));
    let refused = world.ask(one, &[]).err().expect("an error");
    assert_eq!((refused.status(), header(&refused.headers(), "retry-after")), (429, "40"));
    let lies = World::new(gateway(), |up| up.of("main", [limited("9999999")]));
    let refused = lies.ask(one, &[]).err().expect("an error");
    assert_eq!(header(&refused.headers(), "retry-after"), "120");
}

#[test]
fn the_shortest_advice_of_all_is_passed_on() {
    let limited = |seconds: &str| failure(429).header("retry-after", seconds);
    let world = World::new(gateway(), |up| up.of("main", [limited("100")]).of("second", [limited("50")]));
    let refused = world.ask(ASK, &[]).err().expect("an error");
    assert_eq!(header(&refused.headers(), "retry-after"), "50");
}

#[test]
fn a_client_error_and_a_dead_credential() {
    for status in [400, 413, 422] {
        let world = World::new(gateway(), |up| up.of("main", [failure(status)]));
        assert_eq!(world.ask(ASK, &[]).err().expect("an error").status(), status);
        assert_eq!(world.upstream.called(), ["main"], "{status}");
    }
    for status in [401, 402, 403] {
        let world = World::new(gateway(), |up| {
            up.of("main", [failure(status)]).of("second", [Reply::json(200, OK), Reply::json(200, OK)])
        });
        world.ask(ASK, &[]).expect("an answer");
        world.ask(ASK, &[]).expect("an answer");
        assert_eq!(world.upstream.called(), ["main", "second", "second"], "{status}: left alone");
    }
}

#[test]
fn no_such_model_goes_to_another_model_only() {
    let twin = "[deployments.twin]\nprovider = 'openai'\nmodel = 'gpt-x'\ncredential = 'test:main'\n[models.twins]\nmembers = ['main', 'twin', 'second']";
    let world = World::new(gateway_with(twin), |up| {
        up.of("main", [failure(404)]).of("second", [Reply::json(200, OK)])
    });
    world.ask(&ASK.replace("pair", "twins"), &[]).expect("an answer");
    assert_eq!(world.upstream.called(), ["main", "second"]);
}

#[test]
fn silence_before_the_first_content_ends_at_the_deadline() {
    let late = Reply::stream(Vec::new())
        .then(Piece::Wait(Duration::from_secs(1)))
        .then(Piece::Bytes([EVENT, DONE].concat()));
    let world = World::new(gateway(), |up| {
        up.of("main", [Reply::stream(vec![b": ping\n\n".to_vec()]).then(Piece::Hang)]).of("second", [late])
    });
    let answer = world.ask(STREAMED, &[("postern-ttft-timeout-ms", b"1500")]).expect("an answer");
    assert_eq!(header(&answer.headers, "postern-attempted"), "main=upstream_timeout, second=ok");
    assert!((2.5..2.6).contains(&world.seconds()), "{}", world.seconds());
    assert_eq!(collect(answer).1, Step::Complete);
}

#[test]
fn a_request_can_shorten_and_cannot_lengthen() {
    let one = r#"{"model":"single","messages":[]}"#;
    for (asked, seconds) in [("2000", 2.0), ("3600000", 1800.0)] {
        let world = World::new(gateway(), |up| up.of("main", [Reply::Silence]));
        let refused = world.ask(one, &[("postern-timeout-ms", asked.as_bytes())]).err().expect("an error");
        assert_eq!((refused.status(), refused.code()), (504, "upstream_timeout"));
        assert!((seconds..seconds + 0.1).contains(&world.seconds()), "{asked}: {}", world.seconds());
    }
    let world = World::new(gateway(), |up| up.of("main", [failure(500), failure(500)]));
    world.ask(ASK, &[("postern-no-fallback", b"true")]).err().expect("an error");
    assert_eq!(world.upstream.called(), ["main", "main"]);
    let world = World::new(gateway(), |up| up.of("main", [failure(500)]));
    world.ask(ASK, &[("postern-retries", b"0")]).err().expect("an error");
    assert_eq!(world.upstream.called(), ["main"]);
}

#[test]
fn after_the_commit_point_nothing_is_tried_again() {
    let world = World::new(gateway(), |up| {
        up.of(
            "main",
            [Reply::stream(vec![EVENT.to_vec()]).then(Piece::Fail(gateway::upstream::ReadError::Broken))],
        )
    });
    let (bytes, step) = collect(world.ask(STREAMED, &[]).expect("an answer"));
    assert_eq!(step, Step::Broken);
    assert_eq!(String::from_utf8(bytes).unwrap().matches("\"Hi\"").count(), 1, "once");
    assert_eq!(world.upstream.called(), ["main"]);
    let record = &world.gateway.books().journal.take().0[0];
    assert_eq!((record.outcome, record.error), (Outcome::Broken, Some("upstream_truncated")));
}

#[test]
fn what_must_not_run_twice_does_not() {
    let store = ASK.replace("{\"model\"", "{\"store\":true,\"model\"");
    let world = World::new(gateway(), |up| up.of("main", [Reply::Fail(SendError::Connection)]));
    assert_eq!(world.ask(&store, &[]).err().expect("an error").code(), "upstream_unreachable");
    assert_eq!(world.upstream.called(), ["main"]);
    let world =
        World::new(gateway(), |up| up.of("main", [failure(429)]).of("second", [Reply::json(200, OK)]));
    world.ask(&store, &[]).expect("refused is not carried out");
}

#[test]
fn a_failing_deployment_is_taken_out_and_comes_back() {
    let world = World::new(gateway(), |up| {
        up.of("main", (0..5).map(|_| failure(500))).of("second", (0..20).map(|_| Reply::json(200, OK)))
    });
    for _ in 0..6 {
        world.ask(ASK, &[]).expect("an answer");
    }
    let called = world.upstream.called();
    assert_eq!(called.iter().filter(|name| *name == "main").count(), 5, "{called:?}");
    assert_eq!(called.last().map(String::as_str), Some("second"));
    world.clock.pass(Duration::from_secs(6));
    let well = FakeUpstream::timed(&world.clock).of("main", [Reply::json(200, OK)]);
    let world = World { upstream: well, ..world };
    world.ask(ASK, &[]).expect("the probe goes through");
    assert_eq!(world.upstream.called(), ["main"]);
}

#[test]
fn a_model_with_all_deployments_taken_out_is_tried_all_the_same() {
    let one = r#"{"model":"single","messages":[]}"#;
    let world = World::new(gateway(), |up| {
        up.of("main", (0..6).map(|_| failure(500))).of("main", [Reply::json(200, OK)])
    });
    for _ in 0..3 {
        world.ask(one, &[]).err().expect("an error");
    }
    world.ask(one, &[]).expect("overruled, and well again");
}

#[test]
fn failures_are_bounded_by_a_budget() {
    let world = World::new(
        gateway_with(
            "[models.m]\nmembers = ['main']\nretry = { per_deployment = 5, max_attempts = 10, base_ms = 1, longest_ms = 1 }",
        ),
        |up| up.of("main", (0..2000).map(|_| failure(500))),
    );
    for _ in 0..100 {
        world.ask(&ASK.replace("pair", "m"), &[]).err().expect("an error");
    }
    let calls = world.upstream.called().len();
    assert!((130..=145).contains(&calls), "100 requests, 30 saved up, a tenth more: {calls}");
}

#[test]
fn a_prompt_that_is_too_long_goes_where_the_configuration_says() {
    let long = r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#;
    let models = "[models.short]\nmembers = ['main']\nfallbacks = { context_window = ['long'] }\n[models.long]\nmembers = ['second']";
    let body = ASK.replace("pair", "short");
    let up = |up: FakeUpstream| up.of("main", [Reply::json(400, long)]).of("second", [Reply::json(200, OK)]);
    let world = World::new(gateway_with(models), up);
    let answer = world.ask(&body, &[]).expect("an answer");
    assert_eq!(header(&answer.headers, "postern-attempted"), "main=context_length_exceeded, second=ok");
    let world = World::new(gateway_with(models), up);
    let refused = world.ask(&body, &[("postern-no-fallback", b"1")]).err().expect("an error");
    assert_eq!(refused.code(), "context_length_exceeded");
    let world = World::new(gateway_with(models), |up| {
        up.of("main", [Reply::json(400, r#"{"error":{"message":"m","code":"content_policy_violation"}}"#)])
    });
    let refused = world.ask(&body, &[]).err().expect("an error");
    assert_eq!(refused.code(), "content_policy_violation", "another reason, another list");
}

#[test]
fn a_key_needs_leave_for_the_fallback_too() {
    let long = r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#;
    let models = "[models.short]\nmembers = ['main']\nfallbacks = { context_window = ['long'] }\n[models.long]\nmembers = ['second']\n[[admission.keys]]\nid = 'short-only'\nsha256 = '@'\nmodels = ['short']";
    let digest = ring::digest::digest(&ring::digest::SHA256, b"sk-short");
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let world =
        World::new(gateway_with(&models.replace('@', &hex)), |up| up.of("main", [Reply::json(400, long)]));
    let headers: &[(&str, &[u8])] = &[("x-api-key", b"sk-short")];
    let body = ASK.replace("pair", "short");
    let head = head("POST", CHAT, headers);
    let refused =
        crate::fake::ask_with(&world.gateway, &world.upstream, &head, body).err().expect("an error");
    assert_eq!((refused.code(), world.upstream.called().len()), ("context_length_exceeded", 1));
}

#[test]
fn a_client_that_leaves_while_waiting_counts_against_nobody() {
    let world = World::new(gateway(), |up| up.of("main", (0..6).map(|_| Reply::Silence)));
    for _ in 0..6 {
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        let now = gateway::Clock::now(&world.clock);
        let opened = gateway::open(&head("POST", CHAT, headers), &world.gateway, now).expect("opens");
        let body = Plaintext::new(bytes::Bytes::from_static(ASK.as_bytes()));
        let handling = gateway::handle(opened, body, &world.gateway, &world.upstream, &world.clock);
        assert!(crate::fake::poll_once(handling).is_none());
    }
    assert_eq!(world.upstream.called(), ["main"; 6], "still the first choice");
    let (records, _) = world.gateway.books().journal.take();
    assert_eq!(records.len(), 6);
    assert!(records.iter().all(|record| record.outcome == Outcome::Cancelled));
    let model = world.gateway.models().find("pair").expect("configured");
    assert!(model.leaves.iter().all(|leaf| leaf.health.in_flight() == 0));
}

#[test]
fn a_key_with_leave_learns_how_it_was_decided() {
    let digest = ring::digest::digest(&ring::digest::SHA256, b"sk-curious");
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!(
        "[[admission.keys]]\nid = 'curious'\nsha256 = '{hex}'\nmodels = ['*']\nrouting = {{ explain = true, exposure_max = 'contract_zdr' }}\n[deployments.zdr]\nprovider = 'openai_compatible'\nmodel = 'z'\nbase_url = 'http://127.0.0.1:9'\nexposure = 'contract_zdr'\n[models.mixed]\nmembers = ['main', 'zdr']"
    );
    let world = World::new(gateway_with(&key), |up| up.of("zdr", [Reply::json(200, OK)]));
    let headers: &[(&str, &[u8])] = &[("x-api-key", b"sk-curious"), ("postern-explain", b"true")];
    let ask = |body: &str| {
        crate::fake::ask_with(&world.gateway, &world.upstream, &head("POST", CHAT, headers), body)
    };
    let answer = ask(&ASK.replace("pair", "mixed")).expect("an answer");
    let trace: serde_json::Value =
        serde_json::from_str(header(&answer.headers, "postern-explanation")).expect("JSON");
    assert_eq!(trace["excluded"], serde_json::json!([{"deployment": "main", "by": "exposure"}]));
    assert_eq!(trace["order"][0]["deployment"], "zdr");
    assert_eq!((&trace["exposure_max"], &trace["error"]), (&"contract_zdr".into(), &serde_json::Value::Null));
    let refused = ask(ASK).err().expect("an error");
    let trace: serde_json::Value =
        serde_json::from_str(header(&refused.headers(), "postern-explanation")).expect("JSON");
    assert_eq!(trace["error"], "no_compliant_deployment");
    let world = World::new(gateway(), |up| up.of("main", [Reply::json(200, OK)]));
    let answer = world.ask(ASK, &[("postern-explain", b"true")]).expect("an answer");
    let told = header(&answer.headers, "postern-explanation");
    assert_eq!(told, r#"{"error":"not_permitted"}"#, "without leave, only that");
}

#[test]
fn a_dry_run_sends_nothing_and_decides_the_same() {
    let gateway = gateway();
    let body = Plaintext::new(bytes::Bytes::from_static(ASK.as_bytes()));
    let wishes = gateway::route::wishes::Wishes::default();
    let chat = &gateway::wire::openai_chat::OpenAiChat;
    let now = gateway::Now::default();
    let trace = gateway::pipeline::dry_run(chat, body, "tester", &wishes, &gateway, now).expect("a trace");
    let order: Vec<_> = trace.order.iter().map(|own| own.deployment.as_str()).collect();
    assert_eq!(order, ["main", "second"]);
    assert!(gateway.books().journal.take().0.is_empty());
    let body = Plaintext::new(bytes::Bytes::from_static(ASK.as_bytes()));
    let error = gateway::pipeline::dry_run(chat, body, "narrow", &wishes, &gateway, now).err();
    assert_eq!(error.expect("not its model").code(), "model_not_allowed");
}

#[test]
fn a_new_configuration_knows_who_is_ill() {
    let old = World::new(gateway(), |up| {
        up.of("main", (0..6).map(|_| failure(500))).of("second", (0..9).map(|_| Reply::json(200, OK)))
    });
    for _ in 0..4 {
        old.ask(ASK, &[]).expect("an answer");
    }
    let new = gateway_with("[models.more]\nmembers = ['main', 'second']").succeeding(&old.gateway);
    let world = World {
        gateway: new,
        upstream: FakeUpstream::timed(&old.clock).of("second", [Reply::json(200, OK)]),
        clock: old.clock,
    };
    world.ask(&ASK.replace("pair", "more"), &[]).expect("an answer");
    assert_eq!(world.upstream.called(), ["second"]);
}
