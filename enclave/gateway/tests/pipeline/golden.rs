//! Golden cases: `tests/golden/<wire>/<case>/` holds what the client asks (`request.json`), what must go upstream
//! (`sent.json`), what the upstream answers (`upstream.STATUS.EXT`) and what the client must get (`client.END.EXT`).
//! A case may say which path it asks (`path.txt`) and add to the configuration (`config.toml`).
//!
//! Adding a case is adding a folder with the first and third file; `UPDATE_GOLDEN=1` writes the others, for review.

#![expect(
    clippy::disallowed_methods,
    reason = "test cases are files, and UPDATE_GOLDEN is how they are written"
)]

use std::fs;
use std::path::{Path, PathBuf};

use gateway::Step;
use gateway::wire::WIRES;
use gateway::wire::event_stream::encode;

use crate::fake::{FakeUpstream, Reply, ask, collect, gateway_with};

#[test]
fn every_case_comes_out_as_written() {
    let mut cases = 0;
    for wire in WIRES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(wire.name());
        let mut folders: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|_| panic!("{} has no golden cases", wire.name()))
            .map(|entry| entry.expect("readable").path())
            .collect();
        folders.sort();
        assert!(!folders.is_empty(), "{} has no golden cases", wire.name());
        for case in folders {
            check(wire.path(), &case);
            cases += 1;
        }
    }
    assert!(cases >= 15, "cases were found");
}

fn check(path: &str, case: &Path) {
    let request = fs::read(case.join("request.json")).expect("request.json");
    let path = fs::read_to_string(case.join("path.txt")).unwrap_or_else(|_| path.to_owned());
    let more = fs::read_to_string(case.join("config.toml")).unwrap_or_default();
    let prepared = upstream(case);
    let extension = prepared.as_ref().map_or("json", |(_, extension, _)| extension).to_owned();
    let reply = prepared.map(|(status, extension, answer)| match extension.as_str() {
        "sse" => Reply::of(status, "text/event-stream", vec![answer]),
        "events" => Reply::of(status, "application/vnd.amazon.eventstream", vec![event_stream(&answer)]),
        _ => Reply::of(status, "application/json", vec![answer]),
    });
    // What fails may be asked again; it answers the same.
    let upstream = FakeUpstream::new(reply.into_iter().flat_map(|reply| std::iter::repeat_n(reply, 4)));
    let (end, body) = match ask(&gateway_with(&more), &upstream, path.trim(), request) {
        Ok(answer) => match collect(answer) {
            (body, Step::Broken) => ("broken".to_owned(), body),
            (body, _) => ("200".to_owned(), body),
        },
        Err(error) => {
            (error.status().to_string(), error.body_json(gateway::error::Shape::of_path(path.trim())))
        }
    };
    let streamed = end == "broken" || (end == "200" && extension != "json");
    let extension = if streamed { "sse" } else { "json" };
    compare(&case.join(format!("client.{end}.{extension}")), &body);
    match upstream.sent.borrow().first() {
        Some(sent) => compare(&case.join("sent.json"), &sent.body),
        None => assert!(!case.join("sent.json").exists(), "{} sent nothing", case.display()),
    }
}

/// Event-stream messages from lines of `TYPE NAME PAYLOAD`.
pub(crate) fn event_stream(lines: &[u8]) -> Vec<u8> {
    let message = |line: &str| {
        let [kind, name, payload] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("three words: {line}")
        };
        let named_by = if kind == "event" { ":event-type" } else { ":exception-type" };
        encode(&[(named_by, name), (":message-type", kind)], payload.as_bytes())
    };
    std::str::from_utf8(lines).expect("UTF-8").lines().flat_map(message).collect()
}

/// The upstream's answer: status and kind are in the file's name. None if it must not be asked.
fn upstream(case: &Path) -> Option<(u16, String, Vec<u8>)> {
    for entry in fs::read_dir(case).expect("readable") {
        let file = entry.expect("readable").path();
        let name = file.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        if let ["upstream", status, extension] = name.split('.').collect::<Vec<_>>()[..] {
            let status = status.parse().expect("a status");
            return Some((status, extension.to_owned(), fs::read(&file).expect("readable")));
        }
    }
    None
}

fn compare(file: &Path, got: &[u8]) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, got).expect("writable");
        return;
    }
    let wanted = fs::read(file).unwrap_or_else(|_| panic!("{} is missing", file.display()));
    let shown = String::from_utf8_lossy(got);
    assert!(wanted == got, "{} differs; got:\n{shown}", file.display());
}
