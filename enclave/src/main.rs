//! `postern-enclave`: starts, or dies with one line.

use std::path::PathBuf;
use std::process::ExitCode;

use postern_enclave::boot::{Attested, Measured};
use postern_enclave::config::Config;
use postern_enclave::hardening;
use postern_enclave::inspect::{self, Report};
use postern_enclave::serve::Serving;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: postern_alloc::ZeroOnFree = postern_alloc::ZeroOnFree::new();

/// Freed large blocks that are kept for the next requests, in bytes: a few large prompts at a time.
const KEPT_MEMORY: usize = 16 << 20;

const USAGE: &str = "usage: postern-enclave --config FILE [--json-ready] [--exit-on-stdin-close]
       postern-enclave check [--without-secrets] FILE
       postern-enclave diff OLD NEW
       postern-enclave explain FILE KEY-ID < REQUEST.json
SIGHUP reads FILE again";

/// What was asked for on the command line.
enum Command {
    Check { file: PathBuf, without_secrets: bool },
    Diff { old: PathBuf, new: PathBuf },
    Explain { file: PathBuf, key: String },
    Serve(Arguments),
}

/// How to serve.
struct Arguments {
    config: PathBuf,
    json_ready: bool,
    exit_on_stdin_close: bool,
}

fn main() -> ExitCode {
    postern_enclave::telemetry::report_panics_without_their_message();
    postern_alloc::keep_freed(KEPT_MEMORY);
    let Some(command) = command(std::env::args_os().skip(1)) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let done = match command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Check { file, without_secrets } => return report(inspect::check(&file, without_secrets)),
        Command::Diff { old, new } => return report(inspect::diff(&old, &new)),
        Command::Explain { file, key } => return report(inspect::explain(&file, &key, std::io::stdin())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("postern-enclave: {error}"));
            ExitCode::from(error.exit)
        }
    }
}

/// A failure with its exit status: 2 for what the operator can mend in the file, 1 for the rest.
struct Failure {
    line: String,
    exit: u8,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.line)
    }
}

/// Prints what an inspection found: 0 for nothing that keeps the file from being used, otherwise 2.
fn report(found: Report) -> ExitCode {
    for line in found.lines {
        print_line(&line);
    }
    if found.usable { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure { line: error.to_string(), exit: 2 };
    let failure = |error: &dyn std::fmt::Display| Failure { line: error.to_string(), exit: 1 };
    let unreadable = hardening::make_unreadable().map_err(|error| failure(&error))?;
    let config = Config::load(&arguments.config).map_err(|error| usage(&error))?;
    let keeps_files = config.state.as_ref().is_some_and(postern_enclave::config::State::keeps_files);
    let hardened = unreadable.confine(config.process, keeps_files).map_err(|error| failure(&error))?;
    let measured = Measured::new(config, hardened).map_err(|error| usage(&error))?;
    let keyed = measured.make_keys().map_err(|error| failure(&error))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failure(&e.kind()))?;
    let mut reread = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup()).map_err(|error| failure(&error.kind()))?
    };
    let stop = watch_for_the_end(&runtime, arguments.exit_on_stdin_close).map_err(|e| failure(&e.kind()))?;
    let booted = async { keyed.open_state().await?.attest().await };
    let attested = runtime.block_on(booted).map_err(|error| failure(&error))?;
    let listen = attested.listening.local_address(&attested.shared.in_force.now().config.listen.address);
    let metrics = numbers_address(&attested);
    let serving = Serving::start(attested).map_err(|error| failure(&error.kind()))?;
    if arguments.json_ready {
        let admin = serving.admin_address().map(ToString::to_string);
        let ready = serde_json::json!({
            "ready": true, "listen": listen.to_string(), "metrics": metrics, "admin": admin,
        });
        print_line(&ready.to_string());
    }
    runtime.block_on(async {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(()) = reread.recv() => {
                    if let Err(error) = serving.reload(&arguments.config) {
                        say(&format!("postern-enclave: {error}"));
                    }
                }
            }
        }
        serving.stop().await;
    });
    Ok(())
}

/// Where the page of numbers is, with the port that the kernel chose.
fn numbers_address(attested: &Attested) -> Option<String> {
    let active = attested.shared.in_force.now();
    let asked = &active.config.metrics.as_ref()?.address;
    Some(attested.metrics.as_ref()?.local_address(asked).to_string())
}

/// A future that ends on SIGTERM, on SIGINT, or when the parent closes standard input.
fn watch_for_the_end(
    runtime: &tokio::runtime::Runtime,
    on_stdin: bool,
) -> std::io::Result<impl Future<Output = ()> + use<>> {
    let _inside = runtime.enter();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (closed, stdin_closed) = tokio::sync::oneshot::channel::<()>();
    if on_stdin {
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            closed.send(()).ok();
        })?;
    } else {
        // Kept open for ever: without the flag, standard input is nobody's business.
        Box::leak(Box::new(closed));
    }
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = stdin_closed => {}
        }
    })
}

fn command(given: impl Iterator<Item = std::ffi::OsString>) -> Option<Command> {
    let given: Vec<_> = given.collect();
    let words: Vec<&str> = given.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    Some(match words[..] {
        ["check" | "--check", file] => Command::Check { file: file.into(), without_secrets: false },
        ["check", "--without-secrets", file] => Command::Check { file: file.into(), without_secrets: true },
        ["diff", old, new] => Command::Diff { old: old.into(), new: new.into() },
        ["explain", file, key] => Command::Explain { file: file.into(), key: key.to_owned() },
        _ => Command::Serve(arguments(given.into_iter())?),
    })
}

fn arguments(given: impl Iterator<Item = std::ffi::OsString>) -> Option<Arguments> {
    let (mut config, mut json_ready, mut exit_on_stdin_close) = (None, false, false);
    let mut given = given;
    while let Some(argument) = given.next() {
        match argument.to_str()? {
            "--config" => config = Some(PathBuf::from(given.next()?)),
            "--json-ready" => json_ready = true,
            "--exit-on-stdin-close" => exit_on_stdin_close = true,
            _ => return None,
        }
    }
    Some(Arguments { config: config?, json_ready, exit_on_stdin_close })
}

#[expect(clippy::print_stderr, reason = "the one line that says why the program ends")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "the line that scripts wait for")]
fn print_line(line: &str) {
    println!("{line}");
}
