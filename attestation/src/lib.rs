//! Whether to believe what a trusted execution environment says about itself.
//!
//! Modules in the order in which an appraisal is understood; each imports only from those above it.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "a test that overflows fails, which is what it is for"
    )
)]

pub mod digest;
pub mod rejection;
pub mod reader;
pub mod cbor;
pub mod work_limit;
mod der;
mod signature;
mod x509;
mod protobuf;
pub mod firmware_endorsement;
pub mod enclave_claims;
pub mod keyset;
pub mod endorsements;
pub mod evidence;
pub mod azure_evidence;
pub mod binding;
pub mod provisioning;
pub mod reference_values;
pub mod claims;
pub mod floors;
pub mod policy;
mod checklist;
pub mod freshness;
mod memory;
mod platform;
pub mod inspect;
pub mod appraise;
pub mod attester;

pub use appraise::{
    AppraisedEvidence, SessionBound, Verified, VerifiedChains, appraise, appraise_evidence, explain,
    explain_evidence,
};
pub use azure_evidence::AzureEvidence;
pub use checklist::Rejected;
pub use digest::{HardwareId, Measurement, Nonce, ReportData, Sha256, Sha384, UnixTime};
pub use enclave_claims::{Channel, EnclaveClaims, Kind, Role};
pub use evidence::{EvidenceDocument, TeeType};
pub use firmware_endorsement::FirmwareEndorsement;
pub use freshness::Expected;
pub use keyset::Keyset;
pub use policy::Policy;
pub use rejection::{Check, Code, Outcome, Rejection};

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
