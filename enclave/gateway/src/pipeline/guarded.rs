//! Where the guardrails come into the life of a request: before it is routed, and between the commit point and the client.

use super::attempt::Committed;
use super::inquiry::{self, Asker};
use super::{Means, Reached, reach};
use crate::admission::Admitted;
use crate::answer::{Received, Relayed};
use crate::clock::Clock;
use crate::config::Gateway;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::race::accompanied;
use crate::route::Routed;
use crate::route::wishes::Wishes;
use crate::screening::inquiry::Inquiry;
use crate::screening::stream::StreamGuard;
use crate::screening::{self, Beside, Guard, Screened, report};
use crate::settle::Exchange;
use crate::upstream::{Upstream, UpstreamBody};
use crate::wire::RequestHead;

/// Most guardrails that a client may name.
const MAX_NAMED: usize = 32;

/// The guardrails that a client asks for in `postern-guardrails`. It can only add: what always applies is not in question.
pub(super) fn named(head: &RequestHead<'_>, gateway: &Gateway) -> Result<Vec<String>, Error> {
    let wrong = Error::FieldInvalid { param: report::HEADER, expected: "names of configured guardrails" };
    let mut names = Vec::new();
    for (_, value) in head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(report::HEADER)) {
        let Ok(text) = std::str::from_utf8(value) else { return Err(wrong) };
        names.extend(text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
    }
    let known = |name: &String| gateway.guardrails().names().any(|own| **own == **name);
    if names.len() > MAX_NAMED || !names.iter().all(known) { Err(wrong) } else { Ok(names) }
}

/// Adds those that the body asks for, in `LiteLLM`'s way.
pub(super) fn add_named(wishes: &Wishes, names: &mut Vec<String>, gateway: &Gateway) -> Result<(), Error> {
    let known = |name: &String| gateway.guardrails().names().any(|own| **own == **name);
    if !wishes.guardrails.iter().all(known) {
        return Err(Error::FieldInvalid { param: "guardrails", expected: "names of configured guardrails" });
    }
    names.extend(wishes.guardrails.iter().cloned());
    Ok(())
}

/// A request that has passed, and what is still to be asked beside the call upstream.
pub(super) struct Passed {
    pub(super) screened: Screened,
    pub(super) beside: Vec<Inquiry>,
}

/// Screens an admitted request, in here and then by the services that apply, and writes down what was said either way.
pub(super) async fn screen<U: Upstream, C: Clock>(
    admitted: Admitted,
    wishes: &Wishes,
    named: &[String],
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Passed, Error> {
    let gateway = means.gateway;
    let guardrails = gateway.guardrails();
    let demanded = admitted.key().issued().map(|own| own.guardrails()).unwrap_or_default();
    // What a key demands and nobody has configured cannot be checked.
    if let Some(name) = demanded.iter().find(|name| !guardrails.names().any(|own| **own == ***name)) {
        return Err(Error::ContentRefused { guardrail: name.as_str().into() });
    }
    let beside = if guardrails.is_empty() {
        Beside::default()
    } else {
        let named = named.iter().chain(&demanded).map(String::as_str).collect();
        Beside { metadata: wishes.metadata.clone(), named }
    };
    let refused = |exchange: &mut Exchange, (error, report): (Error, report::Report)| {
        exchange.screened(&report);
        error
    };
    let looked = screening::screen(admitted, beside, guardrails, &mut || gateway.secret_draw());
    let mut looked = looked.map_err(|own| refused(exchange, own))?;
    while let Some(inquiry) = looked.inquire()? {
        let asker = Asker::of(looked.admitted(), wishes, looked.labels(), exchange, gateway);
        let heard = inquiry::ask(&inquiry, &asker, false, means).await;
        exchange.costs_besides(heard.cost);
        looked = looked.heard(&inquiry, heard.verdict).map_err(|own| refused(exchange, own))?;
    }
    if let Some(report) = looked.report() {
        exchange.screened(report);
    }
    let beside = looked.beside()?;
    Ok(Passed { screened: looked.screened()?, beside })
}

/// Asks services beside the call upstream. Nothing of the answer goes on before all of them have agreed, and the call is
/// given up as soon as one does not.
pub(super) async fn beside<U: Upstream, C: Clock>(
    screened: Screened,
    inquiries: Vec<Inquiry>,
    wishes: Wishes,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Reached<U::Body>, Error> {
    let asker = Asker::of(screened.admitted(), &wishes, screened.labels(), exchange, means.gateway);
    let asking = inquiry::beside(&inquiries, &asker, means);
    let reaching = reach(screened, wishes, exchange, means);
    let (reached, (report, cost), agreed) = accompanied(reaching, asking, |(_, agreed)| agreed.is_ok()).await;
    exchange.screened(&report);
    exchange.costs_besides(cost);
    match (agreed, reached) {
        (Err(error), _) => Err(error),
        (Ok(()), Some(reached)) => reached,
        (Ok(()), None) => Err(Error::UpstreamTimeout),
    }
}

/// Puts an answer that has reached its commit point before the guardrails that must see all of it. Streams that are
/// checked piece by piece keep their guard.
pub(super) async fn check<U: Upstream, C: Clock>(
    committed: Committed<U::Body>,
    mut routed: Routed,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Reached<U::Body>, Error> {
    let gateway = means.gateway;
    let Some(mut guard) = routed.take_guard() else { return Ok(Reached::Fresh { committed, routed }) };
    if !guard.concerns_answers() {
        routed.keep_guard(guard);
        return Ok(Reached::Fresh { committed, routed });
    }
    let Committed { received, at } = committed;
    let received = match received {
        Received::Whole { body, usage, finish, dropped } => {
            exchange.reported(usage, finish);
            let body = Box::pin(ask_of_whole(&mut guard, body, &routed, exchange, means)).await?;
            let (guard, body) = whole(guard, body, exchange)?;
            routed.keep_guard(guard);
            Received::Whole { body, usage, finish, dropped }
        }
        Received::Stream { mut relay, held, dropped, reached } if guard.holds_streams() => {
            let held = collect(&mut relay, held, gateway.max_answer_bytes()).await?;
            exchange.reported(relay.usage(), relay.finish());
            Box::pin(ask_of_stream(&mut guard, held.expose(), &routed, exchange, means)).await?;
            let mut stream = StreamGuard::new(guard);
            let mut out = Plaintext::new(Vec::new());
            let fed = stream.feed(held.expose(), true, out.expose_mut());
            exchange.screened(stream.guard().report());
            fed?;
            Received::Stream { relay, held: out, dropped, reached }
        }
        received @ Received::Stream { .. } => {
            routed.keep_guard(guard);
            received
        }
    };
    Ok(Reached::Fresh { committed: Committed { received, at }, routed })
}

/// Who asks about an answer.
fn of_answer(routed: &Routed, exchange: &Exchange, gateway: &Gateway) -> Asker {
    let screened = routed.missed().screened();
    Asker::of(screened.admitted(), routed.wishes(), screened.labels(), exchange, gateway)
}

/// Asks services about a whole answer; its body as they let it go on.
async fn ask_of_whole<U: Upstream, C: Clock>(
    guard: &mut Guard,
    mut body: Body,
    routed: &Routed,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Body, Error> {
    let asker = of_answer(routed, exchange, means.gateway);
    for number in guard.services_of_answers() {
        let Some(inquiry) = guard.inquiry_of_answer(number, body.expose())? else { continue };
        let heard = inquiry::ask(&inquiry, &asker, true, means).await;
        exchange.costs_besides(heard.cost);
        let changed = guard.heard_of_answer(&inquiry, heard.verdict, body.expose());
        exchange.screened(guard.report());
        if let Some(changed) = changed? {
            body = Plaintext::new(changed.into());
        }
    }
    Ok(body)
}

/// Asks services about a stream that is held back.
async fn ask_of_stream<U: Upstream, C: Clock>(
    guard: &mut Guard,
    held: &[u8],
    routed: &Routed,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<(), Error> {
    let asker = of_answer(routed, exchange, means.gateway);
    for number in guard.services_of_answers() {
        let Some(inquiry) = guard.inquiry_of_stream(number, held)? else { continue };
        let heard = inquiry::ask(&inquiry, &asker, true, means).await;
        exchange.costs_besides(heard.cost);
        let agreed = guard.heard_at_last(&inquiry, heard.verdict.as_ref());
        exchange.screened(guard.report());
        agreed?;
    }
    Ok(())
}

type Body = Plaintext<bytes::Bytes>;

fn whole(mut guard: Box<Guard>, body: Body, exchange: &mut Exchange) -> Result<(Box<Guard>, Body), Error> {
    let checked = guard.whole(body.expose());
    exchange.screened(guard.report());
    let body = checked?.map_or(body, |changed| Plaintext::new(changed.into()));
    Ok((guard, body))
}

/// Reads a stream to its end.
async fn collect<B: UpstreamBody>(
    relay: &mut Relayed<B>,
    mut held: Plaintext<Vec<u8>>,
    max_bytes: usize,
) -> Result<Plaintext<Vec<u8>>, Error> {
    while relay.end().is_none() {
        relay.advance(held.expose_mut()).await;
        if held.expose().len() > max_bytes {
            return Err(Error::AnswerTooLarge);
        }
    }
    relay.take_early_failure().map_or(Ok(held), Err)
}
