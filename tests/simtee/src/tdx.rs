//! A simulated Intel platform: TDX quotes with everything that endorses them, under a throw-away root.
//!
//! Written from Intel's published layouts (DCAP `sgx_quote_4.h` and `sgx_quote_5.h`, "PCK Certificate and CRL
//! Specification", provisioning service version 4) and sharing no code with the verifier. Every field can be set
//! before it is signed, and every signature can be made by the wrong hand, so that a test is good evidence with
//! exactly one change:
//!
//! ```
//! use simtee::tdx::{TdxAuthority, TdxFault, TdxSpec};
//!
//! # fn main() -> Result<(), simtee::SimteeError> {
//! let authority = TdxAuthority::create()?;
//! let mut spec = TdxSpec::new(1_790_000_000);
//! spec.body.td_attributes |= 1; // the debug bit
//! spec.fault = Some(TdxFault::PckCrlMissing);
//! let evidence = authority.evidence(&spec)?;
//! assert!(evidence.quote.len() > 636 && !evidence.collateral.is_empty());
//! # Ok(())
//! # }
//! ```

pub mod collateral;
pub mod fault;
pub mod pki;
pub mod quote;
pub mod spec;
pub mod platform;
pub mod provisioning;

pub use collateral::{LevelSpec, ModuleSpec, QeIdentitySpec, TcbInfoSpec};
pub use fault::TdxFault;
pub use platform::{TdxAuthority, TdxEvidence};
pub use provisioning::ProvisioningService;
pub use spec::TdxSpec;
