//! The whole life of one request, top to bottom.

use std::sync::Arc;

use bytes::Bytes;

use crate::admission::{self, Authenticated};
use crate::answer::{self, Answer};
use crate::audit::RequestId;
use crate::cache::{Hit, Lookup};
use crate::clock::{Clock, Now};
use crate::config::Gateway;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::prompt::{self, Filled, Reference};
use crate::provider;
use crate::route::trace::Trace;
use crate::route::wishes::Wishes;
use crate::route::{self, Model, Routed, Unrouted};
use crate::screening::{self, Beside, Screened};
use crate::settle::Exchange;
use crate::upstream::Upstream;
use crate::wire::hops::Hops;
use crate::wire::model_list::{self, Form, Listed, Page};
use crate::wire::{self, Asked, Operation, RequestHead, Wire};

mod allowance;

mod hedged;

mod attempt;

mod room;

mod refused;

mod shadow;

mod probe;

mod guarded;

mod cached;

mod inquiry;

use attempt::Committed;
pub use probe::{probe, probed};
pub use refused::Refused;
pub use shadow::shadow;

/// A request whose head was accepted: the path exists and, where it matters, the key is known.
pub struct Opened {
    operation: Operation,
    wishes: Wishes,
    authenticated: Option<Authenticated>,
    request_id: RequestId,
    max_body: usize,
    /// Guardrails that the client asks for, by name.
    named: Vec<String>,
    /// A stored prompt that the head refers to.
    prompt: Option<Box<Reference>>,
}

impl Opened {
    /// Most bytes the shell may read for this request; zero if it has no body. More is [`Error::BodyTooLarge`].
    pub const fn max_body_bytes(&self) -> usize {
        self.max_body
    }

    /// The id for `x-request-id`; answers carry it already, errors do not.
    pub const fn request_id(&self) -> &RequestId {
        &self.request_id
    }
}

/// Looks at the head alone: finds the operation and the key, before a byte of the body is read.
pub fn open(head: &RequestHead<'_>, gateway: &Gateway, now: Now) -> Result<Opened, Error> {
    let operation = wire::operation(head)?;
    let request_id = gateway.next_request_id();
    if matches!(operation, Operation::Probe) {
        let wishes = Wishes::default();
        let named = Vec::new();
        return Ok(Opened {
            operation,
            wishes,
            authenticated: None,
            request_id,
            max_body: 0,
            named,
            prompt: None,
        });
    }
    let authenticated =
        Some(admission::authenticate(head, gateway.keys(), gateway.governance().map(Arc::as_ref), now)?);
    let has_body = matches!(operation, Operation::Inference(..));
    if has_body && gateway.books().journal.is_stalled() {
        return Err(Error::AuditStalled);
    }
    let max_body = if has_body { body_limit(head, gateway)? } else { 0 };
    let mut wishes = Wishes::read(head, gateway.models().headers())?;
    wishes.hops = Hops::read(head, gateway.number())?;
    let named = guarded::named(head, gateway)?;
    let prompt = Reference::of_head(head)?.map(Box::new);
    Ok(Opened { operation, wishes, authenticated, request_id, max_body, named, prompt })
}

/// Answers an opened request.
///
/// Waits for the upstream up to the commit point, so that the shell can write the head and the first event at once.
/// Dropping the future cancels everything and settles.
pub async fn handle<U: Upstream>(
    opened: Opened,
    body: Plaintext<Bytes>,
    gateway: &Gateway,
    upstream: &U,
    clock: &impl Clock,
) -> Result<Answer<U::Body>, Refused> {
    let Opened { operation, wishes, authenticated, request_id, max_body, named, prompt } = opened;
    if body.expose().len() > max_body {
        return Err(Error::BodyTooLarge { limit: max_body }.into());
    }
    let Some(who) = authenticated else { return Ok(answer::local(&request_id, Vec::new())) };
    let (wire, asked) = match operation {
        Operation::Inference(wire, asked) => (wire, asked),
        Operation::ListModels(page) => {
            let body = list_models(&page, &who, gateway)?;
            return Ok(answer::local(&request_id, body));
        }
        Operation::Probe => return Ok(answer::local(&request_id, Vec::new())),
        Operation::ShowModel(name, form) => {
            let body = show_model(&name, form, &who, gateway)?;
            return Ok(answer::local(&request_id, body));
        }
    };
    let mut exchange = Exchange::begin(request_id, &who, wire, body.expose(), gateway.books(), clock.now());
    if wishes.explain && !who.key().rules.may_explain {
        exchange.withhold_explanation();
    }
    let means = Means { gateway, upstream, clock };
    let asking = Asking { wire, asked, body, wishes, named, prompt };
    let mut reached = match infer(asking, who, &mut exchange, &means).await {
        Ok(Reached::Fresh { committed, routed }) => {
            guarded::check(committed, routed, &mut exchange, &means).await
        }
        other => other,
    };
    if let Ok(Reached::Fresh { committed, routed }) = &mut reached
        && let Some(sampled) = routed.take_sampled()
    {
        // Apart, so that the usual request does not carry the room that this takes.
        Box::pin(cached::compare(sampled, committed, routed, &mut exchange, &means)).await;
    }
    match reached {
        Ok(reached) => Ok(reached.into_answer(exchange, clock.now())),
        Err(error) => {
            exchange.refuse(&error, clock.now());
            Err(Refused::new(error, &exchange))
        }
    }
}

/// How a request would be routed for a key, by its public id, without sending anything. Nothing is held and nothing is
/// written down.
pub fn dry_run(
    wire: &'static dyn Wire,
    body: Plaintext<Bytes>,
    key: &str,
    wishes: &Wishes,
    gateway: &Gateway,
    now: Now,
) -> Result<Trace, Error> {
    let key = gateway.keys().with_id(key).ok_or(Error::CredentialUnknown)?;
    let mut wishes = wishes.clone();
    let prompts = gateway.prompts();
    let Filled { body, version } = prompt::fill(prompts, wire, None, body, key, gateway.max_body_bytes())?;
    let request = wishes.take_body(wire::read(wire, Asked::default(), body)?, gateway.models())?;
    let request = prompt::decorate(prompts, request, version.as_deref(), key)?.into_request();
    if !key.may_use(&request.model) {
        return Err(Error::ModelNotAllowed);
    }
    let named = version.iter().flat_map(|own| &own.guardrails).map(String::as_str).collect();
    let beside = Beside { metadata: wishes.metadata.clone(), named };
    let labels = screening::labels(&request, beside, gateway.guardrails())?;
    route::dry_run(&request, key, &labels, &wishes, gateway.models(), gateway.draw(), now)
}

/// What is asked.
struct Asking {
    wire: &'static dyn Wire,
    asked: Asked,
    body: Plaintext<Bytes>,
    wishes: Wishes,
    named: Vec<String>,
    prompt: Option<Box<Reference>>,
}

/// What the stages work with: the configuration, the way out, the time.
struct Means<'m, U, C> {
    gateway: &'m Gateway,
    upstream: &'m U,
    clock: &'m C,
}

/// The stages, in order. Each takes the proof of the one before.
async fn infer<U: Upstream, C: Clock>(
    asking: Asking,
    who: Authenticated,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Reached<U::Body>, Error> {
    let gateway = means.gateway;
    let Asking { wire, asked, body, mut wishes, mut named, prompt } = asking;
    let prompts = gateway.prompts();
    let Filled { body, version } =
        prompt::fill(prompts, wire, prompt.map(|own| *own), body, who.key(), gateway.max_body_bytes())?;
    let request = wishes.take_body(wire::read(wire, asked, body)?, gateway.models())?;
    exchange.asked(gateway.models().find(&request.model).map(Arc::as_ref), request.stream);
    let prompted = prompt::decorate(prompts, request, version.as_deref(), who.key())?;
    guarded::add_named(&wishes, &mut named, gateway)?;
    if let Some(version) = &version {
        exchange.prompted(version);
        named.extend(version.guardrails.iter().cloned());
    }
    let (request, reserved) = allowance::take(prompted, &who, exchange, means).await?;
    let admitted = admission::admit(request, who, reserved)?;
    let guarded::Passed { screened, beside } =
        guarded::screen(admitted, &wishes, &named, exchange, means).await?;
    if beside.is_empty() {
        return reach(screened, wishes, exchange, means).await;
    }
    // Apart, so that the usual request does not carry the room that this takes.
    Box::pin(guarded::beside(screened, beside, wishes, exchange, means)).await
}

/// What comes after the guardrails: the cache, and then deployments until one has committed.
async fn reach<U: Upstream, C: Clock>(
    screened: Screened,
    wishes: Wishes,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Reached<U::Body>, Error> {
    let Means { gateway, clock, .. } = means;
    let missed = match cached::look_up(screened, &wishes, exchange, means).await {
        Lookup::Hit(hit) => return Ok(Reached::Cached(hit)),
        Lookup::Miss(missed) => missed,
    };
    let planned = route::plan(missed, wishes, gateway.models(), gateway.draw(), clock.now());
    let planned = room::wait(planned, means).await;
    let mut failed = match follow(planned, exchange, means).await {
        Ok(reached) => return Ok(reached),
        Err(failed) => failed,
    };
    // Two kinds of failure have models configured to try instead, and clients may name some for all. The first error counts, whatever the others say.
    let mut primary = None;
    for model in route::substitutes(&failed, gateway.models()) {
        let (error, missed, wishes) = failed.into_parts();
        primary.get_or_insert(error);
        let planned = route::plan_with(missed, wishes, model, gateway.models(), gateway.draw(), clock.now());
        failed = match follow(planned, exchange, means).await {
            Ok(reached) => return Ok(reached),
            Err(failed) => failed,
        };
    }
    Err(primary.unwrap_or(failed.error))
}

/// Tries a plan; a failure gives the request back.
async fn follow<U: Upstream, C: Clock>(
    planned: Result<Routed, Unrouted>,
    exchange: &mut Exchange,
    means: &Means<'_, U, C>,
) -> Result<Reached<U::Body>, Unrouted> {
    let routed = match planned {
        Ok(routed) => routed,
        Err(unrouted) => {
            exchange.explain(unrouted.trace());
            return Err(unrouted);
        }
    };
    exchange.explain(routed.trace());
    if let Some(tokens) = provider::estimate(&routed) {
        return Ok(Reached::Counted { tokens, routed });
    }
    match attempt::attempt(&routed, exchange, means).await {
        Ok(committed) => {
            shadow::offer(&routed, &committed.at, means);
            Ok(Reached::Fresh { committed, routed })
        }
        Err(error) => Err(Unrouted::after(routed, error)),
    }
}

/// An answer the client will get: from here nothing is tried again.
#[expect(clippy::large_enum_variant, reason = "moved once per request")]
enum Reached<B> {
    Cached(Hit),
    Counted { tokens: u64, routed: Routed },
    Fresh { committed: Committed<B>, routed: Routed },
}

impl<B> Reached<B> {
    fn into_answer(self, exchange: Exchange, now: Now) -> Answer<B> {
        match self {
            Self::Cached(hit) => answer::replay(hit, exchange, now),
            Self::Counted { tokens, routed } => answer::count(tokens, routed.into_missed(), exchange, now),
            Self::Fresh { committed: Committed { received, at }, routed } => {
                answer::deliver(received, &at, routed.into_missed(), exchange, now)
            }
        }
    }
}

/// The configured limit, or the error that the head alone justifies.
fn body_limit(head: &RequestHead<'_>, gateway: &Gateway) -> Result<usize, Error> {
    let limit = gateway.max_body_bytes();
    for (name, value) in head.headers {
        let plain = value.eq_ignore_ascii_case(b"identity");
        if name.eq_ignore_ascii_case("content-encoding") && !plain {
            return Err(Error::ContentEncoding);
        }
        if name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
            if length.is_some_and(|length| length > limit) {
                return Err(Error::BodyTooLarge { limit });
            }
        }
    }
    Ok(limit)
}

/// The models this key may use, and no others.
fn list_models(page: &Page, who: &Authenticated, gateway: &Gateway) -> Result<Vec<u8>, Error> {
    let allowed = gateway.models().iter().filter(|model| who.key().may_use(&model.name));
    model_list::list(allowed.map(|model| listed(model)), page)
}

fn show_model(name: &str, form: Form, who: &Authenticated, gateway: &Gateway) -> Result<Vec<u8>, Error> {
    let allowed = who.key().may_use(name);
    let model = gateway.models().find(name).filter(|_| allowed).ok_or(Error::ModelUnknown)?;
    Ok(model_list::show(&listed(model), form))
}

/// A model as the list shows it. What several deployments say differently is told as the most cautious of them says.
fn listed(model: &Model) -> Listed<'_> {
    let deployments = || model.deployments();
    let least = |of: fn(&Deployment) -> Option<u64>| {
        let all: Option<Vec<u64>> = deployments().map(|own| of(own)).collect();
        all.and_then(|all| all.into_iter().min())
    };
    let mut regions: Vec<&str> = deployments().filter_map(|own| own.region.as_deref()).collect();
    regions.sort_unstable();
    regions.dedup();
    let first = deployments().next();
    let price = first.and_then(|own| own.price.as_deref());
    let capabilities = first.and_then(|own| own.capabilities.as_ref());
    let mut extension = serde_json::Map::new();
    let mut put = |name: &str, value| extension.insert(name.to_owned(), value);
    put("exposure_class", route::widest_exposure(model).as_str().into());
    put("regions", regions.into());
    put(
        "price_usd_per_million_tokens",
        serde_json::to_value(price.map(|own| &own.rates)).unwrap_or_default(),
    );
    put("capabilities", serde_json::to_value(capabilities).unwrap_or_default());
    Listed {
        id: &model.name,
        owned_by: first.map_or("postern", |own| own.provider),
        context_tokens: least(|own| own.context_tokens),
        max_output_tokens: least(|own| own.max_output_tokens),
        extension,
    }
}
