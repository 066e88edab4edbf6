//! Virtual machines that boot the real image under QEMU's own processor, and everything around them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

pub mod parts;
pub mod surroundings;
pub mod clients;
pub mod release;
pub mod machine;
pub mod azure_tpm;
pub mod vsock;
