//! Measured processes: started on one CPU, their time read in nanoseconds, their memory as a share of what they map,
//! stopped when dropped.
//!
//! CPU time comes from an own `cpuacct` control group where one can be made (it keeps counting threads and children that
//! have ended), otherwise from the scheduler's statistics of every thread of the process tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

/// A process, or a tree of them, under measurement.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Option<PathBuf>,
    log: PathBuf,
    /// What the table calls it.
    pub role: String,
}

impl Process {
    /// Starts `command` on CPU `cpu`; its standard output and error go to a file in `state`.
    ///
    /// # Errors
    /// The program or `taskset` cannot be started.
    pub fn start(role: &str, command: &Command, cpu: usize, state: &Path) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let log = state.join(format!("{serial:04}-{role}.log"));
        let output = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let group = Path::new(CPUACCT).join(format!("postern-bench-{}-{serial}", std::process::id()));
        let group = fs::create_dir(&group).is_ok().then_some(group);
        // The shell joins the group before it becomes the program, so that every child is counted from its start.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(r#"[ -z "$0" ] || echo $$ > "$0/cgroup.procs"; exec "$@""#);
        shell.arg(group.as_deref().unwrap_or_else(|| Path::new("")));
        shell
            .arg("taskset")
            .arg("-c")
            .arg(cpu.to_string())
            .arg(command.get_program())
            .args(command.get_args());
        shell.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let child = shell.spawn().with_context(|| format!("start {role}"))?;
        Ok(Self { child, group, log, role: role.to_owned() })
    }

    /// CPU time of the tree so far, nanoseconds.
    ///
    /// # Errors
    /// The process is gone, or the kernel's files cannot be read.
    pub fn cpu_ns(&self) -> Result<u64> {
        if let Some(group) = &self.group {
            return Ok(fs::read_to_string(group.join("cpuacct.usage"))?.trim().parse()?);
        }
        let mut total = 0;
        for pid in tree(self.child.id()) {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let text = fs::read_to_string(thread?.path().join("schedstat"))?;
                total += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
            }
        }
        Ok(total)
    }

    /// Proportional set size of the tree, bytes.
    ///
    /// # Errors
    /// The process is gone, or its maps cannot be read.
    pub fn memory_bytes(&self) -> Result<u64> {
        let mut total = 0;
        for pid in tree(self.child.id()) {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
            total += line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024;
        }
        Ok(total)
    }

    /// What the process has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails with the end of its log if the process has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = self.log();
            let from = log.len().saturating_sub(800);
            bail!("{} ended with {status}: {}", self.role, log.get(from..).unwrap_or(&log));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pids = tree(self.child.id());
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _gone = rustix::process::kill_process(pid, Signal::TERM);
        }
        let patience = Instant::now() + Duration::from_secs(2);
        while Instant::now() < patience {
            if let Ok(Some(_)) | Err(_) = self.child.try_wait() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // The child first, so that no worker of its own is started again.
        let _gone = self.child.kill();
        let _status = self.child.wait();
        for pid in pids.into_iter().skip(1) {
            if let Some(pid) = Pid::from_raw(pid.cast_signed())
                && is_child_of_group(self.group.as_deref(), pid)
            {
                let _gone = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        if let Some(group) = &self.group {
            for _ in 0..50 {
                if fs::remove_dir(group).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// The machine has no such CPU.
pub fn pin_self(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("pin the load to CPU {cpu}"))
}

/// The process and its descendants, parents first.
fn tree(root: u32) -> Vec<u32> {
    let mut pids = vec![root];
    let mut at = 0;
    while let Some(pid) = pids.get(at).copied() {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        at += 1;
    }
    pids
}

/// A process number that still belongs to this group cannot have been given to a stranger meanwhile.
fn is_child_of_group(group: Option<&Path>, pid: Pid) -> bool {
    let Some(group) = group else { return false };
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    members.lines().any(|member| member.parse() == Ok(pid.as_raw_nonzero().get()))
}

const CPUACCT: &str = "/sys/fs/cgroup/cpuacct";
