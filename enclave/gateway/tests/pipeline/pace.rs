//! Streams that begin too slowly are given up for another deployment while nobody has seen anything of them.

use std::time::Duration;

use gateway::{Answer, AnswerBody, Clock, Gateway, Plaintext, Refused, Step};

use crate::fake::{CHAT, FakeBody, FakeUpstream, KEY, Piece, Reply, TestClock, gateway_with, head, text};

const MODELS: &str = r#"
[models.brisk]
members = ["main", "second"]
throughput = { tokens_per_second = 4, within_ms = 2000 }
[models.alone]
members = ["main"]
throughput = { tokens_per_second = 4, within_ms = 2000 }
"#;

fn event(text: &str) -> Vec<u8> {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into_bytes()
}

/// A stream with so many words, each after so long, and then the end or nothing more.
fn words(count: usize, each_ms: u64, last: Piece) -> Reply {
    let mut reply = Reply::stream(Vec::new());
    for _ in 0..count {
        reply = reply.then(Piece::Wait(Duration::from_millis(each_ms))).then(Piece::Bytes(event("w ")));
    }
    reply.then(last)
}

fn done() -> Piece {
    Piece::Bytes(b"data: [DONE]\n\n".to_vec())
}

struct World {
    gateway: Gateway,
    clock: TestClock,
    upstream: FakeUpstream,
}

impl World {
    fn new(first: Reply) -> Self {
        let clock = TestClock::default();
        let quick = words(3, 1, done());
        let upstream = FakeUpstream::timed(&clock).of("main", [first]).of("second", [quick]);
        Self { gateway: gateway_with(MODELS), clock, upstream }
    }

    fn ask(&self, model: &str, more: &str) -> Result<Answer<FakeBody>, Refused> {
        let body = format!(
            r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"x"}}]{more}}}"#
        );
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        crate::fake::ask_with(&self.gateway, &self.upstream, &head("POST", CHAT, headers), body)
    }

    /// Who answered with how many words, whether the answer was whole, and after how long it began.
    fn told(&self, model: &str, more: &str) -> (String, usize, Step, u128) {
        let answer = self.ask(model, more).expect("an answer");
        let began = self.clock.now().monotonic.as_millis();
        let served = answer.headers.iter().find(|(name, _)| *name == "postern-deployment");
        let served = served.expect("named").1.clone();
        let AnswerBody::Stream(mut stream) = answer.body else { panic!("a stream was asked for") };
        let mut body = Plaintext::new(Vec::new());
        loop {
            let step = self.clock.run(stream.next(&mut body, &self.clock));
            if step != Step::More {
                return (served, text(body.expose()).matches("w ").count(), step, began);
            }
        }
    }
}

#[test]
fn a_slow_beginning_goes_to_another_deployment_and_nothing_is_said_twice() {
    let world = World::new(words(30, 900, done()));
    let (served, count, step, began) = world.told("brisk", "");
    assert_eq!((served.as_str(), count, step), ("second", 3, Step::Complete));
    // The first word at 900 ms, two seconds of patience, and the other one's first words.
    assert!((2900..3000).contains(&began), "{began}");
    assert_eq!(world.upstream.called(), ["main", "second"]);
    let attempts = world.gateway.books().journal.take().0;
    assert_eq!(attempts.first().map(|own| own.attempts), Some(2));
}

#[test]
fn a_quick_beginning_is_let_go_as_soon_as_it_is_known() {
    // 64 words at ten a second would take longer than the time for judging.
    let world = World::new(words(40, 100, done()));
    let (served, count, step, began) = world.told("brisk", "");
    assert_eq!((served.as_str(), count, step, began), ("main", 40, Step::Complete, 2100));
    // A short answer is over before that.
    let world = World::new(words(2, 400, done()));
    assert_eq!(world.told("brisk", ""), ("main".to_owned(), 2, Step::Complete, 800));
}

#[test]
fn what_breaks_while_it_is_held_back_is_begun_again_elsewhere() {
    let world = World::new(words(2, 10, Piece::Fail(gateway::upstream::ReadError::Broken)));
    let (served, count, step, _) = world.told("brisk", "");
    assert_eq!((served.as_str(), count, step), ("second", 3, Step::Complete));
}

#[test]
fn the_last_that_is_left_may_be_slow() {
    let world = World::new(words(5, 900, done()));
    let (served, count, step, began) = world.told("alone", "");
    assert_eq!((served.as_str(), count, step, began), ("main", 5, Step::Complete, 900));
    // Nor is a request begun twice that must not be.
    let world = World::new(words(5, 900, done()));
    let (served, _, step, began) = world.told("brisk", r#","web_search_options":{}"#);
    assert_eq!((served.as_str(), step, began), ("main", Step::Complete, 900));
}
