//! Step 5, plan: which deployments may serve this request, and in which order. The only maker of [`Routed`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cache::Missed;
use crate::deployment::Deployment;
use crate::error::Error;

pub mod strategy;

use strategy::{Candidate, Strategy};

/// Most attempts for one request, whatever the configuration lists.
pub const MAX_ATTEMPTS: usize = 3;

/// One model name that clients use, and what serves it.
pub struct Model {
    /// The name.
    pub name: Arc<str>,
    /// How candidates are ordered.
    pub strategy: &'static dyn Strategy,
    /// The deployments, in the configuration's order.
    pub deployments: Vec<Arc<Deployment>>,
}

/// All model names.
#[derive(Default)]
pub struct Models {
    by_name: BTreeMap<Arc<str>, Model>,
}

impl Models {
    /// Adds a model; false if the name is taken.
    pub fn insert(&mut self, model: Model) -> bool {
        self.by_name.insert(Arc::clone(&model.name), model).is_none()
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.by_name.get(name)
    }

    /// All models, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Model> {
        self.by_name.values()
    }
}

/// Proof that a plan was made within policy. Made by [`plan`] only.
pub struct Routed {
    missed: Missed,
    attempts: Vec<Arc<Deployment>>,
}

impl Routed {
    /// The request, as the cache left it.
    pub const fn missed(&self) -> &Missed {
        &self.missed
    }

    /// Whom to try, in order; never empty, at most [`MAX_ATTEMPTS`].
    pub fn attempts(&self) -> &[Arc<Deployment>] {
        &self.attempts
    }

    /// Gives the request to the end of the pipeline.
    pub fn into_missed(self) -> Missed {
        self.missed
    }
}

/// Orders the candidates of the requested model. `draw` is a number that strategies may use as a die.
pub fn plan(missed: Missed, models: &Models, draw: u64) -> Result<Routed, Error> {
    let name = &missed.screened().admitted().request().model;
    let model = models.find(name).ok_or(Error::ModelUnknown)?;
    let mut candidates: Vec<_> =
        model.deployments.iter().map(|own| Candidate { deployment: Arc::clone(own) }).collect();
    model.strategy.order(&mut candidates, draw);
    candidates.truncate(MAX_ATTEMPTS);
    let attempts: Vec<_> = candidates.into_iter().map(|candidate| candidate.deployment).collect();
    if attempts.is_empty() {
        return Err(Error::NoCompliantDeployment);
    }
    Ok(Routed { missed, attempts })
}
