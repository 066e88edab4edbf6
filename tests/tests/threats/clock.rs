//! Row 29: the host's clock is a year off, stands still, or jumps. `libfaketime` plays the host: it stands between the
//! program and the C library.

use std::path::Path;
use std::process::Command;

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::policies;
use serde_json::Value;

use super::governed::{Admin, governed, status};
use super::refusal;

/// Where Debian's package `faketime` puts the library.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const YEAR: i64 = 365 * 24 * 60 * 60;
/// The earliest time that the enclave believes, in milliseconds since 1970: 2026-11-01.
const RELEASED_MS: u64 = 498_192 * 60 * 60 * 1000;

/// Variables under which the wall clock is as the file says. The monotonic clock goes on, as nothing would run without.
fn clock(file: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("LD_PRELOAD", LIBRARY.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// Whether the library is here. In continuous integration it has to be.
fn can_play() -> bool {
    let there = Path::new(LIBRARY).exists();
    if !there {
        println!("skipped: libfaketime is not installed");
        assert!(std::env::var_os("CI").is_none(), "continuous integration has to have it");
    }
    there
}

/// What another program under the same clock takes the time to be, less what it is: the control.
fn seen_by_others(file: &Path) -> i64 {
    let seconds = |variables: Vec<(&'static str, String)>| -> i64 {
        let output = Command::new("date").arg("+%s").envs(variables).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    seconds(clock(file)) - seconds(Vec::new())
}

/// The time that the enclave's log gives for its first event, in milliseconds since 1970.
fn logged(enclave: &Enclave) -> u64 {
    let said = enclave.process.stderr();
    let first: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    first["time_ms"].as_u64().unwrap()
}

async fn serves(enclave: &Enclave) {
    let mut client = Http1::connect(enclave.address).await;
    for stream in [false, true] {
        let answer = client.post("/v1/chat/completions", &chat("fake", stream)).await;
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
    }
    assert!(!enclave.process.stderr().contains("panicked"), "{}", enclave.process.stderr());
}

#[tokio::test]
async fn row_29_a_clock_that_is_wrong_from_the_start_is_noticed_by_clients() {
    if !can_play() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clock");
    for (written, years) in [("-365d", -1), ("+365d", 1)] {
        std::fs::write(&file, written).unwrap();
        assert!((seen_by_others(&file) - years * YEAR).abs() < 60, "control: the clock is off for others");
        let enclave = Enclave::with(&Setup { environment: clock(&file), ..Setup::default() });
        serves(&enclave).await;
        assert!(logged(&enclave) >= RELEASED_MS, "a time before the release is believed");
        let verifier = policies::verifier(enclave.address, policies::of(&enclave));
        assert_eq!(refusal(&verifier).await, "ATT_KEYSET_EXPIRED", "{written}");
    }
    // standing still, and right, it harms nobody
    std::fs::write(&file, "+0d x0").unwrap();
    let enclave = Enclave::with(&Setup { environment: clock(&file), ..Setup::default() });
    serves(&enclave).await;
    policies::verifier(enclave.address, policies::of(&enclave)).connect().await.unwrap();
}

#[tokio::test]
async fn row_29_a_clock_that_jumps_moves_neither_time_nor_budgets() {
    if !can_play() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clock");
    std::fs::write(&file, "+0d").unwrap();
    let enclave = governed(clock(&file));
    let key = Admin::of(&enclave).await.key(2, "year").await;
    for expected in [200, 200, 429] {
        assert_eq!(status(enclave.address, &key).await, expected);
    }
    for (written, years) in [("+730d", 2), ("-365d", -1), ("+365d", 1)] {
        std::fs::write(&file, written).unwrap();
        assert!((seen_by_others(&file) - years * YEAR).abs() < 60, "control: it did jump for others");
        assert_eq!(status(enclave.address, &key).await, 429, "the budget begins anew");
        policies::verifier(enclave.address, policies::of(&enclave)).connect().await.unwrap();
        serves(&enclave).await;
    }
}
