//! The machine around the gateway: file systems in memory, modules, what is switched off, and privileges.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use attestation::attester::AttesterError;
use rustix::mount::{MountFlags, mount as mount_one};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities};

use crate::options::OptionsError;

/// Why the machine does not serve. One line, with a code, without anything the host sent.
#[derive(Debug)]
pub enum Failure {
    /// The kernel refused: what was being done.
    Io(&'static str, ErrorKind),
    /// The command line.
    Options(OptionsError),
    /// No network: what is missing.
    Network(&'static str),
    /// No hardware speaks for this machine.
    NoTee(AttesterError),
    /// The report does not commit to a configuration.
    NoCommitment(&'static str),
    /// No source gave the configuration that is committed to: what was tried, with the outcome of each.
    Configuration {
        /// The hash it must have, as hex; empty where any would do.
        expected: String,
        /// One entry for each source.
        tried: Vec<(String, String)>,
    },
    /// There is swap.
    Swap,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(doing, kind) => write!(out, "INIT_KERNEL: {doing}: {kind}"),
            Self::Options(error) => write!(out, "INIT_COMMAND_LINE: {error}"),
            Self::Network(what) => write!(out, "INIT_NETWORK: {what}"),
            Self::NoTee(error) => write!(
                out,
                "INIT_NO_TEE: {error}; no hardware vouches for this machine, and without a TEE this image does not serve"
            ),
            Self::NoCommitment(what) => write!(out, "INIT_COMMITMENT: {what}"),
            Self::Configuration { expected, tried } => {
                write!(out, "INIT_CONFIGURATION: no source gave the configuration {expected}")?;
                tried.iter().try_for_each(|(source, outcome)| write!(out, "; {source}: {outcome}"))
            }
            Self::Swap => out.write_str("INIT_SWAP: memory could be written to a disk"),
        }
    }
}

impl std::error::Error for Failure {}

/// Folder of modules in the image, loaded in the order of their names. The release kernel takes none.
const MODULES: &str = "/modules";

/// Kernel settings that close the machine to its own root. Those that this kernel does not have are not needed.
const SETTINGS: [(&str, &str); 9] = [
    ("/proc/sys/kernel/modules_disabled", "1"),
    ("/proc/sys/kernel/kexec_load_disabled", "1"),
    ("/proc/sys/kernel/core_pattern", "|/none"),
    ("/proc/sys/kernel/dmesg_restrict", "1"),
    ("/proc/sys/kernel/kptr_restrict", "2"),
    ("/proc/sys/kernel/sysrq", "0"),
    ("/proc/sys/kernel/yama/ptrace_scope", "3"),
    ("/proc/sys/kernel/perf_event_paranoid", "3"),
    ("/proc/sys/kernel/unprivileged_bpf_disabled", "1"),
];

/// Mounts the kernel's file systems and two in memory.
///
/// # Errors
/// [`Failure::Io`].
pub fn mount() -> Result<(), Failure> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mounts = [
        ("proc", "/proc", quiet),
        ("sysfs", "/sys", quiet),
        ("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC),
        ("tmpfs", "/run", quiet),
    ];
    for (kind, target, flags) in mounts {
        let data = (kind == "tmpfs").then_some(c"size=4m,mode=0700");
        mount_one(kind, target, kind, flags, data)
            .map_err(|error| Failure::Io("mounting the kernel's file systems", error.kind()))?;
    }
    Ok(())
}

/// The kernel's command line.
///
/// # Errors
/// [`Failure::Io`].
pub fn command_line() -> Result<String, Failure> {
    std::fs::read_to_string("/proc/cmdline")
        .map_err(|error| Failure::Io("reading the command line", error.kind()))
}

/// Loads the image's modules, then mounts what they may have brought.
///
/// # Errors
/// [`Failure::Io`].
pub fn load_modules() -> Result<(), Failure> {
    let mut files = Vec::new();
    if let Ok(folder) = std::fs::read_dir(MODULES) {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files.sort();
    for path in files {
        let failed = |kind| Failure::Io("loading a module", kind);
        let file = std::fs::File::open(path).map_err(|error| failed(error.kind()))?;
        match rustix::system::finit_module(&file, c"", 0) {
            // A driver for hardware that is not there.
            Ok(()) | Err(rustix::io::Errno::NODEV) => {}
            Err(error) => return Err(failed(error.kind())),
        }
    }
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, target) in [("configfs", "/sys/kernel/config"), ("securityfs", "/sys/kernel/security")] {
        if Path::new(target).exists() {
            mount_one(kind, target, kind, quiet, None)
                .map_err(|error| Failure::Io("mounting configfs and securityfs", error.kind()))?;
        }
    }
    Ok(())
}

/// Switches off what a gateway does not need: more modules, core dumps, other kernels, reading kernel memory.
///
/// # Errors
/// [`Failure::Io`], [`Failure::Swap`].
pub fn close() -> Result<(), Failure> {
    for (path, value) in SETTINGS {
        write_if_there(path, value)?;
    }
    let lockdown = "/sys/kernel/security/lockdown";
    let locked = |text: String| text.contains("[confidentiality]");
    if !std::fs::read_to_string(lockdown).is_ok_and(locked) {
        write_if_there(lockdown, "confidentiality")?;
    }
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        return Err(Failure::Swap);
    }
    let limit = |resource, value| {
        setrlimit(resource, Rlimit { current: value, maximum: value })
            .map_err(|error| Failure::Io("setting limits", error.kind()))
    };
    limit(Resource::Core, Some(0))?;
    limit(Resource::Memlock, None)?;
    limit(Resource::Nofile, Some(65_536))
}

fn write_if_there(path: &str, value: &str) -> Result<(), Failure> {
    if !Path::new(path).exists() {
        return Ok(());
    }
    std::fs::write(path, value).map_err(|error| Failure::Io("closing the kernel", error.kind()))
}

/// Takes every capability from this process and from whatever it becomes.
///
/// # Errors
/// [`Failure::Io`].
pub fn give_up_privileges() -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::Io("giving up privileges", error.kind());
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // One that this kernel does not have.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(failed)?;
    rustix::thread::set_no_new_privs(true).map_err(failed)
}
