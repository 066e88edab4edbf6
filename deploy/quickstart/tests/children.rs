//! How the quickstart keeps its children, with small scripts in place of the programs: every way it can
//! end, and every way they can fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Held while a script is written and while a process is started: a process started in between would keep
/// the script open for writing for a moment, and it could not be executed.
static STARTING: Mutex<()> = Mutex::new(());

fn spawn(command: &mut Command) -> Child {
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Says it is ready, then waits for its standard input to end.
const SIMTEE: &str = r#"echo '{"ready":true,"socket":"/x","measurement":"aa","chip_id":"bb","ark_der":"/y","floors":"/z"}'
/bin/cat >/dev/null"#;
const ENCLAVE: &str = r#"echo '{"ready":true,"listen":"unix:/x"}'
/bin/cat >/dev/null"#;
const HOST: &str = r#"echo '{"ready":true,"ingress":"127.0.0.1:4433","egress":"unix:/x"}'
/bin/cat >/dev/null"#;
const CLIENT: &str = r#"case "$1" in
policy) exit 0 ;;
verify) echo "VERIFIED (SIMULATED)"; exit 0 ;;
esac
while [ $# -gt 0 ]; do [ "$1" = --token-file ] && echo secret >"$2"; shift; done
echo '{"ready":true,"base_url":"http://127.0.0.1:1/v1"}'
/bin/cat >/dev/null"#;

/// A folder with the quickstart and four scripts, and an empty folder for temporary files.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.temporary()).unwrap();
        fs::hard_link(env!("CARGO_BIN_EXE_quickstart"), bench.path("quickstart"))
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_quickstart"), bench.path("quickstart")).map(|_| ()))
            .unwrap();
        bench.script("postern-simtee", SIMTEE);
        bench.script("postern-enclave", ENCLAVE);
        bench.script("postern-host", HOST);
        bench.script("postern", CLIENT);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("quickstart"));
        command.args(arguments).env_remove("CARGO").env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).wait_with_output().unwrap()
    }

    /// Starts with `--json` and waits for the line.
    fn start(&self, more: &[&str]) -> (Child, Value) {
        let mut command = self.command(&[&["--json"], more].concat());
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, serde_json::from_str(&line).unwrap())
    }

    fn left_over(&self) -> Vec<PathBuf> {
        fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn children(ready: &Value) -> Vec<u64> {
    ["simtee", "enclave", "host", "proxy"].iter().map(|role| ready["pids"][role].as_u64().unwrap()).collect()
}

/// Whether a process still runs (one that ended but was not waited for does not).
fn runs(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, pid: impl std::fmt::Display) {
    let mut kill = spawn(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()));
    assert!(kill.wait().unwrap().success());
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_json_line_says_everything_and_sigterm_ends_all_without_a_trace() {
    let bench = Bench::new();
    let (mut child, ready) = bench.start(&[]);
    assert_eq!(ready["base_url"], "http://127.0.0.1:1/v1");
    assert_eq!(ready["token"], "secret");
    assert_eq!(ready["gateway_url"], "https://localhost:4433");
    assert_eq!(ready["pids"]["quickstart"], child.id());
    let state = ready["state_dir"].as_str().unwrap();
    assert_eq!(ready["policy_file"], format!("{state}/policy.toml"));
    assert_eq!(fs::metadata(state).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(children(&ready).into_iter().all(runs));

    signal("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!children(&ready).into_iter().any(runs));
    assert_eq!(bench.left_over(), Vec::<PathBuf>::new());
}

#[test]
fn children_end_even_when_the_quickstart_is_killed() {
    let bench = Bench::new();
    let (mut child, ready) = bench.start(&[]);
    assert!(children(&ready).into_iter().all(runs));
    signal("KILL", child.id());
    child.wait().unwrap();
    eventually("all children have ended", || !children(&ready).into_iter().any(runs));
}

#[test]
fn a_child_that_will_not_end_is_killed() {
    let bench = Bench::new();
    bench.script(
        "postern-host",
        &HOST.replace("/bin/cat >/dev/null", "trap '' TERM; while :; do /bin/sleep 1; done"),
    );
    let (mut child, ready) = bench.start(&[]);
    let started = Instant::now();
    signal("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(!children(&ready).into_iter().any(runs));
}

#[test]
fn a_child_that_ends_later_ends_everything_and_its_log_stays() {
    let bench = Bench::new();
    let (mut child, ready) = bench.start(&[]);
    signal("KILL", &ready["pids"]["enclave"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!children(&ready).into_iter().any(runs));
    assert!(Path::new(ready["state_dir"].as_str().unwrap()).join("enclave.log").exists());
}

#[test]
fn a_child_that_fails_to_start_is_named_with_its_words_and_its_log() {
    let bench = Bench::new();
    bench.script("postern-enclave", "echo 'CONFIG_VALUE: listen: no' >&2; exit 3");
    let output = bench.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = errors(&output);
    let line = errors.lines().last().unwrap();
    assert!(
        line.starts_with("quickstart: enclave ended (exit status: 3), saying \"CONFIG_VALUE: listen: no\"")
    );
    let log = line.rsplit(' ').next().unwrap();
    assert_eq!(fs::read_to_string(log).unwrap(), "CONFIG_VALUE: listen: no\n");
}

#[test]
fn a_child_that_says_nonsense_or_leaves_something_out_is_refused() {
    let cases = [
        ("postern-simtee", "echo hello", "printed something else"),
        ("postern-simtee", "echo '{\"ready\":false}'", "printed something else"),
        ("postern-host", "echo '{\"ready\":true}'", "did not say its ingress"),
        ("postern", "[ $1 = verify ] && echo 'REJECTED ATT_MEASUREMENT' && exit 1; exit 0", "verify ended"),
        ("postern", "[ $1 = policy ] && exit 2; exit 0", "policy ended"),
    ];
    for (name, script, expected) in cases {
        let bench = Bench::new();
        bench.script(name, &format!("{script}\n/bin/cat >/dev/null"));
        let output = bench.run(&["--once", "hello"]);
        assert_eq!(output.status.code(), Some(1), "{script}");
        assert!(output.stdout.is_empty(), "{script}");
        assert!(errors(&output).lines().last().unwrap().contains(expected), "{script}: {}", errors(&output));
    }
}

#[test]
fn a_missing_program_is_named_with_the_way_out() {
    let bench = Bench::new();
    fs::remove_file(bench.path("postern-host")).unwrap();
    let output = bench.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("postern-host is missing; use `cargo run --release --bin quickstart`"));
    assert_eq!(bench.left_over(), Vec::<PathBuf>::new());
}

#[test]
fn a_prompt_that_cannot_be_sent_is_a_failure() {
    let bench = Bench::new();
    let output = bench.run(&["--once", "hello"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).lines().last().unwrap().starts_with("quickstart: no whole answer: "));
}

#[test]
fn a_given_state_folder_is_made_private_and_stays() {
    let bench = Bench::new();
    let folder = bench.path("state");
    let (mut child, ready) = bench.start(&["--state-dir", folder.to_str().unwrap()]);
    assert_eq!(ready["state_dir"], folder.canonicalize().unwrap().to_str().unwrap());
    signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(folder.join("gateway-key").exists());
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        // The token is the proxy's to write, here a script's.
        if file.file_name() != "token" {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
        }
    }

    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let output = bench.run(&["--state-dir", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("only you can enter"));

    let long = bench.path(&"x".repeat(100));
    let output = bench.run(&["--state-dir", long.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("too long for a Unix socket"));
}
