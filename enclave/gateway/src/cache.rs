//! Step 4, look up: answered before, for whoever asks. Off unless configured; in the enclave's memory only.
//!
//! [`exact`] answers the same request again, [`semantic`] a question that was asked in other words. What is stored is found
//! only from within its partition ([`rules`]), by a digest under a key of this process; what a client may learn from the
//! speed of an answer is what its own partition asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ring::hmac;
use serde::Serialize;

use crate::chat::{FinishReason, Usage};
use crate::clock::Now;
use crate::deployment::{Deployment, Exposure};
use crate::plaintext::Plaintext;
use crate::price::NanoUsd;
use crate::screening::{Guard, Screened};
use crate::wire::Wire;

pub mod digest;

pub mod wanted;

pub mod rules;

mod store;

pub mod flight;

pub mod kept;

pub mod replay;

pub mod exact;

pub mod semantic;

use digest::{Fingerprint, Partition};
use exact::{ExactCache, Found};
use flight::{Follower, Leader};
use kept::{Form, Given, Kept};
use replay::Renewal;
use rules::Rules;
use semantic::SemanticCache;
use semantic::question::{Place, Question};
use semantic::vector::Vector;
use wanted::Wanted;

/// What the caches did for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// Nothing: the request may not be cached, or the client wants none of it.
    Bypass,
    /// The same was answered before.
    Hit,
    /// Not answered before.
    Miss,
    /// The client wants a fresh answer.
    Refresh,
    /// The same was answered before in other words.
    SemanticHit,
}

impl CacheState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Bypass, Self::Hit, Self::Miss, Self::Refresh, Self::SemanticHit];

    /// As the header has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Refresh => "refresh",
            Self::SemanticHit => "semantic-hit",
        }
    }
}

/// All caches.
pub struct Caches {
    /// What may be stored, and who shares.
    pub rules: Rules,
    /// The exact cache, if there is one.
    pub exact: Option<ExactCache>,
    /// The semantic cache, if there is one.
    pub semantic: Option<SemanticCache>,
}

/// What a cache says.
pub enum Lookup {
    /// Answered before.
    Hit(Hit),
    /// Not answered before, or not to be cached.
    Miss(Missed),
}

/// An answer to give again, and the screened request that it answers.
pub struct Hit {
    /// The request, still holding what it occupies.
    pub screened: Screened,
    /// The answer.
    pub replay: Replay,
}

/// A stored answer as the client gets it.
pub struct Replay {
    /// Which cache has it.
    pub state: CacheState,
    /// The whole body, or all events.
    pub body: Plaintext<Bytes>,
    /// Whether they are events.
    pub stream: bool,
    /// What it cost when it was made, in tokens.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// What giving it again saves.
    pub saved: Option<NanoUsd>,
    /// How long ago it was stored.
    pub age: Duration,
    /// How long it may still be given.
    pub left: Duration,
    /// A name for what is stored.
    pub entry: String,
    /// How near the questions are, if they are not the same.
    pub similarity: Option<f32>,
}

/// Proof that the caches were asked. Made by [`Asking`] and [`ask`] only.
pub struct Missed {
    screened: Screened,
    state: Option<CacheState>,
    keep: Option<Box<Keep>>,
    sampled: Option<Box<Sampled>>,
}

/// An answer that is not given again but compared with a fresh one.
pub struct Sampled {
    /// The answer.
    pub kept: Arc<Kept>,
    fingerprint: Fingerprint,
    partition: Partition,
}

impl Missed {
    const fn new(screened: Screened, state: Option<CacheState>) -> Self {
        Self { screened, state, keep: None, sampled: None }
    }

    /// The screened request.
    pub const fn screened(&self) -> &Screened {
        &self.screened
    }

    /// What the caches did; nothing if there are none.
    pub const fn state(&self) -> Option<CacheState> {
        self.state
    }

    /// Gives out where the answer is to be stored, if it may be.
    pub const fn take_keep(&mut self) -> Option<Box<Keep>> {
        self.keep.take()
    }

    /// Gives out the answer that is to be compared with the fresh one.
    pub const fn take_sampled(&mut self) -> Option<Box<Sampled>> {
        self.sampled.take()
    }

    /// Gives out the guard, to be used up on the answer.
    pub(crate) fn take_guard(&mut self) -> Option<Box<Guard>> {
        self.screened.take_guard()
    }

    /// Gives the guard back.
    pub(crate) fn keep_guard(&mut self, guard: Box<Guard>) {
        self.screened.keep_guard(guard);
    }

    /// Gives the screened request to the next stage.
    pub fn into_screened(self) -> Screened {
        self.screened
    }
}

/// Where and how an answer is to be stored. Whoever waits for the same answer is released when this is dropped.
pub struct Keep {
    caches: Arc<Caches>,
    at: (Fingerprint, Partition),
    ttl: Option<Duration>,
    near: Option<(Place, Vector)>,
    wire: &'static dyn Wire,
    form: Form,
    leader: Option<Leader>,
}

/// How an answer ended.
pub struct Ended {
    /// Tokens.
    pub usage: Option<Usage>,
    /// Why.
    pub finish: Option<FinishReason>,
    /// What it cost.
    pub cost: Option<NanoUsd>,
}

impl Keep {
    /// Stores an answer that the client got whole, if it is one that may be given again; then whoever waits finds it.
    pub fn store(self, body: &[u8], ended: &Ended, at: &Arc<Deployment>, now: Now) {
        let Self { caches, at: place, ttl, near, wire, form, leader } = self;
        let Ended { usage, finish, cost } = *ended;
        if !caches.rules.keep(wire.operation(), finish) {
            return;
        }
        let Some(kept) = Kept::of(&Given { wire, form, body, usage, finish, cost, at }) else { return };
        let kept = Arc::new(kept);
        if let Some(exact) = &caches.exact {
            exact.store(place, &kept, ttl, now);
        }
        if let Some((semantic, near)) = caches.semantic.as_ref().zip(near) {
            semantic.store(place, near, &kept, ttl, now);
        }
        drop(leader);
    }
}

/// What a client asks beside its request.
pub struct Beside<'a> {
    /// Of the caches.
    pub wanted: &'a Wanted,
    /// How far content may be exposed: who has given a stored answer must not have been further.
    pub exposure_max: Option<Exposure>,
    /// Of routing, as far as it can change the answer.
    pub variant: &'a str,
}

/// How looking up begins.
#[expect(clippy::large_enum_variant, reason = "moved once per request")]
pub enum Begun {
    /// The caches are to be asked.
    Asking(Asking),
    /// They are not.
    Missed(Missed),
}

/// A request that may be answered from a cache, or whose answer may be stored there.
pub struct Asking {
    screened: Screened,
    caches: Arc<Caches>,
    at: (Fingerprint, Partition),
    question: Option<Question>,
    near: Option<(Place, Vector)>,
    read: bool,
    write: bool,
    max_age: Option<Duration>,
    ttl: Option<Duration>,
    exposure_max: Exposure,
    leader: Option<Leader>,
    sampled: Option<Box<Sampled>>,
}

/// Begins to look for an earlier answer. Without caches (the default) nothing is looked for and nothing is stored.
pub fn ask(
    screened: Screened,
    beside: &Beside<'_>,
    caches: Option<&Arc<Caches>>,
    secret: &hmac::Key,
) -> Begun {
    let Some(caches) = caches else { return Begun::Missed(Missed::new(screened, None)) };
    let Wanted { fresh, unkept, max_age, ttl, namespace } = beside.wanted;
    let (read, mut write) = (!fresh, !unkept);
    let guard = screened.guard();
    // Placeholders are of one exchange, and what they stand for is nobody else's.
    let masked = guard.is_some_and(Guard::has_masked);
    // What must not be kept anywhere can be told of a whole answer only.
    write &= !(screened.admitted().request().stream && guard.is_some_and(Guard::looks_at_what_is_kept));
    if masked || !(read || write) || !caches.rules.allow(screened.admitted().request()) {
        return Begun::Missed(Missed::new(screened, Some(CacheState::Bypass)));
    }
    let key = screened.admitted().key();
    let exposure_max =
        beside.exposure_max.map_or(key.rules.exposure_max, |own| own.min(key.rules.exposure_max));
    let partition = caches.rules.partition(key, namespace.as_deref(), secret);
    let fingerprint = exact::fingerprint(&screened, &partition, beside.variant, secret);
    let question = caches.semantic.as_ref().and_then(|semantic| {
        Question::of(&screened, &partition, beside.variant, semantic.settings.max_turns, secret)
    });
    Begun::Asking(Asking {
        screened,
        caches: Arc::clone(caches),
        at: (fingerprint, partition),
        question,
        near: None,
        read,
        write,
        max_age: *max_age,
        ttl: *ttl,
        exposure_max,
        leader: None,
        sampled: None,
    })
}

impl Asking {
    /// The screened request.
    pub const fn screened(&self) -> &Screened {
        &self.screened
    }

    /// The answer to the same request.
    pub fn exact(&self, renewal: &Renewal<'_>, now: Now) -> Option<Replay> {
        let found = self.caches.exact.as_ref().filter(|_| self.read)?.find(&self.at.0, self.max_age, now)?;
        self.replay(&found, &self.at.0, renewal, None)
    }

    /// Waits for somebody who is asking the same upstream, and for how long at most; or asks for all who come later.
    pub fn board(&mut self) -> Option<(Follower, Duration)> {
        let exact =
            self.caches.exact.as_ref().filter(|own| self.read && self.write && !own.wait().is_zero())?;
        let wait = exact.wait();
        match exact.flights().board(&self.at.0) {
            Ok(leader) => {
                self.leader = Some(leader);
                None
            }
            Err(follower) => Some((follower, wait)),
        }
    }

    /// What is to be embedded, and by whom.
    pub fn question(&self) -> Option<(&Question, &Arc<Deployment>)> {
        self.question.as_ref().zip(self.caches.semantic.as_ref().map(|own| &own.settings.embedder))
    }

    /// The answer to a question that means the same. `sample` is a number from 0 to 99 that nobody can foresee: some answers
    /// are not given but compared with a fresh one.
    pub fn semantic(
        &mut self,
        vector: Vector,
        sample: u64,
        renewal: &Renewal<'_>,
        now: Now,
    ) -> Option<Replay> {
        let place = self.question.as_ref()?.place;
        let semantic = self.caches.semantic.as_ref()?;
        let nearest =
            if self.read { semantic.find((&place, &self.at.1), &vector, self.max_age, now) } else { None };
        let sampled = sample < u64::from(semantic.settings.sample_percent);
        self.near = Some((place, vector));
        let nearest = nearest?;
        let replay = self.replay(&nearest.found, &nearest.fingerprint, renewal, Some(nearest.similarity))?;
        if sampled && !replay.stream {
            let semantic::Nearest { found, fingerprint, .. } = nearest;
            self.sampled = Some(Box::new(Sampled { kept: found.kept, fingerprint, partition: self.at.1 }));
            return None;
        }
        Some(replay)
    }

    fn replay(
        &self,
        found: &Found,
        fingerprint: &Fingerprint,
        renewal: &Renewal<'_>,
        similarity: Option<f32>,
    ) -> Option<Replay> {
        let Found { kept, age, left } = found;
        // Keys that share a partition need not have the same rules.
        let (key, at) = (self.screened.admitted().key(), &kept.at);
        let listed =
            key.rules.providers.as_ref().is_none_or(|own| own.iter().any(|name| name == at.provider));
        if at.exposure > self.exposure_max || !listed || !key.may_be_served_by(at) {
            return None;
        }
        let request = self.screened.admitted().request();
        let body = replay::replayed(kept, request, renewal)?.map(Bytes::from);
        Some(Replay {
            state: if similarity.is_some() { CacheState::SemanticHit } else { CacheState::Hit },
            body,
            stream: request.stream,
            usage: kept.usage,
            finish: kept.finish,
            saved: kept.cost,
            age: *age,
            left: *left,
            entry: fingerprint.name(),
            similarity,
        })
    }

    /// It is answered.
    pub fn hit(self, replay: Replay) -> Hit {
        Hit { screened: self.screened, replay }
    }

    /// It is not.
    pub fn missed(self) -> Missed {
        let request = self.screened.admitted().request();
        let (wire, form) = (request.wire, Form::of(request));
        let state = if self.read { CacheState::Miss } else { CacheState::Refresh };
        let Self { screened, caches, at, near, ttl, leader, write, sampled, .. } = self;
        let keep = Keep { caches, at, ttl, near, wire, form, leader };
        Missed { screened, state: Some(state), keep: write.then(|| Box::new(keep)), sampled }
    }
}

impl Sampled {
    /// A fresh answer says something else.
    pub fn was_false(&self, semantic: &SemanticCache) {
        semantic.was_false(&self.fingerprint, &self.partition);
    }
}
