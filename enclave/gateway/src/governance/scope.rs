//! Keys and groups as requests meet them: rules that are swapped as a whole, and counters behind a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use super::meters::Meters;
use super::policy::Policy;
use super::record::{KeyRecord, SecretVersion, Status};
use super::secret::PublicId;
use crate::clock::{Clock, Now};
use crate::deployment::{Deployment, Exposure};

/// How often it is looked whether a key is still good, while nothing else happens.
const LOOK: Duration = Duration::from_millis(500);

/// What a [`Scope`] is of; ordered from the widest, which is also the order of locking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// An organisation.
    Org,
    /// A team.
    Team,
    /// A user.
    User,
    /// Everything with this word on it.
    Tag,
    /// A key.
    Key,
}

impl ScopeKind {
    /// As the admin API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Team => "team",
            Self::User => "user",
            Self::Tag => "tag",
            Self::Key => "key",
        }
    }

    /// From its word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Org, Self::Team, Self::User, Self::Tag, Self::Key].into_iter().find(|own| own.as_str() == name)
    }
}

/// The rules of a scope.
#[derive(Debug)]
pub struct Rules {
    /// What may be done.
    pub policy: Policy,
    /// Nothing may be done: blocked, removed, or not loaded yet.
    pub closed: bool,
}

/// A key or a group.
#[derive(Debug)]
pub struct Scope {
    /// What it is.
    pub kind: ScopeKind,
    /// Which.
    pub id: Arc<str>,
    rules: ArcSwap<Rules>,
    meters: Mutex<Meters>,
}

impl Scope {
    /// One whose record has not come yet: closed.
    pub fn unknown(kind: ScopeKind, id: Arc<str>) -> Self {
        // A tag has no record of its own unless somebody gives it a budget.
        let closed = kind != ScopeKind::Tag;
        let policy = if closed { Policy::default() } else { Policy::everything() };
        let rules = ArcSwap::from_pointee(Rules { policy, closed });
        Self { kind, id, rules, meters: Mutex::default() }
    }

    /// Puts rules in force.
    pub fn adopt(&self, policy: Policy, closed: bool, leased: bool, serials: &AtomicU64) {
        self.meters().adopt(&policy, leased, || serials.fetch_add(1, Ordering::Relaxed));
        self.rules.store(Arc::new(Rules { policy, closed }));
    }

    /// The rules in force.
    pub fn rules(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// The counters. Whoever locks several follows the order of [`Scope::place`].
    pub fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands in the order of locking.
    pub fn place(&self) -> (ScopeKind, &str) {
        (self.kind, &self.id)
    }
}

/// What may change of a key besides its policy.
#[derive(Debug)]
struct Standing {
    status: Status,
    expires_at_ms: Option<u64>,
    secrets: Vec<SecretVersion>,
}

/// An issued key as requests meet it.
#[derive(Debug)]
pub struct LiveKey {
    /// Its public id.
    pub id: PublicId,
    /// Its public id, as audit records name it.
    pub name: Arc<str>,
    standing: ArcSwap<Standing>,
    /// Itself and everything above it, in the order of locking.
    chain: ArcSwap<Vec<Arc<Scope>>>,
}

impl LiveKey {
    /// From a record, with the scopes that it names.
    pub fn new(id: PublicId, record: &KeyRecord, chain: Vec<Arc<Scope>>) -> Self {
        let own = Self {
            id,
            name: id.as_str().into(),
            standing: ArcSwap::from_pointee(Standing {
                status: Status::Revoked,
                expires_at_ms: None,
                secrets: Vec::new(),
            }),
            chain: ArcSwap::from_pointee(Vec::new()),
        };
        own.adopt(record, chain);
        own
    }

    /// Puts a changed record in force.
    pub fn adopt(&self, record: &KeyRecord, mut chain: Vec<Arc<Scope>>) {
        chain.sort_by(|one, other| one.place().cmp(&other.place()));
        // Locked one after the other, so none may be there twice.
        chain.dedup_by(|one, other| one.place() == other.place());
        self.chain.store(Arc::new(chain));
        self.standing.store(Arc::new(Standing {
            status: record.status,
            expires_at_ms: record.expires_at_ms,
            secrets: record.secrets.clone(),
        }));
    }

    /// Itself and everything above it.
    pub fn chain(&self) -> arc_swap::Guard<Arc<Vec<Arc<Scope>>>> {
        self.chain.load()
    }

    /// The organisation, team or user above it.
    pub fn belongs_to(&self, kind: ScopeKind) -> Option<Arc<str>> {
        self.chain().iter().find(|scope| scope.kind == kind).map(|scope| Arc::clone(&scope.id))
    }

    /// The version of the secret with this tag, if that is good now. Takes the same time wherever a tag differs.
    pub fn version(&self, tag: &[u8], now: Now) -> Option<u32> {
        let mut found = None;
        for secret in &self.standing.load().secrets {
            let same = bool::from(secret.tag.ct_eq(tag));
            let in_time = secret.valid_until_ms.is_none_or(|until| now.unix_ms < until);
            if same && in_time {
                found = Some(secret.version);
            }
        }
        found
    }

    /// Whether it and everything above it are good now.
    pub fn is_good(&self, now: Now) -> bool {
        let standing = self.standing.load();
        standing.status == Status::Active
            && standing.expires_at_ms.is_none_or(|until| now.unix_ms < until)
            && self.chain().iter().all(|scope| !scope.rules().closed)
    }

    /// Ends once it is no longer good. So a revoked key is not kept at work by an upstream that says nothing for minutes.
    pub async fn ends(&self, clock: &impl Clock) {
        while self.is_good(clock.now()) {
            clock.sleep(LOOK).await;
        }
    }

    /// Whether everybody concerned permits it.
    pub fn permits(&self, what: impl Fn(&Policy) -> bool) -> bool {
        self.chain().iter().all(|scope| what(&scope.rules().policy))
    }

    /// Whether a model may be asked for by that name.
    pub fn permits_model(&self, name: &str) -> bool {
        self.permits(|policy| policy.permits_model(name))
    }

    /// Whether a deployment may serve.
    pub fn permits_deployment(&self, at: &Deployment) -> bool {
        self.permits(|policy| policy.permits_deployment(at))
    }

    /// How far content may be exposed.
    pub fn exposure_max(&self) -> Exposure {
        let own = |scope: &Arc<Scope>| scope.rules().policy.exposure_max;
        self.chain().iter().filter_map(own).min().unwrap_or(Exposure::ProviderVisible)
    }

    /// Names of guardrails that have to run, from everybody above.
    pub fn guardrails(&self) -> Vec<String> {
        let mut names = Vec::new();
        for scope in self.chain().iter() {
            for name in &scope.rules().policy.guardrails {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        names
    }

    /// Bounds on the longest answer: what holds where the request does not say, and the most.
    pub fn output_bounds(&self) -> (Option<u64>, Option<u64>) {
        let least = |own: Option<u64>, other: Option<u64>| match (own, other) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        self.chain().iter().fold((None, None), |(usual, most), scope| {
            let rules = scope.rules();
            let own = &rules.policy.parameters;
            (least(usual, own.default_output_tokens), least(most, own.max_output_tokens))
        })
    }

    /// Upper bounds on other numbers of a request, the lowest of everybody's.
    pub fn upper_bounds(&self) -> Vec<(String, i64)> {
        let mut bounds: Vec<(String, i64)> = Vec::new();
        for scope in self.chain().iter() {
            for (name, bound) in &scope.rules().policy.parameters.upper_bounds {
                match bounds.iter_mut().find(|(own, _)| own == name) {
                    Some((_, own)) => *own = (*own).min(*bound),
                    None => bounds.push((name.clone(), *bound)),
                }
            }
        }
        bounds
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        let chain = self.chain();
        chain.iter().find(|scope| scope.kind == ScopeKind::Key).map_or(0, |scope| scope.meters().parallel)
    }
}
