//! Checks models: expands what they refer to into one tree each, and makes the strategies.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Deployments, MODEL_NAME, unknown, value};
use crate::config::ConfigError;
use crate::config::parse::closest;
use crate::config::routing::{MemberConfig, ModelConfig, ShadowConfig, StrategyConfig};
use crate::deployment::{Deployment, Exposure};
use crate::route::health::Health;
use crate::route::hedge::HedgeBudget;
use crate::route::queue::Queue;
use crate::route::retry::RetryBudget;
use crate::route::shadow::Shadow;
use crate::route::strategy::{self, MemberSettings, Settings, Strategy, Wrong};
use crate::route::tree::{Branch, Leaf, MAX_DEPTH, MAX_LEAVES, Node};
use crate::route::{Model, Models};
use crate::wire::is_model_name;

mod settings;

/// The state of each deployment, by its name.
pub(super) type States = BTreeMap<Arc<str>, Arc<Health>>;

/// Checks all models and builds their trees.
pub(super) fn build(
    configured: &BTreeMap<String, ModelConfig>,
    ceilings: &BTreeMap<String, Exposure>,
    deployments: &Deployments,
    states: &States,
) -> Result<Models, ConfigError> {
    if configured.is_empty() {
        return Err(value("models", "at least one model".to_owned()));
    }
    let ceilings = ceilings.iter().map(|(label, own)| (label.as_str().into(), *own)).collect();
    let mut models = Models::new(ceilings);
    for (name, own) in configured {
        if !is_model_name(name) {
            return Err(value("models", MODEL_NAME.to_owned()));
        }
        let mut tree =
            Tree { configured, deployments, states, leaves: Vec::new(), inside: vec![name.as_str()] };
        let root = tree.branch(&own.strategy, &own.members, &format!("models.{name}"))?;
        let shadow = own.shadow.as_ref().map(|own| tree.shadow(own, &format!("models.{name}.shadow")));
        let shadow = shadow.transpose()?.map(Arc::new);
        let leaves = tree.leaves;
        let settings = settings::build(own, configured, &format!("models.{name}"))?;
        models.insert(Model {
            name: name.as_str().into(),
            root,
            leaves,
            settings,
            budget: RetryBudget::default(),
            hedges: HedgeBudget::default(),
            queue: Queue::default(),
            shadow,
        });
    }
    Ok(models)
}

/// A model's tree while it is expanded.
struct Tree<'c> {
    configured: &'c BTreeMap<String, ModelConfig>,
    deployments: &'c Deployments,
    states: &'c States,
    leaves: Vec<Leaf>,
    /// The models that are being expanded, the outermost first.
    inside: Vec<&'c str>,
}

impl<'c> Tree<'c> {
    fn branch(
        &mut self,
        strategy: &StrategyConfig,
        members: &'c [MemberConfig],
        path: &str,
    ) -> Result<Node, ConfigError> {
        if members.is_empty() {
            return Err(value(format!("{path}.members"), "at least one member".to_owned()));
        }
        let strategy = configure(strategy, members, path)?;
        let mut nodes = Vec::with_capacity(members.len());
        for (place, member) in members.iter().enumerate() {
            nodes.push(self.member(member, &format!("{path}.members[{place}]"))?);
        }
        let leaves = nodes.iter().fold(0, |set, node| set | node.leaves());
        Ok(Node::Branch(Branch { strategy, members: nodes, leaves }))
    }

    fn member(&mut self, member: &'c MemberConfig, path: &str) -> Result<Node, ConfigError> {
        let Some(name) = member.name.as_deref() else {
            if path.matches(".members[").count() > MAX_DEPTH {
                return Err(value(path, format!("at most {MAX_DEPTH} levels")));
            }
            let usual = StrategyConfig::default();
            return self.branch(member.strategy.as_ref().unwrap_or(&usual), &member.members, path);
        };
        if member.strategy.is_some() || !member.members.is_empty() {
            return Err(value(path, "either 'use' or 'members'".to_owned()));
        }
        if let Some(deployment) = self.deployments.get(name) {
            return self.leaf(Arc::clone(deployment), path);
        }
        let Some((name, model)) = self.configured.get_key_value(name) else {
            let known = self.deployments.keys().map(AsRef::as_ref);
            let known = known.chain(self.configured.keys().map(String::as_str));
            return Err(unknown(path.to_owned(), "deployment or model", closest(name, known)));
        };
        if self.inside.contains(&name.as_str()) {
            return Err(value(path, "no circle: this model contains itself".to_owned()));
        }
        if self.inside.len() >= MAX_DEPTH {
            return Err(value(path, format!("at most {MAX_DEPTH} models inside each other")));
        }
        self.inside.push(name.as_str());
        let node = self.branch(&model.strategy, &model.members, &format!("models.{name}"))?;
        self.inside.pop();
        Ok(node)
    }

    fn leaf(&mut self, deployment: Arc<Deployment>, path: &str) -> Result<Node, ConfigError> {
        let place = self.leaves.len();
        if place >= MAX_LEAVES {
            return Err(value(path, format!("at most {MAX_LEAVES} deployments in one model")));
        }
        let leaf = self.with_health(deployment, path)?;
        self.leaves.push(leaf);
        Ok(Node::Leaf(place))
    }

    fn with_health(&self, deployment: Arc<Deployment>, path: &str) -> Result<Leaf, ConfigError> {
        let health = self.states.get(&deployment.name).map(Arc::clone);
        let health = health.ok_or_else(|| value(path, "a deployment".to_owned()))?;
        Ok(Leaf { deployment, health })
    }

    fn shadow(&self, own: &ShadowConfig, path: &str) -> Result<Shadow, ConfigError> {
        let Some(deployment) = self.deployments.get(own.deployment.as_str()) else {
            let known = self.deployments.keys().map(AsRef::as_ref);
            return Err(unknown(format!("{path}.use"), "deployment", closest(&own.deployment, known)));
        };
        Ok(Shadow::new(self.with_health(Arc::clone(deployment), path)?, settings::shadow(own, path)?))
    }
}

fn configure(
    own: &StrategyConfig,
    members: &[MemberConfig],
    path: &str,
) -> Result<Box<dyn Strategy>, ConfigError> {
    let kind = strategy::find(&own.kind).ok_or_else(|| {
        let known = strategy::STRATEGIES.iter().map(|kind| kind.name());
        unknown(format!("{path}.strategy"), "strategy", closest(&own.kind, known))
    })?;
    refuse_unread(own, members, kind.reads(), path)?;
    let settings = Settings {
        members: members.iter().map(member_settings).collect(),
        buffer_percent: own.buffer_percent,
        canary_percent: own.canary_percent,
        minimum_calls: own.minimum_calls,
        worse_by_percent: own.worse_by_percent,
        ceilings: own.ceilings.clone(),
    };
    kind.configure(&settings).map_err(|Wrong { member, key, expected }| match member {
        Some(place) => value(format!("{path}.members[{place}].{key}"), expected),
        None if key == "members" => value(format!("{path}.members"), expected),
        None => value(format!("{path}.strategy.{key}"), expected),
    })
}

fn member_settings(own: &MemberConfig) -> MemberSettings {
    MemberSettings { weight: own.weight, when: own.when.clone(), up_to: own.up_to.clone() }
}

/// A setting that the strategy does not read is a mistake, not a decoration.
fn refuse_unread(
    own: &StrategyConfig,
    members: &[MemberConfig],
    reads: &[&str],
    path: &str,
) -> Result<(), ConfigError> {
    let of_strategy = [
        ("buffer_percent", own.buffer_percent.is_some()),
        ("canary_percent", own.canary_percent.is_some()),
        ("minimum_calls", own.minimum_calls.is_some()),
        ("worse_by_percent", own.worse_by_percent.is_some()),
        ("ceilings", !own.ceilings.is_empty()),
    ];
    let unread = |given: &[(&'static str, bool)]| {
        given.iter().find(|(key, set)| *set && !reads.contains(key)).map(|(key, _)| *key)
    };
    let wrong = |path: String| value(path, "nothing here: this strategy does not use it".to_owned());
    if let Some(key) = unread(&of_strategy) {
        return Err(wrong(format!("{path}.strategy.{key}")));
    }
    for (place, member) in members.iter().enumerate() {
        let of_member = [
            ("weight", member.weight.is_some()),
            ("when", member.when.is_some()),
            ("up_to", member.up_to.is_some()),
        ];
        if let Some(key) = unread(&of_member) {
            return Err(wrong(format!("{path}.members[{place}].{key}")));
        }
    }
    Ok(())
}
