//! What authenticated evidence states, platform-neutral first. Made only by a platform after every vendor
//! signature held; nothing here has been compared with a policy yet.

use crate::digest::{HardwareId, Measurement, ReportData, UnixTime};
use crate::evidence::TeeType;

pub mod snp;
pub mod tdx;

pub use snp::SnpClaims;
pub use tdx::TdxClaims;

/// Which kind of root the vendor chain ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// A root the policy names: everything above it is SIMULATED.
    Simulated,
    /// The vendor's published root, compiled in.
    Vendor,
}

/// Authenticated claims of the CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareClaims {
    /// The kind of TEE.
    pub tee: TeeType,
    /// Where the chain ends.
    pub anchor: Anchor,
    /// What the guest asked the hardware to sign.
    pub report_data: ReportData,
    /// The launch measurement.
    pub measurement: Measurement,
    /// Which processor signed; none when the key is shared by a cloud's fleet (VLEK).
    pub hardware_id: Option<HardwareId>,
    /// End of the shortest-lived endorsement.
    pub not_after: UnixTime,
    /// Everything only this platform has.
    pub platform: PlatformClaims,
}

/// The claims that differ by platform.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlatformClaims {
    /// AMD SEV-SNP.
    Snp(Box<SnpClaims>),
    /// Intel TDX.
    Tdx(Box<TdxClaims>),
}
