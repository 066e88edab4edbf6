//! Copies for deployments on trial: counted, capped, never to the client's harm and never beyond policy.

use std::pin::pin;

use gateway::deployment::Exposure;
use gateway::{Clock, Gateway, Plaintext};

use crate::fake::{
    CHAT, FakeUpstream, KEY, Piece, Reply, TestClock, collect, gateway_with, head, poll_once, text,
};

const MODELS: &str = r#"
[deployments.trial]
provider = "openai_compatible"
model = "gpt-new"
base_url = "http://127.0.0.1:9005"
exposure = "contract_zdr"
timeouts = { total_ms = 5000 }
price = { input = "1.00", output = "2.00" }
[deployments.open-trial]
provider = "openai_compatible"
model = "gpt-new"
base_url = "http://127.0.0.1:9006"
exposure = "provider_visible"
[deployments.closed]
provider = "openai_compatible"
model = "gpt-closed"
base_url = "http://127.0.0.1:9007"
exposure = "contract_zdr"
[models.copied]
deployments = ["closed"]
retry = { max_attempts = 1 }
shadow = { use = "trial", percent = 100, max_in_flight = 2, requests_per_minute = 3 }
[models.strict]
deployments = ["closed"]
shadow = { use = "open-trial", percent = 100 }
[models.seldom]
deployments = ["closed"]
shadow = { use = "trial", percent = 10, max_in_flight = 1000, requests_per_minute = 1000 }
"#;

struct World {
    gateway: Gateway,
    upstream: FakeUpstream,
    clock: TestClock,
}

fn answer(words: &str) -> Reply {
    Reply::json(
        200,
        format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"{words}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}}}"#
        ),
    )
}

impl World {
    fn new(replies: impl FnOnce(FakeUpstream) -> FakeUpstream) -> Self {
        let clock = TestClock::default();
        let upstream = replies(FakeUpstream::timed(&clock));
        Self { gateway: gateway_with(MODELS), upstream, clock }
    }

    fn ask(&self, model: &str, more: &str) -> String {
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        let opened =
            gateway::open(&head("POST", CHAT, headers), &self.gateway, self.clock.now()).expect("opens");
        let body = format!(r#"{{"model":"{model}","messages":[]{more}}}"#);
        let handling = gateway::handle(
            opened,
            Plaintext::new(body.into_bytes().into()),
            &self.gateway,
            &self.upstream,
            &self.clock,
        );
        text(&collect(self.clock.run(handling).expect("an answer")).0)
    }

    /// Makes all calls that wait; how many there were.
    fn make_copies(&self) -> usize {
        let mut made = 0;
        while let Some(call) = poll_once(self.gateway.shadows().next()) {
            self.clock.run(gateway::pipeline::shadow(call, &self.gateway, &self.upstream, &self.clock));
            made += 1;
        }
        made
    }
}

#[test]
fn a_copy_is_made_after_the_answer_and_only_counted() {
    let stream = |usage: &str| {
        Reply::stream(vec![
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n".to_vec(),
            format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n").into_bytes(),
            b"data: [DONE]\n\n".to_vec(),
        ])
    };
    let usage = r#"{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#;
    let world = World::new(|up| {
        up.of("closed", [answer("the answer"), stream(usage)]).of("trial", [answer("secret"), stream(usage)])
    });
    assert!(world.ask("copied", "").contains("the answer"));
    assert_eq!(world.upstream.called(), ["closed"], "not before the answer");
    assert_eq!(world.make_copies(), 1);
    assert!(world.ask("copied", r#","stream":true"#).contains("hi"));
    assert_eq!(world.make_copies(), 1);
    assert_eq!(world.upstream.called(), ["closed", "trial", "closed", "trial"]);
    let sent = world.upstream.sent.borrow();
    assert!(text(&sent[1].body).contains("gpt-new"), "under the name of the deployment on trial");
    let all = world.gateway.books().metrics.shadows();
    let own = &all["trial"];
    assert_eq!((own.ends[&None], own.input_tokens, own.output_tokens), (2, 14, 6));
    assert_eq!((own.cost_nano_usd, own.first_content.count()), (2 * (7 * 1000 + 3 * 2000), 2));
    let (records, _) = world.gateway.books().journal.take();
    assert_eq!(records.len(), 2, "copies are nobody's requests");
    assert!(records.iter().all(|record| record.attempts == 1));
    assert!(
        !gateway::metrics::prometheus::render(&world.gateway.books().metrics, world.gateway.models(), None)
            .contains("secret")
    );
}

#[test]
fn failing_and_hanging_copies_are_counted_and_end() {
    let hanging = Reply::of(200, "application/json", vec![]).then(Piece::Hang);
    let world = World::new(|up| {
        up.of("closed", [answer("a"), answer("b")]).of("trial", [Reply::json(500, "{}"), hanging])
    });
    world.ask("copied", "");
    world.ask("copied", "");
    assert_eq!(world.make_copies(), 2);
    let all = world.gateway.books().metrics.shadows();
    let ends: Vec<_> = all["trial"].ends.iter().map(|(error, count)| (error.unwrap(), *count)).collect();
    assert_eq!(ends, [("upstream_error", 1), ("upstream_timeout", 1)]);
    let model = world.gateway.models().find("copied").expect("configured");
    let shadow = model.shadow.as_ref().expect("configured");
    assert_eq!((shadow.in_flight(), shadow.leaf.health.in_flight()), (0, 0));
}

#[test]
fn copies_are_capped() {
    let world = World::new(|up| {
        up.of("closed", (0..6).map(|_| answer("a"))).of("trial", (0..6).map(|_| answer("b")))
    });
    (0..3).for_each(|_| drop(world.ask("copied", "")));
    assert_eq!(world.make_copies(), 2, "two at the same time");
    (0..3).for_each(|_| drop(world.ask("copied", "")));
    assert_eq!(world.make_copies(), 1, "three in a minute");
}

#[test]
fn copies_are_a_share_of_the_requests() {
    let world = World::new(|up| {
        up.of("closed", (0..400).map(|_| answer("a"))).of("trial", (0..400).map(|_| answer("b")))
    });
    (0..400).for_each(|_| drop(world.ask("seldom", "")));
    let made = world.make_copies();
    assert!((20..=60).contains(&made), "{made} of 400 at ten in a hundred");
}

#[test]
fn copies_go_nowhere_the_answer_could_not_come_from() {
    let world = World::new(|up| up.of("closed", (0..3).map(|_| answer("a"))));
    world.ask("strict", "");
    assert_eq!(world.make_copies(), 0, "it would expose more");
    let deployments = |name: &str| {
        let model = world.gateway.models().find(name).expect("configured");
        model.shadow.as_ref().expect("configured").leaf.deployment.exposure
    };
    assert_eq!(deployments("strict"), Exposure::ProviderVisible);
    world.ask("copied", r#","store":true"#);
    world.ask("copied", r#","tools":[{"type":"web_search"}]"#);
    assert_eq!(world.make_copies(), 0, "it would be carried out twice");
}

#[test]
fn whoever_waits_for_copies_is_woken() {
    let world = World::new(|up| up.of("closed", [answer("a")]).of("trial", [answer("b")]));
    let waiting = async {
        let call = world.gateway.shadows().next().await;
        gateway::pipeline::shadow(call, &world.gateway, &world.upstream, &world.clock).await;
    };
    let mut waiting = pin!(waiting);
    let noop = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(noop);
    assert!(Future::poll(waiting.as_mut(), &mut context).is_pending());
    world.ask("copied", "");
    world.clock.run(waiting);
    assert_eq!(world.upstream.called(), ["closed", "trial"]);
}
