//! Where the programs are: built with the cargo that runs us, or beside our own executable.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::step;

/// The executables of the parts.
pub(crate) struct Programs {
    /// `postern-simtee`
    pub(crate) processor: PathBuf,
    /// `postern-enclave`
    pub(crate) enclave: PathBuf,
    /// `postern-host`
    pub(crate) host: PathBuf,
    /// `postern`
    pub(crate) client: PathBuf,
}

/// Builds the programs when run by cargo, then finds them beside this executable.
pub(crate) fn programs(interrupt: &Interrupt) -> Result<Programs, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::Build(error.to_string()))?;
    let folder = own.parent().unwrap_or_else(|| Path::new("."));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sources = workspace.join("Cargo.toml").is_file();
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| sources) {
        let started = Instant::now();
        step("build", "the programs (the first time takes some minutes)");
        build(Path::new(&cargo), &workspace, folder, interrupt)?;
        step("", &format!("in {} ({:.1} s)", folder.display(), started.elapsed().as_secs_f32()));
    } else {
        step("programs", &format!("in {}", folder.display()));
    }
    let find = |name: &str| {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Failure::Build(format!(
            "{} is missing; use `cargo run --release --bin quickstart`, which builds it",
            path.display()
        )))
    };
    Ok(Programs {
        processor: find("postern-simtee")?,
        enclave: find("postern-enclave")?,
        host: find("postern-host")?,
        client: find("postern")?,
    })
}

/// Builds all programs of the workspace into `folder`, which is named after the profile.
///
/// All of them at once, as cargo did for this one, so that features unify the same way and what is
/// built already is not built again.
fn build(cargo: &Path, workspace: &Path, folder: &Path, interrupt: &Interrupt) -> Result<(), Failure> {
    let profile = folder.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["build", "--bins"]);
    command.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
        command.env_remove(name);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Failure::Build(format!("{}: {error}", cargo.display())))?;
    loop {
        match child.try_wait().map_err(|error| Failure::Build(error.to_string()))? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err(Failure::Build("cargo failed, see above".to_owned())),
            None => {
                if let Err(interrupted) = interrupt.sleep(Duration::from_millis(50)) {
                    drop(child.kill());
                    drop(child.wait());
                    return Err(interrupted);
                }
            }
        }
    }
}

/// Whether cargo set this variable for the program it runs. Build scripts that look at one would run again.
fn is_about_this_package(variable: &OsStr) -> bool {
    const NAMES: [&str; 5] =
        ["CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"];
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_"];
    let name = variable.to_string_lossy();
    NAMES.contains(&name.as_ref()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
