//! Whether what users and models say is anywhere to be found once it has been answered.
//!
//! One run plants canaries in every place of requests and answers where text can stand, lives through good and bad
//! ends, and searches the enclave's memory, the host's memory, what passes between them, every packet, logs and files. A run in which one
//! deliberate leak per channel is not found proves nothing, and fails as void.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

mod canary {
    mod channels;
    mod kept_open;
    mod report;
    mod scenarios;
    mod suite;
    mod taps;
}
