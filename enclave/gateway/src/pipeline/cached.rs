//! Where the caches come into the life of a request: before it is routed, and beside an answer that is compared with one
//! from a cache.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::Means;
use super::attempt::Committed;
use crate::answer::{self, Received};
use crate::cache::kept::{Form, Given, Kept};
use crate::cache::replay::{Renewal, text};
use crate::cache::semantic::vector::Vector;
use crate::cache::{Asking, Begun, Beside, Lookup, Replay, Sampled, ask};
use crate::clock::Clock;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::metrics::CacheCounter;
use crate::provider;
use crate::race::{Won, race};
use crate::route::Routed;
use crate::route::wishes::Wishes;
use crate::screening::Screened;
use crate::settle::Exchange;
use crate::upstream::Upstream;

/// Looks for an earlier answer: to the same request, then for one that somebody is asking upstream just now, then to a
/// question that means the same.
pub(super) async fn look_up<U: Upstream, C: Clock>(
    screened: Screened,
    wishes: &Wishes,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Lookup {
    let gateway = means.gateway;
    // The usual case, without caches, costs no more than this.
    let variant = if gateway.caches().is_some() { wishes.variant() } else { String::new() };
    let beside = Beside { wanted: &wishes.cache, exposure_max: wishes.exposure_max, variant: &variant };
    match ask(screened, &beside, gateway.caches(), gateway.secret()) {
        // Apart, so that a request without caches does not carry the room that this takes.
        Begun::Asking(asking) => Box::pin(find(asking, wishes.timeout, exchange, means)).await,
        Begun::Missed(missed) => {
            exchange.looked_up(missed.state());
            Lookup::Miss(missed)
        }
    }
}

/// Asks the caches, and waits for whoever is asking upstream.
async fn find<U: Upstream, C: Clock>(
    mut asking: Asking,
    patience: Option<Duration>,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Lookup {
    let clock = means.clock;
    let id = exchange.id().clone();
    let renewal = || Renewal { id: id.as_str(), unix_seconds: clock.now().unix_seconds() };
    let mut replay = asking.exact(&renewal(), clock.now());
    if replay.is_none()
        && let Some((follower, wait)) = asking.board()
    {
        let wait = patience.map_or(wait, |own| own.min(wait));
        // Whoever has waited in vain goes his own way.
        race(follower.wait(), clock.sleep(wait)).await;
        replay = asking.exact(&renewal(), clock.now());
    }
    if replay.is_none() && asking.question().is_some() {
        replay = by_meaning(&mut asking, &renewal(), exchange, means).await;
    }
    if let Some(replay) = replay {
        exchange.cache_hit(replay.state, replay.saved);
        return Lookup::Hit(asking.hit(replay));
    }
    let missed = asking.missed();
    exchange.looked_up(missed.state());
    Lookup::Miss(missed)
}

/// An answer to a question that means the same.
async fn by_meaning<U: Upstream, C: Clock>(
    asking: &mut Asking,
    renewal: &Renewal<'_>,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Option<Replay> {
    let key_id = Arc::clone(&asking.screened().admitted().key().id);
    let (question, at) = asking.question()?;
    let at = Arc::clone(at);
    let vector = embed(question.text.expose(), &at, &key_id, exchange, means).await?;
    let sample = means.gateway.secret_draw().wrapping_rem(100);
    asking.semantic(vector, sample, renewal, means.clock.now())
}

/// The meaning of a text; nothing if it cannot be had, which is counted and costs a hit and no more.
async fn embed<U: Upstream, C: Clock>(
    text: &str,
    at: &Arc<Deployment>,
    tenant: &str,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Option<Vector> {
    let Means { gateway, upstream, clock } = *means;
    let asking = pin!(async {
        provider::grant::ready(at, upstream, clock).await?;
        let provider::Encoded { call, reading } = provider::encode_text(text, at, tenant, clock.now())?;
        let response = upstream.send(call).await?;
        answer::vector::receive(response, reading, gateway.max_answer_bytes()).await
    });
    let embedded: Result<_, Error> = match race(asking, clock.sleep(at.timeouts.total)).await {
        Won::First(outcome) => outcome,
        Won::Second(()) => Err(Error::UpstreamTimeout),
    };
    let vector = embedded.ok().and_then(|(vector, usage)| {
        exchange.embedded(at, usage.as_ref());
        Vector::new(vector)
    });
    let counter = if vector.is_some() { CacheCounter::Embedded } else { CacheCounter::NotEmbedded };
    gateway.books().metrics.count_cache(counter);
    vector
}

/// Compares a fresh answer with the one that the semantic cache would have given, and counts what comes of it.
pub(super) async fn compare<U: Upstream, C: Clock>(
    sampled: Box<Sampled>,
    committed: &Committed<U::Body>,
    routed: &Routed,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) {
    let gateway = means.gateway;
    let Some(semantic) = gateway.caches().and_then(|own| own.semantic.as_ref()) else { return };
    let Committed { received: Received::Whole { body, usage, finish, .. }, at } = committed else { return };
    let admitted = routed.missed().screened().admitted();
    let given = Given {
        wire: admitted.request().wire,
        form: Form::Whole,
        body: body.expose(),
        usage: *usage,
        finish: *finish,
        cost: None,
        at,
    };
    let texts = Kept::of(&given).as_ref().and_then(text).zip(text(&sampled.kept));
    let Some((fresh, old)) = texts else { return };
    let same = fresh.expose() == old.expose();
    let agrees = if same {
        true
    } else {
        let (embedder, key_id) = (&semantic.settings.embedder, &admitted.key().id);
        let fresh = embed(fresh.expose(), embedder, key_id, exchange, means).await;
        let old = embed(old.expose(), embedder, key_id, exchange, means).await;
        let Some((fresh, old)) = fresh.zip(old) else { return };
        fresh.cosine(&old) >= semantic.settings.agreement
    };
    let counter = if agrees { CacheCounter::SampledTrue } else { CacheCounter::SampledFalse };
    gateway.books().metrics.count_cache(counter);
    if !agrees {
        sampled.was_false(semantic);
    }
}
