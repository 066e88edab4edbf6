//! The shell around the pipeline: sockets, keys and time, inside the confidential VM.
//!
//! Modules in the order in which the process comes to life and then serves a connection. What may be said to
//! whom is decided in the `gateway` crate; whether this process deserves trust is decided by clients, from
//! the evidence that [`agent`] obtains.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "test code"))]

pub mod clock;

pub mod alarm;

pub mod telemetry;

pub mod transport;

pub mod config;

pub mod hardening;

pub mod entropy;

pub mod padding;

pub mod wipe;

pub mod rate;

pub mod secrets;

pub mod host_link;

pub mod endorsements;

pub mod governance;

pub mod active;

pub mod identity;

pub mod audit_log;

pub mod agent;

pub mod http1;

pub mod azure_imds;

pub mod sev_guest;

pub mod sealing_key;

pub mod tee;

pub mod tls;

pub mod upstream;

pub mod state_server;

pub mod kept;

pub mod service;

pub mod webhook;

pub mod provisioning;

pub mod worker;

pub mod probe;

pub mod ingress;

pub mod admin;

pub mod boot;

pub mod inspect;

pub mod serve;
