//! Probes: what they ask for, what they mean, and for how long.

use std::time::Duration;

use gateway::Gateway;
use gateway::pipeline::{probe, probed};
use gateway::upstream::SendError;

use crate::fake::{
    CHAT, CONFIG, CREDENTIAL, FakeUpstream, KEY, Reply, TestClock, ask_with, gateway_with, head,
};

const MODELS: &str = r#"
[deployments.watched]
provider = "anthropic"
model = "claude-x"
credential = "test:main"
probe = { interval_ms = 2000 }
[deployments.other]
provider = "openai_compatible"
model = "other"
base_url = "http://127.0.0.1:9000/v1"
[models.mine]
members = ["watched", "other"]
[models.again]
members = ["watched"]
"#;
const CLAUDE: &str = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
const OPENAI: &str = r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#;

struct World {
    gateway: Gateway,
    clock: TestClock,
}

impl World {
    fn new() -> Self {
        Self { gateway: gateway_with(MODELS), clock: TestClock::default() }
    }

    fn probe(&self, reply: Reply) -> FakeUpstream {
        let upstream = FakeUpstream::timed(&self.clock).of("watched", [reply]);
        let probed = probed(&self.gateway);
        let [(leaf, how)] = probed[..] else { panic!("one deployment, once") };
        self.clock.run(probe(leaf, how, &upstream, &self.clock));
        upstream
    }

    /// Who serves a request now.
    fn served(&self, model: &str) -> String {
        let upstream = FakeUpstream::timed(&self.clock)
            .of("watched", [Reply::json(200, CLAUDE)])
            .of("other", [Reply::json(200, OPENAI)]);
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}]}}"#);
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        ask_with(&self.gateway, &upstream, &head("POST", CHAT, headers), body).expect("an answer");
        upstream.called().join(" ")
    }
}

#[test]
fn a_deployment_that_a_probe_finds_ill_is_left_alone_until_that_is_stale() {
    for reply in
        [Reply::json(503, "{}"), Reply::json(401, "{}"), Reply::Fail(SendError::Connection), Reply::Silence]
    {
        let world = World::new();
        assert_eq!(world.served("mine"), "watched");
        world.probe(reply);
        assert_eq!(world.served("mine"), "other");
        assert_eq!(world.served("again"), "watched", "where there is no other it is asked all the same");
        world.clock.pass(Duration::from_millis(5999));
        assert_eq!(world.served("mine"), "other");
        world.clock.pass(Duration::from_millis(1));
        assert_eq!(world.served("mine"), "watched", "three intervals later nobody knows any more");
    }
}

#[test]
fn what_says_nothing_of_health_changes_nothing() {
    let world = World::new();
    for status in [200, 404, 429, 408] {
        world.probe(Reply::json(status, "{}"));
        assert_eq!(world.served("mine"), "watched", "{status}");
    }
    world.probe(Reply::json(500, "{}"));
    world.probe(Reply::json(429, "{}"));
    assert_eq!(world.served("mine"), "other");
    world.probe(Reply::json(200, r#"{"data":[]}"#));
    assert_eq!(world.served("mine"), "watched");
}

#[test]
fn a_probe_asks_for_models_and_costs_nothing() {
    let world = World::new();
    let upstream = world.probe(Reply::json(200, r#"{"data":[]}"#));
    let sent = upstream.sent.borrow();
    assert_eq!((sent[0].path.as_str(), sent[0].body.len()), ("/v1/models", 0));
    let header =
        |name: &str| sent[0].headers.iter().find(|(own, _)| *own == name).map(|(_, own)| own.clone());
    assert_eq!(header("x-api-key").as_deref(), Some(CREDENTIAL.as_bytes()));
    assert_eq!(header("anthropic-version").as_deref(), Some(&b"2023-06-01"[..]));
    assert!(world.gateway.books().journal.take().0.is_empty(), "it is nobody's request");
}

#[test]
fn what_cannot_be_probed_is_refused_at_the_start() {
    let refused = |more: &str| {
        let text = CONFIG.replace("@KEY@", &"a".repeat(64)).replace("@NARROW@", &"b".repeat(64));
        let config = gateway::config::parse(&format!("{text}{more}")).expect("parses");
        gateway::config::build(&config, &crate::fake::Secrets).err().expect(more).to_string()
    };
    let builtin = "[deployments.b]\nprovider = 'builtin'\nmodel = 'm'\nprobe = {}\n";
    assert!(refused(builtin).contains("deployments.b.probe"), "{}", refused(builtin));
    let brief = "[deployments.c]\nprovider = 'openai'\nmodel = 'm'\ncredential = 'test:main'\nprobe = { interval_ms = 5000, counts_ms = 4000 }\n";
    assert!(refused(brief).contains("probe.counts_ms"), "{}", refused(brief));
}
