//! What a confined process can no longer do, tried from inside. Each case runs in a process of its own, since there
//! is no way back.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "test code")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tries what the filter must refuse")]

use std::io::ErrorKind;
use std::process::{Command, Output};

use postern_enclave::config::Process;
use postern_enclave::hardening;
use postern_enclave::telemetry;
use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, setrlimit};

/// Says to the child that it is one.
const CHILD: &str = "POSTERN_TEST_CHILD";

/// Runs the test of this name again, alone in a child.
fn in_a_child(test: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    child.output().unwrap()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// What each of these answers.
fn attempts() -> Vec<(&'static str, std::io::Result<()>)> {
    let file = std::env::temp_dir().join(format!("postern-confinement-{}", std::process::id()));
    let link = file.with_extension("link");
    let answers = vec![
        ("start a program", Command::new("/bin/true").status().map(drop)),
        ("make a file", std::fs::File::create(&file).map(drop)),
        ("make a link", std::os::unix::fs::symlink("/", &link)),
        ("open a datagram socket", std::net::UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("set a limit", setrlimit(Resource::Nofile, getrlimit(Resource::Nofile)).map_err(Into::into)),
        ("become dumpable", set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(Into::into)),
        ("unlock memory", rustix::mm::munlockall().map_err(Into::into)),
    ];
    let _cleared = (std::fs::remove_file(file), std::fs::remove_file(link));
    answers
}

#[test]
fn nothing_but_the_allowed_calls_gets_through() {
    if !is_child() {
        let output = in_a_child("nothing_but_the_allowed_calls_gets_through");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    for (what, answer) in attempts() {
        assert!(answer.is_ok(), "control: {what}, unconfined: {answer:?}");
    }
    let unreadable = hardening::make_unreadable().unwrap();
    let _hardened = unreadable.confine(Process { lock_memory: false }, false).unwrap();
    for (what, answer) in attempts() {
        let error = answer.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error}");
    }
    // What the program lives on goes on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    drop(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    assert_eq!(std::thread::spawn(|| vec![1_u8; 1 << 22].len()).join().unwrap(), 1 << 22);
}

#[test]
fn a_panic_says_where_and_not_what() {
    const CANARY: &str = "canary-panic-93d1";
    const HOOKED: &str = "the hook is in place";
    if !is_child() {
        let output = in_a_child("a_panic_says_where_and_not_what");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (before, after) = said.split_once(HOOKED).expect("the child comes that far");
        assert!(before.contains(CANARY), "control: without the hook the message shows: {before}");
        assert!(after.contains(r#""event":"panicked""#) && after.contains("confinement.rs"), "{after}");
        assert!(!after.contains(CANARY), "{after}");
        return;
    }
    let panic = || std::thread::spawn(|| panic!("{}", CANARY)).join().unwrap_err();
    drop(panic());
    telemetry::report_panics_without_their_message();
    eprintln!("{HOOKED}");
    drop(panic());
}
