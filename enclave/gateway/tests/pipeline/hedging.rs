//! Two deployments at the same time: who wins, what is cancelled, what is counted.

use std::time::Duration;

use gateway::audit::Outcome;
use gateway::{Answer, Clock, Gateway, Plaintext, Refused, Step};

use crate::fake::{CHAT, FakeBody, FakeUpstream, KEY, Piece, Reply, TestClock, collect, gateway_with, head};

const MODELS: &str = r#"
[deployments.third]
provider = "openai_compatible"
model = "gpt-z"
base_url = "http://127.0.0.1:9001"
exposure = "contract_zdr"
limits = { max_in_flight = 1 }
[models.hedged]
members = ["main", "second"]
hedge = { mode = "delayed", delay_ms = 500, budget_percent = 100 }
[models.both]
members = ["main", "second"]
hedge = { mode = "parallel", budget_percent = 100, scope = "stream" }
[models.rare]
members = ["main", "second"]
hedge = { mode = "delayed", delay_ms = 500 }
[models.strict]
members = ["third", "main"]
hedge = { mode = "delayed", delay_ms = 500, budget_percent = 100 }
[models.measured]
members = ["main", "second"]
hedge = { mode = "delayed", budget_percent = 100 }
[models.narrow]
members = ["third"]
queue = { length = 3, wait_ms = 4000 }
"#;

const OK: &str = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
const DONE: &[u8] = b"data: [DONE]\n\n";

fn event(text: &str) -> Vec<u8> {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into_bytes()
}

/// A stream whose content comes after so long.
fn stream(after_ms: u64, text: &str) -> Reply {
    Reply::stream(Vec::new())
        .then(Piece::Wait(Duration::from_millis(after_ms)))
        .then(Piece::Bytes([event(text), DONE.to_vec()].concat()))
}

/// A buffered answer after so long.
fn whole(after_ms: u64) -> Reply {
    Reply::of(200, "application/json", Vec::new())
        .then(Piece::Wait(Duration::from_millis(after_ms)))
        .then(Piece::Bytes(OK.into()))
}

struct World {
    gateway: Gateway,
    clock: TestClock,
    upstream: FakeUpstream,
}

impl World {
    fn new(set_up: impl FnOnce(FakeUpstream) -> FakeUpstream) -> Self {
        let clock = TestClock::default();
        let upstream = set_up(FakeUpstream::timed(&clock));
        Self { gateway: gateway_with(MODELS), clock, upstream }
    }

    fn ask(&self, model: &str, more: &str) -> Result<Answer<FakeBody>, Refused> {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}]{more}}}"#);
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        crate::fake::ask_with(&self.gateway, &self.upstream, &head("POST", CHAT, headers), body)
    }

    fn ms(&self) -> u128 {
        self.clock.now().monotonic.as_millis()
    }

    fn idle(&self) -> bool {
        self.gateway.models().iter().flat_map(|model| &model.leaves).all(|leaf| leaf.health.in_flight() == 0)
    }
}

fn header<'h>(headers: &'h [(&'static str, String)], name: &str) -> &'h str {
    headers.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
}

const STREAM: &str = r#","stream":true"#;

#[test]
fn a_quick_first_one_is_never_hedged() {
    let world = World::new(|up| up.of("main", [stream(400, "a")]));
    collect(world.ask("hedged", STREAM).expect("an answer"));
    assert_eq!(world.upstream.called(), ["main"]);
}

#[test]
fn the_second_wins_and_the_first_is_cancelled_and_counted() {
    let world = World::new(|up| up.of("main", [stream(5000, "slow")]).of("second", [stream(200, "quick")]));
    let answer = world.ask("hedged", STREAM).expect("an answer");
    assert_eq!((world.ms(), world.upstream.dropped.get()), (700, 1), "cancelled at once");
    assert_eq!(header(&answer.headers, "postern-attempted"), "main=hedge_lost, second=ok");
    assert_eq!(header(&answer.headers, "postern-deployment"), "second");
    let (bytes, step) = collect(answer);
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!((step, text.contains("quick"), text.contains("slow")), (Step::Complete, true, false));
    let (records, _) = world.gateway.books().journal.take();
    assert_eq!(records.len(), 1, "settled once");
    assert_eq!((records[0].attempts, records[0].hedges_lost), (2, 1));
    assert_eq!(records[0].deployment.as_deref(), Some("second"));
    assert!(world.idle());
    for _ in 0..8 {
        let again =
            FakeUpstream::timed(&world.clock).of("main", [stream(5000, "a")]).of("second", [stream(1, "b")]);
        let (gateway, clock) = (&world.gateway, &world.clock);
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        let body = r#"{"model":"hedged","stream":true,"messages":[]}"#;
        crate::fake::ask_with(gateway, &again, &head("POST", CHAT, headers), body).expect("an answer");
        assert_eq!(again.called(), ["main", "second"], "losing is no failure: still the first choice");
        assert!(clock.now().monotonic.as_secs() < 60);
    }
}

#[test]
fn the_first_can_still_win() {
    let world = World::new(|up| up.of("main", [whole(600)]).of("second", [whole(5000)]));
    let answer = world.ask("hedged", "").expect("an answer");
    assert_eq!(world.ms(), 600);
    assert_eq!(header(&answer.headers, "postern-attempted"), "main=ok, second=hedge_lost");
    assert_eq!(header(&answer.headers, "postern-deployment"), "main");
    assert!(world.idle());
}

#[test]
fn an_error_never_wins_while_the_other_runs() {
    let failure = || Reply::stream(vec![b"data: {\"error\":{\"message\":\"no\"}}\n\n".to_vec()]);
    let world = World::new(|up| up.of("main", [stream(900, "slow")]).of("second", [failure()]));
    let answer = world.ask("hedged", STREAM).expect("an answer");
    assert_eq!(header(&answer.headers, "postern-attempted"), "main=ok, second=upstream_failed");
    let world = World::new(|up| {
        let slow_failure = Reply::stream(Vec::new())
            .then(Piece::Wait(Duration::from_millis(600)))
            .then(Piece::Bytes(b"data: {\"error\":{\"message\":\"no\"}}\n\n".to_vec()));
        up.of("main", [slow_failure]).of("second", [stream(700, "late")])
    });
    let answer = world.ask("hedged", STREAM).expect("an answer");
    assert_eq!((world.ms(), header(&answer.headers, "postern-deployment")), (1200, "second"));
}

#[test]
fn both_at_once_where_configured_and_in_scope() {
    let world =
        World::new(|up| up.of("main", [stream(300, "a"), stream(9, "a")]).of("second", [stream(100, "b")]));
    let answer = world.ask("both", STREAM).expect("an answer");
    assert_eq!((world.ms(), header(&answer.headers, "postern-deployment")), (100, "second"));
    let world = World::new(|up| up.of("main", [whole(300)]));
    world.ask("both", "").expect("buffered answers are out of its scope");
}

#[test]
fn not_where_it_could_do_harm() {
    for more in [r#","stream":true,"store":true"#, r#","stream":true,"n":2"#] {
        let world = World::new(|up| up.of("main", [stream(2000, "a")]));
        world.ask("hedged", more).expect("an answer");
        assert_eq!(world.upstream.called(), ["main"], "{more}");
    }
    let world = World::new(|up| up.of("third", [stream(2000, "a")]));
    world.ask("strict", STREAM).expect("an answer");
    assert_eq!(world.upstream.called(), ["third"], "the other would expose more");
}

#[test]
fn hedges_are_a_share_of_the_requests() {
    let world = World::new(|up| {
        up.of("main", (0..100).map(|_| whole(600))).of("second", (0..100).map(|_| whole(5000)))
    });
    for _ in 0..100 {
        world.ask("rare", "").expect("an answer");
    }
    let hedged = world.upstream.called().iter().filter(|name| *name == "second").count();
    assert_eq!(hedged, 5, "five in a hundred");
}

#[test]
fn what_is_slow_is_measured() {
    let world = World::new(|up| {
        up.of("main", (0..10).map(|_| stream(100, "a")).chain([stream(900, "a")]))
            .of("second", [stream(1, "b")])
    });
    for _ in 0..10 {
        world.ask("measured", STREAM).expect("an answer");
    }
    let before = world.ms();
    let answer = world.ask("measured", STREAM).expect("an answer");
    assert_eq!((world.ms() - before, header(&answer.headers, "postern-deployment")), (101, "second"));
}

#[test]
fn a_client_that_leaves_cancels_both() {
    let world = World::new(|up| up.of("main", [stream(9000, "a")]).of("second", [stream(9000, "b")]));
    let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
    let opened =
        gateway::open(&head("POST", CHAT, headers), &world.gateway, world.clock.now()).expect("opens");
    let body = Plaintext::new(bytes::Bytes::from_static(br#"{"model":"both","stream":true,"messages":[]}"#));
    let handling = gateway::handle(opened, body, &world.gateway, &world.upstream, &world.clock);
    assert!(crate::fake::poll_once(handling).is_none());
    assert_eq!((world.upstream.called().len(), world.upstream.dropped.get(), world.idle()), (2, 2, true));
    let (records, _) = world.gateway.books().journal.take();
    assert_eq!((records.len(), records[0].outcome), (1, Outcome::Cancelled));
}

#[test]
fn requests_wait_for_room_and_not_for_ever() {
    let world = World::new(|up| up.of("third", [stream(1, "a"), whole(10)]));
    let held = world.ask("narrow", STREAM).expect("an answer");
    let refused = world.ask("narrow", "").err().expect("an error");
    assert_eq!((refused.status(), refused.code()), (503, "overloaded"));
    assert_eq!(header(&refused.headers(), "retry-after"), "2", "as long as a call is taken to last");
    assert!((4000..4100).contains(&world.ms()), "{}", world.ms());
    let before = world.ms();
    // The place becomes free while the next one waits.
    let asking = async {
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        let opened = gateway::open(&head("POST", CHAT, headers), &world.gateway, world.clock.now())?;
        let body = Plaintext::new(bytes::Bytes::from_static(br#"{"model":"narrow","messages":[]}"#));
        gateway::handle(opened, body, &world.gateway, &world.upstream, &world.clock).await
    };
    let leaving = async {
        world.clock.sleep(Duration::from_millis(300)).await;
        drop(held);
    };
    let answer = world.clock.run(crate::fake::both(asking, leaving));
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(world.ms() - before, 300 + 10, "at the very moment");
    assert!(world.gateway.models().find("narrow").expect("configured").queue.is_empty());
}
