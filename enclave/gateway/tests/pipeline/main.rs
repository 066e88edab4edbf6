//! The pipeline from the outside: a fake upstream, a simulated clock, no runtime.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "test code"
)]

mod canary;
mod compile_fail;
mod exchange;
mod fake;
mod golden;
mod head;
mod stream;
