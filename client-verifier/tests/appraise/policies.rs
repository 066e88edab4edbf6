//! The profiles and their overrides on real evidence: what they refuse, what is loosened and said so.

use attestation::Code;
use postern_client::appraise::{Answer, CheckResult, Depth, Verdict, appraise};
use serde_json::{Value, json};

use crate::corpus::answer;
use crate::entries::{folder, manifest, named, request};

/// The first case of an entry under another profile.
fn under(id: &str, policy: Value) -> Option<Answer> {
    Some(answer(&request_under(id, policy)?))
}

fn request_under(id: &str, policy: Value) -> Option<Value> {
    let folder = folder()?;
    let entries = manifest(&folder);
    let entry = named(&entries, id);
    let mut request = request(&folder, entry, &entry["cases"][0]);
    request["policy"] = policy;
    Some(request)
}

#[test]
fn the_standard_profile_asks_for_everything() {
    let Some(found) = under("snp-milan-v3-azure", json!({ "profile": "standard" })) else { return };
    assert_eq!((found.code, found.authentic), (Some("SNP_CRL_MISSING"), false), "nothing can be decided");
    assert!(Code::SnpCrlMissing.undecidable());
    let steps = [
        (json!({ "revocation": "any" }), "SNP_PRODUCT_DENIED"),
        (json!({ "accept_risk": ["milan-root-seed"] }), "SNP_ABI"),
        (json!({ "abi": "0.31" }), "SNP_MITIGATION"),
        (json!({ "floors": "any" }), "ATT_HARDWARE_ID"),
        (json!({ "hardware": "any" }), "SNP_IDBLOCK"),
    ];
    let mut overrides = json!({});
    for (step, code) in steps {
        for (name, value) in step.as_object().expect("object") {
            overrides[name] = value.clone();
        }
        let policy = json!({ "profile": "standard", "override": overrides });
        let found = under("snp-milan-v3-azure", policy).expect("corpus");
        assert_eq!((found.verdict, found.code), (Verdict::Rejected, Some(code)), "{overrides} {found:?}");
        assert!(found.authentic && !found.claims.is_empty(), "{overrides}");
    }
    overrides["id_block"] = "any".into();
    for (name, value) in [
        ("guest_svn", json!(1)),
        ("family_id", json!(format!("01{}", "00".repeat(15)))),
        ("image_id", json!(format!("02{}", "00".repeat(15)))),
        ("host_data", json!("4f4448c67f3c8dfc8de8a5e37125d807dadcc41f06cf23f615dbd52eec777d10")),
    ] {
        overrides[name] = value;
    }
    let policy = json!({ "profile": "standard", "override": overrides });
    let found = under("snp-milan-v3-azure", policy).expect("corpus");
    assert_eq!((found.verdict, found.code), (Verdict::Accepted, None), "{found:?}");
    let rules: Vec<&str> = found.waivers.iter().map(|waiver| waiver.rule).collect();
    for rule in [
        "measurement",
        "hardware",
        "snp.products",
        "snp.abi",
        "snp.floors",
        "snp.revocation",
        "references.id_block",
    ] {
        assert!(rules.contains(&rule), "{rule} is not among {rules:?}");
    }
}

#[test]
fn the_hardened_profile_asks_for_more() {
    let loose = json!({ "revocation": "any", "hardware": "any", "floors": "any" });
    let policy = |profile: &str| json!({ "profile": profile, "override": loose });
    let Some(standard) = under("snp-genoa-v3-azure", policy("standard")) else { return };
    let hardened = under("snp-genoa-v3-azure", policy("hardened")).expect("corpus");
    assert_eq!((standard.code, hardened.code), (Some("SNP_ABI"), Some("SNP_VERSION")));
    let tdx = under("tdx-v5-gtg", json!({ "profile": "hardened" })).expect("corpus");
    assert_eq!((tdx.verdict, tdx.field.as_deref()), (Verdict::Malformed, Some("policy.override.mr_seam")));
}

#[test]
fn tdx_registers_have_to_be_named_or_waived() {
    let loose = json!({ "hardware": "any", "collateral_age_hours": "any", "advisories": "any", "evaluation_floor": 17 });
    let policy = json!({ "profile": "standard", "override": loose });
    let Some(mut request) = request_under("tdx-v5-gtg", policy) else { return };
    let any = answer(&request);
    let code = any.code;
    let of = |name: &str| any.claims[name].clone();
    request["expected"]["measurements_hex"] = json!([of("mr_td")]);
    assert_eq!(answer(&request).field.as_deref(), Some("policy.override.rtmr0"));
    for (name, at) in [("rtmr0", 0), ("rtmr1", 1), ("rtmr2", 2)] {
        request["policy"]["override"][name] = json!([any.claims["rtmr"][at]]);
    }
    request["policy"]["override"]["xfam"] = "any".into();
    let named = answer(&request);
    assert_eq!(
        (named.verdict, named.code),
        (any.verdict, code),
        "the registers are the quote's own: {named:?}"
    );
    request["policy"]["override"]["rtmr1"] = json!(["5a".repeat(48)]);
    let refused = answer(&request);
    assert_eq!((refused.code, refused.authentic), (Some("TDX_MEASUREMENT"), true), "{refused:?}");
}

#[test]
fn an_explanation_goes_on_and_decides_the_same() {
    let Some(request) = request_under("snp-milan-v2-debug-policy", json!({ "profile": "reference" })) else {
        return;
    };
    let text = request.to_string();
    let (short, long) = (appraise(text.as_bytes(), Depth::Decide), appraise(text.as_bytes(), Depth::Explain));
    assert_eq!(short.answer.code, Some("SNP_DEBUG"));
    assert_eq!(
        (short.answer.verdict, short.answer.code, short.answer.authentic),
        (long.answer.verdict, long.answer.code, long.answer.authentic)
    );
    let open = |answer: &Answer| {
        answer.checks.iter().filter(|check| check.result == CheckResult::NotReached).count()
    };
    assert!(open(&short.answer) > 10, "the rest was not reached");
    assert_eq!(open(&long.answer), 0, "everything was reached");
    assert!(long.checks.iter().all(|check| !check.expected.is_empty()));
}

#[test]
fn only_the_named_roots_count() {
    let Some(mut request) = request_under("snp-turin-v5-azure", json!({ "profile": "reference" })) else {
        return;
    };
    let certificates = request["endorsements"]["certificates_der_b64"].clone();
    for (root, code, anchor) in [(2, None, "vendor"), (1, Some("ATT_UNTRUSTED_ROOT"), "")] {
        request["trust_anchors_der_b64"] = json!([certificates[root]]);
        let found = answer(&request);
        assert_eq!(found.code, code, "{found:?}");
        assert_eq!(found.claims.get("trust_anchor").and_then(Value::as_str).unwrap_or_default(), anchor);
    }
}
