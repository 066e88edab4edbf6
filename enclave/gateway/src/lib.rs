//! The life of one request, as pure functions.
//!
//! Modules appear in the order in which a request is understood, and a module imports only modules above it.
//! Nothing here opens a socket, reads a file, looks at a clock or draws randomness: the shell around this crate
//! hands in bytes and the time, and implements one port ([`upstream::Upstream`]).
//!
//! ```text
//! open: path, credential            handle: prompt -> parse -> admit -> screen -> look up -> plan -> encode -> send -> answer
//! ```
//!
//! Start reading at [`pipeline`].

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::too_many_lines,
        reason = "test code"
    )
)]

pub mod plaintext;

pub mod scan;

pub mod content;

pub mod error;

pub mod clock;

mod race;

pub mod chat;

pub mod price;

pub mod wire;

pub mod deployment;

pub mod governance;

pub mod admission;

pub mod guardrail;

pub mod prompt;

pub mod screening;

pub mod cache;

pub mod route;

pub mod refusal;

pub mod upstream;

pub mod provider;

pub mod shadow;

pub mod audit;

pub mod metrics;

pub mod settle;

pub mod answer;

pub mod config;

pub mod pipeline;

pub use answer::{Answer, AnswerBody, AnswerStream, Step};
pub use clock::{Clock, Now};
pub use config::Gateway;
pub use error::Error;
pub use pipeline::{Opened, Refused, handle, open};
pub use plaintext::{Plaintext, Secret};
pub use upstream::{Upstream, UpstreamBody, UpstreamCall, UpstreamResponse};
pub use wire::RequestHead;
