//! The program: ready line, socket protocol, how it ends, what it refuses.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use simtee::report::offset;

const PROGRAM: &str = env!("CARGO_BIN_EXE_postern-simtee");

/// A running program and its ready line.
struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("--socket")
            .arg(folder.join("processor.sock"))
            .args(["--pki", env!("CARGO_TARGET_TMPDIR"), "--measure"])
            .arg(folder.join("image"))
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, ready: serde_json::from_str(&line).unwrap() }
    }

    fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the program did not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("image"), b"hello").unwrap();
    folder
}

fn ask(folder: &Path, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(folder.join("processor.sock")).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn request(magic: [u8; 8]) -> Vec<u8> {
    [magic.as_slice(), &[0x42; 64]].concat()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[test]
fn it_serves_reports_and_ends_on_sigterm() {
    let folder = folder();
    let mut running = Running::start(folder.path(), &["--chip-id", &"ab".repeat(64), "--patch", "c0=0102"]);
    let answer = ask(folder.path(), &request(*b"PSTNSP01"));
    assert_eq!(answer[..4], [0, 0, 4, 0xa0]);
    let report = &answer[4..4 + 0x4a0];
    assert_eq!(report[offset::REPORT_DATA..][..64], [0x42; 64]);
    assert_eq!(report[offset::CHIP_ID..][..64], [0xab; 64]);
    assert_eq!(report[offset::HOST_DATA..][..3], [1, 2, 0]);
    assert_eq!(hex::encode(&report[offset::MEASUREMENT..][..48]), running.ready["measurement"]);
    let table = &answer[4 + 0x4a0..];
    assert_eq!(usize::try_from(u32::from_be_bytes(table[..4].try_into().unwrap())), Ok(table.len() - 4));
    let certificates = simtee::certificate_table::decode(&table[4..]).unwrap();
    let ark = std::fs::read(running.ready["ark_der"].as_str().unwrap()).unwrap();
    assert!(certificates.contains(&(simtee::certificate_table::Kind::Ark, ark)));
    assert_eq!(running.ready["ready"], true);
    assert_eq!(running.ready["product"], "genoa");

    let kill = Command::new("kill").arg(running.child.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(running.wait(), 0);
    assert!(!folder.path().join("processor.sock").exists());
}

#[test]
fn the_measure_command_agrees_with_the_served_measurement() {
    let folder = folder();
    let running = Running::start(folder.path(), &[]);
    let image = folder.path().join("image");
    let output = run(&["measure", image.to_str().unwrap()]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), running.ready["measurement"]);
}

#[test]
fn it_ends_when_its_parent_goes_only_if_told_to() {
    let folder = folder();
    let mut running = Running::start(folder.path(), &["--exit-on-stdin-close"]);
    drop(running.child.stdin.take());
    assert_eq!(running.wait(), 0);

    let mut running = Running::start(folder.path(), &[]);
    drop(running.child.stdin.take());
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.child.try_wait().unwrap().is_none());
    assert_eq!(ask(folder.path(), &request(*b"PSTNSP01"))[..4], [0, 0, 4, 0xa0]);
}

#[test]
fn nonsense_gets_a_refusal_and_silence_blocks_nobody() {
    let folder = folder();
    let _running = Running::start(folder.path(), &[]);
    assert_eq!(ask(folder.path(), &request(*b"PSTNSP99")), [0; 8]);
    let _silent = UnixStream::connect(folder.path().join("processor.sock")).unwrap();
    assert_eq!(ask(folder.path(), &request(*b"PSTNSP01"))[..4], [0, 0, 4, 0xa0]);
}

#[test]
fn a_second_program_on_the_same_socket_is_refused_and_a_stale_socket_is_replaced() {
    let folder = folder();
    let socket = folder.path().join("processor.sock");
    let image = folder.path().join("image");
    let mut running = Running::start(folder.path(), &[]);
    let arguments = ["--socket", socket.to_str().unwrap(), "--measure", image.to_str().unwrap()];
    let second = run(&[&arguments[..], &["--pki", env!("CARGO_TARGET_TMPDIR")]].concat());
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8(second.stderr).unwrap().contains("in use"));
    running.child.kill().unwrap();
    running.wait_killed();
    assert!(socket.exists());
    let _again = Running::start(folder.path(), &[]);
    assert_eq!(ask(folder.path(), &request(*b"PSTNSP01"))[..4], [0, 0, 4, 0xa0]);
}

impl Running {
    fn wait_killed(&mut self) {
        assert_eq!(self.child.wait().unwrap().code(), None);
    }
}

#[test]
fn bad_flags_are_one_clear_line_and_exit_2() {
    let folder = folder();
    let image = folder.path().join("image");
    let image = image.to_str().unwrap();
    let cases: [&[&str]; 5] = [
        &["--socket", "/nonexistent/x.sock", "--measure", image],
        &["--socket", "x.sock", "--measure", "/nonexistent/file"],
        &["--socket", "x.sock", "--measure", image, "--chip-id", "abcd"],
        &["--socket", "x.sock", "--measure", image, "--patch", "2a0=00"],
        &["--socket", "x.sock", "--measure", image, "--fault", "nonsense"],
    ];
    for case in cases {
        let output = Command::new(PROGRAM)
            .args(case)
            .args(["--pki", env!("CARGO_TARGET_TMPDIR")])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{case:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{case:?}");
        assert!(!folder.path().join("x.sock").exists(), "{case:?}");
    }
}
