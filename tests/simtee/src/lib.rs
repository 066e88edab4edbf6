//! Simulated hardware under throw-away roots: an AMD security processor, in [`tdx`] an Intel platform, and in
//! [`azure`] a paravisor with a virtual TPM on either.
//!
//! The former makes byte-exact SEV-SNP attestation reports, the certificate chain and revocation list that
//! belong to them, and the certificate table a guest would get from its host. Nothing in it is
//! special to Postern's verifier: to accept such evidence a policy must name the throw-away root.
//!
//! It is written from AMD's published layouts (document 56860, "SEV-SNP Firmware ABI"; document 57230,
//! "VCEK certificate and KDS interface"; GHCB 2.0 section 4.1.8.1), and shares no code with the
//! verifier: the two implementations check each other.
//!
//! Every field of a report and every part of a chain can be changed before it is signed, so that a
//! test is good evidence with exactly one change:
//!
//! ```
//! use simtee::{Authority, Fault, Processor, ProcessorSpec, Product};
//!
//! # fn main() -> Result<(), simtee::SimteeError> {
//! let authority = Authority::create(Product::Genoa.line())?;
//! let mut spec = ProcessorSpec::new(Product::Genoa);
//! spec.report.policy |= 1 << 19; // the debug bit
//! spec.fault = Some(Fault::CrlMissing);
//! let quote = Processor::new(&authority, spec)?.quote(&[7; 64])?;
//! assert_eq!(quote.report.len(), simtee::report::LENGTH);
//! # Ok(())
//! # }
//! ```
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a test tool: inputs are its own tables and a developer's flags, sizes are fixed"
)]

mod error;
pub mod der;
pub mod product;
pub mod report;
pub mod keys;
pub mod certificate;
pub mod revocation_list;
pub mod certificate_table;
pub mod authority;
pub mod chain;
pub mod measurement;
pub mod processor;
pub mod floors;
pub mod tdx;
pub mod azure;
pub mod google;
pub mod server;

pub use authority::Authority;
pub use chain::{Chain, Fault, Signer};
pub use error::SimteeError;
pub use measurement::measure;
pub use processor::{Processor, ProcessorSpec, Quote};
pub use product::{Line, Product, Tcb, TcbLayout};
pub use report::Report;
