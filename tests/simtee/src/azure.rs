//! A simulated Azure guest: a paravisor's blob over a report of [`crate::Processor`] or [`crate::tdx`], a virtual TPM
//! that quotes, and certificates for its key under a throw-away root.
//!
//! Written from `OpenHCL`'s `igvm_attest` structures, the TPM 2.0 library (parts 2 and 3) and Intel 348551, sharing no
//! code with the verifier. Every part can be changed before it is hashed or signed:
//!
//! ```
//! use simtee::azure::{AzureAuthority, AzureSpec};
//! use simtee::tdx::{TdxAuthority, TdxSpec};
//!
//! # fn main() -> Result<(), simtee::SimteeError> {
//! let authority = AzureAuthority::create()?;
//! let mut spec = AzureSpec::new(1_790_000_000);
//! spec.extra_data = vec![7; 32];
//! spec.attest_edit = |attest| attest[4] ^= 1; // no longer a quote, and well signed
//! let guest = authority.on_tdx(&TdxAuthority::create()?, &TdxSpec::new(1_790_000_000), &spec)?;
//! assert_eq!((guest.hcl_report.len(), guest.tpm_signature.len()), (2600, 256));
//! # Ok(())
//! # }
//! ```

pub mod blob;
pub mod td_report;
pub mod virtual_tpm;
pub mod pki;
pub mod guest;

pub use blob::HclSpec;
pub use guest::{AzureAuthority, AzureEvidence, AzureFault, AzureSpec};
pub use virtual_tpm::VirtualTpm;
