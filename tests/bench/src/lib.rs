//! Load generator, mock upstream, reference gateways and the table that compares them.
//!
//! Nothing here is shipped and nothing here is trusted; it measures. Only figures of one run are ever compared with
//! each other, because absolute numbers belong to the machine.
//!
//! Every connection that this crate opens goes to the loopback interface.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measuring tool outside every trust zone: counters far below 2^52, its own inputs only"
)]

pub mod clock;
pub mod poller;
pub mod tls;
pub mod transport;
pub mod egress;
pub mod http1;
pub mod stamp;
pub mod prompt;
pub mod mock;
pub mod load;
pub mod relay;
pub mod process;
pub mod peer;
pub mod scenario;
pub mod samples;
pub mod targets;
pub mod report;
pub mod run;
