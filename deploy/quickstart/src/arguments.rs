//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Starts the whole attested path on this machine: built-in model, enclave on a simulated security
/// processor, untrusted host, verifying proxy. Runs until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version)]
pub(crate) struct Arguments {
    /// Send one prompt through the proxy, print the streamed answer, and end.
    #[arg(long, value_name = "PROMPT")]
    pub(crate) once: Option<String>,
    /// Once ready, print one line of JSON: addresses, token, files and process ids.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep keys, policy, configuration and logs in this folder. Default: a private temporary folder,
    /// removed at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}
