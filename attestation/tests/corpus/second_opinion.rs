//! The `sev` crate's own verification of the same bytes: it must not accept what this crate calls unauthentic, and
//! where it refuses what this crate calls authentic, the reason is written down.

use crate::{Files, corpus, files, json, reference, text};
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

/// Entries that `sev` 8.0 cannot read: it takes version 2 with a zero chip id for a masked one.
const UNREADABLE: [&str; 2] = ["snp-milan-v2-vlek-aws-cert-table", "snp-milan-v2-vlek-aws-vmpl1"];

#[test]
fn another_verifier_agrees_on_authenticity() {
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let (mut both, mut neither) = (0, 0);
    for entry in manifest["entries"].as_array().expect("entries") {
        let id = text(entry, "id");
        let chain = ["vek", "ask", "ark"].iter().all(|role| entry["files"][*role].is_string());
        if text(entry, "platform") != "sev-snp" || !chain || UNREADABLE.contains(&id) {
            continue;
        }
        let files = files(&folder, entry);
        // `sev` pins no root and looks at no date: give this crate the entry's own root and first date
        let at = text(&entry["cases"][0], "verify_at");
        let ours = match reference::judge(&files, Some("files.ark"), None, at) {
            Ok(_) => true,
            Err(rejected) => rejected.authentic,
        };
        let theirs = sev_accepts(&files);
        match (ours, theirs) {
            (true, true) => both += 1,
            (false, false) => neither += 1,
            (true, false) => panic!("{id}: authentic here, not for sev"),
            // this crate also compares chip and TCB with the certificate and looks at dates, so it may refuse more
            (false, true) => assert!(stricter(id), "{id}: authentic for sev only"),
        }
    }
    assert!(both >= 11 && neither >= 4, "{both} accepted by both, {neither} by neither");
}

/// Where this crate is right to refuse what `sev` accepts.
fn stricter(id: &str) -> bool {
    matches!(
        id,
        "syn-snp-a-vcek-expired"
            | "syn-snp-a-masked-chip-id"
            | "syn-snp-a-hwid-mismatch"
            | "syn-snp-a-tcb-ext-lower"
    )
}

fn sev_accepts(files: &Files) -> bool {
    let certificate = |role: &str| Certificate::from_der(&files[role]).ok();
    let (Some(vek), Some(ask), Some(ark)) = (certificate("vek"), certificate("ask"), certificate("ark"))
    else {
        return false;
    };
    let chain = Chain { ca: ca::Chain { ark, ask }, vek };
    let Ok(report) = AttestationReport::from_bytes(&files["report"]) else { return false };
    (&chain, &report).verify().is_ok()
}
