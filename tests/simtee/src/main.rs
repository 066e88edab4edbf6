//! `postern-simtee`: the simulated security processor as a program.
#![allow(clippy::print_stdout, reason = "a command line program")]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use simtee::{Authority, Fault, Processor, ProcessorSpec, Product, SimteeError, measure, server};

/// A simulated AMD security processor under a throw-away root. For tests and demonstrations: whoever
/// accepts its evidence has named its root in a policy.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Option<Serve>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the launch measurement of these files as hex.
    Measure {
        /// Files in the order they are measured.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct Serve {
    /// Where to listen: a Unix socket.
    #[arg(long)]
    socket: PathBuf,
    /// The machine to play: milan, genoa, siena or turin.
    #[arg(long, default_value = "genoa")]
    product: Product,
    /// Version of the reports.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=5))]
    report_version: u32,
    /// Folder of the throw-away keys: loaded if there, else made and kept. Without it they live in
    /// memory, and only the root certificate is written, beside the socket.
    #[arg(long)]
    pki: Option<PathBuf>,
    /// Files that make up the measured machine, in order.
    #[arg(long, required = true, num_args = 1..)]
    measure: Vec<PathBuf>,
    /// Chip id as hex: 64 bytes, or 8 for turin. Random when not given.
    #[arg(long)]
    chip_id: Option<String>,
    /// Sign with a VLEK of this cloud provider id instead of the chip's own key.
    #[arg(long, value_name = "CSP_ID")]
    vlek: Option<String>,
    /// Serve a chain with one thing wrong; an unknown name lists them all.
    #[arg(long)]
    fault: Option<Fault>,
    /// Overwrite bytes of every report before it is signed: hex offset, '=', hex bytes. Repeatable.
    #[arg(long, value_name = "OFFSET=HEX")]
    patch: Vec<String>,
    /// Accepted for uniformity: the ready line is always printed as JSON.
    #[arg(long)]
    print_json: bool,
    /// Same as --print-json.
    #[arg(long)]
    json_ready: bool,
    /// End when standard input ends: for a parent that may be killed.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.command, arguments.serve) {
        (Some(Command::Measure { files }), _) => read_all(&files).map(|files| {
            println!("{}", hex::encode(measure(&files)));
        }),
        (None, Some(serve)) => run(&serve),
        (None, None) => Err(SimteeError::Invalid("nothing to do: see --help".to_owned())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "postern-simtee: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Serves until SIGTERM, SIGINT or (when asked) the end of standard input.
fn run(arguments: &Serve) -> Result<(), SimteeError> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(SimteeError::io("wait for signals for", &arguments.socket))?;
    let authority = match &arguments.pki {
        Some(folder) => Authority::load_or_create(folder, arguments.product.line())?,
        None => Authority::create(arguments.product.line())?,
    };
    let ark_path = write_root(arguments, &authority)?;
    let floors_path = write_floors(arguments)?;
    let processor = Arc::new(Processor::new(&authority, processor_spec(arguments)?)?);
    let listener = server::bind(&arguments.socket)?;
    if arguments.exit_on_stdin_close {
        let handle = signals.handle();
        thread::spawn(move || {
            drop(io::copy(&mut io::stdin(), &mut io::sink()));
            handle.close();
        });
    }
    print_ready(arguments, &processor, &ark_path, &floors_path)?;
    let socket = arguments.socket.clone();
    let handle = signals.handle();
    let server = thread::spawn(move || {
        let error = server::serve(&listener, &processor);
        handle.close();
        error
    });
    let _asked_to_end = signals.forever().next();
    fs::remove_file(&socket).map_err(SimteeError::io("remove the socket", &socket))?;
    if server.is_finished()
        && let Ok(error) = server.join()
    {
        return Err(SimteeError::io("serve", &socket)(error));
    }
    Ok(())
}

/// The processor the flags describe.
fn processor_spec(arguments: &Serve) -> Result<ProcessorSpec, SimteeError> {
    let mut spec = ProcessorSpec::with_version(arguments.product, arguments.report_version);
    if let Some(text) = &arguments.chip_id {
        let length = arguments.product.hardware_id_length();
        let id = hex::decode(text)
            .ok()
            .filter(|id| id.len() == length)
            .ok_or_else(|| SimteeError::Invalid(format!("--chip-id: give {length} bytes in hex")))?;
        spec.set_hardware_id(&id);
    }
    if let Some(csp_id) = &arguments.vlek {
        spec.use_vlek(csp_id);
    }
    spec.fault = arguments.fault;
    spec.report.measurement = measure(&read_all(&arguments.measure)?);
    for patch in &arguments.patch {
        spec.report.patches.push(parse_patch(patch)?);
    }
    Ok(spec)
}

/// Reads `1a0=00ff` as offset and bytes.
fn parse_patch(text: &str) -> Result<(usize, Vec<u8>), SimteeError> {
    text.split_once('=')
        .and_then(|(at, bytes)| {
            let at = usize::from_str_radix(at.trim_start_matches("0x"), 16).ok()?;
            let bytes = hex::decode(bytes).ok()?;
            (at.checked_add(bytes.len())? <= simtee::report::SIGNED_LENGTH).then_some((at, bytes))
        })
        .ok_or_else(|| {
            SimteeError::Invalid("--patch: give a hex offset below 2a0, '=', and hex bytes".to_owned())
        })
}

/// Writes the root certificate beside the socket, unless the key folder has it; returns its path.
fn write_root(arguments: &Serve, authority: &Authority) -> Result<PathBuf, SimteeError> {
    if let Some(folder) = &arguments.pki {
        return Ok(folder.join(authority.line().name().to_lowercase()).join("ark.der"));
    }
    let mut path = arguments.socket.clone().into_os_string();
    path.push(".ark.der");
    let path = PathBuf::from(path);
    fs::write(&path, authority.ark_certificate()).map_err(SimteeError::io("write", &path))?;
    Ok(path)
}

/// Writes the simulated vendor's floors beside the socket; returns the path.
fn write_floors(arguments: &Serve) -> Result<PathBuf, SimteeError> {
    let mut path = arguments.socket.clone().into_os_string();
    path.push(".floors.json");
    let path = PathBuf::from(path);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    fs::write(&path, simtee::floors::document(now.as_secs())).map_err(SimteeError::io("write", &path))?;
    Ok(path)
}

/// The ready line: where it listens and what a policy needs to accept it.
fn print_ready(
    arguments: &Serve,
    processor: &Processor,
    ark: &Path,
    floors: &Path,
) -> Result<(), SimteeError> {
    let report = processor.report();
    let chip_id = report.chip_id.get(..arguments.product.hardware_id_length()).unwrap_or_default();
    let line = serde_json::json!({
        "ready": true,
        "socket": arguments.socket,
        "measurement": hex::encode(report.measurement),
        "chip_id": hex::encode(chip_id),
        "ark_der": ark,
        "floors": floors,
        "product": arguments.product.key(),
        "report_version": report.version,
    });
    let mut out = io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(SimteeError::io("print the ready line for", &arguments.socket))
}

/// The contents of the files, in order.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, SimteeError> {
    paths.iter().map(|path| fs::read(path).map_err(SimteeError::io("read", path))).collect()
}
