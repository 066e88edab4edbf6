//! The command as a shell sees it: streams and exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::entries::{folder, manifest, named, request};
use crate::malformed;

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .arg("appraise")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postern");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    // a command that stops reading closes the pipe, which is no fault here
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("writer");
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn json(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).expect("json")
}

#[test]
fn the_exit_code_is_the_verdict() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    for (id, case, exit, verdict) in [
        ("snp-turin-v5-azure", 0, 0, "accepted"),
        ("snp-turin-v5-azure", 1, 10, "rejected"),
        ("tdx-v5-gtg", 0, 0, "accepted"),
        ("tdx-v4-debug-td", 0, 10, "rejected"),
        ("azure-snp-genoa", 0, 0, "accepted"),
        ("azure-tdx-live", 1, 10, "rejected"),
    ] {
        let entry = named(&entries, id);
        let request = request(&folder, entry, &entry["cases"][case]);
        let output = run(&[], request.to_string().as_bytes());
        assert_eq!((code(&output), &json(&output)["verdict"]), (exit, &verdict.into()), "{id}");
        assert!(output.stderr.is_empty(), "{id}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_explanation_is_for_people_and_on_stderr() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let entry = named(&entries, "tdx-v4-debug-td");
    let request = request(&folder, entry, &entry["cases"][0]);
    let output = run(&["--explain"], request.to_string().as_bytes());
    assert_eq!((code(&output), &json(&output)["verdict"]), (10, &"rejected".into()));
    let talk = String::from_utf8_lossy(&output.stderr);
    for part in [
        "REJECTED TDX_DEBUG",
        "authentic   yes",
        "pass        tdx.signature",
        "fail        tdx.debug",
        "expected ",
        "found    ",
        "loosened    hardware",
    ] {
        assert!(talk.contains(part), "{part} is not in\n{talk}");
    }
    // the second verifier is not asked about what the first one refused
    assert_eq!(talk.matches("not_reached").count(), 1, "{talk}");
}

#[test]
fn what_cannot_be_understood_exits_with_30() {
    let output = run(&[], b"{\"format\":");
    assert_eq!((code(&output), &json(&output)["code"]), (30, &"REQ_SYNTAX".into()));
    let mut request = malformed::request();
    request["polcy"] = Value::Null;
    let output = run(&[], request.to_string().as_bytes());
    assert_eq!((code(&output), &json(&output)["code"]), (30, &"REQ_UNKNOWN_FIELD".into()));
    // a hundred megabytes are not read
    let output = run(&[], &vec![b' '; 100 << 20]);
    assert_eq!((code(&output), &json(&output)["code"]), (30, &"REQ_TOO_LARGE".into()));
}
