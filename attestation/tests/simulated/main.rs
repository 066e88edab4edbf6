//! Evidence from the simulated security processor, under a throw-away root that the policy names: good evidence
//! passes, and each test changes exactly one thing and names the one code that must come back.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod changes;
mod channel;
mod faults;
mod firmware;
mod flips;
mod known;
mod rows;
mod tcb;
mod world;
