//! Each defence taken out by itself, and the test that then fails.
//!
//! The run builds a copy of the repository for each of them, which takes the better part of an hour on two cores, and so
//! has to be asked for:
//!
//! ```console
//! $ cargo test -p postern-tests --test switched_off -- --ignored --nocapture
//! ```
//!
//! What every `cargo test` checks is that the list still fits the source, and that `THREAT_MODEL.md` says the same.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

mod switched_off {
    mod defences;
    mod document;
    mod run;
}
