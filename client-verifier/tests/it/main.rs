//! The client verifier against a gateway that can be told how to lie.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests: a panic is a failure, which is what it is for"
)]

mod channel;
mod command_line;
mod fake_gateway;
mod proxy;
