//! A log from which nothing can be removed unnoticed: what the enclave writes and what an auditor checks.
//!
//! The log is an append-only Merkle tree (RFC 9162, section 2.1) over lines of JSON that have no place for content. It is
//! laid out as tiles (C2SP `tlog-tiles`) with a signed checkpoint (C2SP `tlog-checkpoint`), whose key the enclave's evidence
//! vouches for. This crate holds bytes and decides; it reads no file, network or clock.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "test code"))]

pub mod entry;

pub mod tree;

pub mod tile;

pub mod checkpoint;

pub mod filter;

pub mod log;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use entry::Entry;
pub use log::{AuditError, Auditor};
pub use tree::{Frontier, Hash};
