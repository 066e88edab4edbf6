//! The system as a whole: what the tests under `tests/tests` share.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test harness: whatever it cannot do must stop the test that asked for it"
)]

pub mod workspace;
