//! The system calls this program makes. Everything else answers `ENOSYS`, as if the kernel had never heard of it.
//!
//! A list of what is allowed, because a list of what is dangerous grows with every kernel. So there is no
//! `ptrace`, `process_vm_readv`, `execve`, `fork`, `bpf`, `io_uring`, `memfd_create`, `kexec`; and where a call is needed in
//! one form only, its arguments are looked at: no executable memory, no process but threads, no new file, no
//! socket but streams. `ENOSYS` rather than the end of the process, because the C library tries newer calls first
//! (`clone3`) and falls back on that answer alone.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// A report from `/dev/sev-guest` (linux/sev-guest.h): reads and writes 32 bytes, group `S`, number 0.
const SNP_GET_REPORT: u64 = 0xc020_5300;

/// A key that the processor derives for this guest, from the same device: group `S`, number 1.
const SNP_GET_DERIVED_KEY: u64 = 0xc020_5301;

/// The filter for this architecture; with what files need that grow and last, if state is kept in files. `None` where there
/// is none.
pub fn program(keeps_files: bool) -> Option<BpfProgram> {
    let arch = TargetArch::try_from(ARCH).ok()?;
    let refuse = SeccompAction::Errno(u32::try_from(libc::ENOSYS).ok()?);
    let filter = SeccompFilter::new(rules(keeps_files)?, refuse, SeccompAction::Allow, arch).ok()?;
    filter.try_into().ok()
}

fn rules(keeps_files: bool) -> Option<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ANY.iter().chain(OF_THIS_ARCHITECTURE).map(|call| (*call, Vec::new())).collect();
    for (call, alternatives) in restricted()? {
        rules.insert(call, alternatives);
    }
    if keeps_files {
        rules.extend(OF_FILES.iter().map(|call| (*call, Vec::new())));
    }
    Some(rules)
}

/// Calls allowed in some forms only: any of the rules, each all of its conditions.
fn restricted() -> Option<Vec<(i64, Vec<SeccompRule>)>> {
    let executable = flag(libc::PROT_EXEC)?;
    let not_executable = || one(2, Compare::MaskedEq(executable), 0);
    let threads = libc::CLONE_THREAD | libc::CLONE_VM;
    let creates = flag(libc::O_CREAT)?;
    let stream = flag(libc::SOCK_STREAM)?;
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_VSOCK];
    let mut sockets = Vec::new();
    for family in families {
        let condition = SeccompCondition::new(0, Width::Dword, Compare::Eq, flag(family)?).ok()?;
        // The kind is in the low bits; the rest are flags such as SOCK_NONBLOCK.
        let kind = SeccompCondition::new(1, Width::Dword, Compare::MaskedEq(0xf), stream).ok()?;
        sockets.push(SeccompRule::new(vec![condition, kind]).ok()?);
    }
    Some(vec![
        // Code is mapped by the loader, before main.
        (libc::SYS_mmap, vec![not_executable()?]),
        (libc::SYS_mprotect, vec![not_executable()?]),
        (libc::SYS_clone, vec![one(0, Compare::MaskedEq(flag(threads)?), flag(threads)?)?]),
        // Names of threads, and what the C library calls its memory.
        (libc::SYS_prctl, vec![one(0, Compare::Eq, flag(libc::PR_SET_NAME)?)?]),
        // Asked about, never raised.
        (libc::SYS_prlimit64, vec![whole(2, 0)?]),
        (libc::SYS_openat, vec![one(2, Compare::MaskedEq(creates), 0)?]),
        (
            libc::SYS_ioctl,
            vec![
                one(1, Compare::Eq, libc::FIONBIO)?,
                one(1, Compare::Eq, SNP_GET_REPORT)?,
                one(1, Compare::Eq, SNP_GET_DERIVED_KEY)?,
            ],
        ),
        (libc::SYS_socket, sockets),
    ])
}

/// A rule about the low 32 bits of an argument, which is what the kernel looks at for flags.
fn one(argument: u8, compare: Compare, value: u64) -> Option<SeccompRule> {
    let condition = SeccompCondition::new(argument, Width::Dword, compare, value).ok()?;
    SeccompRule::new(vec![condition]).ok()
}

/// A rule that a whole argument has a value.
fn whole(argument: u8, value: u64) -> Option<SeccompRule> {
    let condition = SeccompCondition::new(argument, Width::Qword, Compare::Eq, value).ok()?;
    SeccompRule::new(vec![condition]).ok()
}

fn flag(value: libc::c_int) -> Option<u64> {
    u64::try_from(value).ok()
}

/// Calls allowed whatever their arguments.
const ANY: &[i64] = &[
    // bytes in and out
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    // one folder per quote in the kernel's evidence interface, and a stale socket
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    // sockets
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    // waiting
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    // memory
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // threads, signals, the end
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // randomness
    libc::SYS_getrandom,
];

/// Calls of a process that keeps sealed state in files: it makes them, writes into them, and waits for the disk.
const OF_FILES: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
];

/// Older names that only some architectures have and their C library still uses.
#[cfg(target_arch = "x86_64")]
const OF_THIS_ARCHITECTURE: &[i64] = &[
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_readlink,
];

/// Older names that only some architectures have and their C library still uses.
#[cfg(not(target_arch = "x86_64"))]
const OF_THIS_ARCHITECTURE: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_other_processes_or_starts_programs_is_not_in_the_list() {
        let rules = rules(true).unwrap();
        let forbidden = [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone3,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_memfd_create,
            libc::SYS_io_uring_setup,
            libc::SYS_kexec_load,
            libc::SYS_userfaultfd,
            libc::SYS_pidfd_getfd,
            libc::SYS_munlockall,
            libc::SYS_seccomp,
        ];
        for call in forbidden {
            assert!(!rules.contains_key(&call), "system call {call}");
        }
        let fileless = super::rules(false).unwrap();
        assert!(
            [libc::SYS_pwrite64, libc::SYS_fsync, libc::SYS_ftruncate]
                .iter()
                .all(|call| !fileless.contains_key(call))
        );
        let rules = fileless;
        for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_clone, libc::SYS_openat, libc::SYS_socket]
        {
            assert!(rules.get(&call).is_some_and(|alternatives| !alternatives.is_empty()), "{call}");
        }
    }

    #[test]
    fn there_is_a_filter_for_this_architecture() {
        assert!(program(false).is_some_and(|program| program.len() > 100));
    }
}
