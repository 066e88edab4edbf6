//! Many clients at once against providers that fail, stall, throttle, lie about when to come back and cut streams, on
//! the simulated clock. Nothing is lost, nothing comes twice, every request is settled exactly once.
//!
//! `POSTERN_CHAOS_REQUESTS` makes it longer; `POSTERN_CHAOS_SEED` makes it another one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use gateway::audit::{AuditRecord, Outcome};
use gateway::route::tree::Dice;
use gateway::upstream::{Progress, ReadError, SendError};
use gateway::{
    AnswerBody, Clock, Gateway, Plaintext, Step, Upstream, UpstreamBody, UpstreamCall, UpstreamResponse,
};

use crate::fake::{CHAT, KEY, TestClock, gateway_with, head};

const MODELS: &str = r#"
[deployments.third]
provider = "openai_compatible"
model = "gpt-z"
base_url = "http://127.0.0.1:9001"
limits = { max_in_flight = 6 }
timeouts = { first_content_ms = 3000, stall_ms = 2000, total_ms = 20000 }
[deployments.fourth]
provider = "openai_compatible"
model = "gpt-w"
base_url = "http://127.0.0.1:9002"
timeouts = { first_content_ms = 3000, stall_ms = 2000, total_ms = 20000 }
[models.chaos]
strategy = "least_latency"
members = ["third", "fourth", { strategy = "round_robin", members = ["main", "second"] }]
timeouts = { first_content_ms = 4000, stall_ms = 2000, total_ms = 30000 }
hedge = { mode = "delayed", delay_ms = 700, budget_percent = 20 }
queue = { length = 20, wait_ms = 2000 }
[models.tight]
strategy = "priority"
members = ["third"]
timeouts = { total_ms = 15000 }
queue = { length = 4, wait_ms = 1500 }
"#;

const WORDS: usize = 5;

/// One piece of a body.
#[derive(Clone)]
enum Piece {
    Bytes(String),
    Wait(u64),
    Break(ReadError),
}

/// A provider that misbehaves by the dice.
struct Chaos {
    clock: TestClock,
    dice: Dice,
    calls: Cell<u64>,
    open: Rc<Cell<i64>>,
}

struct Body {
    pieces: VecDeque<Piece>,
    clock: TestClock,
    stall: Duration,
    open: Rc<Cell<i64>>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

impl UpstreamBody for Body {
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<Progress, ReadError> {
        while let Some(Piece::Wait(ms)) = self.pieces.front().cloned() {
            let wait = Duration::from_millis(ms);
            self.clock.sleep(wait.min(self.stall)).await;
            if wait > self.stall {
                return Err(ReadError::Timeout);
            }
            self.pieces.pop_front();
        }
        match self.pieces.pop_front() {
            None | Some(Piece::Wait(_)) => Ok(Progress::End),
            Some(Piece::Bytes(text)) => {
                into.extend_from_slice(text.as_bytes());
                Ok(Progress::Data)
            }
            Some(Piece::Break(error)) => Err(error),
        }
    }
}

fn word(call: u64, place: usize) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"<{call}:{place}>\"}}}}]}}\n\n")
}

impl Chaos {
    fn refusal(&self) -> (u16, Vec<(String, Vec<u8>)>) {
        let status = [500, 502, 503, 529, 429, 429, 408][self.dice.below(7)];
        let lies = ["0", "1", "3", "9999999", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"];
        let advice = lies[self.dice.below(lies.len())];
        (status, vec![("retry-after".to_owned(), advice.as_bytes().to_vec())])
    }

    fn stream(&self, call: u64) -> Vec<Piece> {
        let mut pieces =
            vec![Piece::Wait(self.dice.below(900) as u64), Piece::Bytes(": ping\n\n".to_owned())];
        let words = (0..WORDS)
            .flat_map(|place| [Piece::Bytes(word(call, place)), Piece::Wait(self.dice.below(300) as u64)]);
        match self.dice.below(10) {
            0 => pieces.push(Piece::Bytes("data: {\"error\":{\"message\":\"no\"}}\n\n".to_owned())),
            1 => pieces.push(Piece::Break(ReadError::Broken)),
            2 => pieces.push(Piece::Wait(60_000)),
            3 => {
                pieces.extend(words.take(5));
                pieces.push(Piece::Break(ReadError::Broken));
            }
            4 => {
                pieces.extend(words.take(3));
                pieces.push(Piece::Wait(60_000));
            }
            5 => pieces.extend(words.take(4)),
            _ => {
                pieces.extend(words);
                pieces.push(Piece::Bytes("data: [DONE]\n\n".to_owned()));
            }
        }
        pieces
    }

    fn whole(&self, call: u64) -> Vec<Piece> {
        let text: String = (0..WORDS).map(|place| format!("<{call}:{place}>")).collect();
        let answer = format!(
            r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}}}"#
        );
        let mut pieces = vec![Piece::Wait(self.dice.below(1500) as u64)];
        match self.dice.below(8) {
            0 => pieces.push(Piece::Break(ReadError::Broken)),
            1 => pieces.push(Piece::Bytes("{\"error\":{\"message\":\"no\"}}".to_owned())),
            2 => pieces.push(Piece::Bytes("<html>".to_owned())),
            3 => pieces.push(Piece::Wait(60_000)),
            _ => pieces.push(Piece::Bytes(answer)),
        }
        pieces
    }
}

impl Upstream for Chaos {
    type Body = Body;

    async fn send(&self, sent: UpstreamCall) -> Result<UpstreamResponse<Body>, SendError> {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        self.clock.sleep(Duration::from_millis(self.dice.below(200) as u64)).await;
        match self.dice.below(12) {
            0 => return Err(SendError::Connection),
            1 => {
                self.clock.sleep(sent.timeouts.response_head).await;
                return Err(SendError::Timeout);
            }
            _ => {}
        }
        let asked = sent.body.expose().to_bytes();
        let streamed = memchr::memmem::find(&asked, b"\"stream\":true").is_some();
        let (status, mut headers, pieces) = match self.dice.below(4) {
            0 => {
                let (status, headers) = self.refusal();
                (status, headers, vec![Piece::Bytes("{\"error\":{\"message\":\"no\"}}".to_owned())])
            }
            _ if streamed => (200, Vec::new(), self.stream(call)),
            _ => (200, Vec::new(), self.whole(call)),
        };
        let kind: &[u8] = if streamed && status == 200 { b"text/event-stream" } else { b"application/json" };
        headers.push(("content-type".to_owned(), kind.to_vec()));
        self.open.set(self.open.get() + 1);
        let body = Body {
            pieces: pieces.into(),
            clock: self.clock.clone(),
            stall: sent.timeouts.stall,
            open: Rc::clone(&self.open),
        };
        Ok(UpstreamResponse { status, headers, body })
    }
}

/// How a client saw its request end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Complete,
    Broken,
    Refused,
    Left,
}

struct World {
    gateway: Gateway,
    clock: TestClock,
    upstream: Chaos,
    dice: Dice,
    left: Cell<usize>,
    seen: RefCell<BTreeMap<Seen, usize>>,
    records: RefCell<Vec<AuditRecord>>,
}

impl World {
    async fn client(&self) {
        while self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            let patience = match self.dice.below(12) {
                0 => Duration::from_millis(self.dice.below(3000) as u64),
                _ => Duration::from_hours(1),
            };
            let started = self.clock.now().monotonic;
            let leaves = started + patience;
            let mut exchange = Box::pin(self.exchange());
            let mut timer = Box::pin(self.clock.sleep(patience));
            let seen = poll_fn(|context| {
                if let Poll::Ready(seen) = exchange.as_mut().poll(context) {
                    return Poll::Ready(seen);
                }
                timer.as_mut().poll(context).map(|()| Seen::Left)
            })
            .await;
            drop(exchange);
            let took = self.clock.now().monotonic.saturating_sub(started);
            assert!(took <= Duration::from_mins(1).min(leaves), "a request took {took:?}");
            *self.seen.borrow_mut().entry(seen).or_default() += 1;
            let (records, lost) = self.gateway.books().journal.take();
            assert_eq!(lost, 0, "no record is lost");
            self.records.borrow_mut().extend(records);
            // Nobody asks again in the very moment of an answer.
            self.clock.sleep(Duration::from_millis(1 + self.dice.below(400) as u64)).await;
        }
    }

    async fn exchange(&self) -> Seen {
        let (stream, model) =
            (self.dice.below(2) == 0, ["chaos", "chaos", "chaos", "tight"][self.dice.below(4)]);
        let body = format!(
            r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let headers: &[(&str, &[u8])] = &[("x-api-key", KEY.as_bytes())];
        let opened =
            gateway::open(&head("POST", CHAT, headers), &self.gateway, self.clock.now()).expect("opens");
        let body = Plaintext::new(bytes::Bytes::from(body));
        let answer = gateway::handle(opened, body, &self.gateway, &self.upstream, &self.clock).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(refused) => {
                assert!(
                    refused.status() >= 400 && !refused.body_json(gateway::error::Shape::OpenAi).is_empty()
                );
                let wait = refused.headers().into_iter().find(|(name, _)| *name == "retry-after");
                assert!(wait.is_none_or(|(_, wait)| wait.parse::<u64>().expect("seconds") <= 120));
                return Seen::Refused;
            }
        };
        let (bytes, step) = match answer.body {
            AnswerBody::Whole(body) => (body.into_exposed().to_vec(), Step::Complete),
            AnswerBody::Stream(mut stream) => {
                let mut out = Plaintext::new(Vec::new());
                loop {
                    let step = stream.next(&mut out, &self.clock).await;
                    if step != Step::More {
                        break (out.into_exposed(), step);
                    }
                }
            }
        };
        let text = String::from_utf8(bytes).expect("UTF-8");
        check(&text, step);
        if step == Step::Complete { Seen::Complete } else { Seen::Broken }
    }
}

/// The words are one call's, in order, each once; all of them if the answer is complete.
fn check(text: &str, step: Step) {
    let words: Vec<(&str, usize)> = text
        .split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().expect("a word").split_once(':').expect("a pair"))
        .map(|(call, place)| (call, place.parse().expect("a number")))
        .collect();
    let first = words.first().expect("a committed answer has content").0;
    assert!(words.iter().all(|(call, _)| *call == first), "two calls in one answer: {text}");
    let places: Vec<usize> = words.iter().map(|(_, place)| *place).collect();
    let expected: Vec<usize> = (0..places.len()).collect();
    assert_eq!(places, expected, "in order and once: {text}");
    let complete = step == Step::Complete;
    assert_eq!(complete, places.len() == WORDS && !text.contains("\"error\""), "{step:?}: {text}");
    assert!(complete || text.contains("\"error\""), "a broken stream says so: {text}");
}

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn chaos_loses_nothing_and_doubles_nothing() {
    let total = number("POSTERN_CHAOS_REQUESTS", 4000) as usize;
    let seed = number("POSTERN_CHAOS_SEED", 1);
    let clock = TestClock::default();
    let open = Rc::<Cell<i64>>::default();
    let upstream =
        Chaos { clock: clock.clone(), dice: Dice::new(seed), calls: Cell::new(0), open: Rc::clone(&open) };
    let world = World {
        gateway: gateway_with(MODELS),
        clock: clock.clone(),
        upstream,
        dice: Dice::new(seed ^ 0xff),
        left: Cell::new(total),
        seen: RefCell::default(),
        records: RefCell::default(),
    };
    let mut clients: Vec<Option<Pin<Box<dyn Future<Output = ()> + '_>>>> =
        (0..48).map(|_| Some(Box::pin(world.client()) as _)).collect();
    clock.run(poll_fn(|context| {
        for client in &mut clients {
            if client.as_mut().is_some_and(|client| client.as_mut().poll(context).is_ready()) {
                *client = None;
            }
        }
        if clients.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    }));
    drop(clients);
    let (seen, records) = (world.seen.borrow(), world.records.borrow());
    let count = |outcome| records.iter().filter(|record| record.outcome == outcome).count();
    let saw = |end| seen.get(&end).copied().unwrap_or(0);
    assert_eq!(records.len(), total, "every request is settled exactly once: {seen:?}");
    let ids: std::collections::BTreeSet<_> =
        records.iter().map(|record| record.request_id.as_str()).collect();
    assert_eq!(ids.len(), total);
    assert_eq!(count(Outcome::Complete), saw(Seen::Complete));
    assert_eq!(count(Outcome::Broken), saw(Seen::Broken));
    assert_eq!(count(Outcome::Refused), saw(Seen::Refused));
    assert_eq!(count(Outcome::Cancelled), saw(Seen::Left));
    assert!(
        [Seen::Complete, Seen::Broken, Seen::Refused, Seen::Left].into_iter().all(|end| saw(end) > 20),
        "{seen:?}"
    );
    assert!(records.iter().any(|record| record.hedges_lost > 0), "some were hedged");
    assert_eq!(open.get(), 0, "every upstream body was let go");
    for model in world.gateway.models().iter() {
        assert!(model.queue.is_empty(), "{}", model.name);
        assert!(model.leaves.iter().all(|leaf| leaf.health.in_flight() == 0), "{}", model.name);
    }
    let attempts: u64 = records.iter().map(|record| u64::from(record.attempts)).sum();
    assert_eq!(attempts, world.upstream.calls.get(), "every call is in a record");
}
