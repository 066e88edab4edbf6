//! The pipeline from the outside: a fake upstream, a simulated clock, no runtime.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::indexing_slicing,
    clippy::type_complexity,
    unreachable_pub,
    reason = "test code"
)]

mod anthropic;
mod caching;
mod canary;
mod chaos;
mod cloud;
mod cost;
mod compile_fail;
mod content_controls;
mod cuts;
mod exchange;
mod fake;
mod golden;
mod governed;
mod guardrails;
mod head;
mod hedging;
mod pace;
mod probing;
mod moderation;
mod prompts;
mod retries;
mod security;
mod services;
mod shadow;
mod stream;
mod tiers;
mod tokens;
mod translation;
mod vendors;
mod wishes;
