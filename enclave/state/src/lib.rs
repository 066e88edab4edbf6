//! State that outlives a process, kept by stores that nobody trusts.
//!
//! Callers use [`Store`]: plaintext records in, plaintext records out. What a [`Backend`](backend::Backend) (memory, a file, PostgreSQL,
//! Valkey) gets to see is ciphertext under keyed hashes of ids; it can lose or withhold records, never read, forge,
//! exchange or, towards a process that has seen newer ones, age them.
//!
//! Modules from the outside of a record to its inside: what fails, where records live, who holds the key, how a record
//! is sealed, what a backend must do, what this process has seen of it, and the store that puts these together.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "test code"))]

pub mod error;

pub mod table;

pub mod root_key;

pub mod seal;

mod whole;

pub mod frame;

pub mod backend;

mod seen;

pub mod store;

pub use error::StateError;
pub use root_key::RootKey;
pub use store::{Change, Changes, Cursor, Expect, Record, Store};
pub use table::{RecordId, Table};
