//! Promises to users, held against the real programs over real sockets.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

mod e2e {
    mod administration;
    mod answers;
    mod caching;
    mod chaos;
    mod configuration;
    mod forwarding;
    mod hardening;
    mod http;
    mod http2;
    mod import;
    mod isolation;
    mod kept_secrets;
    mod life;
    mod limits;
    mod load;
    mod metrics;
    mod probes;
    mod provisioning;
    mod replicas;
    mod services;
    mod shape;
    mod state;
    mod tls_settings;
}
