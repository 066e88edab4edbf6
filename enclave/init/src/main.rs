//! `/init`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the first process leaves the configuration in memory and becomes the gateway; nothing else is ever started"
)]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use postern_init::machine::{self, Failure};
use postern_init::options::Options;
use postern_init::{commitment, configuration, network};
use rustix::system::{RebootCommand, reboot};

/// The gateway in the image.
const GATEWAY: &str = "/postern-enclave";
/// Where the gateway finds its configuration.
const CONFIGURATION: &str = "/run/enclave.toml";
/// Where lines go: the first serial port. The kernel itself has no console.
const CONSOLE: &str = "/dev/ttyS0";

fn main() {
    let failure = match start() {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    say(&format!("{failure}; this machine ends"));
    // What a serial port holds is sent before power goes.
    std::thread::sleep(std::time::Duration::from_millis(200));
    rustix::fs::sync();
    // Where even that fails, the first process ends, and the kernel with it.
    let _refused = reboot(RebootCommand::PowerOff);
}

fn start() -> Result<std::convert::Infallible, Failure> {
    machine::mount()?;
    let options = Options::read(&machine::command_line()?).map_err(Failure::Options)?;
    machine::load_modules()?;
    machine::close()?;
    let link = network::up(&options.network)?;
    let mut commitment = commitment::of(&options)?;
    let text = configuration::fetch(&options.sources, link, commitment.as_mut())?;
    std::fs::write(CONFIGURATION, text)
        .map_err(|error| Failure::Io("writing the configuration", error.kind()))?;
    say(&format!("configuration {}; {}", commitment.digest(), commitment.describe()));
    machine::give_up_privileges()?;
    let mut command = Command::new(GATEWAY);
    command
        .args(["--config", CONFIGURATION, "--json-ready"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some((out, errors)) = console().and_then(|out| Some((out.try_clone().ok()?, out))) {
        command.stdout(out).stderr(errors);
    } else {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    Err(Failure::Io("starting the gateway", command.exec().kind()))
}

fn console() -> Option<File> {
    File::options().write(true).open(CONSOLE).ok()
}

fn say(line: &str) {
    if let Some(mut console) = console() {
        drop(writeln!(console, "postern-init: {line}"));
    }
}
