//! A model's strategy tree: branches order their members, leaves are deployments. Checked and expanded at load; walking
//! it allocates little and locks nothing but what a strategy itself needs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::features::Features;
use super::health::Health;
use super::strategy::{Candidate, Strategy, preferred};
use super::wishes::Wishes;
use crate::admission::Key;
use crate::clock::Now;
use crate::deployment::{Deployment, Exposure};
use crate::wire::Request;

/// Most levels of virtual models inside each other.
pub const MAX_DEPTH: usize = 8;
/// Most leaves of one model, those of inner models included.
pub const MAX_LEAVES: usize = 128;

/// A set of leaves by their places, one bit each.
pub type LeafSet = u128;

/// A deployment in a tree, and how it is doing.
#[derive(Clone)]
pub struct Leaf {
    /// The deployment.
    pub deployment: Arc<Deployment>,
    /// Its state; the same for all leaves of one deployment.
    pub health: Arc<Health>,
}

impl Leaf {
    /// Whether what is known of one is true of the other.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let (own, others) = (&self.deployment, &other.deployment);
        own.provider == others.provider
            && own.model == others.model
            && own.endpoint == others.endpoint
            && self.health.has_settings_of(&other.health)
    }
}

/// A place in the tree.
pub enum Node {
    /// A deployment, by its place in the model's list of leaves.
    Leaf(usize),
    /// Members and the strategy that orders them.
    Branch(Branch),
}

/// Members and the strategy that orders them.
pub struct Branch {
    /// Orders the members.
    pub strategy: Box<dyn Strategy>,
    /// The members, in the configuration's order.
    pub members: Vec<Node>,
    /// All leaves below.
    pub leaves: LeafSet,
}

/// What strategies may look at.
pub struct Question<'q> {
    /// The request.
    pub request: &'q Request,
    /// Who asks.
    pub key: &'q Key,
    /// What the head asked for.
    pub wishes: &'q Wishes,
    /// Labels that guardrails gave the content.
    pub labels: &'q [Arc<str>],
    /// The time.
    pub now: Now,
    /// Dice.
    pub dice: &'q Dice,
    /// The model's leaves.
    pub leaves: &'q [Leaf],
    /// What the request needs; worked out when somebody asks.
    pub features: &'q FeaturesOnce<'q>,
}

/// [`Features`], worked out at most once for each request.
pub struct FeaturesOnce<'q> {
    request: &'q Request,
    known: std::cell::OnceCell<Features>,
}

impl<'q> FeaturesOnce<'q> {
    /// Not worked out yet.
    pub const fn new(request: &'q Request) -> Self {
        Self { request, known: std::cell::OnceCell::new() }
    }

    /// What the request needs.
    pub fn get(&self) -> &Features {
        self.known.get_or_init(|| Features::of(self.request))
    }
}

/// A sequence of numbers that look random, from one draw (`SplitMix64`, by Steele, Lea and Flood).
pub struct Dice(Cell<u64>);

impl Dice {
    /// A sequence that begins here.
    pub const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        let next = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(next);
        let mixed = (next ^ next.wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed.wrapping_shr(31)
    }

    /// A place below `count`; zero if `count` is.
    pub fn below(&self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.roll().checked_rem(count).and_then(|place| usize::try_from(place).ok()).unwrap_or(0)
    }

    /// A number from zero up to but not including one.
    pub fn fraction(&self) -> f64 {
        let high = u32::try_from(self.roll().wrapping_shr(32)).unwrap_or(0);
        f64::from(high) / 4_294_967_296.0
    }
}

/// The leaves in the order in which they are to be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    places: Vec<usize>,
    taken: LeafSet,
}

impl Order {
    /// Places of leaves, best first; each at most once.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    pub(super) fn push(&mut self, place: usize) {
        let bit = bit(place);
        if self.taken & bit == 0 {
            self.taken |= bit;
            self.places.push(place);
        }
    }

    /// Moves the first to the end.
    pub(super) fn demote_first(&mut self) {
        let several = self.places.len() > 1;
        self.places.rotate_left(usize::from(several));
    }
}

/// The set of this leaf alone.
pub const fn bit(place: usize) -> LeafSet {
    if place < MAX_LEAVES { 1_u128.wrapping_shl(place_bits(place)) } else { 0 }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "below MAX_LEAVES, in a const function"
)]
const fn place_bits(place: usize) -> u32 {
    place as u32
}

impl Node {
    /// All leaves at or below this place.
    pub const fn leaves(&self) -> LeafSet {
        match self {
            Self::Leaf(place) => bit(*place),
            Self::Branch(branch) => branch.leaves,
        }
    }

    /// Appends the eligible leaves below, best first.
    pub fn walk(&self, question: &Question<'_>, eligible: LeafSet, order: &mut Order) {
        let branch = match self {
            Self::Leaf(place) => {
                if eligible & bit(*place) != 0 {
                    order.push(*place);
                }
                return;
            }
            Self::Branch(branch) => branch,
        };
        let eligible = branch.strategy.restrict(question, eligible);
        let of = |(place, node): (usize, &Self)| Candidate { place, leaves: node.leaves() & eligible };
        let mut candidates: Vec<_> =
            branch.members.iter().enumerate().map(of).filter(|candidate| candidate.leaves != 0).collect();
        match question.wishes.sort.filter(|_| branch.strategy.any_will_do()) {
            Some(sort) => preferred(sort).order(question, &mut candidates),
            None => branch.strategy.order(question, &mut candidates),
        }
        for candidate in candidates {
            if let Some(member) = branch.members.get(candidate.place) {
                member.walk(question, eligible, order);
            }
        }
    }
}

/// Which labels narrow the exposure, and to what.
pub type Ceilings = BTreeMap<Arc<str>, Exposure>;

impl Question<'_> {
    /// The leaves of a set.
    pub fn in_set(&self, set: LeafSet) -> impl Iterator<Item = &Leaf> {
        self.leaves.iter().enumerate().filter(move |(place, _)| set & bit(*place) != 0).map(|(_, leaf)| leaf)
    }

    /// The set of leaves for which something holds.
    pub fn leaves_where(&self, holds: impl Fn(&Leaf) -> bool) -> LeafSet {
        let all = self.leaves.iter().enumerate();
        all.filter(|(_, leaf)| holds(leaf)).fold(0, |set, (place, _)| set | bit(place))
    }

    /// The narrowest exposure that the content's labels demand; nothing if no label is listed.
    pub fn ceiling(&self, ceilings: &Ceilings) -> Option<Exposure> {
        self.labels.iter().filter_map(|label| ceilings.get(label)).min().copied()
    }
}
