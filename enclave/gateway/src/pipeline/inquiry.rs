//! Asks whom guardrails need to ask: services, through the same way out as upstreams, and models of this gateway. Bounded in
//! time and size, and closed where an answer is not understood.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;

use super::Means;
use crate::admission::{Admitted, Authenticated, Key};
use crate::audit::RequestId;
use crate::clock::Clock;
use crate::config::Gateway;
use crate::deployment::{Deployment, Exposure};
use crate::error::Error;
use crate::guardrail::{Answered, Asks, Question, Service, Unclear, Verdict};
use crate::plaintext::{Plaintext, Secret};
use crate::price::NanoUsd;
use crate::race::{Won, race};
use crate::route::wishes::Wishes;
use crate::screening::inquiry::Inquiry;
use crate::screening::report::Report;
use crate::settle::Exchange;
use crate::upstream::{BodyParts, HeaderValue, Progress, Upstream, UpstreamBody, UpstreamCall};

mod judge;

/// Most bytes of a service's answer besides what it was asked about.
const MAX_ANSWER: usize = 256 * 1024;

/// Whose content it is, and how far it may be exposed.
pub(super) struct Asker {
    pub(super) request_id: RequestId,
    pub(super) who: Authenticated,
    pub(super) model: String,
    pub(super) most: Exposure,
}

impl Asker {
    /// For content of that request, or of its answer.
    pub(super) fn of(
        admitted: &Admitted,
        wishes: &Wishes,
        labels: &[Arc<str>],
        exchange: &Exchange,
        gateway: &Gateway,
    ) -> Self {
        Self {
            request_id: exchange.id().clone(),
            who: admitted.authenticated(),
            model: admitted.request().model.clone(),
            most: most(admitted.key(), wishes, labels, gateway.models().ceilings()),
        }
    }
}

/// What came of an inquiry.
#[derive(Default)]
pub(super) struct Heard {
    /// A word; nothing if there is none, it is too late, says too much, or whoever was asked must not see this content.
    pub(super) verdict: Option<Verdict>,
    /// What asking cost, if anything.
    pub(super) cost: NanoUsd,
}

/// How far content may be exposed: the narrowest of what key, request and labels say.
fn most(
    key: &Key,
    wishes: &Wishes,
    labels: &[Arc<str>],
    ceilings: &crate::route::tree::Ceilings,
) -> Exposure {
    let labelled = labels.iter().filter_map(|label| ceilings.get(&**label).copied()).min();
    [wishes.exposure_max, labelled].into_iter().flatten().fold(key.rules.exposure_max, Exposure::min)
}

/// Asks whoever the check asks.
pub(super) async fn ask<U: Upstream, C: Clock>(
    inquiry: &Inquiry,
    asker: &Asker,
    answer: bool,
    means: &Means<'_, U, C>,
) -> Heard {
    match inquiry.check.asks() {
        // Apart, so that the usual request does not carry the room that this takes.
        Some((service, Asks::Model(model))) => {
            Box::pin(judge::ask(inquiry, service, model, asker, answer, means)).await
        }
        Some((service, Asks::Service(at))) => {
            let verdict = outside(inquiry, service, at, asker, answer, means).await;
            Heard { verdict, ..Heard::default() }
        }
        None => Heard::default(),
    }
}

fn question<'q, U, C: Clock>(
    inquiry: &'q Inquiry,
    asker: &'q Asker,
    answer: bool,
    means: &Means<'_, U, C>,
) -> Question<'q> {
    Question {
        answer,
        request_id: asker.request_id.as_str(),
        key_id: &asker.who.key().id,
        model: &asker.model,
        guardrail: &inquiry.check.name,
        unix_seconds: means.clock.now().unix_ms.wrapping_div(1000),
        texts: &inquiry.texts,
    }
}

/// A service's word.
async fn outside<U: Upstream, C: Clock>(
    inquiry: &Inquiry,
    service: &dyn Service,
    at: &Arc<Deployment>,
    asker: &Asker,
    answer: bool,
    means: &Means<'_, U, C>,
) -> Option<Verdict> {
    if at.exposure > asker.most {
        return None;
    }
    let question = question(inquiry, asker, answer, means);
    let secret = at.credential.as_ref().map_or(&[][..], |own| own.bare());
    let mut asked = service.ask(&question, secret);
    let body = Bytes::from(std::mem::take(&mut asked.body));
    let most_bytes = body.len().saturating_mul(2).saturating_add(MAX_ANSWER);
    let secret_value = |own: &Vec<u8>| HeaderValue::Secret(Arc::new(Secret::new(own.clone())));
    let mut headers = vec![("content-type", HeaderValue::Static("application/json"))];
    headers.extend(asked.headers.iter().map(|(name, value)| (*name, secret_value(value))));
    let call = UpstreamCall {
        deployment: Arc::clone(at),
        method: "POST",
        path: match format!("{}{}", at.base_path, asked.path) {
            path if path.is_empty() => "/".to_owned(),
            path => path,
        },
        headers,
        passed_on: Vec::new(),
        body: Plaintext::new(BodyParts::whole(body)),
        timeouts: at.timeouts,
    };
    let answering = pin!(async {
        let mut response = means.upstream.send(call).await.map_err(|_| Unclear)?;
        if !(200..300).contains(&response.status) {
            return Err(Unclear);
        }
        let mut body = Plaintext::new(Vec::new());
        while response.body.read(body.expose_mut()).await.map_err(|_| Unclear)? == Progress::Data {
            if body.expose().len() > most_bytes {
                return Err(Unclear);
            }
        }
        let named = |(name, _): &&(String, Vec<u8>)| name.eq_ignore_ascii_case("postern-signature");
        let signature = response.headers.iter().find(named).map(|(_, value)| value.as_slice());
        service.read(&question, &asked, &Answered { signature, body: body.expose() }, secret)
    });
    match race(answering, means.clock.sleep(at.timeouts.total)).await {
        Won::First(verdict) => verdict.ok(),
        Won::Second(()) => None,
    }
}

/// Asks what is asked beside the call upstream, one service after the other; what all said, or the first refusal.
pub(super) async fn beside<U: Upstream, C: Clock>(
    inquiries: &[Inquiry],
    asker: &Asker,
    means: &Means<'_, U, C>,
) -> ((Report, NanoUsd), Result<(), Error>) {
    let (mut report, mut cost) = (Report::default(), NanoUsd::default());
    for inquiry in inquiries {
        let heard = ask(inquiry, asker, false, means).await;
        cost = NanoUsd(cost.0.saturating_add(heard.cost.0));
        let status = inquiry.status(heard.verdict.as_ref());
        report.set(&inquiry.check.name, status);
        if let Some(error) = inquiry.refuses(status) {
            return ((report, cost), Err(error));
        }
    }
    ((report, cost), Ok(()))
}
