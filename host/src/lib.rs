//! The untrusted relay: moves ciphertext, sees nothing.
//!
//! `postern-host` runs outside the confidential VM and gives the enclave its network:
//!
//! - **ingress**: accepts clients on TCP and copies bytes to and from the enclave's listener. The TLS in them
//!   ends inside the enclave;
//! - **egress**: carries the enclave's outgoing connections to an allow-list of `host:port`. It resolves
//!   names; the enclave trusts none of that, because it speaks TLS to the far end;
//! - **endorsements**: fetches AMD's and Intel's certificates and lists on the enclave's request, and caches
//!   them. Enclave and client check their signatures.
//!
//! Enclave and host talk over TCP, a Unix socket, or vsock. (The tests cover TCP and Unix sockets; vsock
//! needs a virtual machine, so only its addresses are tested.)
//!
//! # For operators
//!
//! ```toml
//! # postern-host --config host.toml
//! [ingress]
//! listen = "0.0.0.0:443"            # or a list
//! enclave = "vsock:16:7001"         # or "unix:/run/postern/enclave.sock", "tcp:127.0.0.1:7001"
//!
//! [egress]
//! listen = "vsock:any:7002"
//! enclave_cid = 16                  # only this VM may connect
//! allow = ["api.openai.com:443"]    # exact, no wildcards
//!
//! [endorsements]
//! cache = "/var/cache/postern"
//! ```
//!
//! Every field is documented in [`config`]. For a trial, flags do: `postern-host --listen 127.0.0.1:8443
//! --enclave unix:/tmp/e.sock`. Access to a Unix egress socket is governed by the folder it is in and the
//! umask. SIGTERM and SIGINT stop accepting clients and wait for the present ones, at most `drain_seconds`; a
//! second signal ends at once. Logs are one JSON object per line on standard error, with numbers and fixed
//! words only; refusals are counted and written once a second.
//!
//! The per-source limits count one IPv4 address or one IPv6 /64; behind a load balancer all clients have its
//! address, so set `max_connections_per_source` and `new_connections_per_second_per_source` to 0 there.
//!
//! No HTTP proxy is used to fetch endorsements; a host without a way out can name a mirror, over plain HTTP
//! too.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "outside the trusted code: counts and fixed arrays; a panic ends one connection of the relay"
)]

pub mod address;
pub mod config;
pub mod egress;
pub mod endorsements;
pub mod ingress;
pub mod limits;
pub mod log;
pub mod splice;
pub mod relay;
pub mod server;
pub mod socket;

pub use config::{Config, ConfigError};
pub use server::{Host, HostError};
