//! What a machine started from these files will say it was started from: launch measurements, offline.
//!
//! Input is bytes: firmware, a unified kernel image (UKI), a disk's partition table. Output is what the hardware or a
//! virtual TPM will report: the launch digest of AMD SEV-SNP ([`snp`]), `MRTD` and run-time registers of Intel TDX
//! ([`tdx`]), and platform configuration registers ([`tpm`]). Nothing here reads a file, a clock or the environment,
//! so whoever verifies can compute what a publisher claims.
//!
//! Files are read as hostile bytes: whatever does not fit its format is a [`MeasureError`], never a panic.
//!
//! How far a value may be trusted is its [`Basis`].

mod bytes;
mod error;
mod hash;
mod pe;
mod firmware;
mod kernel_hashes;
mod vmm;
mod vmsa;
pub mod snp;
mod gpt;
mod uki;
pub mod tdx;
pub mod tpm;
pub mod table;

pub use error::MeasureError;
pub use firmware::Firmware;
pub use gpt::PartitionTable;
pub use hash::{Algorithm, Digest};
pub use kernel_hashes::KernelHashes;
pub use uki::{Boot, Uki};

/// Why a value is believed to be what a machine will report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Follows from published formats, and independent programs, a real boot or recorded evidence agree.
    Computed,
    /// Follows from published formats or observation of software; no hardware has confirmed it.
    Predicted,
    /// Depends on what only the machine knows; read it there once, by an operator one trusts.
    RecordedOnHardware,
}

impl Basis {
    /// The word in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Predicted => "predicted",
            Self::RecordedOnHardware => "to-be-recorded-on-hardware",
        }
    }
}
