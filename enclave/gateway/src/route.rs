//! Step 5, plan: which deployments may serve this request, and in which order. The only maker of [`Routed`].
//!
//! [`filter`] says who may, the model's [`tree`] of [`strategy`]s in which order, [`health`] who is well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Key;
use crate::cache::{Missed, Sampled};
use crate::clock::Now;
use crate::deployment::{Deployment, Exposure};
use crate::error::{Error, Reason};
use crate::screening::Guard;
use crate::wire::Request;

pub mod wishes;

pub mod features;

mod server_tools;

pub mod bell;

pub mod health;

pub mod tree;

pub mod expression;

pub mod strategy;

pub mod turns;

pub mod filter;

pub mod trace;

pub mod retry;

pub mod course;

pub mod queue;

pub mod hedge;

pub mod shadow;

pub mod throughput;

use filter::Filter;
use hedge::{HedgeBudget, HedgeSettings};
use queue::{Queue, QueueSettings};
use retry::{RetryBudget, RetrySettings};
use shadow::Shadow;
use throughput::ThroughputSettings;
use trace::Trace;
use tree::{Ceilings, Dice, FeaturesOnce, Leaf, Node, Order, Question};
use wishes::Wishes;

/// One model name that clients use, and what serves it.
pub struct Model {
    /// The name.
    pub name: Arc<str>,
    /// How the leaves are chosen.
    pub root: Node,
    /// Every place of a deployment in the tree, in the configuration's order.
    pub leaves: Vec<Leaf>,
    /// How its requests are tried.
    pub settings: ModelSettings,
    /// What is left for further attempts.
    pub budget: RetryBudget,
    /// What is left for hedges.
    pub hedges: HedgeBudget,
    /// Who waits for room.
    pub queue: Queue,
    /// A deployment on trial, which gets copies.
    pub shadow: Option<Arc<Shadow>>,
}

/// How a model's requests are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelSettings {
    /// Again.
    pub retry: RetrySettings,
    /// At most so long; the deployment's own times hold where absent.
    pub timeouts: ModelTimeouts,
    /// Waiting for room.
    pub queue: QueueSettings,
    /// A second deployment at the same time; none if absent.
    pub hedge: Option<HedgeSettings>,
    /// How fast streams have to begin; however they do if absent.
    pub throughput: Option<ThroughputSettings>,
    /// With these models, in order, where the prompt is too long for this one.
    pub context_window: Vec<Arc<str>>,
    /// With these models, in order, where the provider's rules are against the content.
    pub content_policy: Vec<Arc<str>>,
}

/// Times that a model shortens for all of its deployments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelTimeouts {
    /// To the first content of a stream.
    pub first_content: Option<Duration>,
    /// Between two pieces of an answer.
    pub stall: Option<Duration>,
    /// For everything, all attempts together.
    pub total: Option<Duration>,
}

impl Model {
    /// The deployments that may serve it, in the configuration's order; one that has two places comes twice.
    pub fn deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.leaves.iter().map(|leaf| &leaf.deployment)
    }
}

/// All model names, and what holds for all of them.
#[derive(Default)]
pub struct Models {
    by_name: BTreeMap<Arc<str>, Arc<Model>>,
    ceilings: Ceilings,
    headers: Vec<String>,
}

impl Models {
    /// None yet. `ceilings` narrow the exposure of labelled content whatever model is asked for.
    pub const fn new(ceilings: Ceilings) -> Self {
        Self { by_name: BTreeMap::new(), ceilings, headers: Vec::new() }
    }

    /// Adds a model; false if the name is taken.
    pub fn insert(&mut self, model: Model) -> bool {
        read_headers(&model.root, &mut self.headers);
        self.by_name.insert(Arc::clone(&model.name), Arc::new(model)).is_none()
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Model>> {
        self.by_name.get(name)
    }

    /// All models, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.by_name.values()
    }

    /// Request headers that conditions read, in lower case.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Goes on with the health of those deployments that another configuration had too.
    pub fn keep_health(&mut self, before: &Self) {
        let known: BTreeMap<&str, &Leaf> = before
            .iter()
            .flat_map(|model| model.leaves.iter().chain(model.shadow.as_ref().map(|shadow| &shadow.leaf)))
            .map(|leaf| (&*leaf.deployment.name, leaf))
            .collect();
        for model in self.by_name.values_mut().filter_map(Arc::get_mut) {
            let shadow = model.shadow.as_mut().and_then(Arc::get_mut).map(|shadow| &mut shadow.leaf);
            for leaf in model.leaves.iter_mut().chain(shadow) {
                if let Some(old) = known.get(&*leaf.deployment.name).filter(|old| old.is_same_as(leaf)) {
                    leaf.health = Arc::clone(&old.health);
                }
            }
        }
    }

    /// Which labels narrow the exposure everywhere.
    pub const fn ceilings(&self) -> &Ceilings {
        &self.ceilings
    }
}

fn read_headers(node: &Node, headers: &mut Vec<String>) {
    let Node::Branch(branch) = node else { return };
    for name in branch.strategy.headers() {
        if !headers.contains(&name) {
            headers.push(name);
        }
    }
    branch.members.iter().for_each(|member| read_headers(member, headers));
}

/// Proof that a plan was made within policy. Made by [`plan`] only.
pub struct Routed {
    missed: Missed,
    wishes: Wishes,
    model: Arc<Model>,
    decided: Decided,
    trace: Option<Box<Trace>>,
}

/// In which order the leaves of a model are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Places of leaves, best first; never empty.
    pub order: Order,
    /// All deployments were ejected, so health was overruled.
    pub relaxed: bool,
}

impl Routed {
    /// The request, as the cache left it.
    pub const fn missed(&self) -> &Missed {
        &self.missed
    }

    /// What the head asked for.
    pub const fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Which model.
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Whom to try at this turn, counted from zero; nothing after the last. There is always a first.
    pub fn leaf(&self, turn: usize) -> Option<&Leaf> {
        self.decided.order.places().get(turn).and_then(|place| self.model.leaves.get(*place))
    }

    /// How it was decided, if the client may know and asked.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }

    /// Whether breakers are overruled.
    pub const fn relaxed(&self) -> bool {
        self.decided.relaxed
    }

    /// Gives the request to the end of the pipeline.
    pub fn into_missed(self) -> Missed {
        self.missed
    }

    /// Gives out the guard, to be used up on the answer.
    pub(crate) const fn take_sampled(&mut self) -> Option<Box<Sampled>> {
        self.missed.take_sampled()
    }

    pub(crate) fn take_guard(&mut self) -> Option<Box<Guard>> {
        self.missed.take_guard()
    }

    /// Gives the guard back.
    pub(crate) fn keep_guard(&mut self, guard: Box<Guard>) {
        self.missed.keep_guard(guard);
    }
}

/// Finds out who serves the requested model. `draw` is a number that strategies may use as a die.
pub fn plan(
    missed: Missed,
    wishes: Wishes,
    models: &Models,
    draw: u64,
    now: Now,
) -> Result<Routed, Unrouted> {
    let name = &missed.screened().admitted().request().model;
    match models.find(name).cloned() {
        Some(model) => plan_with(missed, wishes, model, models, draw, now),
        None => Err(Unrouted::new(Error::ModelUnknown, missed, wishes)),
    }
}

/// The same with a model that the configuration names in place of the requested one. The key must be allowed that model
/// too.
pub fn plan_with(
    missed: Missed,
    wishes: Wishes,
    model: Arc<Model>,
    models: &Models,
    draw: u64,
    now: Now,
) -> Result<Routed, Unrouted> {
    let admitted = missed.screened().admitted();
    if *admitted.request().model != *model.name && !admitted.key().may_use(&model.name) {
        return Err(Unrouted::new(Error::ModelNotAllowed, missed, wishes));
    }
    let features = FeaturesOnce::new(admitted.request());
    let question = Question {
        request: admitted.request(),
        key: admitted.key(),
        wishes: &wishes,
        labels: missed.screened().labels(),
        now,
        dice: &Dice::new(draw),
        leaves: &model.leaves,
        features: &features,
    };
    let explained = wishes.explain && admitted.key().rules.may_explain;
    let (decided, trace) = if explained {
        let (decided, trace) = trace::explain(&question, &model, models.ceilings());
        (decided, Some(Box::new(trace)))
    } else {
        (decide(&question, &model, models.ceilings(), &mut |_, _| {}), None)
    };
    match decided {
        Ok(decided) => Ok(Routed { missed, wishes, model, decided, trace }),
        Err(error) => Err(Unrouted { trace, ..Unrouted::new(error, missed, wishes) }),
    }
}

/// A request that could not be planned, so that it can be with another model.
pub struct Unrouted {
    /// Why.
    pub error: Error,
    request: Box<(Missed, Wishes)>,
    trace: Option<Box<Trace>>,
}

impl Unrouted {
    fn new(error: Error, missed: Missed, wishes: Wishes) -> Self {
        Self { error, request: Box::new((missed, wishes)), trace: None }
    }

    /// How it was decided, if the client may know and asked.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }

    /// After attempts that failed.
    pub fn after(routed: Routed, error: Error) -> Self {
        Self::new(error, routed.missed, routed.wishes)
    }

    /// The request.
    pub fn missed(&self) -> &Missed {
        &self.request.0
    }

    /// Gives the request to another plan.
    pub fn into_parts(self) -> (Error, Missed, Wishes) {
        let (missed, wishes) = *self.request;
        (self.error, missed, wishes)
    }
}

/// The models that the configuration names in place of the requested one for this kind of failure, then those that the
/// client names for any. None if the client wants no fallback.
pub fn substitutes(failed: &Unrouted, models: &Models) -> Vec<Arc<Model>> {
    let (error, (missed, wishes)) = (&failed.error, &*failed.request);
    let asked = models.find(&missed.screened().admitted().request().model);
    let Some(settings) = asked.map(|model| &model.settings).filter(|_| !wishes.no_fallback) else {
        return Vec::new();
    };
    let about = |reason| matches!(error, Error::UpstreamStatus { reason: own, .. } if *own == reason);
    let too_long = matches!(error, Error::ContextTooLong) || about(Reason::ContextWindow);
    let names = match (too_long, about(Reason::ContentPolicy)) {
        (true, _) => settings.context_window.as_slice(),
        (false, true) => settings.content_policy.as_slice(),
        (false, false) => &[],
    };
    // What the client names comes last, and not for what may have been done already.
    let named = if features::must_run_once(missed.screened().admitted().request()) {
        &[]
    } else {
        wishes.instead.as_slice()
    };
    let names = names.iter().map(|name| &**name).chain(named.iter().map(String::as_str));
    names.filter_map(|name| models.find(name).cloned()).collect()
}

/// The decision on a request that is not to be sent.
pub fn dry_run(
    request: &Request,
    key: &Key,
    labels: &[Arc<str>],
    wishes: &Wishes,
    models: &Models,
    draw: u64,
    now: Now,
) -> Result<Trace, Error> {
    let model = models.find(&request.model).ok_or(Error::ModelUnknown)?;
    let features = FeaturesOnce::new(request);
    let question = Question {
        request,
        key,
        wishes,
        labels,
        now,
        dice: &Dice::new(draw),
        leaves: &model.leaves,
        features: &features,
    };
    Ok(trace::explain(&question, model, models.ceilings()).1)
}

/// Filters and orders the leaves of a model. `report` hears which leaf did not pass which filter.
pub fn decide(
    question: &Question<'_>,
    model: &Model,
    ceilings: &Ceilings,
    report: &mut dyn FnMut(&Leaf, Filter),
) -> Result<Decided, Error> {
    let allowed = filter::policy(question, ceilings, report)?;
    let eligible = filter::condition(question, allowed, report)?;
    let mut order = Order::default();
    model.root.walk(question, eligible.leaves, &mut order);
    let first = order.places().first().and_then(|place| model.leaves.get(*place));
    // The tree itself can leave nothing: a rule that names one member only, a label that none of them may see.
    let first = first.ok_or(Error::NoCompliantDeployment)?;
    if first.health.share(question.now) < question.dice.fraction() {
        order.demote_first();
    }
    Ok(Decided { order, relaxed: eligible.relaxed })
}

/// The widest exposure among a model's deployments.
pub fn widest_exposure(model: &Model) -> Exposure {
    model.deployments().map(|own| own.exposure).max().unwrap_or(Exposure::ProviderVisible)
}

#[cfg(test)]
mod tests;
