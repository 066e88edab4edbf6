//! The host's end of a machine's vsock without anything of the host's kernel: vhost-device-vsock.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running daemon, for one machine.
pub struct Vsock {
    child: Child,
    /// What QEMU connects to.
    pub socket: PathBuf,
    /// Where the host dials the guest; what the guest dials comes out beside it, with `_PORT` behind the name.
    pub path: PathBuf,
}

const PROGRAM: &str = "vhost-device-vsock";

/// Whether the daemon is there. In CI its absence is a failure.
pub fn can_relay() -> bool {
    let there = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "{PROGRAM} is needed");
        eprintln!("SKIPPED: {PROGRAM} is not installed (cargo install --locked {PROGRAM} --version 0.3.0)");
    }
    there
}

impl Vsock {
    /// Starts it for the guest with context 4.
    pub fn start(folder: &Path) -> Self {
        let (socket, path) = (folder.join("vhost.sock"), folder.join("vsock"));
        let mut command = Command::new(PROGRAM);
        command.args(["--guest-cid", "4", "--uds-path"]).arg(&path).arg("--socket").arg(&socket);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts");
        let start = Instant::now();
        while !socket.exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "{PROGRAM} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, socket, path }
    }
}

impl Drop for Vsock {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
