//! What authenticated evidence states, platform-neutral first. Made only by a platform after every vendor
//! signature held; nothing here has been compared with a policy yet.

use crate::digest::{HardwareId, Measurement, ReportData, Sha384, UnixTime, to_hex};
use crate::enclave_claims::tpm_extra_data;
use crate::evidence::TeeType;
use crate::reference_values::Requirement;

pub mod paravisor;
pub mod snp;
pub mod tdx;
mod trust;

pub use paravisor::{Paravisor, ParavisorClaims};
pub use snp::SnpClaims;
pub use tdx::TdxClaims;
pub use trust::Trusted;

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
    /// What the hardware signed: the guest's own, or behind a paravisor the digest of its run-time data.
    pub report_data: ReportData,
    /// The launch measurement; behind a paravisor the paravisor's.
    pub measurement: Measurement,
    /// Which processor signed; none when the key is shared by a cloud's fleet (VLEK).
    pub hardware_id: Option<HardwareId>,
    /// End of the shortest-lived endorsement.
    pub not_after: UnixTime,
    /// Everything only this platform has.
    pub platform: PlatformClaims,
    /// Firmware that a cloud provider vouches for; none where the policy's author vouches for all that is measured.
    pub firmware: Option<EndorsedFirmware>,
    /// What a paravisor between hardware and guest says; none where the guest speaks to the hardware itself.
    pub paravisor: Option<Box<ParavisorClaims>>,
}

/// Firmware on which the provider's endorsement holds. Set when the release is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndorsedFirmware {
    /// SHA-384 of the binary.
    pub digest: Sha384,
    /// When the endorsement was made.
    pub issued_at: UnixTime,
    /// Whether the launch measurement ends with the firmware and nothing else pins what that starts.
    pub firmware_only: bool,
}

impl HardwareClaims {
    /// What the guest asked to be signed.
    pub fn commitment(&self) -> Commitment {
        match &self.paravisor {
            None => Commitment::ReportData(self.report_data),
            Some(paravisor) => Commitment::TpmExtra(paravisor.extra_data.clone()),
        }
    }
}

/// Where evidence carries what the guest asked to be signed (`postern/1` section A4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commitment {
    /// The hardware's own report data.
    ReportData(ReportData),
    /// `extraData` of a TPM quote, which stands for report data by its digest.
    TpmExtra(Vec<u8>),
}

impl Commitment {
    /// Whether this commits to `data`.
    pub fn is_to(&self, data: &ReportData) -> bool {
        match self {
            Self::ReportData(own) => own == data,
            Self::TpmExtra(own) => own == tpm_extra_data(data).as_bytes(),
        }
    }

    /// Whether `expected` is satisfied.
    pub fn satisfies(&self, expected: &Requirement<ReportData>) -> bool {
        match (expected, self) {
            (Requirement::Exactly(data), _) => self.is_to(data),
            (Requirement::OneOf(values), _) => values.iter().any(|data| self.is_to(data)),
            (Requirement::Waived { .. }, _) => true,
            (Requirement::AtLeast(_), Self::ReportData(own)) => expected.accepts(own),
            // a digest has no order
            (Requirement::AtLeast(_), Self::TpmExtra(_)) => false,
        }
    }

    /// What would stand in this place for `data`, lower-case hexadecimal.
    pub fn spelled(&self, data: &ReportData) -> String {
        match self {
            Self::ReportData(_) => data.to_hex(),
            Self::TpmExtra(_) => tpm_extra_data(data).to_hex(),
        }
    }

    /// Lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        match self {
            Self::ReportData(own) => own.to_hex(),
            Self::TpmExtra(own) => to_hex(own),
        }
    }
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
