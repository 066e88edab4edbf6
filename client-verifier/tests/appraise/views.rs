//! `postern evidence show`: every kind of evidence in words, every stated field among them, and clear refusals.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use attestation::claims::snp::{GuestPolicy, PlatformInfo};
use attestation::claims::tdx::TdAttributes;
use attestation::endorsements::Endorsements;
use attestation::evidence::CpuEvidence;
use attestation::{EvidenceDocument, TeeType};
use postern_client::evidence_view::{MAX_EVIDENCE_BYTES, View, ViewError, view};
use serde_json::Value;

use crate::entries::{files, folder, manifest, named, text};

fn values(view: &View) -> BTreeSet<&str> {
    view.parts.iter().flat_map(|part| &part.fields).map(|field| field.value.as_str()).collect()
}

#[test]
fn every_report_and_quote_of_the_corpus_is_shown_with_its_fields() {
    let Some(folder) = folder() else { return };
    let mut shown = 0;
    for entry in manifest(&folder) {
        let (id, files) = (text(&entry, "id"), files(&folder, &entry));
        let platform = text(&entry, "platform");
        let sgx = platform == "intel-sgx";
        for role in ["report", "quote", "hcl_report", "td_quote"] {
            let Some(bytes) = files.get(role).filter(|_| !platform.starts_with("nvidia")) else { continue };
            shown += 1;
            let view = match view(bytes) {
                Err(ViewError::Broken { rejection, .. }) if sgx => {
                    assert_eq!(rejection.code.as_str(), "ATT_TEE_TYPE", "{id}");
                    continue;
                }
                found => found.unwrap_or_else(|error| panic!("{id} {role}: {error}")),
            };
            let values = values(&view);
            let attrs = match (role, &entry["attrs"]) {
                ("hcl_report" | "td_quote", attrs) if attrs["tdx"].is_object() => &attrs["tdx"],
                ("hcl_report", attrs) => &attrs["snp"],
                (_, attrs) => attrs,
            };
            for name in [
                "measurement",
                "report_data",
                "host_data",
                "report_id",
                "mr_seam",
                "mr_config_id",
                "mr_service_td",
                "tee_tcb_svn",
            ] {
                if let Some(stated) = attrs[name].as_str() {
                    assert!(values.contains(stated), "{id} {role}: {name} {stated} is not shown");
                }
            }
            for stated in attrs["rtmr"].as_array().into_iter().flatten() {
                assert!(
                    values.contains(stated.as_str().expect("hex")),
                    "{id} {role}: RTMR {stated} is not shown"
                );
            }
        }
    }
    assert!(shown >= 60, "only {shown}");
}

#[test]
fn every_bit_is_named_and_explained() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let of = |id: &str, role: &str| view(&files(&folder, named(&entries, id))[role]).expect("a view");
    let snp = of("snp-turin-v5-azure", "report");
    let tdx = of("tdx-v5-gtg", "quote");
    let bits = |view: &View| -> Vec<(String, String)> {
        let fields = view.parts.iter().flat_map(|part| part.fields.clone());
        fields
            .filter(|field| field.name.starts_with("bit "))
            .map(|field| (field.name, field.meaning))
            .collect()
    };
    for (view, known) in
        [(&snp, GuestPolicy::KNOWN), (&snp, PlatformInfo::KNOWN), (&tdx, TdAttributes::KNOWN)]
    {
        for (bit, name) in known {
            let found = bits(view).into_iter().find(|(own, _)| *own == format!("bit {bit} {name}"));
            let (_, meaning) = found.unwrap_or_else(|| panic!("bit {bit} {name} is not shown"));
            assert!(!meaning.is_empty() && meaning != "not known here", "bit {bit} {name}");
        }
    }
    // the certificate of exactly this chip at exactly this level
    let place = "https://kdsintf.amd.com/vcek/v1/Turin/59790fb1c39f35c1?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81";
    assert!(values(&snp).contains(place), "{snp:?}");
    let debug = of("snp-milan-v2-debug-policy", "report");
    assert!(
        bits(&debug).iter().any(|(name, meaning)| name == "bit 19 debug" && meaning.starts_with("DANGER"))
    );
    assert!(snp.parts.iter().any(|part| {
        part.fields.iter().any(|field| field.name == "REPORTED_TCB" && field.meaning.starts_with("fmc "))
    }));
}

#[test]
fn a_report_with_certificates_is_one_view() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let files = files(&folder, named(&entries, "snp-milan-v2-vlek-aws-cert-table"));
    let extended = [files["report"].as_slice(), &files["cert_table"]].concat();
    // as `/dev/sev-guest` answers: status, size, reserved, report
    let answer = [&[0, 0, 0, 0, 0xa0, 4, 0, 0][..], &[0; 24], &extended].concat();
    for bytes in [extended, answer] {
        let view = view(&bytes).expect("a view");
        assert!(view.kind.ends_with("version 2 with certificates"), "{}", view.kind);
        assert!(values(&view).contains("CN=cc-test.amazonaws.com"));
    }
}

#[test]
fn our_own_documents_are_shown() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let files = files(&folder, named(&entries, "snp-turin-v5-azure"));
    let endorsements = Endorsements { certificates: vec![files["vek"].clone()], ..Endorsements::default() };
    let document = EvidenceDocument {
        claims: vec![0xa0],
        keyset: vec![0xa0],
        cpu: CpuEvidence { tee: TeeType::Snp, bytes: files["report"].clone() },
        endorsements: endorsements.encode(),
        devices: None,
        release: None,
        deployment: None,
    };
    let view = view(&document.encode()).expect("a view");
    assert_eq!(view.kind, "evidence document (postern/1) of snp");
    let titles: Vec<&str> = view.parts.iter().map(|part| part.title.as_str()).collect();
    for title in ["document", "claims", "keyset", "hardware: guest", "certificate 0"] {
        assert!(titles.contains(&title), "{title} is not among {titles:?}");
    }
    let claims = view.parts.iter().find(|part| part.title == "claims").expect("claims");
    assert!(
        claims.fields[0].meaning.contains("ATT_CLAIMS_MALFORMED"),
        "what cannot be read is said to be so"
    );
}

#[test]
fn what_is_not_known_is_refused_clearly() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let report = files(&folder, named(&entries, "snp-turin-v5-azure"))["report"].clone();
    let said = |bytes: &[u8]| view(bytes).expect_err("not evidence").to_string();
    assert!(said(b"").contains("empty"));
    assert!(said(b"AAAABBBB\n").contains("decode base64"));
    assert!(said(&report[..1183]).contains("1183 bytes beginning with 0500"));
    assert!(said(&vec![0; MAX_EVIDENCE_BYTES + 1]).contains("more than"));
    let mut newer = report;
    newer[0] = 6;
    assert!(said(&newer).contains("expected 2 to 5, found 6"), "{}", said(&newer));
}

#[test]
fn no_change_of_evidence_stops_the_view() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    for (id, role) in
        [("snp-turin-v5-azure", "report"), ("tdx-v5-gtg", "quote"), ("azure-snp-genoa", "hcl_report")]
    {
        let bytes = files(&folder, named(&entries, id))[role].clone();
        let (mut shown, mut refused) = (0, 0);
        let mut count =
            |found: Result<View, ViewError>| if found.is_ok() { shown += 1 } else { refused += 1 };
        for at in (0..bytes.len()).step_by(7) {
            count(view(&bytes[..at]));
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            count(view(&changed));
        }
        assert!(shown > 50 && refused > 50, "{id}: {shown} shown, {refused} refused");
    }
}

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["evidence", "show"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postern");
    child.stdin.take().expect("stdin").write_all(input).expect("write");
    child.wait_with_output().expect("output")
}

#[test]
fn the_command_shows_text_and_json() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let report = files(&folder, named(&entries, "snp-turin-v5-azure"))["report"].clone();
    let output = run(&["-"], &report);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success()
            && text.starts_with("AMD SEV-SNP attestation report, version 5\nNOT VERIFIED"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colour where nobody asked for it");
    let output = run(&["-", "--json"], &report);
    let json: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(json["kind"], "AMD SEV-SNP attestation report, version 5");
    let output = run(&["-"], b"no evidence");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("EVIDENCE_KIND"));
    let output = run(&["/nonexistent"], b"");
    assert_eq!(output.status.code(), Some(2));
}
