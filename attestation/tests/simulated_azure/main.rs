//! Guests behind Azure's paravisor, simulated on both kinds of hardware under throw-away roots that the policy names:
//! good evidence passes, and each test changes exactly one thing and names the one code that must come back.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod attester;
mod channel;
mod flips;
mod policy;
mod rows;
mod world;
