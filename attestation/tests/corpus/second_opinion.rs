//! The `sev` crate's own verification of the same bytes: it must not accept what this crate calls unauthentic, and
//! where it refuses what this crate calls authentic, the reason is written down.

use crate::{Corpus, Files, files, mutations, reference, text};
use attestation::{Code, Rejected};
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

/// Entries that `sev` 8.0 cannot read: it takes version 2 with a zero chip id for a masked one.
const UNREADABLE: [&str; 2] = ["snp-milan-v2-vlek-aws-cert-table", "snp-milan-v2-vlek-aws-vmpl1"];

#[test]
fn another_verifier_agrees_on_authenticity() {
    let Some(corpus) = Corpus::open() else { return };
    let (mut both, mut neither) = (0, 0);
    for entry in corpus.entries("sev-snp") {
        let id = text(entry, "id");
        let chain = ["vek", "ask", "ark"].iter().all(|role| entry["files"][*role].is_string());
        if !chain || UNREADABLE.contains(&id) {
            continue;
        }
        let files = files(&corpus.folder, entry);
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

#[test]
fn another_verifier_agrees_on_every_mutant() {
    let Some(corpus) = Corpus::open() else { return };
    let (mut both, mut neither, mut ours_only) = (0, 0, 0);
    for (recipe, base) in corpus.recipes("sev-snp") {
        let id = text(recipe, "id");
        let files = mutations::changed(&corpus, recipe, base);
        let whole = ["vek", "ask", "ark", "report"].iter().all(|role| files.contains_key(*role));
        if !whole || UNREADABLE.contains(&text(base, "id")) {
            continue;
        }
        let ours = reference::judge(&files, Some("files.ark"), None, text(recipe, "verify_at"));
        match (ours, sev_accepts(&files)) {
            (Ok(_), true) => both += 1,
            (Err(rejected), true) if rejected.authentic => both += 1,
            (Err(rejected), false) if !rejected.authentic => neither += 1,
            (Err(rejected), true) => {
                ours_only += 1;
                assert!(right_to_refuse(&rejected), "{id}: authentic for sev only: {rejected}");
            }
            (Ok(_) | Err(_), false) => panic!("{id}: authentic here, not for sev"),
        }
    }
    eprintln!("mutants: authentic for both {both}, for neither {neither}, for sev only {ours_only}");
    assert!(both >= 3 && neither >= 180);
}

/// The bytes after the signature, which nothing signs and which must be zero: `sev` does not read them, this crate is right.
fn right_to_refuse(rejected: &Rejected) -> bool {
    rejected.rejection.code == Code::SnpReserved
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
