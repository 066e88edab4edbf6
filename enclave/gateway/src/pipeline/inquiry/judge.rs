//! Asks a model of this gateway what a guardrail wants to know: planned and tried like any request for that model, under
//! the rules of the key whose content it is. It leaves an audit record of its own, and what it costs is the caller's.

use bytes::Bytes;

use super::{Asker, Heard, question};
use crate::answer::Received;
use crate::cache::{self, Begun};
use crate::clock::Clock;
use crate::error::Error;
use crate::guardrail::{Answered, JudgeModel, Service};
use crate::pipeline::{Means, attempt};
use crate::plaintext::Plaintext;
use crate::race::{Won, race};
use crate::route;
use crate::route::wishes::Wishes;
use crate::screening::inquiry::Inquiry;
use crate::screening::{self, Beside};
use crate::settle::Exchange;
use crate::upstream::Upstream;
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::{self, Asked};
use crate::{admission, guardrail};

/// The model's word, and what it cost.
pub(super) async fn ask<U: Upstream, C: Clock>(
    inquiry: &Inquiry,
    service: &dyn Service,
    model: &JudgeModel,
    asker: &Asker,
    answer: bool,
    means: &Means<'_, U, C>,
) -> Heard {
    let question = question(inquiry, asker, answer, means);
    let mut asked = service.ask(&question, &[]);
    let body = Plaintext::new(Bytes::from(std::mem::take(&mut asked.body)));
    let (id, books) = (asker.request_id.clone(), means.gateway.books());
    let now = means.clock.now();
    let mut exchange = Exchange::begin(id, &asker.who, &OpenAiChat, body.expose(), books, now);
    exchange.asks_for(&inquiry.check.name);
    let answering = answered(body, model, asker, &mut exchange, means);
    let outcome = match race(answering, means.clock.sleep(model.total)).await {
        Won::First(outcome) => outcome,
        Won::Second(()) => Err(Error::UpstreamTimeout),
    };
    let now = means.clock.now();
    let verdict = match outcome {
        Ok(body) => {
            exchange.answered(body.expose());
            exchange.complete(now);
            service.read(&question, &asked, &Answered { signature: None, body: body.expose() }, &[]).ok()
        }
        Err(error) => {
            exchange.refuse(&error, now);
            None
        }
    };
    Heard { verdict, cost: exchange.cost().unwrap_or_default() }
}

/// The stages that any request goes through, but for guardrails: what this one says has been through those that come
/// before, and a judge must see what it judges.
async fn answered<U: Upstream, C: Clock>(
    body: Plaintext<Bytes>,
    model: &JudgeModel,
    asker: &Asker,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Plaintext<Bytes>, Error> {
    let gateway = means.gateway;
    let request = wire::read(&OpenAiChat, Asked::default(), body)?;
    exchange.asked(gateway.models().find(&request.model).map(AsRef::as_ref), false);
    let admitted = admission::admit_for_guardrail(request, &asker.who, asker.most)?;
    let none = guardrail::Guardrails::default();
    let looked = screening::screen(admitted, Beside::default(), &none, &mut || gateway.secret_draw());
    let screened = looked.map_err(|(error, _)| error)?.screened()?;
    let wishes = Wishes { timeout: Some(model.total), ..Wishes::default() };
    // Verdicts are of one content and one rule, and nobody else's.
    let besides = cache::Beside { wanted: &wishes.cache, exposure_max: None, variant: "" };
    let Begun::Missed(missed) = cache::ask(screened, &besides, None, gateway.secret()) else {
        return Err(Error::UpstreamMalformed);
    };
    let planned = route::plan(missed, wishes, gateway.models(), gateway.draw(), means.clock.now());
    let routed = planned.map_err(|own| own.error)?;
    let committed = attempt::attempt(&routed, exchange, means).await?;
    match committed.received {
        Received::Whole { body, usage, finish, .. } => {
            exchange.reported(usage, finish);
            Ok(body)
        }
        Received::Stream { .. } => Err(Error::UpstreamMalformed),
    }
}
