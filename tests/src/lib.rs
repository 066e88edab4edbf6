//! The system as a whole: what the tests under `tests/tests` share.
//!
//! Planted texts ([`canary`]) are looked for in the memory of processes ([`memory`]) and wherever else bytes go.
//!
//! The real programs run as processes ([`programs`], [`enclave`], [`administered`]); what surrounds them is played in process, so that
//! it can misbehave: the security processor ([`security_processor`]), the host ([`evilhost`]), the model
//! ([`upstream`], [`vendors`]), and an enclave whose keys can be stolen ([`toy_enclave`]).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test harness: whatever it cannot do must stop the test that asked for it"
)]

pub mod workspace;
pub mod programs;
pub mod scripts;

pub mod canary;
pub mod memory;
pub mod packets;
pub mod capture;
pub mod classifier;
pub mod statistics;
pub mod security_processor;
pub mod upstream;
pub mod vendors;
pub mod evilhost;
pub mod enclave;
pub mod policies;
pub mod administered;
pub mod keepers;
pub mod administrator;
pub mod stack;
pub mod tls;
pub mod http1;
pub mod toy_enclave;
