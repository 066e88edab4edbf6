//! Step 4, look up: answered before, for this key.

use crate::clock::Now;
use crate::screening::{Guard, Screened};

pub mod exact;

use exact::{CachedAnswer, ExactCache, Fingerprint};

/// What the cache says.
pub enum Lookup {
    /// The same request of the same key was answered before.
    Hit(Hit),
    /// Not answered before, or not to be cached.
    Miss(Missed),
}

/// An answer to give again, and the admitted request that it answers.
pub struct Hit {
    /// The request, still holding what it occupies.
    pub screened: Screened,
    /// The stored answer.
    pub answer: CachedAnswer,
}

/// Proof that the cache was asked. Made by [`look_up`] only.
pub struct Missed {
    screened: Screened,
    fingerprint: Option<Fingerprint>,
}

impl Missed {
    /// The screened request.
    pub const fn screened(&self) -> &Screened {
        &self.screened
    }

    /// Under what to store the answer, if it may be stored.
    pub const fn fingerprint(&self) -> Option<&Fingerprint> {
        self.fingerprint.as_ref()
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

/// What a client asks of the cache. Later ones ask for less of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheUse {
    /// An earlier answer if there is one; otherwise a fresh one, which is stored.
    #[default]
    Use,
    /// A fresh answer, which is stored.
    Refresh,
    /// A fresh answer, which is not stored.
    Off,
}

/// Looks for an earlier answer as far as the client wants one.
pub fn look_up_as(asked: CacheUse, screened: Screened, cache: Option<&ExactCache>, now: Now) -> Lookup {
    match asked {
        CacheUse::Use => look_up(screened, cache, now),
        CacheUse::Off => Lookup::Miss(Missed { screened, fingerprint: None }),
        CacheUse::Refresh => {
            let fingerprint = cache.and_then(|_| fingerprint(&screened));
            Lookup::Miss(Missed { screened, fingerprint })
        }
    }
}

/// Looks for an earlier answer. Without a cache (the default), everything misses.
pub fn look_up(screened: Screened, cache: Option<&ExactCache>, now: Now) -> Lookup {
    let Some(cache) = cache else { return Lookup::Miss(Missed { screened, fingerprint: None }) };
    let Some(fingerprint) = fingerprint(&screened) else {
        return Lookup::Miss(Missed { screened, fingerprint: None });
    };
    match cache.find(&fingerprint, now) {
        Some(answer) => Lookup::Hit(Hit { screened, answer }),
        None => Lookup::Miss(Missed { screened, fingerprint: Some(fingerprint) }),
    }
}

/// Under what a request is kept. Guardrails are part of it: an answer that passed some has not passed others.
fn fingerprint(screened: &Screened) -> Option<Fingerprint> {
    let admitted = screened.admitted();
    let guardrails = screened.guard().map(Guard::names).into_iter().flatten();
    Fingerprint::of(admitted.request(), &admitted.key().id, guardrails)
}
