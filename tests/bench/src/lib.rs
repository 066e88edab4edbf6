//! Load generator, mock upstream, reference gateways and the table that compares them.
//!
//! Nothing here is shipped and nothing here is trusted; it measures. Only figures of one run are ever compared with
//! each other, because absolute numbers belong to the machine.
//!
//! - The gateway under measurement has CPU 0 for itself; mock and load generator share CPU 1.
//! - The headline is CPU time of the gateway's processes per request, read from their own control group, divided by
//!   the requests that the mock really received.
//! - Repetitions are interleaved (every peer once, then every peer again), a ratio is taken within one repetition, and
//!   the table shows the median with the extremes.
//! - One failed exchange, or counts that differ between mock and load, void the run.
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
pub mod price;
