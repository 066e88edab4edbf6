//! Where the guardrails come into the life of a request: before it is routed, and between the commit point and the client.

use super::Reached;
use super::attempt::Committed;
use crate::admission::Admitted;
use crate::answer::{Received, Relayed};
use crate::config::Gateway;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::route::Routed;
use crate::route::wishes::Wishes;
use crate::screening::stream::StreamGuard;
use crate::screening::{self, Beside, Guard, Screened, report};
use crate::settle::Exchange;
use crate::upstream::UpstreamBody;
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

/// Screens an admitted request, and writes down what was said either way.
pub(super) fn screen(
    admitted: Admitted,
    wishes: &Wishes,
    named: &[String],
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<Screened, Error> {
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
    match screening::screen(admitted, beside, guardrails, &mut || gateway.secret_draw()) {
        Ok(screened) => {
            if let Some(guard) = screened.guard() {
                exchange.screened(guard.report());
            }
            Ok(screened)
        }
        Err((error, report)) => {
            exchange.screened(&report);
            Err(error)
        }
    }
}

/// Puts an answer that has reached its commit point before the guardrails that must see all of it. Streams that are
/// checked piece by piece keep their guard.
pub(super) async fn check<B: UpstreamBody>(
    committed: Committed<B>,
    mut routed: Routed,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<Reached<B>, Error> {
    let Some(guard) = routed.take_guard().filter(|guard| guard.concerns_answers()) else {
        return Ok(Reached::Fresh { committed, routed });
    };
    let Committed { received, at } = committed;
    let received = match received {
        Received::Whole { body, usage, finish, dropped } => {
            exchange.reported(usage, finish);
            let (guard, body) = whole(guard, body, exchange)?;
            routed.keep_guard(guard);
            Received::Whole { body, usage, finish, dropped }
        }
        Received::Stream { mut relay, held, dropped } if guard.holds_streams() => {
            let held = collect(&mut relay, held, gateway.max_answer_bytes()).await?;
            exchange.reported(relay.usage(), relay.finish());
            let mut stream = StreamGuard::new(guard);
            let mut out = Plaintext::new(Vec::new());
            let fed = stream.feed(held.expose(), true, out.expose_mut());
            exchange.screened(stream.guard().report());
            fed?;
            Received::Stream { relay, held: out, dropped }
        }
        received @ Received::Stream { .. } => {
            routed.keep_guard(guard);
            received
        }
    };
    Ok(Reached::Fresh { committed: Committed { received, at }, routed })
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
