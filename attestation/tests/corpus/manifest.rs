//! Every SNP entry of the manifest, case by case.

use crate::{Files, corpus, files, json, reasons, reference, text};
use attestation::claims::snp::TcbVersion;
use attestation::digest::to_hex;
use attestation::{AppraisedEvidence, Code, Rejected, TeeType};
use serde_json::Value;

#[test]
fn every_snp_entry_gives_the_verdict_the_corpus_gives() {
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let mut failures = Vec::new();
    let (mut judged, mut pending) = (0, Vec::new());
    for entry in manifest["entries"].as_array().expect("entries") {
        let id = text(entry, "id");
        if text(entry, "platform") != "sev-snp" || text(entry, "kind") == "crl" {
            if !["sev-snp", "intel-tdx", "intel-sgx", "azure-snp-vtpm", "azure-tdx-vtpm"]
                .contains(&text(entry, "platform"))
            {
                pending.push(id);
            }
            continue;
        }
        let files = files(&folder, entry);
        for case in entry["cases"].as_array().expect("cases") {
            judged += 1;
            if let Err(failure) = judge(entry, case, &files) {
                failures.push(format!("{id} at {}: {failure}", text(case, "verify_at")));
            }
        }
    }
    eprintln!("{judged} cases judged; pending: {}", pending.join(" "));
    assert!(judged >= 60, "only {judged} cases");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn judge(entry: &Value, case: &Value, files: &Files) -> Result<(), String> {
    let at = text(case, "verify_at");
    let anchor = case["trust_anchor"].as_str();
    // the reference policy leaves VMPL to the caller; the corpus' own callers expect 0 where it says so
    let strict = expects(case, "vmpl_not_allowed").then_some(0);
    let result = reference::judge(files, anchor, strict, at);
    let verdict = text(case, "verdict");
    match (&result, verdict) {
        (Ok(accepted), "accept") => {
            attributes(entry, accepted)?;
            if !reference::refuses_other_report_data(files, anchor, at) {
                return Err("accepted with other report data".to_owned());
            }
            authenticity(case, true)
        }
        (Err(rejected), "reject") => {
            reason(case, rejected)?;
            authenticity(case, rejected.authentic)
        }
        (Ok(_), _) => Err(format!("accepted, {verdict} expected")),
        (Err(rejected), _) => Err(format!("{rejected}, {verdict} expected")),
    }
}

fn expects(case: &Value, reason: &str) -> bool {
    case["reasons"].as_array().expect("reasons").iter().any(|own| own == reason)
}

fn reason(case: &Value, rejected: &Rejected) -> Result<(), String> {
    let named = reasons(TeeType::Snp, &rejected.rejection);
    let fails = rejected.checks.iter().filter(|check| check.outcome == attestation::Outcome::Fail);
    let fails: Vec<_> = fails.map(|check| check.code).collect();
    if fails != [rejected.rejection.code] {
        return Err(format!("{rejected}: failed checks {fails:?}"));
    }
    if named.iter().any(|name| expects(case, name)) {
        Ok(())
    } else {
        Err(format!("{rejected}, expected one of {}", case["reasons"]))
    }
}

fn authenticity(case: &Value, authentic: bool) -> Result<(), String> {
    let expected = text(case, "crypto") == "ok";
    if authentic == expected { Ok(()) } else { Err(format!("authentic {authentic}, expected {expected}")) }
}

/// Every parsed field the manifest states.
fn attributes(entry: &Value, accepted: &AppraisedEvidence) -> Result<(), String> {
    let claims = reference::claims(accepted);
    let level = |tcb: &TcbVersion| {
        let mut levels = serde_json::json!({
            "bl": tcb.bootloader, "tee": tcb.tee, "snp": tcb.snp, "ucode": tcb.microcode
        });
        if let Some(fmc) = tcb.fmc {
            levels["fmc"] = fmc.into();
        }
        levels
    };
    let mut found = serde_json::json!({
        "generation": claims.product.as_str().to_lowercase(),
        "report_version": claims.version,
        "vek": claims.signing_key.to_string(),
        "guest_svn": claims.guest_svn,
        "policy": claims.policy.to_string(),
        "policy_bits": {
            "abi": claims.policy.abi().to_string(),
            "smt": claims.policy.smt(),
            "migrate_ma": claims.policy.migrate_ma(),
            "debug": claims.policy.debug(),
            "single_socket": claims.policy.single_socket(),
            "cxl": claims.policy.cxl_allow(),
            "mem_aes256": claims.policy.mem_aes_256_xts(),
            "rapl_dis": claims.policy.rapl_dis(),
            "ciphertext_hiding": claims.policy.ciphertext_hiding(),
            "page_swap_disable": claims.policy.page_swap_disable(),
        },
        "vmpl": claims.vmpl,
        "author_key_en": claims.author_key_en,
        "platform_info": claims.platform_info.to_string(),
        "measurement": claims.measurement.to_hex(),
        "report_data": claims.report_data.to_hex(),
        "host_data": to_hex(&claims.host_data),
        "id_key_digest": to_hex(&claims.id_key_digest),
        "chip_id_prefix": to_hex(&claims.chip_id[..8]),
        "chip_id_zero": claims.chip_id == [0; 64],
        "report_id": to_hex(&claims.report_id),
        "report_id_ma_all_ff": claims.report_id_ma == [0xff; 32],
        "tcb": {
            "reported": level(&claims.reported_tcb),
            "current": level(&claims.current_tcb),
            "committed": level(&claims.committed_tcb),
            "launch": level(&claims.launch_tcb),
        },
    });
    if let Some(cpuid) = claims.cpuid {
        found["cpuid"] = serde_json::json!({
            "family": format!("{:#04x}", cpuid.family),
            "model": format!("{:#04x}", cpuid.model),
            "stepping": cpuid.stepping,
        });
    }
    if claims.version >= 5 {
        found["launch_mit_vector"] = format!("{:#x}", claims.launch_mitigations).into();
        found["current_mit_vector"] = format!("{:#x}", claims.current_mitigations).into();
    }
    if let Some(csp_id) = &claims.csp_id {
        found["vlek_csp"] = csp_id.as_str().into();
    }
    let stated = entry["attrs"].as_object().expect("attrs");
    let mut compared = 0;
    for (name, expected) in stated {
        if let Some(own) = found.get(name) {
            compared += 1;
            if own != expected {
                return Err(format!("{name}: {own}, manifest {expected}"));
            }
        }
    }
    if compared >= 18 { Ok(()) } else { Err(format!("only {compared} attributes compared")) }
}

#[test]
fn real_revocation_lists_count_while_they_last() {
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let entries = manifest["entries"].as_array().expect("entries");
    let named = |id: &str| entries.iter().find(|entry| entry["id"] == id).expect("entry");
    let lists = files(&folder, named("amd-crls"));
    let milan = files(&folder, named("snp-milan-v3-azure"));
    let genoa = files(&folder, named("snp-genoa-v3-azure"));
    for (report, list, at, expected) in [
        (&milan, "milan", "2026-01-28T12:00:00Z", None),
        (&milan, "milan", "2026-08-01T12:00:00Z", Some(Code::SnpCrlMissing)),
        (&milan, "genoa", "2026-01-28T12:00:00Z", Some(Code::SnpCrlMissing)),
        (&genoa, "genoa", "2026-03-07T12:00:00Z", Some(Code::SnpCrlMissing)),
    ] {
        let found =
            reference::with_list(report, &lists[list], at).err().map(|rejected| rejected.rejection.code);
        assert_eq!(found, expected, "{list} at {at}");
    }
    // one bit of the list's signature
    let mut forged = lists["milan"].clone();
    *forged.last_mut().expect("signature") ^= 1;
    let rejected = reference::with_list(&milan, &forged, "2026-01-28T12:00:00Z").expect_err("forged");
    assert_eq!(rejected.rejection.code, Code::SnpCrlMissing);
}
