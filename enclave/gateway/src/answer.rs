//! Step 7, answer: the upstream's bytes become the client's. Settles the exchange when it ends.
//!
//! A stream is committed at its first content: before that nothing has reached the client and another deployment may
//! still be tried; after it, a failure is told in the stream and the stream never looks complete.

use std::sync::Arc;

use bytes::Bytes;

use crate::audit::RequestId;
use crate::cache::{CacheState, Ended, Hit, Missed, Replay};
use crate::chat::{FinishReason, Usage};
use crate::clock::{Clock, Now};
use crate::deployment::Deployment;
use crate::error::{Error, Shape};
use crate::plaintext::Plaintext;
use crate::provider::{self, Reading, Refusal};
use crate::race::race;
use crate::route::Routed;
use crate::route::throughput::ThroughputSettings;
use crate::screening::report;
use crate::screening::stream::StreamGuard;
use crate::settle::{Attempted, EXPLANATION, Exchange, tokens};
use crate::upstream::{Progress, UpstreamBody, UpstreamResponse};
use crate::wire::dialect::Shown;
use crate::wire::embedding::write_answer;
use crate::wire::{Request, Scratch};

mod relay;

mod forward;

mod translate;

mod keeping;

pub(crate) mod vector;

pub(crate) mod shadow;

use forward::Forward;
use keeping::Keeping;
pub(crate) use relay::Relay as Relayed;
use relay::{End, Relay, Replayed};
use translate::Translation;

/// Most bytes of an upstream's error body that are read.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// Most bytes that are held back while waiting for the first content.
const MAX_HELD: usize = 256 * 1024;
/// Most events that are held back while waiting for the first content.
const MAX_HELD_EVENTS: usize = 64;

/// What goes to the client.
pub struct Answer<B> {
    /// HTTP status.
    pub status: u16,
    /// All headers but `content-length` and those of the connection, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: AnswerBody<B>,
}

/// The body of an [`Answer`].
pub enum AnswerBody<B> {
    /// A stream of events.
    Stream(Box<AnswerStream<B>>),
    /// All at once.
    Whole(Plaintext<Bytes>),
}

/// A streamed answer whose first content has arrived. Dropping it cancels the upstream and settles the exchange.
pub struct AnswerStream<B> {
    relay: Relay<B>,
    /// Events from before the commit point.
    held: Plaintext<Vec<u8>>,
    exchange: Exchange,
    shape: Shape,
    over: Option<Step>,
    /// Why it was ended on the way.
    cut: Option<&'static str>,
    /// Between the relay and the client.
    guard: Option<Box<StreamGuard>>,
    /// Guardrails may have changed the events' lengths.
    guarded: bool,
    /// The guard refuses to let the rest out.
    refused: Option<Error>,
    /// For a cache.
    keeping: Option<Keeping>,
}

/// What [`AnswerStream::next`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appended bytes, and the stream has failed: an error event is its last one. The connection must not end as if the
    /// answer were complete.
    Broken,
    /// Appended the last bytes; the answer is complete.
    Complete,
    /// Appended bytes; more will come.
    More,
}

/// How a stream ended, for its client.
enum Ending {
    Complete,
    Failed,
}

/// An upstream's answer up to where it is certain to be the one the client gets.
#[expect(clippy::large_enum_variant, reason = "moved once per request")]
pub(crate) enum Received<B> {
    Stream {
        relay: Relay<B>,
        held: Plaintext<Vec<u8>>,
        dropped: Vec<&'static str>,
        /// When its first content came.
        reached: Now,
    },
    Whole {
        body: Plaintext<Bytes>,
        usage: Option<Usage>,
        finish: Option<FinishReason>,
        dropped: Vec<&'static str>,
    },
}

/// One attempt whose answer is awaited.
pub(crate) struct Awaited<'a> {
    /// The request.
    pub(crate) routed: &'a Routed,
    /// Who answers.
    pub(crate) at: &'a Arc<Deployment>,
    /// In which dialect.
    pub(crate) reading: Reading,
    /// The exchange.
    pub(crate) id: &'a RequestId,
    /// When it was sent.
    pub(crate) sent: Now,
}

impl<B: UpstreamBody> AnswerStream<B> {
    /// Waits for the next piece and appends it to `out`; the first call returns at once.
    ///
    /// Cancel safe as far as [`UpstreamBody::read`] is: the shell may race it against a timer to send keep-alives.
    pub async fn next(&mut self, out: &mut Plaintext<Vec<u8>>, clock: &impl Clock) -> Step {
        if let Some(step) = self.over {
            return step;
        }
        let before = out.expose().len();
        let payer = self.exchange.payer();
        let reading = self.read(out.expose_mut());
        match payer {
            Some(key) => {
                race(reading, key.ends(clock)).await;
            }
            None => reading.await,
        }
        let new = out.expose().get(before..).unwrap_or_default();
        self.keeping = self.keeping.take().and_then(|own| own.with(new));
        let step = match self.end() {
            None => Step::More,
            Some(Ending::Complete) => {
                self.append_cost(out.expose_mut());
                Step::Complete
            }
            Some(Ending::Failed) => {
                self.tell_failure(out.expose_mut());
                Step::Broken
            }
        };
        self.exchange.answered(out.expose().get(before..).unwrap_or_default());
        let step = self.cut_if_it_may_not_go_on(step, out, clock.now());
        self.note(step, clock.now());
        step
    }

    /// Appends the event that ends the stream because of something on our side, above all a shutdown. Nothing may follow.
    pub fn append_failure(&mut self, error: &Error, out: &mut Plaintext<Vec<u8>>) {
        self.relay.append_failure(error, out.expose_mut());
    }

    /// Appends what comes next.
    async fn read(&mut self, out: &mut Vec<u8>) {
        if self.guard.is_some() {
            return self.guarded(out).await;
        }
        let before = out.len();
        out.append(self.held.expose_mut());
        while self.relay.end().is_none() && out.len() == before {
            self.relay.advance(out).await;
        }
    }

    /// As [`Self::next`], with the guard between. What the relay gave is in `held` until the guard has taken it, so that
    /// nothing is lost if the future is dropped while it waits.
    async fn guarded(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        let mut first = !self.held.expose().is_empty();
        while self.refused.is_none() && out.len() == before {
            if !std::mem::take(&mut first) {
                if self.relay.end().is_some() {
                    return;
                }
                self.relay.advance(self.held.expose_mut()).await;
            }
            let Some(guard) = &mut self.guard else { return };
            let last = match self.relay.end() {
                None => false,
                Some(End::Complete) => true,
                // What is still held back may be half of something.
                Some(End::Failed { .. }) => return,
            };
            let fed = guard.feed(self.held.expose(), last, out);
            self.held.expose_mut().clear();
            self.exchange.screened(guard.guard().report());
            self.refused = fed.err();
            if last {
                return;
            }
        }
    }

    /// How the stream ended, the guard's word before the upstream's.
    const fn end(&self) -> Option<Ending> {
        match (&self.refused, self.relay.end()) {
            (None, None) => None,
            (None, Some(End::Complete)) => Some(Ending::Complete),
            (Some(_), _) | (None, Some(End::Failed { .. })) => Some(Ending::Failed),
        }
    }

    /// Tells what ended the stream. Where there is a guard it is told in our words: the upstream's own are behind what is
    /// held back.
    fn tell_failure(&mut self, out: &mut Vec<u8>) {
        if let Some(error) = &self.refused {
            self.relay.append_failure(error, out);
        } else if self.guard.is_some() {
            self.relay.append_failure(&Error::UpstreamFailed, out);
        } else {
            self.relay.tell_failure(out);
        }
    }

    /// What may be sent while nothing else is, so that nobody on the way takes the silence for the end.
    pub const fn keep_alive(&self) -> &'static [u8] {
        match self.shape {
            Shape::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            // Google's SDKs cannot read comments.
            Shape::Google => b"\n\n",
            Shape::OpenAi => b": keep-alive\n\n",
        }
    }

    /// In whose words failures are told.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The upstream's body after [`Step::Complete`], so that the shell can read it to its end and keep the connection;
    /// nothing if a cache answered.
    pub fn into_upstream_body(self) -> Option<B> {
        self.relay.into_body()
    }

    /// Says what a complete stream cost: in a comment, which no client takes for content, right before the end mark, after
    /// which some clients accept nothing. Says nothing if the cost is not known, nor to Google's SDKs, which cannot read
    /// comments.
    fn append_cost(&mut self, out: &mut Vec<u8>) {
        self.exchange.reported(self.relay.usage(), self.relay.finish());
        let mut comments = String::new();
        if let Some(cost) = self.exchange.cost() {
            comments = format!(": {COST} {cost}\n\n");
        }
        if self.guard.is_some() {
            comments = format!("{comments}: {} {}\n\n", report::HEADER, self.exchange.guardrails());
        }
        if !comments.is_empty() && self.shape != Shape::Google {
            let end_mark = match self.relay.end_mark() {
                0 => 0,
                // The guard may have changed it.
                own => {
                    if self.guarded {
                        translate::last_event(out)
                    } else {
                        own
                    }
                }
            };
            let at = out.len().saturating_sub(end_mark);
            let mark = out.split_off(at);
            out.extend_from_slice(comments.as_bytes());
            out.extend_from_slice(&mark);
        }
    }

    /// Ends an answer whose key was revoked, or that overruns a budget, while it is being given.
    fn cut_if_it_may_not_go_on(&mut self, step: Step, out: &mut Plaintext<Vec<u8>>, now: Now) -> Step {
        if step != Step::More {
            return step;
        }
        match self.exchange.may_go_on(self.relay.events(), now) {
            Ok(()) => step,
            Err(error) => {
                error.append_event(self.shape, out.expose_mut());
                self.cut = Some(error.code());
                Step::Broken
            }
        }
    }

    fn note(&mut self, step: Step, now: Now) {
        self.exchange.seen(now);
        if step == Step::More {
            return;
        }
        self.over = Some(step);
        self.exchange.reported(self.relay.usage(), self.relay.finish());
        match (&self.refused, self.relay.end()) {
            _ if self.cut.is_some() => self.exchange.broken(self.cut.unwrap_or_default(), now),
            (Some(error), _) | (None, Some(End::Failed { error, .. })) => {
                self.exchange.blame(error);
                self.exchange.broken(error.code(), now);
            }
            (None, Some(End::Complete) | None) => {
                if let Some(keeping) = self.keeping.take() {
                    keeping.store(&ended(&self.exchange, self.relay.usage(), self.relay.finish()), now);
                }
                self.exchange.complete(now);
            }
        }
        // Whoever waits for this answer waits no longer.
        self.keeping = None;
    }
}

/// Reads an upstream's answer to its commit point: the first content of a stream, the end of a whole body.
pub(crate) async fn receive<B: UpstreamBody>(
    response: UpstreamResponse<B>,
    awaited: Awaited<'_>,
    max_bytes: usize,
    clock: &impl Clock,
) -> Result<Received<B>, Error> {
    let Awaited { routed, at, reading, id, sent } = awaited;
    let translated = !matches!(reading, Reading::Same { .. });
    if !(200..=299).contains(&response.status) {
        let error = refusal(response, at, clock.now()).await;
        return Err(if translated { error.for_another_dialect() } else { error });
    }
    let request = routed.missed().screened().admitted().request();
    let streamed = request.stream && has_content_type(&response.headers, reading.stream_type());
    if request.stream && !streamed {
        return Err(Error::UpstreamFailed);
    }
    let created = clock.now().unix_seconds();
    let shown = |reasoning| Shown {
        id: id.as_str().to_owned(),
        model: request.model.clone(),
        created,
        include_usage: request.include_usage,
        reasoning,
    };
    if !streamed {
        let body = read_whole(response.body, max_bytes).await?;
        return match reading {
            Reading::Embedded(way) => embedded(&body, &response.headers, way),
            Reading::Same { dropped } => inspect(body, request, dropped),
            Reading::Translated(way) => {
                let shown = shown(way.reasoning);
                translate_whole(&body, way, &shown)
            }
        };
    }
    let (mut relay, dropped) = match reading {
        Reading::Embedded(_) => return Err(Error::UpstreamMalformed),
        Reading::Same { dropped } => {
            (Relay::Same(Forward::new(response.body, request, Arc::clone(at))), dropped)
        }
        Reading::Translated(way) => {
            let (reader, writer) =
                (way.from.stream_reader(way.names), way.to.stream_writer(shown(way.reasoning)));
            (Relay::Translated(Translation::new(response.body, reader, writer, max_bytes)), way.dropped)
        }
    };
    let held = hold_back(&mut relay, at, sent, clock).await?;
    let reached = clock.now();
    Ok(Received::Stream { relay, held, dropped, reached })
}

/// A whole answer in the client's own dialect.
fn inspect<B>(
    body: Plaintext<Bytes>,
    request: &Request,
    dropped: Vec<&'static str>,
) -> Result<Received<B>, Error> {
    let whole = request.wire.inspect_whole(body.expose(), &mut Scratch::default());
    let whole = whole.map_err(|_| Error::UpstreamMalformed)?;
    if whole.is_error {
        return Err(Error::UpstreamFailed);
    }
    Ok(Received::Whole { body, usage: whole.usage, finish: whole.finish, dropped })
}

fn translate_whole<B>(
    body: &Plaintext<Bytes>,
    way: provider::Translated,
    shown: &Shown,
) -> Result<Received<B>, Error> {
    let answer = way.from.read_answer(body.expose(), &way.names).map_err(|_| Error::UpstreamMalformed)?;
    let finish = answer.expose().choices.first().and_then(|choice| choice.finish);
    let usage = answer.expose().usage;
    Ok(Received::Whole { body: way.to.write_answer(&answer, shown), usage, finish, dropped: way.dropped })
}

/// Embeddings in `OpenAI`'s words.
fn embedded<B>(
    body: &Plaintext<Bytes>,
    headers: &[(String, Vec<u8>)],
    way: provider::Embedded,
) -> Result<Received<B>, Error> {
    let mut answer = way.from.read_answer(body.expose()).map_err(|_| Error::UpstreamMalformed)?;
    let answer = answer.expose_mut();
    if !answer.answers(way.texts) {
        return Err(Error::UpstreamMalformed);
    }
    let counted = way.from.count_header().and_then(|name| {
        let (_, value) = headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    });
    answer.input_tokens = answer.input_tokens.or(counted);
    let usage = answer.input_tokens.map(|input_tokens| Usage {
        input_tokens,
        total_tokens: input_tokens,
        ..Usage::default()
    });
    let body = write_answer(answer, way.base64, &way.model, way.tokens);
    Ok(Received::Whole { body: Plaintext::new(body.into()), usage, finish: None, dropped: way.dropped })
}

/// Turns what was received into the client's answer.
pub(crate) fn deliver<B>(
    received: Received<B>,
    at: &Arc<Deployment>,
    mut missed: Missed,
    mut exchange: Exchange,
    now: Now,
) -> Answer<B> {
    let shape = missed.screened().admitted().request().wire.shape();
    let keep = missed.take_keep();
    let (admitted, guard) = missed.into_screened().into_parts();
    exchange.keep(admitted.into_hold());
    let mut headers = common_headers(exchange.id());
    if !exchange.guardrails().is_empty() {
        headers.push((report::HEADER, exchange.guardrails().to_string()));
    }
    headers.push(("postern-deployment", at.name.to_string()));
    headers.push(("postern-provider", at.provider.to_owned()));
    headers.push(("postern-model", at.model.to_string()));
    headers.extend(at.region.as_ref().map(|region| ("postern-region", region.to_string())));
    headers.push(("postern-exposure-class", at.exposure.as_str().to_owned()));
    headers.push(("postern-attempts", exchange.attempts().to_string()));
    if exchange.attempted().len() > 1 {
        headers.push((Attempted::HEADER, Attempted::list(exchange.attempted())));
    }
    headers.extend(exchange.explanation().map(|text| (EXPLANATION, text.to_owned())));
    headers.extend(exchange.allowance_headers(shape, now));
    if !exchange.is_priced() {
        headers.push((PRICE_UNKNOWN, "true".to_owned()));
    }
    headers.extend(exchange.cache().map(cache_header));
    exchange.first_content(now);
    let (Received::Stream { dropped, .. } | Received::Whole { dropped, .. }) = &received;
    if !dropped.is_empty() {
        headers.push(("postern-dropped-parameters", dropped.join(", ")));
    }
    match received {
        Received::Stream { relay, held, .. } => {
            headers.extend(stream_headers());
            let guard = guard.filter(|own| own.concerns_answers()).map(|own| Box::new(StreamGuard::new(own)));
            let guarded = !exchange.guardrails().is_empty();
            let stream = AnswerStream {
                relay,
                held,
                exchange,
                shape,
                over: None,
                cut: None,
                guard,
                guarded,
                refused: None,
                keeping: keep.map(|keep| Keeping::new(keep, Arc::clone(at))),
            };
            Answer { status: 200, headers, body: AnswerBody::Stream(Box::new(stream)) }
        }
        Received::Whole { body, usage, finish, .. } => {
            headers.push(("content-type", JSON.to_owned()));
            exchange.reported(usage, finish);
            if let Some(keep) = keep.filter(|_| guard.is_none_or(|mut own| own.keeps(body.expose()))) {
                keep.store(body.expose(), &ended(&exchange, usage, finish), at, now);
            }
            headers.extend(cost_header(&exchange));
            exchange.answered(body.expose());
            exchange.complete(now);
            Answer { status: 200, headers, body: AnswerBody::Whole(body) }
        }
    }
}

/// How an answer ended, for a cache.
fn ended(exchange: &Exchange, usage: Option<Usage>, finish: Option<FinishReason>) -> Ended {
    Ended { usage, finish, cost: exchange.cost() }
}

/// Gives a stored answer again.
pub(crate) fn replay<B>(hit: Hit, mut exchange: Exchange, now: Now) -> Answer<B> {
    let Hit { screened, replay } = hit;
    let Replay { state, body, stream, usage, finish, age, left, entry, similarity, .. } = replay;
    let (admitted, _) = screened.into_parts();
    let (wire, shape) = (admitted.request().wire, admitted.request().wire.shape());
    exchange.keep(admitted.into_hold());
    let mut headers = common_headers(exchange.id());
    if !exchange.guardrails().is_empty() {
        headers.push((report::HEADER, exchange.guardrails().to_string()));
    }
    headers.push(cache_header(state));
    headers.push(("postern-cache-age", age.as_secs().to_string()));
    headers.push(("postern-cache-ttl", left.as_secs().to_string()));
    headers.push(("postern-cache-entry", entry));
    headers.extend(similarity.map(|own| ("postern-cache-similarity", format!("{own:.4}"))));
    headers.extend(exchange.allowance_headers(shape, now));
    exchange.reported(usage, finish);
    exchange.first_content(now);
    if stream {
        headers.extend(stream_headers());
        let relay = Relay::Replayed(Replayed::new(body, usage, finish, wire));
        let stream = AnswerStream {
            relay,
            held: Plaintext::default(),
            exchange,
            shape,
            over: None,
            cut: None,
            guard: None,
            guarded: false,
            refused: None,
            keeping: None,
        };
        return Answer { status: 200, headers, body: AnswerBody::Stream(Box::new(stream)) };
    }
    headers.push(("content-type", JSON.to_owned()));
    headers.extend(cost_header(&exchange));
    exchange.answered(body.expose());
    exchange.complete(now);
    Answer { status: 200, headers, body: AnswerBody::Whole(body) }
}

/// What the caches did.
fn cache_header(state: CacheState) -> (&'static str, String) {
    ("postern-cache", state.as_str().to_owned())
}

fn stream_headers() -> [(&'static str, String); 2] {
    let content_type = ("content-type", "text/event-stream; charset=utf-8".to_owned());
    [content_type, ("cache-control", "no-cache".to_owned())]
}

/// Gives an estimated count of tokens.
pub(crate) fn count<B>(tokens: u64, missed: Missed, mut exchange: Exchange, now: Now) -> Answer<B> {
    let (admitted, _) = missed.into_screened().into_parts();
    let body = admitted.request().wire.counted(tokens).unwrap_or_default();
    exchange.keep(admitted.into_hold());
    let mut headers = common_headers(exchange.id());
    headers.push(("content-type", JSON.to_owned()));
    headers.push(("postern-estimated", "true".to_owned()));
    exchange.answered(&body);
    exchange.complete(now);
    Answer { status: 200, headers, body: AnswerBody::Whole(Plaintext::new(body.into())) }
}

/// An answer that needs no upstream.
pub(crate) fn local<B>(id: &RequestId, body: Vec<u8>) -> Answer<B> {
    let mut headers = common_headers(id);
    headers.push(("content-type", JSON.to_owned()));
    Answer { status: 200, headers, body: AnswerBody::Whole(Plaintext::new(body.into())) }
}

/// What the answer cost. Absent where it is not known, since any number would be wrong.
fn cost_header(exchange: &Exchange) -> Option<(&'static str, String)> {
    Some((COST, exchange.cost()?.to_string()))
}

fn common_headers(id: &RequestId) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(10);
    headers.push(("x-request-id", id.as_str().to_owned()));
    headers.push(("request-id", id.as_str().to_owned()));
    headers
}

/// Holds events back until the first content, the end, or the limit.
async fn hold_back<B: UpstreamBody>(
    relay: &mut Relay<B>,
    at: &Deployment,
    sent: Now,
    clock: &impl Clock,
) -> Result<Plaintext<Vec<u8>>, Error> {
    let mut held = Plaintext::new(Vec::new());
    while !relay.has_content() && relay.end().is_none() {
        if relay.events() >= MAX_HELD_EVENTS || held.expose().len() >= MAX_HELD {
            return Ok(held);
        }
        if clock.now().since(sent) > at.timeouts.first_content {
            return Err(Error::UpstreamTimeout);
        }
        relay.advance(held.expose_mut()).await;
    }
    if relay.has_content() { Ok(held) } else { relay.take_early_failure().map_or(Ok(held), Err) }
}

/// Holds a stream back after its first content until it is known to be fast enough, or has ended. What fails meanwhile has
/// reached nobody.
pub(crate) async fn keeps_pace<B: UpstreamBody>(
    received: &mut Received<B>,
    pace: ThroughputSettings,
    clock: &impl Clock,
) -> Result<(), Error> {
    let Received::Stream { relay, held, reached: began, .. } = received else { return Ok(()) };
    let (events, bytes) = (relay.events(), held.expose().len());
    while relay.end().is_none() && held.expose().len() < MAX_HELD {
        let after = clock.now().since(*began);
        let events = relay.events().saturating_sub(events);
        match pace.judge(tokens(events, held.expose().len().saturating_sub(bytes)), after) {
            Some(true) => return Ok(()),
            Some(false) => return Err(Error::UpstreamTimeout),
            None => {}
        }
        // Whatever the wait ends with, it is judged again.
        race(relay.advance(held.expose_mut()), clock.sleep(pace.within.saturating_sub(after))).await;
    }
    relay.take_early_failure().map_or(Ok(()), Err)
}

async fn refusal<B: UpstreamBody>(response: UpstreamResponse<B>, at: &Deployment, now: Now) -> Error {
    let UpstreamResponse { status, headers, body } = response;
    // A body that does not arrive in full is treated as none: the status alone says enough.
    let body = read_whole(body, MAX_ERROR_BODY).await.unwrap_or_default();
    provider::explain(Refusal { status, headers: &headers, body, now }, at)
}

async fn read_whole<B: UpstreamBody>(mut body: B, max_bytes: usize) -> Result<Plaintext<Bytes>, Error> {
    let mut buffer = Plaintext::new(Vec::new());
    loop {
        let progress = body.read(buffer.expose_mut()).await?;
        if buffer.expose().len() > max_bytes {
            return Err(Error::AnswerTooLarge);
        }
        if progress == Progress::End {
            return Ok(buffer.map(Bytes::from));
        }
    }
}

fn has_content_type(headers: &[(String, Vec<u8>)], expected: &str) -> bool {
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    content_type
        .and_then(|(_, value)| value.get(..expected.len()))
        .is_some_and(|own| own.eq_ignore_ascii_case(expected.as_bytes()))
}

/// Header of buffered answers, and the comment that ends a stream: what it cost, in dollars.
const COST: &str = "postern-cost-usd";
/// Header of answers whose cost nobody knows, so that nobody takes them for free.
const PRICE_UNKNOWN: &str = "postern-price-unknown";
const JSON: &str = "application/json";
