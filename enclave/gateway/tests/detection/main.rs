//! What the detectors catch, what they miss, and what they object to without reason, in numbers: over a corpus that this
//! run writes from fixed seeds. The values, with their check digits, are made here and not by the code under test.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::match_wildcard_for_single_variants,
    clippy::needless_for_each,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "test code, which reads the tree and tells what was missed"
)]

mod attacks;
mod credentials;
mod dice;
mod ordinary;
mod personal;
mod report;
