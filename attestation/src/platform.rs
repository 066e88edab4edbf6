//! The kinds of hardware this verifier can judge. A platform authenticates (vendor signatures, chains,
//! revocation) and then compares with its own rows of the policy; nothing else does either.

use crate::checklist::{Checklist, Step};
use crate::claims::{Commitment, HardwareClaims};
use crate::digest::UnixTime;
use crate::evidence::TeeType;
use crate::memory::{Entry, Store, Subject};
use crate::policy::Policy;
use crate::reference_values::Voucher;
use crate::rejection::Rejection;
use crate::work_limit::WorkLimit;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

pub(crate) mod sev_snp;
pub(crate) mod tdx;
pub(crate) mod azure;

/// One kind of hardware.
pub(crate) trait Platform: Sync {
    /// Which kind.
    fn tee(&self) -> TeeType;

    /// The checks this platform makes, in order.
    fn steps(&self) -> Vec<Step>;

    /// What the evidence states it was asked to vouch for, not yet authenticated.
    fn commitment(&self, evidence: &[u8]) -> Result<Commitment, Rejection>;

    /// Verifies every vendor signature, date and revocation list.
    fn authenticate(
        &self,
        input: &Input<'_>,
        limit: &mut WorkLimit,
        list: &mut Checklist,
    ) -> Result<HardwareClaims, Rejection>;

    /// Compares authenticated claims with the platform's rows of the policy.
    fn judge(
        &self,
        claims: &HardwareClaims,
        input: &Input<'_>,
        list: &mut Checklist,
    ) -> Result<(), Rejection>;

    /// Compares authenticated claims with the reference values. Returns who vouches for the measurement.
    fn release<'p>(
        &self,
        claims: &HardwareClaims,
        policy: &'p Policy,
        list: &mut Checklist,
    ) -> Result<&'p Voucher, Rejection>;
}

/// What an appraisal of CPU evidence is given.
pub(crate) struct Input<'a> {
    /// Raw report or quote, or the bundle of a platform that needs more than one.
    pub(crate) evidence: &'a [u8],
    /// Encoded endorsements.
    pub(crate) endorsements: &'a [u8],
    /// The policy.
    pub(crate) policy: &'a Policy,
    /// The time, by the caller's clock.
    pub(crate) now: UnixTime,
    /// What earlier appraisals left.
    pub(crate) memory: &'a Memory<'a>,
}

impl<'a> Input<'a> {
    /// What its chain is remembered by.
    fn subject(&self, certification: &'a [u8]) -> Subject<'a> {
        Subject {
            evidence: self.evidence,
            endorsements: self.endorsements,
            certification,
            anchors: &self.policy.trust_anchors,
            revocation: &self.policy.snp.revocation,
            now: self.now,
        }
    }
}

/// Vendor chains that were verified before, so that new evidence from the same machine costs one signature and the
/// policy. Holds no verdict, decides nothing, and forgets what is out of date or longest unused; at most 32 chains of
/// each vendor.
pub struct VerifiedChains {
    snp: Store<sev_snp::Vouched>,
    tdx: Store<tdx::Vouched>,
}

impl VerifiedChains {
    /// None yet.
    pub const fn new() -> Self {
        Self { snp: Store::new(), tdx: Store::new() }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.snp.len().saturating_add(self.tdx.len())
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Until when each serves: the first end of a certificate, revocation list or collateral text in it.
    pub fn ends(&self) -> Vec<UnixTime> {
        [self.snp.ends(), self.tdx.ends()].concat()
    }
}

impl Default for VerifiedChains {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for VerifiedChains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedChains").field("len", &self.len()).finish()
    }
}

/// What one appraisal takes from [`VerifiedChains`], and what it would leave there if it accepts.
pub(crate) struct Memory<'a> {
    chains: Option<&'a VerifiedChains>,
    learnt: RefCell<Option<Learnt>>,
    recalled: Cell<bool>,
}

enum Learnt {
    Snp(Entry<sev_snp::Vouched>),
    Tdx(Entry<tdx::Vouched>),
}

impl<'a> Memory<'a> {
    /// Of these chains, or of nothing.
    pub(crate) const fn new(chains: Option<&'a VerifiedChains>) -> Self {
        Self { chains, learnt: RefCell::new(None), recalled: Cell::new(false) }
    }

    /// Keeps what was learnt. Only for an appraisal that accepted.
    pub(crate) fn commit(&self) {
        match (self.chains, self.learnt.take()) {
            (Some(chains), Some(Learnt::Snp(entry))) => chains.snp.keep(entry),
            (Some(chains), Some(Learnt::Tdx(entry))) => chains.tdx.keep(entry),
            _ => {}
        }
    }

    /// Whether the chain of this appraisal is one that was verified before.
    pub(crate) const fn recalled(&self) -> bool {
        self.recalled.get()
    }

    fn snp(&self, subject: &Subject<'_>) -> Option<Arc<Entry<sev_snp::Vouched>>> {
        let found = self.chains?.snp.find(subject);
        self.recalled.set(found.is_some());
        found
    }

    fn tdx(&self, subject: &Subject<'_>) -> Option<Arc<Entry<tdx::Vouched>>> {
        let found = self.chains?.tdx.find(subject);
        self.recalled.set(found.is_some());
        found
    }

    fn learn(&self, entry: impl FnOnce() -> Learnt) {
        if self.chains.is_some() {
            self.learnt.replace(Some(entry()));
        }
    }
}

/// Every platform.
pub(crate) const PLATFORMS: &[&dyn Platform] =
    &[&sev_snp::SevSnp, &tdx::Tdx, &azure::AZURE_SNP, &azure::AZURE_TDX];

/// The platform for `tee`, if this verifier has one.
pub(crate) fn find(tee: TeeType) -> Option<&'static dyn Platform> {
    PLATFORMS.iter().copied().find(|platform| platform.tee() == tee)
}
