//! Scripts of other people's SDKs (`tests/sdk`): their interpreter, their environment, what they say.
//!
//! Where an interpreter or a registry is missing the caller is told so, and `CI` makes that a failure.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::programs::lasting_folder;
use crate::workspace;

/// Runs `command`; nothing if its program is missing and that is all right.
pub fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {} is not installed", command.get_program().display());
            None
        }
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

/// What it said, if it did what it should.
pub fn succeeded(output: &Output) -> String {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// Runs a command that needs more than a toolchain: modules of the system's Python, a registry.
pub fn install(command: &mut Command) -> Option<()> {
    let output = run(command)?;
    if !output.status.success() && std::env::var_os("CI").is_none() {
        eprintln!(
            "skipped: {} failed: {}",
            command.get_program().display(),
            String::from_utf8_lossy(&output.stderr)
        );
        return None;
    }
    succeeded(&output);
    Some(())
}

/// A file beside the scripts.
pub fn source(name: &str) -> PathBuf {
    workspace::root().join("tests/sdk").join(name)
}

/// A virtual environment with the official SDKs.
pub fn python() -> Option<PathBuf> {
    python_with("python", "requirements.txt")
}

/// A virtual environment with what `requirements` pins; made anew when that changes.
pub fn python_with(name: &str, requirements: &str) -> Option<PathBuf> {
    let wanted = std::fs::read_to_string(source(requirements)).unwrap();
    let folder = lasting_folder().join(name);
    let (stamp, program) = (folder.join("installed.txt"), folder.join("bin/python"));
    let lock = std::fs::File::create(lasting_folder().join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Some(program);
    }
    install(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    install(Command::new(&program).args(pip).arg(source(requirements)))?;
    std::fs::write(stamp, wanted).unwrap();
    Some(program)
}

/// How many promises a script says were kept.
pub fn kept(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("kept: ")).count()
}
