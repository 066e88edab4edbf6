//! `postern-bench`: measure the gateway beside its references, or run one part of the harness alone.
#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a command-line tool that shows numbers"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use postern_bench::load::{Arrival, Connections, Exchange, Limit, Load, Outcome, Target};
use postern_bench::peer::Kind;
use postern_bench::prompt::{self, Shape};
use postern_bench::run::{self, Plan};
use postern_bench::scenario::Pace;
use postern_bench::tls::{self, Alpn, Group};
use postern_bench::{mock, price, relay, report};

/// Load generator, mock upstream and reference runs. Everything stays on loopback.
#[derive(Debug, Parser)]
#[command(name = "postern-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load one target and print what was seen as JSON
    Load(LoadArguments),
    /// Serve as the mock upstream
    Mock {
        /// Plain HTTP
        #[arg(long)]
        plain: Option<SocketAddr>,
        /// HTTP in TLS; needs --certificate and --key
        #[arg(long, requires = "certificate")]
        tls: Option<SocketAddr>,
        /// HTTP behind the enclave's egress frame
        #[arg(long)]
        egress: Option<SocketAddr>,
        #[command(flatten)]
        identity: Identity,
    },
    /// Serve as the byte relay, the floor of the table
    Relay {
        /// Where clients come in
        #[arg(long)]
        listen: SocketAddr,
        /// Where their bytes go
        #[arg(long)]
        to: SocketAddr,
        #[command(flatten)]
        identity: Identity,
    },
    /// Measure what each measure of hygiene costs, given programs that lack one of them each
    Price {
        /// Folder with a folder for each, as the test `programs_without_one_defence_each` makes them
        #[arg(long)]
        programs: PathBuf,
        /// Folder for `price.md` and the peers' files
        #[arg(long)]
        out: PathBuf,
        /// Rounds
        #[arg(long, default_value_t = 9)]
        rounds: u32,
        /// Multiplies the time that each measurement takes
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
    },
    /// Measure all peers that are installed and write the table as Markdown and JSON
    Run {
        /// References and targets only, three repetitions
        #[arg(long)]
        quick: bool,
        /// Folder for `table.md`, `table.json` and the peers' files
        #[arg(long)]
        out: PathBuf,
        /// Only these peers
        #[arg(long, value_delimiter = ',')]
        peers: Vec<Kind>,
        /// Repetitions other than the plan's
        #[arg(long)]
        repetitions: Option<u32>,
    },
}

#[derive(Debug, clap::Args)]
struct Identity {
    /// Certificate chain, PEM
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct LoadArguments {
    /// Where to, on loopback
    address: SocketAddr,
    /// Speak TLS with this key exchange group
    #[arg(long)]
    tls: Option<Group>,
    /// Connections at a time
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// A new connection for every request
    #[arg(long)]
    new: bool,
    /// Requests a second by timetable instead of one after another
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Stop after so many requests instead
    #[arg(long)]
    requests: Option<u64>,
    /// Bytes of prompt
    #[arg(long, default_value_t = 300)]
    prompt: usize,
    /// Ask for a stream of so many chunks
    #[arg(long)]
    chunks: Option<u32>,
    /// Microseconds between two chunks
    #[arg(long, default_value_t = 0)]
    pace: u64,
    /// Bearer token
    #[arg(long)]
    bearer: Option<String>,
    /// Model name
    #[arg(long, default_value = "mock")]
    model: String,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Load(arguments) => load(&arguments),
        Command::Mock { plain, tls, egress, identity } => {
            let tls = match (tls, identity.server()?) {
                (Some(address), Some(config)) => Some((address, config)),
                (Some(_), None) => bail!("--tls needs --certificate and --key"),
                (None, _) => None,
            };
            mock::serve(&mock::Listeners { egress, plain, tls })
        }
        Command::Relay { listen, to, identity } => relay::serve(listen, to, identity.server()?),
        Command::Price { programs, out, rounds, scale } => {
            let plan = price::Plan { programs, rounds, pace: Pace { scale, rounds: 1 } };
            let table = price::run(&plan, &std::path::absolute(&out)?.join("state"))?;
            std::fs::write(out.join("price.md"), &table)?;
            print!("{table}");
            Ok(())
        }
        Command::Run { quick, out, peers, repetitions } => {
            let mut plan = if quick { Plan::quick() } else { Plan::full() };
            if !peers.is_empty() {
                plan.peers = peers;
            }
            plan.repetitions = repetitions.unwrap_or(plan.repetitions);
            measure(&plan, &out)
        }
    }
}

fn measure(plan: &Plan, out: &Path) -> Result<()> {
    // Peers resolve relative paths each in their own way.
    let out = &std::path::absolute(out)?;
    let samples = run::run(plan, &out.join("state"))?;
    std::fs::write(out.join("table.json"), serde_json::to_string_pretty(&report::json(&samples))?)?;
    let table = report::markdown(&samples);
    std::fs::write(out.join("table.md"), &table)?;
    print!("{table}");
    Ok(())
}

fn load(arguments: &LoadArguments) -> Result<()> {
    let tls = arguments.tls.map(|group| tls::client(group, Alpn::Http11)).transpose()?;
    let shape = arguments
        .chunks
        .map_or(Shape::Whole, |chunks| Shape::Stream { chunks, pace: Duration::from_micros(arguments.pace) });
    let body = prompt::body(&arguments.model, shape, arguments.prompt);
    let headers = arguments.bearer.as_deref().map(prompt::bearer).unwrap_or_default();
    let message = prompt::message(&body, &headers, arguments.new).into();
    let job = vec![Exchange { message, chunks: arguments.chunks }];
    let connections = if arguments.new { Connections::New } else { Connections::Kept };
    let limit = arguments
        .requests
        .map_or_else(|| Limit::Time(Duration::from_secs_f64(arguments.seconds)), Limit::Jobs);
    let target = Target { address: arguments.address, tls };
    let outcome = Load::new(target, job, arguments.connections, connections)?
        .run(arguments.rate.map_or(Arrival::Closed, Arrival::Timetable), limit)?;
    println!("{}", summary(&outcome));
    Ok(())
}

fn summary(outcome: &Outcome) -> serde_json::Value {
    let quantiles = |histogram: &hdrhistogram::Histogram<u64>| {
        serde_json::json!({
            "p50_us": histogram.value_at_quantile(0.5) as f64 / 1e3,
            "p99_us": histogram.value_at_quantile(0.99) as f64 / 1e3,
            "max_us": histogram.max() as f64 / 1e3,
        })
    };
    serde_json::json!({
        "requests": outcome.requests,
        "per_second": outcome.per_second(),
        "connections": outcome.connections,
        "chunks": outcome.chunks,
        "latency": quantiles(&outcome.latency),
        "first_token": quantiles(&outcome.first_token),
        "chunk_latency": quantiles(&outcome.chunk_latency),
        "gap_change": quantiles(&outcome.gap_change),
    })
}

impl Identity {
    fn server(&self) -> Result<Option<Arc<rustls::ServerConfig>>> {
        match (self.certificate.as_deref(), self.key.as_deref()) {
            (Some(certificate), Some(key)) => Ok(Some(tls::server(Path::new(certificate), Path::new(key))?)),
            _ => Ok(None),
        }
    }
}
