//! `postern appraise`: the whole evidence corpus through it, requests that cannot be understood, the published schemas,
//! and the command as a shell sees it. The corpus lies beside the repository: `POSTERN_EVIDENCE`, by default
//! `../shared/evidence`. Without it these tests say so and pass, except in CI.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test reads files and the environment, and fails by panicking"
)]

mod corpus;
mod entries;
mod json_schema;
mod malformed;
mod policies;
mod process;
#[path = "../../../attestation/tests/corpus/reasons.rs"]
mod reasons;
#[path = "../../../attestation/tests/corpus/recipes.rs"]
mod recipes;
mod schema;
mod views;
