//! What streams show to somebody who sees only ciphertext: captured from the real program, given to learners.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

mod traffic {
    mod corpus;
    mod lengths;
    mod record;
    mod shapes;
}
