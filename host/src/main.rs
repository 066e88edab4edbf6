//! `postern-host`: reads the configuration, starts the relay, waits for a signal.

#![allow(clippy::print_stderr, reason = "a failed start is one line on standard error")]

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use clap::Parser;
use postern_host::{
    Config, ConfigError, Host,
    address::Address,
    config::{Destination, Egress, Endorsements, Ingress, defaults},
    log::{Level, Log},
};
use serde_json::json;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

/// Relays ciphertext between clients, the enclave and its upstreams.
///
/// Give a configuration file, or the flags for a simple run.
#[derive(Debug, Parser)]
#[command(name = "postern-host", version)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", required_unless_present_any = ["listen", "egress_listen"],
          conflicts_with_all = ["listen", "enclave", "egress_listen", "allow", "resolve", "endorsement_cache"])]
    config: Option<PathBuf>,
    /// Where clients connect; may be repeated.
    #[arg(long, value_name = "IP:PORT", requires = "enclave")]
    listen: Vec<SocketAddr>,
    /// Where the enclave listens: `tcp:IP:PORT`, `unix:/path` or `vsock:CID:PORT`.
    #[arg(long, value_name = "ADDRESS", requires = "listen")]
    enclave: Option<Address>,
    /// Where the enclave connects for its way out.
    #[arg(long, value_name = "ADDRESS")]
    egress_listen: Option<Address>,
    /// Destination the enclave may reach; may be repeated.
    #[arg(long, value_name = "HOST:PORT", requires = "egress_listen", value_parser = Destination::parse)]
    allow: Vec<Destination>,
    /// Fixed address for a destination, in place of DNS; may be repeated.
    #[arg(long, value_name = "HOST:PORT=IP:PORT", requires = "egress_listen", value_parser = fixed_address)]
    resolve: Vec<(Destination, SocketAddr)>,
    /// Fetch vendor endorsements and keep them in this folder.
    #[arg(long, value_name = "FOLDER", requires = "egress_listen")]
    endorsement_cache: Option<PathBuf>,
    /// Once ready, print one JSON line on standard output.
    #[arg(long)]
    json_ready: bool,
    /// End, as on SIGTERM, when standard input is closed.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let config = configuration(arguments).map_err(|error| error.to_string())?;
    let log = Arc::new(Log::to_stderr(config.log));
    // Before the start, so that an early signal drains too.
    let (stop, stops) = channel();
    watch_signals(stop.clone())?;
    if arguments.exit_on_stdin_close {
        watch_stdin(stop);
    }
    let host = Host::start(&config, Arc::clone(&log)).map_err(|error| error.to_string())?;
    if arguments.json_ready {
        announce(&host).map_err(|error| {
            format!("HOST_STDOUT: standard output: {}; keep it open with --json-ready", error.kind())
        })?;
    }
    wait(&stops, &log);
    host.drain(|| stops.try_recv().is_ok());
    // The log's thread writes the last lines.
    thread::sleep(LAST_LINES);
    Ok(())
}

fn configuration(arguments: &Arguments) -> Result<Config, ConfigError> {
    if let Some(path) = &arguments.config {
        return Config::load(path);
    }
    let ingress = arguments.enclave.as_ref().map(|enclave| Ingress {
        listen: arguments.listen.clone(),
        enclave: enclave.clone(),
        max_connections: defaults::ingress_connections(),
        max_connections_per_source: defaults::source_connections(),
        new_connections_per_second_per_source: defaults::source_rate(),
        first_byte_seconds: defaults::first_byte_seconds(),
        connect_seconds: defaults::connect_seconds(),
        idle_seconds: defaults::idle_seconds(),
    });
    let egress = arguments.egress_listen.as_ref().map(|listen| Egress {
        listen: listen.clone(),
        enclave_cid: None,
        allow: arguments.allow.iter().cloned().collect(),
        resolve: arguments.resolve.iter().cloned().collect(),
        max_connections: defaults::egress_connections(),
        connect_seconds: defaults::egress_connect_seconds(),
        idle_seconds: defaults::idle_seconds(),
    });
    let endorsements = arguments.endorsement_cache.as_ref().map(|cache| Endorsements {
        cache: cache.clone(),
        amd_kds: defaults::amd_kds(),
        intel_pcs: defaults::intel_pcs(),
        intel_certificates: defaults::intel_certificates(),
        fetch_seconds: defaults::fetch_seconds(),
        refresh_seconds: defaults::refresh_seconds(),
        stale_seconds: defaults::stale_seconds(),
    });
    let drain_seconds = defaults::drain_seconds();
    let config = Config { workers: 0, log: Level::default(), drain_seconds, ingress, egress, endorsements };
    config.check("command line")?;
    Ok(config)
}

fn fixed_address(text: &str) -> Result<(Destination, SocketAddr), String> {
    let example = || "write it as in \"api.example.com:443=127.0.0.1:9443\"".to_owned();
    let (destination, address) = text.split_once('=').ok_or_else(example)?;
    Ok((Destination::parse(destination)?, address.parse().map_err(|_| example())?))
}

fn announce(host: &Host) -> io::Result<()> {
    let ingress: Vec<String> = host.ingress().iter().map(ToString::to_string).collect();
    let line = json!({
        "ready": true,
        "ingress": ingress.first(),
        "ingress_all": ingress,
        "egress": host.egress().map(ToString::to_string),
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Once a second the counted refusals are written; returns at the first request to stop.
fn wait(stops: &Receiver<()>, log: &Log) {
    while stops.recv_timeout(TALLY) == Err(RecvTimeoutError::Timeout) {
        log.flush_tally();
    }
}

fn watch_signals(stop: Sender<()>) -> Result<(), String> {
    let failed =
        |error: io::Error| format!("HOST_SIGNALS: cannot watch signals: {}; try again", error.kind());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let watched = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    thread::spawn(move || runtime.block_on(forward(watched, &stop)));
    Ok(())
}

async fn forward((mut terminate, mut interrupt): (Signal, Signal), stop: &Sender<()>) {
    loop {
        let either = std::future::poll_fn(|cx| {
            if interrupt.poll_recv(cx).is_ready() {
                std::task::Poll::Ready(Some(()))
            } else {
                terminate.poll_recv(cx)
            }
        });
        if either.await.is_none() || stop.send(()).is_err() {
            return;
        }
    }
}

fn watch_stdin(stop: Sender<()>) {
    thread::spawn(move || {
        // Whatever ends it, the parent is gone.
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        let _ = stop.send(());
    });
}

/// Exit code for a start that failed (usage or configuration).
const USAGE: u8 = 2;

/// How often counted refusals are written.
const TALLY: Duration = Duration::from_secs(1);

/// For the log's thread to empty its queue.
const LAST_LINES: Duration = Duration::from_millis(20);
