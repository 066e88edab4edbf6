//! All keys and groups, as requests find them and as the shell changes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::budget::{Budget, Unit};
use super::meters::{Circumstances, Grant, Meter};
use super::policy::Policy;
use super::record::{GroupRecord, KeyRecord};
use super::reservation::circumstances;
use super::scope::{LiveKey, Scope, ScopeKind};
use super::secret::{Pepper, Presented, PublicId, Purpose};
use crate::clock::Now;
use crate::plaintext::Secret;

/// Groups of keys that are changed together, so that one change copies little.
const GROUPS: usize = 256;
/// Most crossings that wait for the shell.
const MAX_CROSSINGS: usize = 1024;

type Group = BTreeMap<PublicId, Arc<LiveKey>>;
type Scopes = BTreeMap<(ScopeKind, Arc<str>), Arc<Scope>>;

/// Issued keys and what they belong to.
pub struct Governance {
    pepper: Pepper,
    /// Whether budgets are leased from a store.
    leased: bool,
    keys: Vec<ArcSwap<Group>>,
    scopes: Mutex<Scopes>,
    crossings: Mutex<VecDeque<Crossing>>,
    /// One writer of `keys` at a time.
    writing: Mutex<()>,
    serials: AtomicU64,
    replicas: AtomicU32,
    store_down: AtomicBool,
}

/// A soft threshold that was crossed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Crossing {
    /// Whose budget.
    pub scope: ScopeKind,
    /// Which.
    pub id: Arc<str>,
    /// The budget.
    pub budget: String,
    /// What it counts.
    pub unit: Unit,
    /// The window, by its number.
    pub window: i64,
    /// The percentage.
    pub percent: u8,
    /// Spent so far, in the budget's unit.
    pub spent: u64,
    /// The limit.
    pub limit: u64,
    /// When, milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// A budget whose store record wants to be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose budget.
    pub kind: ScopeKind,
    /// Which.
    pub id: Arc<str>,
    /// The budget.
    pub budget: Arc<Budget>,
    /// The limit now, with what was added by hand.
    pub limit: u64,
    /// The window.
    pub window: i64,
    /// Spent since the store was told.
    pub untold: u64,
    /// What is left of the slice.
    pub slice: u64,
    /// Held by requests in flight.
    pub reserved: u64,
    /// Largest reservation that the slice was too small for.
    pub wanted: u64,
}

/// What the store says about a budget after it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The window that this is about.
    pub window: i64,
    /// So much of what was spent here has been told.
    pub told: u64,
    /// Spent by all replicas, as the store knows it.
    pub known: u64,
    /// Added to the slice.
    pub more: u64,
}

impl std::fmt::Debug for Governance {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Governance").finish_non_exhaustive()
    }
}

impl Governance {
    /// Without any key. `leased` if budgets are shared through a store.
    pub fn new(pepper: &Secret<[u8; 32]>, leased: bool) -> Self {
        Self {
            pepper: Pepper::new(pepper),
            leased,
            keys: (0..GROUPS).map(|_| ArcSwap::default()).collect(),
            scopes: Mutex::default(),
            crossings: Mutex::default(),
            writing: Mutex::default(),
            serials: AtomicU64::new(1),
            replicas: AtomicU32::new(1),
            store_down: AtomicBool::new(false),
        }
    }

    /// The pepper, for making and recognising secrets.
    pub const fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// The key that a credential belongs to, and the version of its secret; nothing if it is unknown or not good now.
    pub fn find(&self, credential: &[u8], now: Now) -> Option<(Arc<LiveKey>, u32)> {
        let presented = Presented::parse(Purpose::Inference, credential)?;
        // Hashed whether the key exists or not: both take as long.
        let tag = self.pepper.tag(&presented);
        let key = self.key(&presented.id)?;
        let version = key.version(&tag, now)?;
        key.is_good(now).then_some((key, version))
    }

    /// The key with this id.
    pub fn key(&self, id: &PublicId) -> Option<Arc<LiveKey>> {
        self.keys.get(id.group())?.load().get(id).cloned()
    }

    /// Loads many keys at once.
    pub fn load<'r>(&self, records: impl Iterator<Item = &'r KeyRecord>) {
        let mut fresh: Vec<Group> = (0..GROUPS).map(|_| Group::new()).collect();
        for record in records {
            let Some((id, key)) = self.live(record) else { continue };
            if let Some(group) = fresh.get_mut(id.group()) {
                group.insert(id, key);
            }
        }
        for (slot, mut group) in self.keys.iter().zip(fresh) {
            if !group.is_empty() {
                let mut whole = slot.load().as_ref().clone();
                whole.append(&mut group);
                slot.store(Arc::new(whole));
            }
        }
    }

    /// Puts a key's record in force, new or changed.
    pub fn put_key(&self, record: &KeyRecord) {
        let Some((id, key)) = self.live(record) else { return };
        self.change(&id, |group| {
            group.insert(id, key);
        });
    }

    /// Forgets a key.
    pub fn remove_key(&self, id: &PublicId) {
        self.change(id, |group| {
            group.remove(id);
        });
        self.scopes().remove(&(ScopeKind::Key, id.as_str().into()));
    }

    /// Puts a group's record in force, new or changed.
    pub fn put_group(&self, kind: ScopeKind, record: &GroupRecord) {
        let scope = self.scope(kind, &record.id);
        scope.adopt(record.policy.clone(), record.blocked, self.leased, &self.serials);
    }

    /// Closes a group that was removed: nothing below it is good any more.
    pub fn remove_group(&self, kind: ScopeKind, id: &str) {
        let (policy, closed) =
            if kind == ScopeKind::Tag { (Policy::everything(), false) } else { (Policy::default(), true) };
        self.scope(kind, id).adopt(policy, closed, self.leased, &self.serials);
    }

    /// Counters of a scope, if it is known: what was spent, by budget.
    pub fn with_meters<T>(&self, kind: ScopeKind, id: &str, read: impl FnOnce(&[Meter]) -> T) -> Option<T> {
        let scope = self.scopes().get(&(kind, Arc::from(id))).cloned()?;
        let meters = scope.meters();
        Some(read(&meters.budgets))
    }

    /// Adds to a budget's limit by hand until a time; false if there is no such budget.
    pub fn add_to_limit(
        &self,
        (kind, id): (ScopeKind, &str),
        budget: &str,
        amount: u64,
        until_ms: u64,
    ) -> bool {
        let Some(scope) = self.scopes().get(&(kind, Arc::from(id))).cloned() else { return false };
        let mut meters = scope.meters();
        let Some(meter) = meters.budgets.iter_mut().find(|own| own.budget.name == budget) else {
            return false;
        };
        meter.extra = (amount, until_ms);
        true
    }

    /// Budgets whose slice is small; with `spent` also those of which something was spent that the store does not know.
    pub fn dues(&self, spent: bool, now: Now) -> Vec<Due> {
        let metered = |scope: &&Arc<Scope>| !scope.rules().policy.budgets.is_empty();
        let scopes: Vec<Arc<Scope>> = self.scopes().values().filter(metered).cloned().collect();
        let mut dues = Vec::new();
        for scope in scopes {
            let mut meters = scope.meters();
            for meter in &mut meters.budgets {
                meter.roll(now);
                let Grant::Slice(slice) = meter.grant else { continue };
                let free = slice.saturating_sub(meter.reserved);
                let limit = meter.limit(now);
                let left = limit.saturating_sub(meter.spent());
                let thin = slice < left && (meter.wanted > 0 || free < usual_slice(limit).wrapping_div(2));
                if thin || (spent && meter.untold > 0) {
                    dues.push(Due {
                        kind: scope.kind,
                        id: Arc::clone(&scope.id),
                        budget: Arc::clone(&meter.budget),
                        limit,
                        window: meter.window,
                        untold: meter.untold,
                        slice,
                        reserved: meter.reserved,
                        wanted: meter.wanted,
                    });
                }
            }
        }
        dues
    }

    /// Takes note of what the store answered to a [`Due`].
    pub fn leased(&self, due: &Due, leased: Leased) {
        let Some(scope) = self.scopes().get(&(due.kind, Arc::clone(&due.id))).cloned() else { return };
        let mut meters = scope.meters();
        let same = |own: &&mut Meter| own.budget.name == due.budget.name && own.window == leased.window;
        if let Some(meter) = meters.budgets.iter_mut().find(same) {
            meter.untold = meter.untold.saturating_sub(leased.told);
            meter.known = leased.known;
            if let Grant::Slice(left) = &mut meter.grant {
                *left = left.saturating_add(leased.more);
            }
            meter.wanted = 0;
        }
    }

    /// Takes note of what the store says was `settled` of a budget in a `window`, whoever spent it.
    pub fn heard_of(
        &self,
        (kind, id): (ScopeKind, &str),
        budget: &str,
        (window, settled): (i64, u64),
        now: Now,
    ) {
        let Some(scope) = self.scopes().get(&(kind, Arc::from(id))).cloned() else { return };
        let mut meters = scope.meters();
        for meter in meters.budgets.iter_mut().filter(|meter| meter.budget.name == budget) {
            meter.roll(now);
            if meter.window == window {
                // News may be older than what this replica has committed meanwhile.
                meter.known = meter.known.max(settled);
            }
        }
    }

    /// Says how many replicas share the rate limits.
    pub fn set_replicas(&self, replicas: u32) {
        self.replicas.store(replicas.max(1), Ordering::Relaxed);
    }

    /// Says whether the store can be reached.
    pub fn set_store_down(&self, down: bool) {
        self.store_down.store(down, Ordering::Relaxed);
    }

    /// Takes out the thresholds that were crossed.
    pub fn take_crossings(&self) -> Vec<Crossing> {
        self.crossings.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    pub(super) fn circumstances<'c>(&self, model: &'c str, now: Now) -> Circumstances<'c> {
        let down = self.store_down.load(Ordering::Relaxed);
        circumstances(model, now, down, self.replicas.load(Ordering::Relaxed))
    }

    pub(super) fn crossed(&self, scope: &Scope, meter: &Meter, percent: u8, now: Now) {
        let mut waiting = self.crossings.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_CROSSINGS {
            waiting.pop_front();
        }
        waiting.push_back(Crossing {
            scope: scope.kind,
            id: Arc::clone(&scope.id),
            budget: meter.budget.name.clone(),
            unit: meter.budget.unit,
            window: meter.window,
            percent,
            spent: meter.spent(),
            limit: meter.budget.limit,
            at_unix_ms: now.unix_ms,
        });
    }

    fn live(&self, record: &KeyRecord) -> Option<(PublicId, Arc<LiveKey>)> {
        let id = PublicId::parse(&record.id)?;
        let own = self.scope(ScopeKind::Key, &record.id);
        own.adopt(record.policy.clone(), false, self.leased, &self.serials);
        let mut chain = vec![own, self.scope(ScopeKind::Org, &record.owner.org)];
        chain.extend(record.owner.team.as_deref().map(|team| self.scope(ScopeKind::Team, team)));
        chain.extend(record.owner.user.as_deref().map(|user| self.scope(ScopeKind::User, user)));
        chain.extend(record.tags.iter().map(|tag| self.scope(ScopeKind::Tag, tag)));
        // A key that is known already stays the same one, so that requests in flight hear of the change.
        if let Some(known) = self.key(&id) {
            known.adopt(record, chain);
            return Some((id, known));
        }
        Some((id, Arc::new(LiveKey::new(id, record, chain))))
    }

    fn scope(&self, kind: ScopeKind, id: &str) -> Arc<Scope> {
        let id: Arc<str> = id.into();
        let mut scopes = self.scopes();
        let made = || Arc::new(Scope::unknown(kind, Arc::clone(&id)));
        Arc::clone(scopes.entry((kind, Arc::clone(&id))).or_insert_with(made))
    }

    /// Copies one group, changes the copy, and puts it in the place of the group.
    fn change(&self, id: &PublicId, change: impl FnOnce(&mut Group)) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = self.keys.get(id.group()) {
            let mut group = slot.load().as_ref().clone();
            change(&mut group);
            slot.store(Arc::new(group));
        }
    }

    fn scopes(&self) -> MutexGuard<'_, Scopes> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of a budget a replica leases at a time: what a crash can cost.
pub const fn usual_slice(limit: u64) -> u64 {
    let part = limit.wrapping_div(16);
    if part == 0 { 1 } else { part }
}
