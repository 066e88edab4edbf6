//! Every Azure entry of the manifest, case by case, every recipe that changes one, and what no bit of one may do.

use crate::{Files, corpus, files, json, reasons, recipes, reference, tdx, text};
use attestation::claims::paravisor::{AkEndorsement, VmSetting};
use attestation::claims::{Commitment, PlatformClaims};
use attestation::digest::{from_hex, to_hex};
use attestation::endorsements::Endorsements;
use attestation::policy::AkCertificateRule;
use attestation::policy::azure::ExtraDataRule;
use attestation::reference_values::Requirement;
use attestation::{
    AppraisedEvidence, AzureEvidence, Code, Outcome, Policy, Rejected, ReportData, Sha256, TeeType, UnixTime,
    appraise_evidence,
};
use serde_json::{Value, json};
use std::path::Path;

/// The kind of guest an entry is of.
fn tee(entry: &Value) -> Option<TeeType> {
    match text(entry, "platform") {
        "azure-snp-vtpm" => Some(TeeType::AzureSnp),
        "azure-tdx-vtpm" => Some(TeeType::AzureTdx),
        _ => None,
    }
}

/// An entry's files as the bundle an enclave would send.
fn bundle(files: &Files) -> AzureEvidence {
    let pcrs: Value = serde_json::from_slice(&files["pcrs"]).expect("pcrs");
    let value = |(index, hex): (&String, &Value)| {
        let value = Sha256::from_hex(hex.as_str().expect("hex")).expect("32 bytes");
        (index.parse().expect("index"), value)
    };
    let certificates = ["ak_cert", "ak_intermediate", "ak_root"].iter().filter_map(|role| files.get(*role));
    AzureEvidence {
        hcl_report: files["hcl_report"].clone(),
        tpm_quote: files["tpm_quote_msg"].clone(),
        tpm_signature: files["tpm_quote_sig"].clone(),
        pcrs: pcrs.as_object().expect("map").iter().map(value).collect(),
        ak_certificates: certificates.cloned().collect(),
        td_quote: files.get("td_quote").cloned(),
    }
}

/// What the reference policy asks for: nothing of the registers, and the nonce only where the case names one.
fn policy(nonce: Option<&str>) -> Policy {
    let reason = "reference policy of the corpus";
    let mut policy = Policy::reference(TeeType::AzureSnp, reason).expect("floors");
    policy.tee_types.push(TeeType::AzureTdx);
    if let Some(hex) = nonce {
        policy.azure.extra_data =
            ExtraDataRule::Nonce { value: from_hex(hex, 64).expect("nonce"), reason: reason.to_owned() };
    }
    policy
}

/// Bundle and endorsements of one entry, ready to be judged.
struct Case {
    tee: TeeType,
    bundle: AzureEvidence,
    endorsements: Vec<u8>,
    at: UnixTime,
}

impl Case {
    fn new(entry: &Value, files: &Files, collateral: Vec<u8>, at: &str) -> Self {
        let endorsements = Endorsements { collateral, ..reference::endorsements(files) };
        Self {
            tee: tee(entry).expect("azure"),
            bundle: bundle(files),
            endorsements: endorsements.encode(),
            at: UnixTime::from_rfc3339(at).expect("time"),
        }
    }

    fn judge(
        &self,
        policy: &Policy,
        expected: &Requirement<ReportData>,
    ) -> Result<AppraisedEvidence, Rejected> {
        let evidence = self.bundle.encode();
        appraise_evidence(self.tee, &evidence, &self.endorsements, expected, policy, self.at)
    }
}

fn any() -> Requirement<ReportData> {
    Requirement::Waived { reason: "any".to_owned() }
}

/// Every entry of the corpus with its accepted case.
fn accepted(folder: &Path) -> Vec<(String, Case)> {
    let manifest = json(&folder.join("MANIFEST.json"));
    let entries =
        manifest["entries"].as_array().expect("entries").iter().filter(|entry| tee(entry).is_some());
    let case = |entry: &Value| {
        let (files, case) = (files(folder, entry), &entry["cases"][0]);
        let collateral = tdx::collateral(folder, case["collateral"].as_str(), &files);
        (text(entry, "id").to_owned(), Case::new(entry, &files, collateral, text(case, "verify_at")))
    };
    let cases: Vec<_> = entries.map(case).collect();
    assert_eq!(cases.len(), 4);
    cases
}

#[test]
fn every_azure_entry_gives_the_verdict_the_corpus_gives() {
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let mut failures = Vec::new();
    let mut judged = 0;
    for entry in manifest["entries"].as_array().expect("entries") {
        if tee(entry).is_none() {
            continue;
        }
        let files = files(&folder, entry);
        for case in entry["cases"].as_array().expect("cases") {
            judged += 1;
            let collateral = tdx::collateral(&folder, case["collateral"].as_str(), &files);
            let own = Case::new(entry, &files, collateral, text(case, "verify_at"));
            if let Err(failure) = judge(entry, case, &own) {
                failures.push(format!("{} {}: {failure}", text(entry, "id"), case["options"]));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(judged, 12);
}

fn judge(entry: &Value, case: &Value, own: &Case) -> Result<(), String> {
    let policy = policy(case["options"]["expected_nonce"].as_str());
    match (own.judge(&policy, &any()), text(case, "verdict")) {
        (Ok(accepted), "accept") => {
            attributes(entry, &accepted)?;
            let other = Requirement::Exactly(ReportData::new([0xa5; 64]));
            let rejected = own.judge(&policy, &other).err().ok_or("accepted with other report data")?;
            assert_eq!(rejected.rejection.code, Code::AttReportData);
            Ok(())
        }
        (Err(rejected), "reject") => {
            let fails = rejected.checks.iter().filter(|check| check.outcome == Outcome::Fail).count();
            let expected = case["reasons"].as_array().expect("reasons");
            if fails != 1
                || !reasons(own.tee, &rejected.rejection)
                    .iter()
                    .any(|name| expected.iter().any(|own| own == name))
            {
                return Err(format!("{rejected}, expected one of {expected:?}"));
            }
            let authentic = text(case, "crypto") == "ok";
            if rejected.authentic == authentic {
                Ok(())
            } else {
                Err(format!("authentic {authentic} expected"))
            }
        }
        (Ok(_), verdict) => Err(format!("accepted, {verdict} expected")),
        (Err(rejected), verdict) => Err(format!("{rejected}, {verdict} expected")),
    }
}

/// The parsed fields the manifest states.
fn attributes(entry: &Value, accepted: &AppraisedEvidence) -> Result<(), String> {
    let claims = accepted.hardware.paravisor.as_deref().ok_or("no paravisor")?;
    let Commitment::TpmExtra(extra) = accepted.hardware.commitment() else { return Err("no TPM".to_owned()) };
    let setting = |(name, value): (&String, &VmSetting)| match value {
        VmSetting::Flag(flag) => (name.clone(), json!(flag)),
        VmSetting::Text(text) => (name.clone(), json!(text)),
    };
    let mut settings: serde_json::Map<_, _> = claims.vm_configuration.iter().map(setting).collect();
    settings.remove("vmUniqueId").ok_or("no vmUniqueId")?;
    let (hw, mut found) = match &accepted.hardware.platform {
        PlatformClaims::Snp(snp) => (
            "SNP",
            json!({
                "measurement": snp.measurement.to_hex(),
                "report_data": snp.report_data.to_hex(),
                "vmpl": snp.vmpl,
                "policy": snp.policy.to_string(),
                "id_key_digest": to_hex(&snp.id_key_digest),
                "guest_svn": snp.guest_svn,
            }),
        ),
        PlatformClaims::Tdx(tdx) => (
            "TDX",
            json!({
                "measurement": tdx.report.mr_td.to_hex(),
                "report_data": tdx.report.report_data.to_hex(),
                "fmspc": tdx.pck.fmspc.to_string(),
                "mr_seam": tdx.report.mr_seam.to_hex(),
                "qe_svn": tdx.qe_isv_svn,
            }),
        ),
        other => return Err(format!("{other:?}")),
    };
    let own = found.as_object_mut().expect("object");
    for (name, value) in own.iter() {
        if entry["attrs"][hw.to_lowercase()][name] != *value {
            return Err(format!("{name}: {value}"));
        }
    }
    let registers: Vec<u8> = claims.pcrs.keys().copied().collect();
    for (name, value) in [
        ("hw", json!(hw)),
        ("hcl_header_version", json!(claims.header_version)),
        ("runtime_keys", json!(claims.keys)),
        ("runtime_user_data", json!(to_hex(&claims.user_data))),
        ("tpm_extra_data", json!(to_hex(&extra))),
        ("tpm_pcr_selection", json!([[11, registers]])),
        ("vm_configuration", Value::Object(settings)),
    ] {
        if entry["attrs"][name] != value {
            return Err(format!("{name}: {value}, manifest {}", entry["attrs"][name]));
        }
    }
    let certified = matches!(&claims.ak, AkEndorsement::Certificate { names } if names.len() == 3);
    if certified == entry["attrs"]["ak_chain"].is_array() { Ok(()) } else { Err("certificate".to_owned()) }
}

#[test]
fn every_azure_mutation_has_the_outcome_the_corpus_names() {
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let recipes = json(&folder.join("MUTATIONS.json"));
    let entries = manifest["entries"].as_array().expect("entries");
    let entry =
        |id: &str| entries.iter().find(|entry| entry["id"] == id).unwrap_or_else(|| panic!("no entry {id}"));
    let mut failures = Vec::new();
    let mut judged = 0;
    for recipe in recipes["mutations"].as_array().expect("mutations") {
        let base = entry(text(recipe, "base"));
        if tee(base).is_none() {
            continue;
        }
        judged += 1;
        let mut changed = files(&folder, base);
        for op in recipe["ops"].as_array().expect("ops") {
            recipes::apply(op, recipe, &mut changed, &folder, &entry);
        }
        let collateral = tdx::collateral(&folder, base["cases"][0]["collateral"].as_str(), &changed);
        let own = Case::new(base, &changed, collateral, text(recipe, "verify_at"));
        let expected = recipe["reasons"].as_array().expect("reasons");
        assert_eq!(text(recipe, "expect"), "reject");
        let failure = match own.judge(&policy(None), &any()) {
            Ok(_) => Some("accepted".to_owned()),
            Err(rejected) => {
                let named = reasons(own.tee, &rejected.rejection)
                    .iter()
                    .any(|name| expected.iter().any(|own| own == name));
                let sound = named && !rejected.authentic;
                (!sound).then(|| format!("{rejected} ({}), expected {expected:?}", rejected.authentic))
            }
        };
        failures.extend(failure.map(|failure| format!("{}: {failure}", text(recipe, "id"))));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(judged >= 34, "only {judged} mutations");
}

#[test]
fn parts_of_other_machines_kinds_and_roots_are_refused() {
    let Some(folder) = corpus() else { return };
    let cases = accepted(&folder);
    let [.., (_, certified), (_, live)] = cases.as_slice() else { panic!("four entries") };
    let policy = policy(None);
    let code = |case: &Case, policy: &Policy| case.judge(policy, &any()).expect_err("refused").rejection.code;
    let with = |bundle: AzureEvidence, from: &Case| Case {
        tee: from.tee,
        bundle,
        endorsements: from.endorsements.clone(),
        at: from.at,
    };
    let mut missing = live.bundle.clone();
    missing.td_quote = None;
    assert_eq!(code(&with(missing, live), &policy), Code::AzBinding);
    let relabelled = Case { tee: TeeType::AzureSnp, ..with(live.bundle.clone(), live) };
    assert_eq!(code(&relabelled, &policy), Code::AzBinding);
    // the certificate of another guest's key, a chain cut short, the wrong order, another root
    let mut foreign = live.bundle.clone();
    foreign.ak_certificates.clone_from(&certified.bundle.ak_certificates);
    assert_eq!(code(&with(foreign, live), &policy), Code::AzAk);
    let mut short = certified.bundle.clone();
    short.ak_certificates.truncate(1);
    assert_eq!(code(&with(short, certified), &policy), Code::AzAk);
    let mut swapped = certified.bundle.clone();
    swapped.ak_certificates.swap(0, 1);
    assert_eq!(code(&with(swapped, certified), &policy), Code::AzAk);
    let mut padded = certified.bundle.clone();
    padded.ak_certificates[0].push(0);
    assert_eq!(code(&with(padded, certified), &policy), Code::AzAk);
    let mut rootless = certified.bundle.clone();
    rootless.ak_certificates.truncate(2);
    assert!(with(rootless, certified).judge(&policy, &any()).is_ok(), "the root may be left out");
    let mut other_root = certified.bundle.clone();
    other_root.ak_certificates[2] = std::fs::read(folder.join("roots/gcp/ek-ak-ca-root.der")).expect("root");
    assert_eq!(code(&with(other_root, certified), &policy), Code::AttUntrustedRoot);
    let later = Case {
        at: UnixTime::from_rfc3339("2026-12-01T00:00:00Z").expect("time"),
        ..with(certified.bundle.clone(), certified)
    };
    assert_eq!(code(&later, &policy), Code::AzAk);
    // a policy that asks for a certificate
    let mut strict = policy.clone();
    strict.azure.ak_certificate = AkCertificateRule::Required;
    assert_eq!(code(live, &strict), Code::AzAk);
    assert!(certified.judge(&strict, &any()).is_ok());
    // values the quote does not cover
    let mut fewer = live.bundle.clone();
    fewer.pcrs.remove(&23);
    assert_eq!(code(&with(fewer, live), &policy), Code::AzPcr);
}

/// Coprime to eight, so that every bit position is visited.
const STRIDE: usize = 31;

/// The 32 bytes of a TD report's MAC, which only the machine itself can check: nothing is read from them, so that
/// changing them changes nothing that is believed.
const MAC: std::ops::Range<usize> = 0x20 + 224..0x20 + 256;

#[test]
fn no_bit_of_real_azure_evidence_is_free() {
    sweep(STRIDE);
}

/// The same for every bit.
#[test]
#[ignore = "minutes unoptimised; .ci/run runs it with --release"]
fn no_single_bit_of_real_azure_evidence_is_free() {
    sweep(1);
}

fn sweep(stride: usize) {
    let Some(folder) = corpus() else { return };
    let policy = policy(None);
    for (id, case) in accepted(&folder) {
        let unchanged = case.judge(&policy, &any()).expect("unchanged");
        let mut bundle = case.bundle.clone();
        for part in 0..5 {
            // a TD quote is swept by the TDX tests; here every byte once suffices
            let step = if part == 3 { stride * 13 } else { stride };
            for bit in (0..part_of(&mut bundle, part).len() * 8).step_by(step) {
                part_of(&mut bundle, part)[bit / 8] ^= 1 << (bit % 8);
                let flipped = Case {
                    tee: case.tee,
                    bundle: bundle.clone(),
                    endorsements: case.endorsements.clone(),
                    at: case.at,
                };
                let result = flipped.judge(&policy, &any());
                if part == 0 && case.tee == TeeType::AzureTdx && MAC.contains(&(bit / 8)) {
                    assert_eq!(result.expect("irrelevant").hardware, unchanged.hardware, "{id}: bit {bit}");
                } else {
                    assert!(result.is_err(), "{id}: bit {bit} of part {part}");
                }
                part_of(&mut bundle, part)[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_eq!(bundle, case.bundle);
    }
}

/// Blob, quote, signature, TD quote, leaf certificate.
fn part_of(bundle: &mut AzureEvidence, part: usize) -> &mut [u8] {
    match part {
        0 => &mut bundle.hcl_report,
        1 => &mut bundle.tpm_quote,
        2 => &mut bundle.tpm_signature,
        3 => bundle.td_quote.as_deref_mut().unwrap_or_default(),
        _ => bundle.ak_certificates.first_mut().map_or(&mut [], Vec::as_mut_slice),
    }
}

/// Holds a blob and a certificate as Azure's TPMs do.
struct Wire(simtee::azure::VirtualTpm<'static>);

impl attestation::attester::tpm::TpmDevice for Wire {
    fn transact(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        Ok(self.0.execute(command).expect("a response"))
    }
}

#[test]
fn the_attester_sends_the_certificate_that_a_real_tpm_holds_with_its_ca() {
    use attestation::attester::Attester;
    use simtee::azure::virtual_tpm::{AK_CERTIFICATE_INDEX, HCL_INDEX};
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let entries = manifest["entries"].as_array().expect("entries");
    let entry = entries.iter().find(|entry| entry["id"] == "azure-tdx-ak-global-ca03").expect("entry");
    let files = files(&folder, entry);
    let indexes = [
        (HCL_INDEX, files["hcl_report"].clone()),
        (AK_CERTIFICATE_INDEX, files["ak_cert_as_read_from_nv"].clone()),
    ];
    let ak = Box::leak(Box::new(simtee::keys::RsaKey::generate_2048().expect("key")));
    let device = Wire(simtee::azure::VirtualTpm {
        ak,
        pcrs: [[0; 32]; 24],
        indexes: indexes.into(),
        refusals: Vec::new(),
        extend_after_quote: None,
    });
    let td_quote = files["td_quote"].clone();
    let quoter = Box::new(move |_: &[u8; 1024]| Ok(td_quote.clone()));
    let attester =
        attestation::attester::azure_vtpm::AzureVtpm::detect(Box::new(device), quoter).expect("Azure");
    let quote = attester.quote(&ReportData::new([0; 64])).expect("quote");
    let sent = AzureEvidence::decode(&quote.bytes).expect("bundle");
    assert_eq!(sent.ak_certificates, [files["ak_cert"].clone(), files["ak_intermediate"].clone()]);
    assert_eq!(
        (sent.hcl_report, sent.td_quote),
        (files["hcl_report"].clone(), Some(files["td_quote"].clone()))
    );
}
