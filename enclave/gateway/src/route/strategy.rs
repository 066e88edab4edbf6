//! How members are ordered. A strategy is one file in `strategy/` and one line in [`STRATEGIES`].

use std::collections::BTreeMap;

use super::tree::{LeafSet, Question};
use super::wishes::Sort;
use crate::deployment::Exposure;

pub mod canary;

pub mod complexity;

pub mod conditional;

pub mod least_busy;

pub mod least_cost;

pub mod least_latency;

pub mod priority;

pub mod round_robin;

pub mod sensitivity;

pub mod sticky;

pub mod usage;

pub mod weighted;

/// Every strategy, by the name the configuration uses.
pub const STRATEGIES: &[&dyn StrategyKind] = &[
    &canary::CanaryKind,
    &complexity::ComplexityKind,
    &conditional::ConditionalKind,
    &least_busy::LeastBusyKind,
    &least_cost::LeastCostKind,
    &least_latency::LeastLatencyKind,
    &priority::PriorityKind,
    &round_robin::RoundRobinKind,
    &sensitivity::SensitivityKind,
    &sticky::StickyKind,
    &usage::UsageKind,
    &weighted::WeightedKind,
];

/// A member that policy and health leave, in some leaves at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place among the branch's members.
    pub place: usize,
    /// Which of its leaves are left.
    pub leaves: LeafSet,
}

/// A configured way to order the members of one branch.
pub trait Strategy: Send + Sync {
    /// Orders, best first. May leave members out; those are not tried, whatever happens.
    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>);

    /// Takes leaves away that the content must not reach. Whatever it returns beyond `eligible` is ignored.
    fn restrict(&self, _: &Question<'_>, eligible: LeafSet) -> LeafSet {
        eligible
    }

    /// Whether any order of its members would do, so that a client may ask for another one.
    fn any_will_do(&self) -> bool {
        false
    }

    /// Request headers that it reads, in lower case.
    fn headers(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A kind of strategy: makes configured ones.
pub trait StrategyKind: Sync {
    /// The name in the configuration.
    fn name(&self) -> &'static str;
    /// The settings that it reads; others are refused.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }
    /// Makes a strategy from its settings.
    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong>;
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which member's, or the strategy's own.
    pub member: Option<usize>,
    /// Which setting.
    pub key: &'static str,
    /// What was expected.
    pub expected: String,
}

/// Settings of a branch; each kind reads its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of each member, in order.
    pub members: Vec<MemberSettings>,
    /// Percentage.
    pub buffer_percent: Option<u32>,
    /// Percentage.
    pub canary_percent: Option<u32>,
    /// Count.
    pub minimum_calls: Option<u32>,
    /// Percentage.
    pub worse_by_percent: Option<u32>,
    /// Exposure by label.
    pub ceilings: BTreeMap<String, Exposure>,
}

/// Settings of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSettings {
    /// Share of traffic.
    pub weight: Option<u32>,
    /// Condition.
    pub when: Option<String>,
    /// Hardest question.
    pub up_to: Option<String>,
}

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static dyn StrategyKind> {
    STRATEGIES.iter().find(|kind| kind.name() == name).copied()
}

/// Orders as a client prefers.
pub fn preferred(sort: Sort) -> &'static dyn Strategy {
    match sort {
        Sort::Price => &least_cost::LeastCost,
        Sort::Speed => &least_latency::QUICKEST,
    }
}

/// Orders by a score, smallest first; equal scores keep their order.
fn sort_by_score(candidates: &mut [Candidate], score: impl Fn(&Candidate) -> f64) {
    candidates.sort_by(|one, other| score(one).total_cmp(&score(other)));
}

/// The smallest value among a candidate's leaves; infinite if none has one.
fn best(
    question: &Question<'_>,
    candidate: &Candidate,
    value: impl Fn(&super::tree::Leaf) -> Option<f64>,
) -> f64 {
    question.in_set(candidate.leaves).filter_map(value).fold(f64::INFINITY, f64::min)
}
