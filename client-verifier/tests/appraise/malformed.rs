//! Requests that cannot be understood: each is refused with a code, the path of the fault, and without its values.

use postern_client::appraise::{Answer, Depth, MAX_REQUEST_BYTES, Verdict, appraise, appraise_from};
use serde_json::{Value, json};

use crate::schema::Schemas;

/// A request of the right form, whose evidence is nothing.
pub(crate) fn request() -> Value {
    json!({
        "format": "postern.appraise/1",
        "platform": "snp",
        "evidence_b64": "AAAA",
        "at": "2026-01-31T12:00:00Z",
        "expected": { "report_data_hex": "any", "measurements_hex": "any" },
        "policy": { "profile": "reference" },
    })
}

fn answer(bytes: &[u8]) -> Answer {
    appraise(bytes, Depth::Decide).answer
}

type Fault = (&'static str, fn(&mut Value), &'static str, &'static str);

const FAULTS: [Fault; 22] = [
    ("format", |r| r["format"] = "postern.appraise/2".into(), "REQ_VALUE", "format"),
    ("no format", |r| drop(remove(r, "format")), "REQ_MISSING_FIELD", "format"),
    ("platform", |r| r["platform"] = "sgx".into(), "REQ_VALUE", "platform"),
    ("evidence", |r| r["evidence_b64"] = "####".into(), "REQ_VALUE", "evidence_b64"),
    ("unpadded", |r| r["evidence_b64"] = "AAA".into(), "REQ_VALUE", "evidence_b64"),
    ("null", |r| r["evidence_b64"] = Value::Null, "REQ_VALUE", "evidence_b64"),
    ("unknown", |r| r["evidence"] = "AAAA".into(), "REQ_UNKNOWN_FIELD", "evidence"),
    (
        "nested",
        |r| r["expected"]["measurement_hex"] = json!([]),
        "REQ_UNKNOWN_FIELD",
        "expected.measurement_hex",
    ),
    (
        "no expectation",
        |r| drop(remove(&mut r["expected"], "report_data_hex")),
        "REQ_MISSING_FIELD",
        "expected.report_data_hex",
    ),
    (
        "short data",
        |r| r["expected"]["report_data_hex"] = "00".into(),
        "REQ_VALUE",
        "expected.report_data_hex",
    ),
    ("word", |r| r["expected"]["measurements_hex"] = "all".into(), "REQ_VALUE", "expected.measurements_hex"),
    (
        "item",
        |r| r["expected"]["measurements_hex"] = json!(["5A"]),
        "REQ_VALUE",
        "expected.measurements_hex[0]",
    ),
    (
        "empty list",
        |r| r["expected"]["measurements_hex"] = json!([]),
        "REQ_VALUE",
        "expected.measurements_hex",
    ),
    ("time", |r| r["at"] = "yesterday".into(), "REQ_VALUE", "at"),
    ("no time", |r| drop(remove(r, "at")), "REQ_MISSING_FIELD", "at"),
    ("profile", |r| r["policy"]["profile"] = "lenient".into(), "REQ_VALUE", "policy.profile"),
    (
        "override",
        |r| r["policy"]["override"] = json!({ "vmlp": 0 }),
        "REQ_UNKNOWN_FIELD",
        "policy.override.vmlp",
    ),
    ("level", |r| r["policy"]["override"] = json!({ "vmpl": 9 }), "REQ_POLICY", "policy.snp.vmpl"),
    (
        "certificate",
        |r| r["endorsements"] = json!({ "certificates_der_b64": ["AA==", "?"] }),
        "REQ_VALUE",
        "endorsements.certificates_der_b64[1]",
    ),
    (
        "pem",
        |r| r["endorsements"] = json!({ "certificates_pem": ["none"] }),
        "REQ_VALUE",
        "endorsements.certificates_pem[0]",
    ),
    (
        "collateral",
        |r| r["endorsements"] = json!({ "tdx_collateral": { "tcbinfo": "" } }),
        "REQ_UNKNOWN_FIELD",
        "endorsements.tdx_collateral.tcbinfo",
    ),
    ("roots", |r| r["trust_anchors_der_b64"] = json!([]), "REQ_VALUE", "trust_anchors_der_b64"),
];

#[test]
fn every_fault_has_a_code_and_a_place() {
    let schemas = Schemas::load();
    assert_eq!(schemas.request(&request()), Ok(()));
    // evidence of another length is not a fault of the request
    assert_eq!(answer(request().to_string().as_bytes()).code, Some("ATT_MALFORMED"));
    for (what, fault, code, field) in FAULTS {
        let mut request = request();
        fault(&mut request);
        let found = answer(request.to_string().as_bytes());
        assert_eq!(found.verdict, Verdict::Malformed, "{what}");
        assert_eq!((found.code, found.field.as_deref()), (Some(code), Some(field)), "{what}: {found:?}");
        assert!(!found.authentic && found.checks.is_empty() && found.claims.is_empty(), "{what}");
        let json: Value = serde_json::from_str(&found.to_json().expect("json")).expect("json");
        assert_eq!(schemas.answer(&json), Ok(()), "{what}");
        assert_eq!(schemas.request(&request).is_err(), what != "pem", "{what}: only PEM has no pattern");
    }
}

fn remove(value: &mut Value, name: &str) -> Option<Value> {
    value.as_object_mut().expect("object").remove(name)
}

#[test]
fn what_is_not_for_the_platform_is_refused() {
    let azure = json!({
        "hcl_report_b64": "AA==", "tpm_quote_msg_b64": "AA==", "tpm_quote_sig_b64": "AA==", "pcrs_sha256": {},
    });
    let faults: [(&str, Value, &str, &str); 10] = [
        ("snp", json!({ "evidence_b64": null }), "REQ_MISSING_FIELD", "evidence_b64"),
        ("tdx", json!({ "evidence_b64": null }), "REQ_MISSING_FIELD", "evidence_b64"),
        ("az-snp", json!({ "evidence_b64": null }), "REQ_MISSING_FIELD", "azure"),
        ("az-snp", json!({}), "REQ_NOT_APPLICABLE", "evidence_b64"),
        ("snp", json!({ "azure": azure }), "REQ_NOT_APPLICABLE", "azure"),
        ("snp", json!({ "event_log_b64": "AA==" }), "REQ_NOT_APPLICABLE", "event_log_b64"),
        (
            "tdx",
            json!({ "policy": { "profile": "reference", "override": { "vmpl": 0 } } }),
            "REQ_NOT_APPLICABLE",
            "policy.override.vmpl",
        ),
        (
            "snp",
            json!({ "policy": { "profile": "reference", "override": { "xfam": "0xe7" } } }),
            "REQ_NOT_APPLICABLE",
            "policy.override.xfam",
        ),
        (
            "tdx",
            json!({ "expected": { "report_data_hex": "any", "measurements_hex": "any", "nonce_hex": "00" } }),
            "REQ_NOT_APPLICABLE",
            "expected.nonce_hex",
        ),
        (
            "tdx",
            json!({ "expected": { "report_data_hex": "any", "measurements_hex": ["5a".repeat(48)] }, "policy": { "profile": "standard" } }),
            "REQ_MISSING_FIELD",
            "policy.override.rtmr0",
        ),
    ];
    for (platform, change, code, field) in faults {
        let mut request = request();
        request["platform"] = platform.into();
        for (name, value) in change.as_object().expect("object") {
            if value.is_null() {
                remove(&mut request, name);
            } else {
                request[name] = value.clone();
            }
        }
        let found = answer(request.to_string().as_bytes());
        assert_eq!((found.code, found.field.as_deref()), (Some(code), Some(field)), "{platform} {change}");
    }
}

#[test]
fn a_misspelt_name_comes_back_with_the_right_one() {
    let mut request = request();
    request["policy"]["override"] = json!({ "vmlp": 0 });
    let expected = answer(request.to_string().as_bytes()).expected.expect("text");
    assert!(expected.starts_with("did you mean vmpl?"), "{expected}");
    request["policy"] = json!({ "profile": "hardend" });
    let expected = answer(request.to_string().as_bytes()).expected.expect("text");
    assert!(expected.starts_with("did you mean hardened?"), "{expected}");
}

#[test]
fn text_that_is_no_request_is_refused() {
    let twice = request().to_string().replacen('{', "{\"at\":\"2026-01-31T12:00:00Z\",", 1);
    let register = "\"pcrs_sha256\":{\"4\":\"00\",";
    let registers =
        format!("{{\"format\":\"postern.appraise/1\",\"platform\":\"az-snp\",\"azure\":{{{register}");
    let more = format!("{}{{}}", request());
    let deep = "[".repeat(200_000);
    for (text, code) in [
        ("", "REQ_SYNTAX"),
        ("{", "REQ_SYNTAX"),
        ("[]", "REQ_VALUE"),
        ("[\"postern.appraise/1\",\"snp\"]", "REQ_VALUE"),
        ("null", "REQ_VALUE"),
        ("{}", "REQ_MISSING_FIELD"),
        ("{\"a\":1}", "REQ_UNKNOWN_FIELD"),
        (more.as_str(), "REQ_SYNTAX"),
        (twice.as_str(), "REQ_DUPLICATE_FIELD"),
        (registers.as_str(), "REQ_VALUE"),
        (deep.as_str(), "REQ_VALUE"),
    ] {
        let found = answer(text.as_bytes());
        let shown = text.get(..60).unwrap_or(text);
        assert_eq!((found.verdict, found.code), (Verdict::Malformed, Some(code)), "{shown}: {found:?}");
    }
    assert_eq!(answer(&[0xff, 0xfe, b'{']).verdict, Verdict::Malformed);
}

#[test]
fn no_part_of_a_request_is_a_request() {
    let whole = request().to_string();
    for length in 0..whole.len() {
        assert_eq!(answer(&whole.as_bytes()[..length]).verdict, Verdict::Malformed, "{length} bytes");
    }
}

#[test]
fn a_register_is_named_once() {
    let value = "00".repeat(32);
    for (registers, accepted) in [
        (format!("{{\"4\":\"{value}\",\"7\":\"{value}\"}}"), true),
        (format!("{{\"4\":\"{value}\",\"4\":\"{value}\"}}"), false),
        (format!("{{\"04\":\"{value}\"}}"), false),
        (format!("{{\"24\":\"{value}\"}}"), false),
    ] {
        let text = format!(
            "{{\"format\":\"postern.appraise/1\",\"platform\":\"az-snp\",\"at\":\"2026-01-31T12:00:00Z\",\
             \"azure\":{{\"hcl_report_b64\":\"\",\"tpm_quote_msg_b64\":\"\",\"tpm_quote_sig_b64\":\"\",\"pcrs_sha256\":{registers}}},\
             \"expected\":{{\"report_data_hex\":\"any\",\"measurements_hex\":\"any\"}},\"policy\":{{\"profile\":\"reference\"}}}}"
        );
        let found = answer(text.as_bytes());
        assert_eq!(found.verdict == Verdict::Rejected, accepted, "{registers}: {found:?}");
    }
}

/// Counts what is read of an input that never ends.
struct Endless(usize);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(b' ');
        self.0 += buffer.len();
        assert!(self.0 <= 2 * MAX_REQUEST_BYTES, "reading goes on beyond the limit");
        Ok(buffer.len())
    }
}

#[test]
fn an_endless_request_is_not_read_to_its_end() {
    let found = appraise_from(Endless(0), Depth::Decide).expect("no error of the reader").answer;
    assert_eq!((found.verdict, found.code), (Verdict::Malformed, Some("REQ_TOO_LARGE")));
}

#[test]
fn values_are_not_repeated() {
    let secret = "c2VjcmV0LWluLXRoZS13cm9uZy1wbGFjZQ";
    for place in ["platform", "at", "evidence_b64", "format"] {
        let mut request = request();
        request[place] = secret.into();
        let json = answer(request.to_string().as_bytes()).to_json().expect("json");
        assert!(!json.contains(secret), "{place}: {json}");
    }
    let mut request = request();
    request["endorsements"] = json!({ "certificates_der_b64": secret });
    assert!(!answer(request.to_string().as_bytes()).to_json().expect("json").contains(secret));
}
