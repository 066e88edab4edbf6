//! Copies a request for a deployment on trial once its answer has begun, and makes such calls when the shell says so.
//! Nothing here can reach the client: it only counts.

use std::pin::pin;
use std::sync::Arc;

use super::Means;
use crate::answer::shadow::{Measured, Unseen, measure};
use crate::clock::Clock;
use crate::config::Gateway;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::metrics::ShadowEnd;
use crate::provider;
use crate::race::{Won, race};
use crate::route::features::rough_tokens;
use crate::route::{Routed, shadow};
use crate::shadow::ShadowCall;
use crate::upstream::Upstream;

/// Leaves a copy of the request that `served` answers, if there is to be one.
pub(super) fn offer<U, C: Clock>(routed: &Routed, served: &Deployment, means: &Means<'_, U, C>) {
    if routed.model().shadow.is_none() {
        return;
    }
    let (gateway, now) = (means.gateway, means.clock.now());
    let Some(permit) = shadow::permit(routed, served, gateway.models(), gateway.draw(), now) else { return };
    let Ok(encoded) = provider::encode(routed, &permit.leaf().deployment, now) else { return };
    let request = routed.missed().screened().admitted().request();
    let (wire, stream, tokens) = (request.wire, request.stream, rough_tokens(request));
    gateway.shadows().push(ShadowCall { encoded, permit, wire, stream, tokens });
}

/// Makes one call that waited in [`Gateway::shadows`], and counts how it went. Takes no longer than its deployment's
/// times allow.
pub async fn shadow<U: Upstream>(call: ShadowCall, gateway: &Gateway, upstream: &U, clock: &impl Clock) {
    let ShadowCall { encoded, permit, wire, stream, tokens } = call;
    let leaf = permit.leaf();
    let began = clock.now();
    let Some(mut flight) = leaf.health.begin(tokens, false, began) else { return };
    let at = Arc::clone(&leaf.deployment);
    let limit = encoded.call.timeouts.total;
    let unseen = Unseen { at: &at, reading: encoded.reading, wire, stream };
    let asking = pin!(async {
        let response = upstream.send(encoded.call).await?;
        measure(response, unseen, gateway.max_answer_bytes(), clock).await
    });
    let outcome = match race(asking, clock.sleep(limit)).await {
        Won::First(outcome) => outcome,
        Won::Second(()) => Err(Error::UpstreamTimeout),
    };
    let now = clock.now();
    let mut end = ShadowEnd { duration: now.since(began), ..ShadowEnd::default() };
    match outcome {
        Ok(Measured { usage, first_content }) => {
            let first = first_content.unwrap_or(now);
            flight.reached(first.since(began), now);
            if let Some(usage) = &usage {
                flight.used(usage.total_tokens, now);
            }
            end.usage = usage;
            end.cost = at.price.as_ref().zip(usage.as_ref()).and_then(|(price, usage)| price.cost(usage));
            end.first_content = Some(first.since(began));
        }
        Err(error) => {
            end.error = Some(error.code());
            flight.failed(at.timeouts.first_content, now);
        }
    }
    gateway.books().metrics.shadowed(&at.name, &end);
}
