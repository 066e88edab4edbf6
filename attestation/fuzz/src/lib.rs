//! What the targets share: a policy that only signatures stand in the way of.

use attestation::claims::snp::Product;
use attestation::floors::TcbFloors;
use attestation::policy::snp::{FloorRule, ProvisionalRule, RevocationRule, SigningKeyRule, SnpPolicy};
use attestation::policy::{DeploymentRule, HardwareRule};
use attestation::reference_values::{ReferenceValues, Requirement};
use attestation::{Policy, TeeType};

/// As loose as the type allows, with AMD's own roots: nothing made here can carry their signatures.
pub fn loosest() -> Policy {
    let reason = || "fuzzing".to_owned();
    let mut snp = SnpPolicy::standard(TcbFloors::shipped().expect("shipped floors"));
    snp.versions = vec![2, 3, 4, 5];
    snp.signing_key = SigningKeyRule::Either { reason: reason() };
    snp.products = Product::ALL.to_vec();
    snp.vmpl = Requirement::Waived { reason: reason() };
    snp.floors = FloorRule::Unchecked { reason: reason() };
    snp.provisional = ProvisionalRule::Accepted { reason: reason() };
    snp.revocation = RevocationRule::Unchecked { reason: reason() };
    let any = HardwareRule::Any { reason: reason() };
    let mut policy =
        Policy::standard(vec![TeeType::Snp], Vec::new(), any, DeploymentRule::Unpinned, Vec::new(), snp);
    policy.references = ReferenceValues::Unchecked { reason: reason() };
    policy
}
