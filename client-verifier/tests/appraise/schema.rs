//! The published schemas, held against real requests and answers.

use std::path::Path;

use serde_json::Value;

use crate::entries::read_json;
use crate::json_schema::check;

pub(crate) struct Schemas {
    request: Value,
    answer: Value,
}

impl Schemas {
    pub(crate) fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
        Self {
            request: read_json(&folder.join("appraise-request.schema.json")),
            answer: read_json(&folder.join("appraise-answer.schema.json")),
        }
    }

    pub(crate) fn request(&self, value: &Value) -> Result<(), String> {
        check(&self.request, &self.request, value, "request")
    }

    pub(crate) fn answer(&self, value: &Value) -> Result<(), String> {
        check(&self.answer, &self.answer, value, "answer")
    }
}

#[test]
fn the_validator_can_fail() {
    let schemas = Schemas::load();
    let good = crate::malformed::request();
    assert_eq!(schemas.request(&good), Ok(()));
    for (name, value) in [
        ("format", "postern.appraise/2".into()),
        ("platform", "sgx".into()),
        ("evidence_b64", 7.into()),
        ("unknown", Value::Null),
        ("policy", serde_json::json!({ "profile": "standard", "override": { "vmpl": 4 } })),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(schemas.request(&bad).is_err(), "{name}");
    }
}

#[test]
fn every_override_is_in_the_schema() {
    let schemas = Schemas::load();
    let listed = schemas.request["$defs"]["override"]["properties"].as_object().expect("properties");
    // the reader names all that it knows when it meets one that it does not
    let mut request = crate::malformed::request();
    request["policy"]["override"] = serde_json::json!({ "no_such_rule_at_all": 0 });
    let text = request.to_string();
    let answer = postern_client::appraise::appraise(text.as_bytes(), postern_client::appraise::Depth::Decide);
    let expected = answer.answer.expected.expect("text");
    let known: Vec<&str> = expected.trim_start_matches("one of: ").split(", ").collect();
    assert!(known.len() > 30, "{expected}");
    for name in &known {
        assert!(listed.contains_key(*name), "{name} is not in the schema");
    }
    assert_eq!(known.len(), listed.len(), "the schema lists more than the reader knows");
}
