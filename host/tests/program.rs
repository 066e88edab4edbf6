//! The program as a process: flags, ready line, signals, errors.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, too, fail by panicking"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn host(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern-host"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to its end, and returns exit code and standard error.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = host(arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

struct Started {
    child: Child,
    ready: Value,
    folder: tempfile::TempDir,
}

fn started(extra: &[&str]) -> Started {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enclave.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
        }
    });
    let config = folder.path().join("host.toml");
    let text = format!(
        "drain_seconds = 30\nlog = \"debug\"\n[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"unix:{0}/enclave.sock\"\n\
         [egress]\nlisten = \"unix:{0}/egress.sock\"\n",
        folder.path().display()
    );
    fs::write(&config, text).unwrap();
    let arguments = [&["--config", config.to_str().unwrap(), "--json-ready"], extra].concat();
    let mut child = host(&arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    Started { child, ready: serde_json::from_str(&line).unwrap(), folder }
}

impl Started {
    fn signal(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(self.ready["ingress"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("still running");
    }

    fn events(&mut self) -> Vec<Value> {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn talk(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn the_ready_line_names_what_is_bound() {
    let started = started(&[]);
    assert_eq!(started.ready["ready"], true);
    let egress = format!("unix:{}/egress.sock", started.folder.path().display());
    assert_eq!(started.ready["egress"], egress);
    talk(&mut started.client());
}

#[test]
fn a_signal_drains_and_exits_with_zero() {
    let mut started = started(&[]);
    let mut client = started.client();
    talk(&mut client);
    started.signal();
    thread::sleep(Duration::from_millis(200));
    talk(&mut client);
    assert_eq!(started.child.try_wait().unwrap(), None, "it waits for its client");
    drop(client);
    assert_eq!(started.wait().code(), Some(0));
    let events = started.events();
    let closed = events.iter().find(|event| event["event"] == "closed").unwrap();
    assert_eq!(
        (&closed["leg"], &closed["bytes_up"], &closed["bytes_down"]),
        (&"ingress".into(), &2.into(), &2.into())
    );
    assert_eq!(events.last().unwrap()["event"], "stopped");
    let mut rest = String::new();
    started.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "one line on standard output, ever");
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut started = started(&[]);
    let mut client = started.client();
    talk(&mut client);
    started.signal();
    thread::sleep(Duration::from_millis(100));
    started.signal();
    assert_eq!(started.wait().code(), Some(0));
}

#[test]
fn the_end_of_standard_input_ends_it_only_when_asked() {
    for (flags, ends) in [(&["--exit-on-stdin-close"][..], true), (&[], false)] {
        let mut started = started(flags);
        drop(started.child.stdin.take());
        if ends {
            assert_eq!(started.wait().code(), Some(0));
        } else {
            thread::sleep(Duration::from_millis(300));
            assert_eq!(started.child.try_wait().unwrap(), None);
        }
    }
}

#[test]
fn a_failed_start_is_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cases = [
        (refused(&["--config", "/nonexistent"]), "CONFIG_UNREADABLE"),
        (refused(&["--listen", &address, "--enclave", "unix:/tmp/e"]), "HOST_BIND"),
        (refused(&["--egress-listen", "unix:/nonexistent/x"]), "HOST_BIND"),
        (refused(&["--egress-listen", "tcp:127.0.0.1:0", "--endorsement-cache", "/proc/none"]), "HOST_CACHE"),
        (refused(&["--egress-listen", "tcp:127.0.0.1:0", "--resolve", "a:1=127.0.0.1:2"]), "CONFIG_RESOLVE"),
    ];
    for ((code, text), expected) in cases {
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn flags_that_make_no_sense_are_usage_errors() {
    for arguments in [
        &[][..],
        &["--listen", "127.0.0.1:0"],
        &["--config", "x", "--listen", "127.0.0.1:0", "--enclave", "unix:/e"],
        &["--listen", "localhost", "--enclave", "unix:/e"],
        &["--egress-listen", "tcp:127.0.0.1:0", "--allow", "*:443"],
        &["--allow", "a:443"],
    ] {
        assert_eq!(refused(arguments).0, Some(2), "{arguments:?}");
    }
}
