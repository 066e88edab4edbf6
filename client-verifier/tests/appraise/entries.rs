//! The corpus' entries and cases as requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attestation::TeeType;
use base64::Engine;
use serde_json::{Value, json};

/// The corpus' folder, if it is there.
pub(crate) fn folder() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence");
    let folder = std::env::var_os("POSTERN_EVIDENCE").map_or_else(default, PathBuf::from);
    if folder.join("MANIFEST.json").is_file() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no evidence corpus: {}", folder.display());
    eprintln!("SKIPPED: no evidence corpus at {} (set POSTERN_EVIDENCE)", folder.display());
    None
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is not a text in {value}"))
}

pub(crate) fn manifest(folder: &Path) -> Vec<Value> {
    read_json(&folder.join("MANIFEST.json"))["entries"].as_array().expect("entries").clone()
}

pub(crate) fn named<'a>(entries: &'a [Value], id: &str) -> &'a Value {
    entries.iter().find(|entry| entry["id"] == id).unwrap_or_else(|| panic!("no entry {id}"))
}

pub(crate) fn b64(bytes: &[u8]) -> Value {
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

/// The kind of guest that an entry is evidence of; none for what a later verifier judges.
pub(crate) fn tee(entry: &Value) -> Option<TeeType> {
    match (text(entry, "platform"), text(entry, "kind")) {
        ("sev-snp", "crl") => None,
        ("sev-snp", _) => Some(TeeType::Snp),
        // an SGX quote is the wrong evidence for a TDX verifier
        ("intel-tdx" | "intel-sgx", _) => Some(TeeType::Tdx),
        ("azure-snp-vtpm", _) => Some(TeeType::AzureSnp),
        ("azure-tdx-vtpm", _) => Some(TeeType::AzureTdx),
        _ => None,
    }
}

/// An entry's files by role.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn files(folder: &Path, entry: &Value) -> Files {
    let roles = entry["files"].as_object().expect("files");
    roles
        .iter()
        .map(|(role, path)| (role.clone(), read(&folder.join(path.as_str().expect("path")))))
        .collect()
}

/// One case under the reference profile.
pub(crate) fn request(folder: &Path, entry: &Value, case: &Value) -> Value {
    let files = files(folder, entry);
    let own = files.get("collateral").map(|own| serde_json::from_slice(own).expect("collateral"));
    let set = case["collateral"].as_str().map(|name| collateral(folder, name));
    request_of(entry, case, &files, set.or(own).unwrap_or_default())
}

/// The same with other files and collateral; `case` is a case or a recipe.
pub(crate) fn request_of(entry: &Value, case: &Value, files: &Files, collateral: Value) -> Value {
    let tee = tee(entry).expect("a platform");
    let mut request = json!({
        "format": "postern.appraise/1",
        "platform": tee.as_str(),
        "at": text(case, "verify_at"),
        "endorsements": endorsements(files, collateral),
        "expected": { "report_data_hex": "any", "measurements_hex": "any" },
        "policy": { "profile": "reference" },
    });
    match tee {
        TeeType::Snp => request["evidence_b64"] = b64(&files["report"]),
        TeeType::Tdx => request["evidence_b64"] = b64(&quote(files)),
        TeeType::AzureSnp | TeeType::AzureTdx => request["azure"] = azure(files),
    }
    if let Some(log) = files.get("event_log").or_else(|| files.get("ccel")) {
        request["event_log_b64"] = b64(log);
    }
    if let Some(role) = case["trust_anchor"].as_str().and_then(|anchor| anchor.strip_prefix("files.")) {
        request["trust_anchors_der_b64"] = json!([b64(&files[role])]);
    }
    if let Some(nonce) = case["options"]["expected_nonce"].as_str() {
        request["expected"]["nonce_hex"] = nonce.into();
    }
    // the reference policy leaves the privilege level to the caller; the corpus' own callers expect 0 where it says so
    if case["reasons"].as_array().expect("reasons").iter().any(|reason| reason == "vmpl_not_allowed") {
        request["policy"]["override"] = json!({ "vmpl": 0 });
    }
    request
}

fn endorsements(files: &Files, collateral: Value) -> Value {
    let mut endorsements = json!({});
    let roles = ["vek", "ask", "ark"].into_iter().filter_map(|role| files.get(role));
    let certificates: Vec<Value> = roles.map(|der| b64(der)).collect();
    if !certificates.is_empty() {
        endorsements["certificates_der_b64"] = certificates.into();
    }
    if let Some(table) = files.get("cert_table") {
        endorsements["cert_table_b64"] = b64(table);
    }
    if !collateral.is_null() {
        endorsements["tdx_collateral"] = collateral;
    }
    endorsements
}

/// A set of the corpus.
pub(crate) fn collateral(folder: &Path, name: &str) -> Value {
    read_json(&folder.join(format!("collateral/intel/{name}.json")))["collateral"].clone()
}

fn azure(files: &Files) -> Value {
    let mut azure = json!({
        "hcl_report_b64": b64(&files["hcl_report"]),
        "tpm_quote_msg_b64": b64(&files["tpm_quote_msg"]),
        "tpm_quote_sig_b64": b64(&files["tpm_quote_sig"]),
        "pcrs_sha256": serde_json::from_slice::<Value>(&files["pcrs"]).expect("pcrs"),
    });
    if let Some(quote) = files.get("td_quote") {
        azure["td_quote_b64"] = b64(quote);
    }
    let chain = ["ak_cert", "ak_intermediate", "ak_root"].into_iter().filter_map(|role| files.get(role));
    let chain: Vec<Value> = chain.map(|der| b64(der)).collect();
    if !chain.is_empty() {
        azure["ak_certificates_der_b64"] = chain.into();
    }
    azure
}

/// The quote: a file, or what an RA-TLS certificate carries.
fn quote(files: &Files) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject;
    if let Some(quote) = files.get("quote") {
        return quote.clone();
    }
    let certificate =
        rustls_pki_types::CertificateDer::from_pem_slice(&files["certificate"]).expect("certificate");
    let number = |bytes: &[u8], at: usize| {
        usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4"))).expect("small")
    };
    // version, kind of attestation key (ECDSA P-256) and kind of TEE
    for (head, body) in [(&[4, 0, 2, 0, 0x81, 0, 0, 0], 584), (&[3, 0, 2, 0, 0, 0, 0, 0], 384)] {
        if let Some(at) = certificate.windows(head.len()).position(|window| window == head) {
            let quote = &certificate[at..];
            return quote[..48 + body + 4 + number(quote, 48 + body)].to_vec();
        }
    }
    panic!("no quote in this certificate");
}
