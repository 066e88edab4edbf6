//! The kinds of hardware this verifier can judge. A platform authenticates (vendor signatures, chains,
//! revocation) and then compares with its own rows of the policy; nothing else does either.

use crate::checklist::{Checklist, Step};
use crate::claims::HardwareClaims;
use crate::digest::{ReportData, UnixTime};
use crate::evidence::TeeType;
use crate::policy::Policy;
use crate::rejection::Rejection;
use crate::work_limit::WorkLimit;

pub(crate) mod sev_snp;
pub(crate) mod tdx;

/// One kind of hardware.
pub(crate) trait Platform: Sync {
    /// Which kind.
    fn tee(&self) -> TeeType;

    /// The checks this platform makes, in order.
    fn steps(&self) -> &'static [Step];

    /// The report data as the evidence states it, not yet authenticated.
    fn report_data(&self, evidence: &[u8]) -> Result<ReportData, Rejection>;

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

    /// Compares authenticated claims with the reference values.
    fn release(
        &self,
        claims: &HardwareClaims,
        policy: &Policy,
        list: &mut Checklist,
    ) -> Result<(), Rejection>;
}

/// What an appraisal of CPU evidence is given.
pub(crate) struct Input<'a> {
    /// Raw report or quote.
    pub(crate) evidence: &'a [u8],
    /// Encoded endorsements.
    pub(crate) endorsements: &'a [u8],
    /// The policy.
    pub(crate) policy: &'a Policy,
    /// The time, by the caller's clock.
    pub(crate) now: UnixTime,
}

/// Every platform.
pub(crate) const PLATFORMS: &[&dyn Platform] = &[&sev_snp::SevSnp, &tdx::Tdx];

/// The platform for `tee`, if this verifier has one.
pub(crate) fn find(tee: TeeType) -> Option<&'static dyn Platform> {
    PLATFORMS.iter().copied().find(|platform| platform.tee() == tee)
}
