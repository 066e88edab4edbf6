//! The first process of the confidential VM.
//!
//! It mounts what the kernel offers, loads the modules that the image holds (the release kernel has none), brings up
//! one network interface, fetches the gateway's configuration from the host, and goes on only if that is the
//! configuration to which the machine's measurement, or a field of its launch, commits. Then it gives up every
//! privilege and becomes `postern-enclave`. Anything that fails ends the machine, with one line that says why.
//!
//! What it does is fixed by words on the kernel's command line ([`options`]), which is measured. Everything that comes
//! over the network is the host's word and is believed for nothing but reachability.

#![expect(
    clippy::disallowed_methods,
    reason = "the first process reads and writes the kernel's files; that is its work"
)]

pub mod options;
pub mod machine;
pub mod network;
pub mod commitment;
pub mod configuration;
