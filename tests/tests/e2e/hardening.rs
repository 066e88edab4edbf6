//! What the enclave's process takes away from itself, seen from outside: from the kernel, and from another process of
//! the same user.

use std::fs::read_to_string;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use postern_tests::enclave::{Enclave, Setup, can_lock_memory};
use postern_tests::http1::{Http1, chat};
use postern_tests::programs;

/// An account without rights.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    let own = Command::new("id").arg("-u").output().unwrap();
    own.stdout == b"0\n"
}

/// As nobody where the test may choose; otherwise as the user who runs it, which serves as well.
fn as_ordinary_user() -> Setup {
    Setup { user: is_root().then_some(NOBODY), ..Setup::default() }
}

/// `field: value` of a file of the kernel's about a process or thread.
fn field(file: impl AsRef<Path>, name: &str) -> String {
    let text = read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    line.trim_start_matches(':').split_whitespace().next().unwrap_or_default().to_owned()
}

/// Whether a process of the enclave's user can open that file of the process.
fn can_open(file: &str, process: u32) -> bool {
    let mut reader = Command::new("sh");
    reader.args(["-c", &format!("exec 3< /proc/{process}/{file}")]).stderr(Stdio::null());
    if is_root() {
        reader.uid(NOBODY).gid(NOBODY);
    }
    reader.status().unwrap().success()
}

/// An unprotected process of the enclave's user, for comparison.
fn unprotected(folder: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec sleep 60"]).current_dir(folder);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.spawn().unwrap()
}

#[tokio::test]
async fn every_thread_is_behind_the_filter_and_gains_no_privileges() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.post("/v1/chat/completions", &chat("fake", true)).await.status, 200);
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", enclave.process.id())).unwrap() {
        let status = thread.unwrap().path().join("status");
        assert_eq!(field(&status, "Seccomp"), "2", "a thread may make any system call");
        assert_eq!(field(&status, "NoNewPrivs"), "1");
        threads += 1;
    }
    assert!(threads > 2, "{threads} threads, less than main, standard input and a worker");
    // control: this process is not
    assert_eq!(field("/proc/self/status", "Seccomp"), "0");
}

#[tokio::test]
async fn its_memory_is_closed_to_other_processes_of_its_user() {
    let enclave = Enclave::with(&as_ordinary_user());
    let folder = tempfile::tempdir().unwrap();
    let mut control = unprotected(folder.path());
    std::thread::sleep(Duration::from_millis(200));
    for file in ["mem", "environ", "maps"] {
        assert!(can_open(file, control.id()), "control: {file} of an ordinary process");
        assert!(!can_open(file, enclave.process.id()), "{file} of the enclave can be read");
    }
    control.kill().unwrap();
    control.wait().unwrap();
}

#[tokio::test]
async fn it_leaves_no_core_file() {
    let pattern = read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let mut enclave = Enclave::with(&Setup { before: "ulimit -c unlimited".to_owned(), ..Setup::default() });
    let limits = read_to_string(format!("/proc/{}/limits", enclave.process.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let before = std::fs::read_dir(enclave.folder()).unwrap().count();
    abort(enclave.process.id());
    assert!(!enclave.process.wait(Duration::from_secs(5)).expect("it ends").success());
    assert_eq!(std::fs::read_dir(enclave.folder()).unwrap().count(), before, "it left a file behind");
    if pattern.starts_with(['|', '/']) {
        eprintln!("skipped the control: core files do not go to the working folder here, but to {pattern}");
        return;
    }
    let folder = tempfile::tempdir_in(enclave.folder()).unwrap();
    let mut control = Command::new("sh");
    control.args(["-c", "ulimit -c unlimited && exec sleep 60"]).current_dir(folder.path());
    let mut control = control.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    abort(control.id());
    control.wait().unwrap();
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "control: an ordinary process leaves one"
    );
}

fn abort(process: u32) {
    assert!(Command::new("kill").args(["-ABRT", &process.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn its_memory_is_locked() {
    if !can_lock_memory() {
        eprintln!("skipped: the limit of locked memory cannot be raised here");
        return;
    }
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let config = client.get("/.well-known/postern/config").await.json();
    assert_eq!(config["memory_locked"], true);
    let status = format!("/proc/{}/status", enclave.process.id());
    let (locked, data): (u64, u64) =
        (field(&status, "VmLck").parse().unwrap(), field(&status, "VmData").parse().unwrap());
    assert!(locked >= data, "{locked} KiB locked of {data}");
    // opting out works, and shows
    let enclave = Enclave::with(&Setup { process: "lock_memory = false".to_owned(), ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.get("/.well-known/postern/config").await.json()["memory_locked"], false);
    assert_eq!(field(format!("/proc/{}/status", enclave.process.id()), "VmLck"), "0");
}

#[test]
fn a_panic_of_the_real_program_says_where_and_not_what() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("enclave.toml");
    std::fs::write(&file, "version = 1").unwrap();
    // Writing to a full device makes the library panic, with the system's words for it as the message.
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = Command::new(programs::path("postern-enclave"));
    let output = command.arg("check").arg(&file).stdout(full).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("\"event\":\"panicked\""), "control: it did panic: {said}");
    assert!(!said.contains("No space left") && !said.contains("stdout:"), "{said}");
}

#[tokio::test]
async fn where_memory_cannot_be_locked_it_does_not_start() {
    let setup = Setup {
        before: "ulimit -l 64".to_owned(),
        process: "lock_memory = true".to_owned(),
        ..as_ordinary_user()
    };
    let (status, said) = Enclave::refused(&setup);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("postern-enclave: HARDENING_MEMORY_LOCK") && said.contains("lock_memory"),
        "{said}"
    );
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}
