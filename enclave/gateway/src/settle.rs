//! How an exchange ends, whichever way it ends: release what it held, record it, count it. Exactly once.

use std::sync::Arc;

use crate::admission::{Authenticated, Hold};
use crate::audit::{AuditRecord, Commitments, FORMAT, Journal, Outcome, RequestId, finished, micros};
use crate::cache::CacheState;
use crate::chat::{FinishReason, Usage};
use crate::clock::{Civil, Now};
use crate::deployment::Deployment;
use crate::error::{Error, Shape};
use crate::governance::meters::Amounts;
use crate::governance::{Actual, LiveKey, Reservation, ScopeKind};
use crate::metrics::Metrics;
use crate::price::{CostSource, NanoUsd, Price};
use crate::prompt::Version;
use crate::route::Model;
use crate::route::health::Flight;
use crate::route::trace::Trace;
use crate::screening::report::Report;
use crate::wire::Wire;

/// Where settled exchanges are written down.
#[derive(Default)]
pub struct Books {
    /// Audit records that wait for the shell.
    pub journal: Journal,
    /// The key under which prompts and answers are hashed.
    pub commitments: Commitments,
    /// Counters.
    pub metrics: Metrics,
}

/// An exchange that has begun. Settles when told how it ended; dropped before that, it settles as cancelled.
pub struct Exchange {
    record: AuditRecord,
    books: Arc<Books>,
    started: Now,
    latest: Now,
    hold: Option<Hold>,
    reservation: Option<Arc<Reservation>>,
    /// Tokens of the prompt, as far as they can be guessed.
    input_tokens: u64,
    /// Tokens of the answer so far, as far as they can be guessed.
    output_tokens: u64,
    price: Option<Arc<Price>>,
    cost_source: CostSource,
    flight: Option<Flight>,
    attempted: Vec<Attempted>,
    explanation: Option<String>,
    answer_hash: Option<ring::hmac::Context>,
    /// What guardrails' questions to models have cost, in nano-dollars.
    besides: u64,
    settled: bool,
}

/// The header with the decision trace, as JSON.
pub const EXPLANATION: &str = "postern-explanation";

/// One attempt, as the client may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The deployment.
    pub deployment: Arc<str>,
    /// Our code for its failure; nothing if it answered.
    pub error: Option<&'static str>,
}

impl Attempted {
    /// The header that lists attempts.
    pub const HEADER: &'static str = "postern-attempted";

    /// The value of [`Self::HEADER`]: `first=upstream_timeout, second=ok`.
    pub fn list(attempts: &[Self]) -> String {
        let one = |own: &Self| format!("{}={}", own.deployment, own.error.unwrap_or("ok"));
        attempts.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Exchange {
    /// Begins when the body has been read.
    pub fn begin(
        id: RequestId,
        who: &Authenticated,
        wire: &dyn Wire,
        body: &[u8],
        books: &Arc<Books>,
        now: Now,
    ) -> Self {
        let record = AuditRecord {
            format: FORMAT,
            request_id: id,
            started_unix_ms: now.unix_ms,
            key: Arc::clone(&who.key().id),
            key_version: who.key().version(),
            principal: who.key().belongs_to(ScopeKind::User),
            team: who.key().belongs_to(ScopeKind::Team),
            organisation: who.key().belongs_to(ScopeKind::Org),
            operation: wire.operation(),
            wire: wire.name(),
            model: None,
            prompt: None,
            prompt_version: None,
            deployment: None,
            provider: None,
            region: None,
            exposure: None,
            stream: false,
            attempts: 0,
            cache_hit: false,
            cache: None,
            saved_nano_usd: None,
            embedding_nano_usd: None,
            outcome: Outcome::Cancelled,
            error: None,
            guardrail: None,
            asked_by: None,
            guardrails: Report::default(),
            usage: None,
            cost_nano_usd: None,
            charged_nano_usd: None,
            hedges_lost: 0,
            hedge_cost_nano_usd: None,
            finish_reason: None,
            prompt_hmac: books.commitments.of(body),
            response_hmac: None,
            request_bytes: count(body.len()),
            answer_bytes: 0,
            first_content_us: None,
            duration_us: 0,
        };
        Self {
            record,
            books: Arc::clone(books),
            started: now,
            latest: now,
            hold: None,
            reservation: None,
            input_tokens: 0,
            output_tokens: 0,
            price: None,
            cost_source: CostSource::Computed,
            flight: None,
            attempted: Vec::new(),
            explanation: None,
            answer_hash: books.commitments.begin(),
            besides: 0,
            settled: false,
        }
    }

    /// Which request this is.
    pub const fn id(&self) -> &RequestId {
        &self.record.request_id
    }

    /// Deployments tried so far.
    pub const fn attempts(&self) -> u32 {
        self.record.attempts
    }

    /// The configured model that was asked for, if there is one of that name, and whether as a stream.
    pub fn asked(&mut self, model: Option<&Model>, stream: bool) {
        self.record.model = model.map(|model| Arc::clone(&model.name));
        self.record.stream = stream;
    }

    /// The stored prompt that the request refers to.
    pub fn prompted(&mut self, version: &Version) {
        self.record.prompt = Some(Arc::clone(&version.name));
        self.record.prompt_version = Some(version.number);
    }

    /// A deployment is being tried.
    ///
    /// Returns its place in the list of attempts.
    pub fn attempt(&mut self, at: &Deployment) -> usize {
        self.record.attempts = self.record.attempts.saturating_add(1);
        self.serves(at);
        self.attempted.push(Attempted { deployment: Arc::clone(&at.name), error: None });
        self.attempted.len().saturating_sub(1)
    }

    /// This deployment answers, or is the last that was asked.
    pub fn serves(&mut self, at: &Deployment) {
        self.record.deployment = Some(Arc::clone(&at.name));
        self.record.provider = Some(at.provider);
        self.record.region.clone_from(&at.region);
        self.record.exposure = Some(at.exposure.as_str());
        self.price.clone_from(&at.price);
        self.cost_source = at.cost_source;
    }

    /// The attempt at this place of the list has failed.
    pub fn attempt_failed(&mut self, entry: usize, code: &'static str) {
        if let Some(own) = self.attempted.get_mut(entry) {
            own.error = Some(code);
        }
    }

    /// The attempt at this place was cancelled, because another was quicker. What it took is only guessed: its prompt.
    pub fn attempt_lost(&mut self, entry: usize, at: &Deployment, input_tokens: u64) {
        self.attempt_failed(entry, "hedge_lost");
        self.record.hedges_lost = self.record.hedges_lost.saturating_add(1);
        if let Some(price) = &at.price {
            let cost = price.estimate(input_tokens, 0).0;
            let before = self.record.hedge_cost_nano_usd.unwrap_or(0);
            self.record.hedge_cost_nano_usd = Some(before.saturating_add(cost));
        }
    }

    /// The attempts so far, in the order in which they began.
    pub fn attempted(&self) -> &[Attempted] {
        &self.attempted
    }

    /// Keeps how it was decided, for a client that asked.
    pub fn explain(&mut self, trace: Option<&Trace>) {
        let text = trace.and_then(|trace| serde_json::to_string(trace).ok());
        self.explanation = text.or_else(|| self.explanation.take());
    }

    /// The client asked how it was decided and its key may not know: said where the explanation would be.
    pub fn withhold_explanation(&mut self) {
        self.explanation = Some(r#"{"error":"not_permitted"}"#.to_owned());
    }

    /// How it was decided.
    pub fn explanation(&self) -> Option<&str> {
        self.explanation.as_deref()
    }

    /// Keeps the call that answers until the end.
    pub fn fly(&mut self, flight: Flight) {
        self.flight = Some(flight);
    }

    /// What it holds of budgets, and what its prompt is guessed to be.
    pub fn holds(&mut self, reservation: &Arc<Reservation>, input_tokens: u64) {
        self.reservation = Some(Arc::clone(reservation));
        self.input_tokens = input_tokens;
    }

    /// Headers that say what is left of the tightest rate limits: in `OpenAI`'s names, and in Anthropic's for its clients.
    pub fn allowance_headers(&self, shape: Shape, now: Now) -> Vec<(&'static str, String)> {
        let Some(reservation) = &self.reservation else { return Vec::new() };
        let mut headers = Vec::new();
        for (standing, (openai, anthropic)) in reservation.standings(now).into_iter().zip(ALLOWANCES) {
            let Some(own) = standing else { continue };
            let mut put = |[limit, remaining, reset]: [&'static str; 3], at: String| {
                headers.push((limit, own.limit.to_string()));
                headers.push((remaining, own.remaining.to_string()));
                headers.push((reset, at));
            };
            put(openai, format!("{}ms", own.reset_ms));
            if shape == Shape::Anthropic {
                let at = now.unix_ms.saturating_add(own.reset_ms).div_ceil(1000);
                put(anthropic, Civil::at(at).to_string());
            }
        }
        headers
    }

    /// The issued key that pays for it, if one does.
    pub fn payer(&self) -> Option<Arc<LiveKey>> {
        self.reservation.as_ref().map(|own| Arc::clone(own.key()))
    }

    /// Whether an answer that has come so far may go on: its key is still good, and no budget is overrun. Tokens are
    /// guessed from events and bytes, since most upstreams count only at the end.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`], [`Error::CredentialUnknown`]: it must be cut.
    pub fn may_go_on(&mut self, events: usize, now: Now) -> Result<(), Error> {
        let Some(reservation) = &self.reservation else { return Ok(()) };
        if reservation.is_revoked(now) {
            return Err(Error::CredentialUnknown);
        }
        self.output_tokens = tokens(events, usize::try_from(self.record.answer_bytes).unwrap_or(usize::MAX));
        let nano_usd =
            self.price.as_ref().map_or(0, |own| own.estimate(self.input_tokens, self.output_tokens).0);
        let taken = Amounts { nano_usd, input_tokens: self.input_tokens, output_tokens: self.output_tokens };
        reservation.goes_on(taken, now).map_err(Error::from)
    }

    /// What it took in truth, or as far as it can be guessed.
    fn actual(&self, outcome: Outcome) -> Actual {
        let cached = self.record.cache_hit;
        let counts = cached || outcome == Outcome::Complete || self.record.attempts > 0;
        // Refused before an answer began: nothing was delivered and, as far as anybody knows, nothing is billed. Left
        // while an upstream was at it: the prompt is, and what had come.
        let at_work = self.record.attempts > 0 && outcome != Outcome::Refused;
        let embedding = self.record.embedding_nano_usd.unwrap_or(0);
        let hedges = self.record.hedge_cost_nano_usd.unwrap_or(0).saturating_add(embedding);
        let (input_tokens, output_tokens) = match self.record.usage {
            _ if cached => (0, 0),
            Some(usage) => (usage.input_tokens, usage.output_tokens),
            None if at_work => (self.input_tokens, self.output_tokens),
            None => (0, 0),
        };
        let cost = match self.cost() {
            Some(known) => known.0,
            None if at_work && self.record.usage.is_none() => {
                self.price.as_ref().map_or(0, |own| own.estimate(input_tokens, output_tokens).0)
            }
            None => 0,
        };
        Actual {
            nano_usd: cost.saturating_add(hedges).saturating_add(self.besides),
            input_tokens,
            output_tokens,
            counts,
        }
    }

    /// Keeps what admission held until the end.
    pub fn keep(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }

    /// A cache answers; it saves so much.
    pub fn cache_hit(&mut self, state: CacheState, saved: Option<NanoUsd>) {
        self.record.cache_hit = true;
        self.record.cache = Some(state);
        self.record.saved_nano_usd = saved;
        self.price = None;
    }

    /// No cache answers.
    pub const fn looked_up(&mut self, state: Option<CacheState>) {
        self.record.cache = state;
    }

    /// Something was embedded to look for an answer.
    pub fn embedded(&mut self, at: &Deployment, usage: Option<&Usage>) {
        if let Some(cost) = at.price.as_ref().zip(usage).and_then(|(price, usage)| price.cost(usage)) {
            let before = self.record.embedding_nano_usd.unwrap_or(0);
            self.record.embedding_nano_usd = Some(before.saturating_add(cost.0));
        }
    }

    /// What the caches did.
    pub const fn cache(&self) -> Option<CacheState> {
        self.record.cache
    }

    /// What the guardrails have said.
    pub fn screened(&mut self, report: &Report) {
        self.record.guardrails.merge(report);
    }

    /// What the guardrails have said, for the client.
    pub const fn guardrails(&self) -> &Report {
        &self.record.guardrails
    }

    /// It is a question of this guardrail about the content of the request with the same id.
    pub fn asks_for(&mut self, guardrail: &Arc<str>) {
        self.record.asked_by = Some(Arc::clone(guardrail));
    }

    /// A guardrail's question about its content has cost so much.
    pub const fn costs_besides(&mut self, cost: NanoUsd) {
        self.besides = self.besides.saturating_add(cost.0);
    }

    /// The first content has arrived.
    pub fn first_content(&mut self, now: Now) {
        self.seen(now);
        self.record.first_content_us = Some(micros(now.since(self.started)));
    }

    /// What the upstream reports; later reports replace earlier ones.
    pub fn reported(&mut self, usage: Option<Usage>, finish: Option<FinishReason>) {
        self.record.usage = usage.or(self.record.usage);
        self.record.finish_reason = finish.or(self.record.finish_reason);
    }

    /// What it cost so far: known once usage is reported, if the price is.
    pub fn cost(&self) -> Option<NanoUsd> {
        if self.record.cache_hit {
            return Some(NanoUsd::default());
        }
        let usage = self.record.usage.as_ref()?;
        let reported = usage.reported_cost_nano_usd.map(NanoUsd);
        let reported = reported.filter(|_| self.cost_source == CostSource::Reported);
        reported.or_else(|| self.price.as_ref()?.cost(usage))
    }

    /// Whether anybody says what it costs.
    pub fn is_priced(&self) -> bool {
        self.record.cache_hit || self.price.is_some() || self.cost_source == CostSource::Reported
    }

    /// Bytes were given to the client.
    pub fn answered(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.answer_hash {
            hash.update(bytes);
        }
        self.record.answer_bytes = self.record.answer_bytes.saturating_add(count(bytes.len()));
    }

    /// It is this late now; counts if the exchange is dropped.
    pub const fn seen(&mut self, now: Now) {
        self.latest = now;
    }

    /// The client has the whole answer.
    pub fn complete(&mut self, now: Now) {
        self.settle(Outcome::Complete, None, now);
    }

    /// The client gets an error instead of an answer.
    pub fn refuse(&mut self, error: &Error, now: Now) {
        if let Error::ContentRefused { guardrail } = error {
            self.record.guardrail = Some(Arc::clone(guardrail));
        }
        self.settle(Outcome::Refused, Some(error.code()), now);
    }

    /// The stream had begun and could not be completed.
    pub fn broken(&mut self, code: &'static str, now: Now) {
        self.settle(Outcome::Broken, Some(code), now);
    }

    /// Takes note of the guardrail, if it is one that refuses.
    pub fn blame(&mut self, error: &Error) {
        if let Error::ContentRefused { guardrail } = error {
            self.record.guardrail = Some(Arc::clone(guardrail));
        }
    }

    fn settle(&mut self, outcome: Outcome, error: Option<&'static str>, now: Now) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.hold = None;
        if let Some(mut flight) = self.flight.take() {
            if let Some(usage) = &self.record.usage {
                flight.used(usage.total_tokens, now);
            }
            flight.ended(now);
            if outcome == Outcome::Broken {
                flight.broke(now);
            }
        }
        self.record.outcome = outcome;
        self.record.error = error;
        self.record.response_hmac =
            self.answer_hash.take().filter(|_| self.record.answer_bytes > 0).map(finished);
        self.record.cost_nano_usd = self.cost();
        if let Some(reservation) = self.reservation.take() {
            let actual = self.actual(outcome);
            self.record.charged_nano_usd = Some(actual.nano_usd);
            reservation.settle(actual, now);
        }
        self.record.duration_us = micros(now.since(self.started));
        self.books.metrics.count(&self.record);
        self.count_attempts();
        self.books.journal.push(self.record.clone());
    }
}

impl Exchange {
    /// What broke in the middle is the fault of whoever was answering.
    fn count_attempts(&self) {
        let broken = self.record.error.filter(|_| self.record.outcome == Outcome::Broken);
        for own in &self.attempted {
            let answering = Some(&own.deployment) == self.record.deployment.as_ref();
            let error = own.error.or_else(|| broken.filter(|_| answering));
            self.books.metrics.attempted(&own.deployment, error);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled, Some("client_cancelled"), self.latest);
    }
}

/// Names of headers for requests and for tokens: limit, what remains, and when it is whole again; as a duration where they
/// are `OpenAI`'s, as a time where they are Anthropic's (API references of both, "Rate limits").
const ALLOWANCES: [([&str; 3], [&str; 3]); 2] = [
    (
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
];
/// Bytes of an event that are no text, roughly.
const FRAME_BYTES: u64 = 250;
/// Bytes of text that make one token, roughly.
const BYTES_PER_TOKEN: u64 = 4;

/// How many tokens so many events of so many bytes carry, roughly.
pub(crate) fn tokens(events: usize, bytes: usize) -> u64 {
    let text = count(bytes).saturating_sub(count(events).saturating_mul(FRAME_BYTES));
    count(events).saturating_add(text.wrapping_div(BYTES_PER_TOKEN))
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
