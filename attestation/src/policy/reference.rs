//! The reference policy of the published evidence corpus: vendor signatures, chains and TCB levels, debug and
//! migration off, and nothing more. Everything else is waived by name. No channel can have it.

use crate::claims::snp::{AbiVersion, Product};
use crate::evidence::TeeType;
use crate::floors::TcbFloors;
use crate::policy::azure::{AzurePolicy, PcrRule};
use crate::policy::snp::{
    Bit, FloorRule, ProvisionalRule, READABLE_VERSIONS, RevocationRule, SigningKeyRule, SnpPolicy,
};
use crate::policy::tdx::{AdvisoryRule, CollateralAge, EvaluationRule, TdxPolicy, TdxReferences};
use crate::policy::{DeploymentRule, HardwareRule, Policy};
use crate::reference_values::{ReferenceValues, Requirement};
use crate::rejection::Rejection;

impl Policy {
    /// The corpus' reference policy for one kind of TEE; `reason` stands with everything it waives.
    ///
    /// # Errors
    /// `POL_INVALID` if the shipped floors, which this policy does not even use, are broken.
    pub fn reference(tee: TeeType, reason: &str) -> Result<Self, Rejection> {
        let unjudged = || reason.to_owned();
        let tdx = TdxPolicy {
            references: TdxReferences::Unchecked { reason: unjudged() },
            collateral_age: CollateralAge::Unchecked { reason: unjudged() },
            evaluation: EvaluationRule::Unchecked { reason: unjudged() },
            advisories: AdvisoryRule::Unchecked { reason: unjudged() },
            ..TdxPolicy::standard(Vec::new())
        };
        let azure = AzurePolicy {
            pcrs: PcrRule::Unchecked { reason: unjudged() },
            ..AzurePolicy::standard(Vec::new())
        };
        let policy = Self::standard(
            vec![tee],
            Vec::new(),
            HardwareRule::Any { reason: unjudged() },
            DeploymentRule::Unpinned,
            Vec::new(),
            snp(reason)?,
        );
        let references = ReferenceValues::Unchecked { reason: unjudged() };
        Ok(Self { references, ..policy }.with_tdx(tdx).with_azure(azure))
    }
}

fn snp(reason: &str) -> Result<SnpPolicy, Rejection> {
    let unjudged = || reason.to_owned();
    let mut snp = SnpPolicy::standard(TcbFloors::shipped()?);
    snp.versions = READABLE_VERSIONS.to_vec();
    snp.signing_key = SigningKeyRule::Either { reason: unjudged() };
    snp.products = Product::ALL.to_vec();
    snp.vmpl = Requirement::Waived { reason: unjudged() };
    snp.abi = Requirement::AtLeast(AbiVersion { major: 0, minor: 0 });
    snp.platform.alias_check = Bit::Any;
    snp.platform.tio = Bit::Any;
    snp.platform.unknown_accepted = u64::MAX;
    snp.floors = FloorRule::Unchecked { reason: unjudged() };
    snp.provisional = ProvisionalRule::Accepted { reason: unjudged() };
    snp.revocation = RevocationRule::Unchecked { reason: unjudged() };
    Ok(snp)
}
