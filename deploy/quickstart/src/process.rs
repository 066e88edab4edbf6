//! One program of the stack as a child process.
//!
//! Its standard input is a pipe that nobody writes to: when this process ends, however it ends, the
//! pipe closes and the child, started with `--exit-on-stdin-close`, ends as on SIGTERM. Closing the pipe
//! is also how a child is asked to end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::state::State;

/// How long a program may take to become ready. Generous: debug builds on a busy machine.
const READY_TIME: Duration = Duration::from_mins(1);
/// How long a program may take to end after it was asked to.
const END_TIME: Duration = Duration::from_secs(5);
/// How often children are looked at.
const TICK: Duration = Duration::from_millis(20);

/// A running program that said it was ready. Ended on drop.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
    ready: Value,
}

impl Program {
    /// Starts a program and waits for its ready line.
    pub(crate) fn start<I, S>(
        name: &'static str,
        executable: &Path,
        arguments: I,
        state: &State,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let log = state.path(&format!("{name}.log"));
        state.write(&format!("{name}.log"), "")?;
        let errors = File::options().append(true).open(&log).map_err(Failure::file("open", &log))?;
        let mut child = command(executable, arguments)
            .args(["--json-ready", "--exit-on-stdin-close"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            // Ctrl-C goes to this process alone, which then ends its children in order.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::Program {
                name,
                problem: format!("could not be started ({})", error.kind()),
                log: log.clone(),
            })?;
        let lines = child.stdout.take().map(|stdout| first_line(stdout, log.clone()));
        let mut program = Self { name, child, log, ready: Value::Null };
        program.ready = program.wait_until_ready(lines, interrupt)?;
        Ok(program)
    }

    fn wait_until_ready(
        &mut self,
        lines: Option<Receiver<String>>,
        interrupt: &Interrupt,
    ) -> Result<Value, Failure> {
        let Some(lines) = lines else { return Err(self.failed("has no standard output".to_owned())) };
        let started = Instant::now();
        loop {
            match lines.try_recv() {
                Ok(line) => {
                    let ready = serde_json::from_str::<Value>(&line).ok();
                    return ready
                        .filter(|ready| ready.get("ready") == Some(&Value::Bool(true)))
                        .ok_or_else(|| self.failed("printed something else than its ready line".to_owned()));
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.check()?,
            }
            if started.elapsed() > READY_TIME {
                return Err(self.failed(format!("was not ready after {} s", READY_TIME.as_secs())));
            }
            interrupt.sleep(TICK)?;
        }
    }

    /// A text of the ready line.
    pub(crate) fn ready_text(&self, key: &str) -> Result<&str, Failure> {
        self.ready
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| self.failed(format!("did not say its {key} when it was ready")))
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Fails if the program has ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(ending(status, &self.log))),
            Err(error) => Err(self.failed(format!("cannot be watched ({})", error.kind()))),
        }
    }

    fn failed(&self, problem: String) -> Failure {
        Failure::Program { name: self.name, problem, log: self.log.clone() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while asked.elapsed() < END_TIME {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(TICK);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a program to its end; returns what it printed. Its standard error goes to a log.
pub(crate) fn run_to_end<I, S>(
    name: &'static str,
    executable: &Path,
    arguments: I,
    state: &State,
    interrupt: &Interrupt,
) -> Result<String, Failure>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let log = state.path(&format!("{name}.log"));
    let failed = |problem: String| Failure::Program { name, problem, log: log.clone() };
    let printed = state.write(&format!("{name}.txt"), "")?;
    state.write(&format!("{name}.log"), "")?;
    let append = |path: &Path| File::options().append(true).open(path).map_err(Failure::file("open", path));
    let mut child = command(executable, arguments)
        .stdin(Stdio::null())
        .stdout(append(&printed)?)
        .stderr(append(&log)?)
        .process_group(0)
        .spawn()
        .map_err(|error| failed(format!("could not be started ({})", error.kind())))?;
    let started = Instant::now();
    loop {
        let ended =
            child.try_wait().map_err(|error| failed(format!("cannot be watched ({})", error.kind())))?;
        match ended {
            Some(status) if status.success() => {
                return std::fs::read_to_string(&printed).map_err(Failure::file("read", printed));
            }
            Some(status) => return Err(failed(ending(status, &log))),
            None => {}
        }
        let waited = if started.elapsed() > READY_TIME {
            Err(failed(format!("did not end within {} s", READY_TIME.as_secs())))
        } else {
            interrupt.sleep(TICK)
        };
        if let Err(failure) = waited {
            drop(child.kill());
            drop(child.wait());
            return Err(failure);
        }
    }
}

/// A command without the caller's environment: the programs read none of it.
fn command<I, S>(executable: &Path, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(executable);
    command.env_clear().args(arguments);
    command
}

/// Sends the first line a program prints; the rest goes to its log.
fn first_line(stdout: ChildStdout, log: PathBuf) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout);
        let mut first = String::new();
        if lines.read_line(&mut first).is_ok() && !first.is_empty() {
            drop(sender.send(first));
        }
        if let Ok(mut log) = File::options().append(true).open(log) {
            drop(std::io::copy(&mut lines, &mut log));
            drop(log.flush());
        }
    });
    receiver
}

/// How a program ended, and the last thing it said.
fn ending(status: ExitStatus, log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    match said.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(last) => format!("ended ({status}), saying \"{}\"", last.trim()),
        None => format!("ended ({status})"),
    }
}
