//! Every SNP, TDX, SGX and Azure case of the manifest under the profile `reference`: verdict, authenticity, reason and
//! parsed fields. What no verifier here judges yet is listed by name.

use attestation::{Code, TeeType};
use postern_client::appraise::{Answer, CheckResult, Depth, Verdict, appraise};
use serde_json::{Value, json};

use crate::entries::{collateral, files, folder, manifest, named, read_json, request, request_of, tee, text};
use crate::{reasons, recipes, schema};

pub(crate) fn answer(request: &Value) -> Answer {
    appraise(request.to_string().as_bytes(), Depth::Decide).answer
}

#[test]
fn every_case_of_the_manifest_has_its_outcome() {
    let Some(folder) = folder() else { return };
    let schemas = schema::Schemas::load();
    let (mut failures, mut judged, mut pending) = (Vec::new(), 0, Vec::new());
    for entry in manifest(&folder) {
        let id = text(&entry, "id");
        if tee(&entry).is_none() {
            let later = ["nvidia-", "aws-nitro", "gcp-vtpm", "cmw", "sev-snp"];
            assert!(
                later.iter().any(|name| text(&entry, "platform").starts_with(name)),
                "{id} is not judged"
            );
            pending.push(id.to_owned());
            continue;
        }
        for case in entry["cases"].as_array().expect("cases") {
            judged += 1;
            let request = request(&folder, &entry, case);
            if let Err(failure) = judge(&entry, case, &request, &schemas) {
                failures.push(format!("{id} at {}: {failure}", text(case, "verify_at")));
            }
        }
    }
    eprintln!("{judged} cases judged; pending: {}", pending.join(" "));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(judged >= 147, "only {judged} cases");
}

fn judge(entry: &Value, case: &Value, request: &Value, schemas: &schema::Schemas) -> Result<(), String> {
    schemas.request(request)?;
    let answer = answer(request);
    let json: Value = serde_json::from_str(&answer.to_json().expect("json")).expect("json");
    schemas.answer(&json)?;
    let verdict = text(case, "verdict");
    match (answer.verdict, verdict) {
        (Verdict::Accepted, "accept" | "accept-unless-minimum") => {
            other_expectations_are_refused(&answer, request)?;
            attributes(entry, &answer)?;
            if verdict == "accept-unless-minimum" {
                let mut floored = request.clone();
                floored["policy"]["override"] = json!({ "evaluation_floor": 18 });
                reason(entry, case, &self::answer(&floored))?;
            }
        }
        (Verdict::Accepted, "either") => {}
        (Verdict::Rejected, "reject" | "either") => {
            reason(entry, case, &answer)?;
            if !answer.claims.is_empty() {
                attributes(entry, &answer)?;
            }
        }
        (found, _) => {
            return Err(format!("{found:?} {:?} {:?}, {verdict} expected", answer.code, answer.found));
        }
    }
    authenticity(entry, case, &answer)
}

/// Changing anything that is expected turns an accepted case into a refused one.
fn other_expectations_are_refused(answer: &Answer, request: &Value) -> Result<(), String> {
    let own = |name: &str| answer.claims[name].clone();
    for (field, good, bad) in [
        ("report_data_hex", own("report_data"), json!("a5".repeat(64))),
        ("measurements_hex", json!([own("measurement")]), json!(["5a".repeat(48)])),
    ] {
        let azure = request["azure"].is_object();
        for (value, accepted) in [(good, true), (bad, false)] {
            if azure && accepted && field == "report_data_hex" {
                // the paravisor's own report data, which the guest has no part in
                continue;
            }
            let mut changed = request.clone();
            changed["expected"][field] = value;
            let found = self::answer(&changed);
            if (found.verdict == Verdict::Accepted) != accepted || !found.authentic {
                return Err(format!("{field}, accepted {accepted}: {:?} {:?}", found.verdict, found.code));
            }
        }
    }
    Ok(())
}

fn reason(entry: &Value, case: &Value, answer: &Answer) -> Result<(), String> {
    let fails = answer.checks.iter().filter(|check| check.result == CheckResult::Fail).count();
    let code = Code::ALL.iter().find(|code| Some(code.as_str()) == answer.code).expect("a code");
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let tee = tee(entry).expect("a platform");
    let named =
        reasons::named(tee, *code, &part(&answer.field), &part(&answer.expected), &part(&answer.found));
    let expected = case["reasons"].as_array().expect("reasons");
    // the corpus' own reasons for these are a DCAP verifier's; here they are the wrong evidence altogether
    let sgx = text(entry, "platform") == "intel-sgx" && *code == Code::AttTeeType;
    if fails == 1 && (sgx || named.iter().any(|name| expected.iter().any(|own| own == name))) {
        return Ok(());
    }
    Err(format!("{code} {:?} with {fails} failed checks, expected one of {expected:?}", answer.found))
}

fn authenticity(entry: &Value, case: &Value, answer: &Answer) -> Result<(), String> {
    let undecidable = Code::ALL.iter().any(|code| Some(code.as_str()) == answer.code && code.undecidable());
    let sgx = text(entry, "platform") == "intel-sgx";
    let holds = match text(case, "crypto") {
        // another TEE's evidence is not looked at, so nothing is said for it
        _ if sgx => !answer.authentic && answer.code == Some("ATT_TEE_TYPE"),
        // the certificate around this quote binds nothing; the quote itself is genuine
        _ if entry["id"] == "ratls-dstack-unbound" => answer.authentic,
        "see reasons" => true,
        "ok" => answer.authentic,
        // where there is nothing to verify with, the code has to say so
        "indeterminate" => !answer.authentic && undecidable,
        _ => !answer.authentic,
    };
    if holds {
        Ok(())
    } else {
        Err(format!("authentic {} with {:?}, {}", answer.authentic, answer.code, case["crypto"]))
    }
}

/// Every parsed field that the manifest states under a name of the format.
fn attributes(entry: &Value, answer: &Answer) -> Result<(), String> {
    let mut compared = 0;
    compare("", &entry["attrs"], &Value::Object(answer.claims.clone()), &mut compared)?;
    let least = match (entry["synthetic"] == true, tee(entry)) {
        (_, Some(TeeType::Snp)) => 20,
        (true, _) => 2,
        (false, _) if text(entry, "kind") == "ra-tls-certificate" => 0,
        (false, _) => 25,
    };
    if compared >= least { Ok(()) } else { Err(format!("only {compared} attributes compared")) }
}

fn compare(path: &str, stated: &Value, claims: &Value, compared: &mut usize) -> Result<(), String> {
    for (name, expected) in stated.as_object().into_iter().flatten() {
        // these two are written with another offset in some entries, and counted as another thing in others
        if matches!(name.as_str(), "pck_validity" | "event_log") {
            continue;
        }
        let Some(own) = claims.get(name) else { continue };
        if matches!(name.as_str(), "snp" | "tdx" | "vm_configuration") {
            compare(name, expected, own, compared)?;
        } else if own == expected {
            *compared += 1;
        } else {
            return Err(format!("{path} {name}: {own}, manifest {expected}"));
        }
    }
    Ok(())
}

#[test]
fn every_mutation_recipe_has_its_outcome() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let recipes = read_json(&folder.join("MUTATIONS.json"));
    let (mut failures, mut judged) = (Vec::new(), 0);
    for recipe in recipes["mutations"].as_array().expect("mutations") {
        let base = named(&entries, text(recipe, "base"));
        if tee(base).is_none() || text(base, "platform") == "intel-sgx" {
            continue;
        }
        judged += 1;
        let mut changed = files(&folder, base);
        let mut set = recipe["collateral"].as_str().map_or(Value::Null, |name| collateral(&folder, name));
        for op in recipe["ops"].as_array().expect("ops") {
            if text(op, "op").starts_with("collateral_") {
                recipes::change_collateral(op, &mut set, &folder);
            } else {
                recipes::apply(op, recipe, &mut changed, &folder, &|id: &str| named(&entries, id));
            }
        }
        let answer = answer(&request_of(base, recipe, &changed, set));
        let holds = matches!(
            (text(recipe, "expect"), answer.verdict),
            ("either", _) | ("accept" | "crypto-valid", Verdict::Accepted) | ("reject", Verdict::Rejected)
        );
        if !holds {
            failures.push(format!("{}: {:?} {:?}", text(recipe, "id"), answer.verdict, answer.code));
        }
    }
    eprintln!("{judged} recipes judged");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(judged >= 370, "only {judged} recipes");
}

#[test]
fn amds_own_revocation_lists_count() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let lists = files(&folder, named(&entries, "amd-crls"));
    for (id, list, at, code) in [
        ("snp-milan-v3-azure", "milan", "2026-01-28T12:00:00Z", None),
        ("snp-milan-v3-azure", "milan", "2026-08-01T12:00:00Z", Some("SNP_CRL_MISSING")),
        ("snp-milan-v3-azure", "genoa", "2026-01-28T12:00:00Z", Some("SNP_CRL_MISSING")),
        ("snp-genoa-v3-azure", "genoa", "2026-03-07T12:00:00Z", Some("SNP_CRL_MISSING")),
    ] {
        let entry = named(&entries, id);
        let mut request = request(&folder, entry, &entry["cases"][0]);
        request["at"] = at.into();
        request["policy"]["override"] = json!({ "revocation": "required" });
        let without = answer(&request);
        assert_eq!((without.code, without.authentic), (Some("SNP_CRL_MISSING"), false), "{id}");
        request["endorsements"]["crls_der_b64"] = json!([crate::entries::b64(&lists[list])]);
        let found = answer(&request);
        assert_eq!(found.code, code, "{id} with the list of {list} at {at}");
        assert_eq!(found.authentic, code.is_none());
    }
}

#[test]
fn certificates_may_come_from_two_places() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let entry = named(&entries, "snp-turin-v5-azure");
    let mut request = request(&folder, entry, &entry["cases"][0]);
    let der = request["endorsements"]["certificates_der_b64"].as_array().expect("certificates").clone();
    let pem = |certificate: &Value| {
        let body = certificate.as_str().expect("base64").as_bytes();
        let lines: Vec<&str> =
            body.chunks(64).map(|line| std::str::from_utf8(line).expect("ascii")).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    request["endorsements"] = json!({
        "certificates_der_b64": der[..1],
        "certificates_pem": [der.iter().map(pem).collect::<String>()],
    });
    assert_eq!(answer(&request).verdict, Verdict::Accepted);
    // the intermediate in the place of the root
    request["endorsements"] = json!({ "certificates_der_b64": [der[0], der[1], der[1]] });
    assert_eq!(answer(&request).code, Some("SNP_CHAIN"));
}

#[test]
fn collateral_that_does_not_belong_is_refused() {
    let Some(folder) = folder() else { return };
    let entries = manifest(&folder);
    let entry = named(&entries, "tdx-v5-gtg");
    let mut request = request(&folder, entry, &entry["cases"][0]);
    request["endorsements"]["tdx_collateral"]["tcb_info"] =
        collateral(&folder, "tdx-b0c06f000000-20250619-369f")["tcb_info"].clone();
    let found = answer(&request);
    assert_eq!((found.verdict, found.authentic), (Verdict::Rejected, false));
    assert!(found.claims.is_empty(), "nothing is authentic, so nothing is claimed");
}
