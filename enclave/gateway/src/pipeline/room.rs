//! Waiting in a model's queue while everything that may serve a request is busy.

use std::sync::Arc;

use super::Means;
use crate::clock::Clock;
use crate::error::Error;
use crate::route::features::rough_tokens;
use crate::route::queue::LOOK;
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
            let error = Error::Overloaded { retry_after_ms: LOOK_AGAIN_MS };
            Unrouted::after(routed, error)
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
    let tokens = rough_tokens(admitted.request());
    let Some(place) = model.queue.join(&admitted.key().id, rules.priority, tokens, settings) else {
        return Err(waiting);
    };
    let until = clock.now().monotonic.saturating_add(settings.wait);
    while clock.now().monotonic < until {
        if place.is_first() {
            let (_, missed, wishes) = waiting.into_parts();
            match route::plan(missed, wishes, gateway.models(), gateway.draw(), clock.now()) {
                Err(again) if matches!(again.error, Error::Overloaded { .. }) => waiting = again,
                settled => {
                    place.served();
                    return settled;
                }
            }
        }
        clock.sleep(LOOK).await;
    }
    Err(waiting)
}

/// What a client is told that finds the queue full.
const LOOK_AGAIN_MS: u64 = 1000;
