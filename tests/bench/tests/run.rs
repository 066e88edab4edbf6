//! A whole run, short: peers started, measured, reported and gone.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::process::Command;

#[test]
fn a_short_run_reports_its_peers_and_leaves_nothing_running() {
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_postern-bench"))
        .args(["run", "--quick", "--repetitions", "1", "--peers", "direct,relay-tls", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let table = fs::read_to_string(out.path().join("table.md")).unwrap();
    assert!(table.contains("| relay-tls |") && table.contains("| direct |"), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.path().join("table.json")).unwrap()).unwrap();
    let relay = &json["samples"]["figures"]["relay-tls"];
    for figure in
        ["small cpu us", "burst 100 gap p99 us", "handshake X25519MLKEM768 cpu us", "memory idle KiB"]
    {
        let value = relay[figure][0].as_f64();
        assert!(value.is_some_and(|value| value > 0.0), "{figure}: {value:?}");
    }
    let state = out.path().join("state");
    let left: Vec<String> = commands().filter(|line| line.contains(state.to_str().unwrap())).collect();
    assert!(left.is_empty(), "still running: {left:?}");
}

/// Command lines of all processes.
fn commands() -> impl Iterator<Item = String> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    })
}
