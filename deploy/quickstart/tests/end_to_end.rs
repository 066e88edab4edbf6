//! The quickstart with the real programs, as a newcomer runs it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The quickstart as cargo runs it, with its temporary files in `temporary`.
fn quickstart(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.args(arguments).env("CARGO", env!("CARGO")).env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn start(temporary: &Path) -> (Child, Value) {
    let mut child = quickstart(temporary, &["--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn left_over(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Whether a process still runs (one that ended but was not waited for does not).
fn runs(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

fn children(ready: &Value) -> Vec<u64> {
    ["simtee", "enclave", "host", "proxy"].iter().map(|role| ready["pids"][role].as_u64().unwrap()).collect()
}

/// The program of a process.
fn program(pid: u64) -> String {
    let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn once_verifies_says_simulated_and_prints_the_answer_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let output = quickstart(temporary.path(), &["--once", "Say hello"]).output().unwrap();
    let (answer, story) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{story}");
    assert!(answer.trim().len() > 5, "{answer}");
    assert!(!answer.contains("data:") && !answer.contains("postern"), "{answer}");
    for said in ["SIMULATED", "VERIFIED", "measured", "relay"] {
        assert!(story.contains(said), "{said} is missing: {story}");
    }
    assert_eq!(left_over(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn it_serves_plain_openai_http_until_sigterm_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, ready) = start(temporary.path());
    let names: Vec<String> = children(&ready).into_iter().map(program).collect();
    assert_eq!(names, ["postern-simtee", "postern-enclave", "postern-host", "postern"]);

    let (base, token) = (ready["base_url"].as_str().unwrap(), ready["token"].as_str().unwrap());
    let models =
        ureq::get(format!("{base}/models")).header("authorization", format!("Bearer {token}")).call();
    let models: Value = serde_json::from_str(&models.unwrap().body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(models["data"][0]["id"], "postern-builtin");
    let refused = ureq::get(format!("{base}/models")).header("authorization", "Bearer wrong").call();
    assert!(matches!(refused, Err(ureq::Error::StatusCode(401))), "{refused:?}");

    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!children(&ready).into_iter().any(runs));
    assert_eq!(left_over(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn all_programs_end_when_the_quickstart_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, ready) = start(temporary.path());
    assert!(children(&ready).into_iter().all(runs));
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while children(&ready).into_iter().any(runs) {
        assert!(Instant::now() < deadline, "a program outlives the quickstart");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_of_them_do_not_clash() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut first, one) = start(temporary.path());
    let (mut second, two) = start(temporary.path());
    assert_ne!(one["base_url"], two["base_url"]);
    assert_ne!(one["gateway_url"], two["gateway_url"]);
    for child in [&mut first, &mut second] {
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
