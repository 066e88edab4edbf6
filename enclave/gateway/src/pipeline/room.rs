//! Waiting in a model's queue while everything that may serve a request is busy.

use std::sync::Arc;
use std::time::Duration;

use super::Means;
use crate::clock::Clock;
use crate::error::Error;
use crate::race::race;
use crate::route::bell::{Bell, any_rings};
use crate::route::features::rough_tokens;
use crate::route::tree::Leaf;
use crate::route::{self, Routed, Unrouted};

/// Gives a plan back as it is, unless there is no room, or others have waited longer: then waits, plans again, and gives
/// up after the model's longest wait.
pub(super) async fn wait<U, C: Clock>(
    planned: Result<Routed, Unrouted>,
    means: &Means<'_, U, C>,
) -> Result<Routed, Unrouted> {
    let waiting = match planned {
        Err(unrouted) if matches!(unrouted.error, Error::Overloaded { .. }) => unrouted,
        Ok(routed) if routed.model().settings.queue.length > 0 && !routed.model().queue.is_empty() => {
            Unrouted::after(routed, Error::Overloaded { retry_after_ms: 0 })
        }
        settled => return settled,
    };
    // Apart, so that the usual request does not carry the room that waiting takes.
    Box::pin(queue_up(waiting, means)).await
}

async fn queue_up<U, C: Clock>(mut waiting: Unrouted, means: &Means<'_, U, C>) -> Result<Routed, Unrouted> {
    let Means { gateway, clock, .. } = *means;
    let admitted = waiting.missed().screened().admitted();
    let Some(model) = gateway.models().find(&admitted.request().model).map(Arc::clone) else {
        return Err(waiting);
    };
    let (settings, rules) = (model.settings.queue, &admitted.key().rules);
    let (tokens, priority) = (rough_tokens(admitted.request()), rules.priority);
    let expected = expected(&waiting, model.queue.ahead(priority));
    let place = model.queue.join(&admitted.key().id, priority, tokens, settings);
    // Whoever would wait in vain is told at once.
    let Some(place) = place.filter(|_| expected <= settings.wait) else {
        return Err(advised(waiting, expected));
    };
    let until = clock.now().monotonic.saturating_add(settings.wait);
    loop {
        let left = until.saturating_sub(clock.now().monotonic);
        if left.is_zero() {
            break;
        }
        if !place.is_first() {
            race(place.turn(), clock.sleep(left)).await;
            continue;
        }
        // Noted before the look, so that what happens meanwhile is not missed.
        let bells: Vec<_> = model.leaves.iter().map(bell).collect();
        let (_, missed, wishes) = waiting.into_parts();
        match route::plan(missed, wishes, gateway.models(), gateway.draw(), clock.now()) {
            Err(again) if matches!(again.error, Error::Overloaded { .. }) => waiting = again,
            settled => {
                place.served();
                return settled;
            }
        }
        let by_itself = soonest(&waiting).max(SHORTEST_NAP).min(left);
        race(any_rings(bells.iter().copied()), clock.sleep(by_itself)).await;
    }
    let ahead = if place.is_first() { 0 } else { model.queue.ahead(priority).saturating_sub(1) };
    let expected = self::expected(&waiting, ahead);
    Err(advised(waiting, expected))
}

fn bell(leaf: &Leaf) -> (&Bell, u64) {
    let bell = leaf.health.bell();
    (bell, bell.rung())
}

/// How long it takes until one more call finds room, as the filter has worked it out.
const fn soonest(waiting: &Unrouted) -> Duration {
    if let Error::Overloaded { retry_after_ms } = waiting.error {
        Duration::from_millis(retry_after_ms)
    } else {
        Duration::ZERO
    }
}

/// How long one waits behind so many others, if each of them takes as long as the next call takes to find room.
fn expected(waiting: &Unrouted, ahead: usize) -> Duration {
    soonest(waiting).saturating_mul(u32::try_from(ahead.saturating_add(1)).unwrap_or(u32::MAX))
}

/// Tells the client when to come back.
fn advised(mut waiting: Unrouted, expected: Duration) -> Unrouted {
    waiting.error = route::filter::overloaded(expected);
    waiting
}

/// A deployment that others may use has room at once; it is looked at no more often than this.
const SHORTEST_NAP: Duration = Duration::from_millis(20);
