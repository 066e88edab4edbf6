//! The real programs as child processes: built once, started, waited for, and gone when dropped.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::workspace;

/// The program of that name, built with the profile of the running test.
///
/// `POSTERN_BIN_DIR` names a folder of programs that are built already.
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("POSTERN_BIN_DIR") {
        Some(folder) => folder.into(),
        None => build(),
    });
    folder.join(name)
}

/// A folder below the target folder that outlives the test, for what is slow to make.
pub fn lasting_folder() -> PathBuf {
    let folder = profile_folder().join("postern-tests");
    std::fs::create_dir_all(&folder).expect("the target folder can be written to");
    folder
}

/// A process that announced itself as ready. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: Arc<Mutex<String>>,
    /// The line it printed when it was ready.
    pub ready: Value,
}

impl Running {
    /// Starts `command` with the two flags of every long-running program, and waits until it serves.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|(status, said)| panic!("{command:?}: {status}: {said}"))
    }

    /// The same, where not starting is an answer: exit status and standard error.
    pub fn try_start(command: &mut Command) -> Result<Self, (ExitStatus, String)> {
        let command = command.args(["--json-ready", "--exit-on-stdin-close"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (from, into) = (child.stderr.take().expect("piped"), Arc::clone(&stderr));
        let reader = std::thread::spawn(move || collect(from, &into));
        let (say, hear) = mpsc::channel();
        let stdout = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            let _read = lines.read_line(&mut line);
            let _heard = say.send(line);
            std::io::copy(&mut lines, &mut std::io::sink())
        });
        let line = hear.recv_timeout(START_TIME).unwrap_or_default();
        let Ok(ready) = serde_json::from_str(&line) else {
            let _ended = child.kill();
            let status = child.wait().expect("a child can be waited for");
            let _done = reader.join();
            let said = stderr.lock().unwrap().clone();
            return Err((status, said));
        };
        Ok(Self { child, stdin, stderr, ready })
    }

    /// A text of the ready line.
    pub fn said(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("{} has no {key}", self.ready))
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        let status = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it has written `text` to standard error so many times.
    pub fn waits_to_say(&self, text: &str, times: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.stderr().matches(text).count() < times {
            assert!(Instant::now() < end, "it never said {text}: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Closes its standard input, which ends it like SIGTERM.
    pub fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait().expect("a child can be waited for") {
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                ended => return ended,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- standard error of process {}:\n{}", self.child.id(), self.stderr());
        }
    }
}

fn collect(mut from: impl Read, into: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

/// Builds the programs, which cargo makes only for their own packages' tests. All of the workspace at once, so that
/// features unify as they do elsewhere and little is built twice.
fn build() -> PathBuf {
    let folder = profile_folder();
    let mut command = cargo();
    command.args(["build", "--quiet", "--bins"]);
    if folder.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    let target = folder.parent().expect("a profile lies in the target folder");
    let status = command.arg("--target-dir").arg(target).current_dir(workspace::root()).status();
    assert!(status.expect("cargo runs").success(), "the programs do not build");
    folder
}

/// The cargo that runs this test, as if it were called from outside of one.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Build scripts that look at these would run again.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_this_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// Whether cargo set this variable for the test that it runs.
fn is_about_this_package(variable: &str) -> bool {
    let names = ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"];
    let prefixes = ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"];
    names.contains(&variable) || prefixes.iter().any(|prefix| variable.starts_with(prefix))
}

/// Where cargo put the running test: `target/PROFILE/deps/TEST`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps").to_owned()
}

/// How long a program may take to become ready, on a busy machine and unoptimised.
const START_TIME: Duration = Duration::from_mins(1);
