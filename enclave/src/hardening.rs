//! What the process takes away from itself and from its machine before it holds anything worth stealing.
//!
//! Whoever gets code to run beside the enclave, or inside it, shall find: no memory to read (not dumpable, no
//! core file, nothing in swap), no privileges to gain, and a kernel that answers only the calls this program
//! makes ([`filter`]). None of it can be undone by the process itself.

pub mod filter;

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use crate::config::Process;

/// Which part of the hardening the kernel did not grant. The process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardeningError {
    /// Core files, dumps or new privileges could not be forbidden.
    Limits(Errno),
    /// Memory cannot be locked without a limit.
    MemoryLock(Errno),
    /// The system call filter was refused.
    Filter,
}

impl std::fmt::Display for HardeningError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limits(error) => {
                write!(out, "HARDENING_LIMITS: {error}; this kernel cannot close the process to others")
            }
            Self::MemoryLock(error) => write!(
                out,
                "HARDENING_MEMORY_LOCK: {error}; raise the limit of locked memory to unlimited (LimitMEMLOCK=infinity), \
                 grant CAP_IPC_LOCK, or set process.lock_memory = false where there is no swap"
            ),
            Self::Filter => {
                out.write_str("HARDENING_FILTER: this kernel or architecture has no system call filter")
            }
        }
    }
}

impl std::error::Error for HardeningError {}

/// Other processes can no longer read this one. The first thing done.
#[derive(Debug)]
pub struct Unreadable(());

/// Everything in this module is done. Demanded by the step that reads secrets.
#[derive(Debug)]
pub struct Hardened(());

/// Forbids core files, `ptrace` and `/proc/PID/mem` by others than root, and new privileges.
///
/// # Errors
/// [`HardeningError::Limits`].
pub fn make_unreadable() -> Result<Unreadable, HardeningError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .and_then(|()| setrlimit(Resource::Core, none))
        .and_then(|()| set_no_new_privs(true))
        .map_err(HardeningError::Limits)?;
    Ok(Unreadable(()))
}

impl Unreadable {
    /// Locks memory if so configured, and from now on allows only the system calls of [`filter`], on this
    /// thread and all that it starts. Files may be written only if state is kept in files. To be called while this is the only thread.
    ///
    /// # Errors
    /// [`HardeningError::MemoryLock`], [`HardeningError::Filter`].
    pub fn confine(self, process: Process, keeps_files: bool) -> Result<Hardened, HardeningError> {
        if process.lock_memory {
            lock_memory().map_err(HardeningError::MemoryLock)?;
        }
        let program = filter::program(keeps_files).ok_or(HardeningError::Filter)?;
        seccompiler::apply_filter(&program).map_err(|_| HardeningError::Filter)?;
        Ok(Hardened(()))
    }
}

#[cfg(test)]
impl Hardened {
    /// For tests of later steps, which must not confine the test runner.
    pub(crate) const fn not() -> Self {
        Self(())
    }
}

/// Locks every page, present and future, as it is first touched. Under a finite limit a later allocation would
/// fail in the middle of a request, so a finite limit is an error, but for a process that no limit holds for.
fn lock_memory() -> Result<(), Errno> {
    let limit = getrlimit(Resource::Memlock);
    let unlimited = Rlimit { current: None, maximum: None };
    if limit.current.is_some() && setrlimit(Resource::Memlock, unlimited).is_err() {
        // CAP_IPC_LOCK makes the limit void, unless it is that of a user namespace. With a limit of nothing, locking
        // succeeds for those only who have the real one.
        setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: limit.maximum })?;
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}
