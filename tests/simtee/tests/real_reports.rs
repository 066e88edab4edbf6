//! The simulator's offsets and encodings, held against evidence of real hardware.
//!
//! The evidence is not part of the repository: `POSTERN_EVIDENCE` names its folder, by default
//! `../shared/evidence` beside the workspace. Without it the tests say that they skipped, and with
//! `CI=true` they fail.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use simtee::certificate::{CertificateSpec, Holder, endorsement_extensions};
use simtee::report::{LENGTH, SIGNED_LENGTH};
use simtee::{Report, Tcb, TcbLayout};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// The folder with the evidence, or `None` when it is absent and may be.
fn evidence() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("POSTERN_EVIDENCE")
        .map_or_else(|| workspace.join("../shared/evidence"), PathBuf::from);
    if folder.join("MANIFEST.json").exists() {
        return Some(folder);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "no evidence in {}: set POSTERN_EVIDENCE",
        folder.display()
    );
    eprintln!("SKIPPED: no evidence in {}; set POSTERN_EVIDENCE to run this test", folder.display());
    None
}

/// The entries of the manifest that hold an SNP report, with the folder they are relative to.
fn entries() -> Option<(PathBuf, Vec<Value>)> {
    let folder = evidence()?;
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let entries = manifest["entries"].as_array().unwrap();
    let snp = entries.iter().filter(|entry| entry["platform"] == "sev-snp").cloned().collect();
    Some((folder, snp))
}

fn layout_of(attributes: &Value) -> TcbLayout {
    if attributes["generation"] == "turin" { TcbLayout::Turin } else { TcbLayout::Classic }
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn tcb(value: &Value) -> Tcb {
    let part = |name: &str| u8::try_from(value[name].as_u64().unwrap_or_default()).unwrap();
    Tcb {
        fmc: part("fmc"),
        bootloader: part("bl"),
        tee: part("tee"),
        snp: part("snp"),
        microcode: part("ucode"),
    }
}

#[test]
fn real_reports_read_as_others_read_them_and_write_back_byte_for_byte() {
    let Some((folder, entries)) = entries() else { return };
    let mut compared = 0;
    for entry in entries {
        let Some(path) = entry["files"]["report"].as_str() else { continue };
        let bytes = fs::read(folder.join(path)).unwrap();
        if bytes.len() != LENGTH {
            continue;
        }
        let (id, attributes) = (entry["id"].as_str().unwrap(), &entry["attrs"]);
        let report = Report::parse(&bytes, layout_of(attributes)).unwrap();
        assert_eq!(report.body(), bytes[..SIGNED_LENGTH], "{id}");
        if attributes["report_version"].is_null() {
            continue;
        }
        compared += 1;
        assert_eq!(u64::from(report.version), attributes["report_version"], "{id}");
        assert_eq!(u64::from(report.guest_svn), attributes["guest_svn"], "{id}");
        assert_eq!(report.policy, number(&attributes["policy"]), "{id}");
        assert_eq!(u64::from(report.vmpl), attributes["vmpl"], "{id}");
        assert_eq!(u64::from(report.key_info >> 2 & 7), attributes["signing_key"], "{id}");
        assert_eq!(report.platform_info, number(&attributes["platform_info"]), "{id}");
        assert_eq!(hex::encode(report.measurement), attributes["measurement"], "{id}");
        assert_eq!(hex::encode(report.report_data), attributes["report_data"], "{id}");
        assert_eq!(hex::encode(report.host_data), attributes["host_data"], "{id}");
        assert_eq!(hex::encode(report.id_key_digest), attributes["id_key_digest"], "{id}");
        assert_eq!(hex::encode(report.report_id), attributes["report_id"], "{id}");
        assert_eq!(hex::encode(&report.chip_id[..8]), attributes["chip_id_prefix"], "{id}");
        assert_eq!(report.current_tcb, tcb(&attributes["tcb"]["current"]), "{id}");
        assert_eq!(report.reported_tcb, tcb(&attributes["tcb"]["reported"]), "{id}");
        assert_eq!(report.committed_tcb, tcb(&attributes["tcb"]["committed"]), "{id}");
        assert_eq!(report.launch_tcb, tcb(&attributes["tcb"]["launch"]), "{id}");
        if let Some(stepping) = attributes["cpuid"]["stepping"].as_u64() {
            assert_eq!(u64::from(report.cpuid[0]), number(&attributes["cpuid"]["family"]), "{id}");
            assert_eq!(u64::from(report.cpuid[1]), number(&attributes["cpuid"]["model"]), "{id}");
            assert_eq!(u64::from(report.cpuid[2]), stepping, "{id}");
        }
        if !attributes["launch_mit_vector"].is_null() {
            assert_eq!(report.launch_mitigations, number(&attributes["launch_mit_vector"]), "{id}");
            assert_eq!(report.current_mitigations, number(&attributes["current_mit_vector"]), "{id}");
        }
    }
    assert!(compared >= 10, "only {compared} reports compared");
}

#[test]
fn real_endorsement_certificates_are_rebuilt_byte_for_byte() {
    let Some((folder, entries)) = entries() else { return };
    let mut rebuilt = 0;
    for entry in entries {
        let id = entry["id"].as_str().unwrap();
        let (Some(report), Some(vek)) = (entry["files"]["report"].as_str(), entry["files"]["vek"].as_str())
        else {
            continue;
        };
        // Those put together from parts that do not belong together, or not made by AMD.
        if id.contains("-neg-") || id.starts_with("syn-") {
            continue;
        }
        let layout = layout_of(&entry["attrs"]);
        let report = Report::parse(&fs::read(folder.join(report)).unwrap(), layout).unwrap();
        let real = Certificate::from_der(&fs::read(folder.join(vek)).unwrap()).unwrap();
        let parts = &real.tbs_certificate;
        let extension =
            |at: usize| parts.extensions.as_ref().unwrap()[at].extn_value.as_bytes()[2..].to_vec();
        let name = String::from_utf8(extension(1)).unwrap();
        let vlek = report.key_info >> 2 & 7 == 1;
        let holder = match (vlek, layout) {
            (true, _) => Holder::Provider(entry["attrs"]["vlek_csp"].as_str().unwrap().to_owned()),
            (false, TcbLayout::Classic) => Holder::Chip(report.chip_id.to_vec()),
            (false, TcbLayout::Turin) => Holder::Chip(report.chip_id[..8].to_vec()),
        };
        let spec = CertificateSpec {
            serial: vec![0],
            issuer: common_name(&parts.issuer),
            subject: if vlek { "SEV-VLEK" } else { "SEV-VCEK" }.to_owned(),
            not_before: parts.validity.not_before.to_unix_duration().as_secs(),
            not_after: parts.validity.not_after.to_unix_duration().as_secs(),
            public_info: parts.subject_public_key_info.to_der().unwrap(),
            extensions: endorsement_extensions(extension(0)[0], &name, report.reported_tcb, layout, &holder),
            trailer: parts.signature.to_der().unwrap().ends_with(&[0xa3, 3, 2, 1, 1]),
        };
        assert_eq!(hex::encode(spec.to_be_signed()), hex::encode(parts.to_der().unwrap()), "{id}");
        rebuilt += 1;
    }
    assert!(rebuilt >= 6, "only {rebuilt} certificates rebuilt");
}

/// The common name: the last part of AMD's names.
fn common_name(name: &x509_cert::name::Name) -> String {
    let last = name.0.last().unwrap().0.as_slice()[0].value.value().to_vec();
    String::from_utf8(last).unwrap()
}
