use serde_json::{Value, json};

use super::*;

fn gemini(schema: &Value) -> Result<Value, Unfit> {
    let raw = to_raw_value(schema).unwrap();
    to_gemini(&raw).map(|own| serde_json::from_str(own.get()).unwrap())
}

#[test]
fn references_are_put_in_place() {
    let schema = json!({
        "$schema": "x", "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": {"a": {"$ref": "#/$defs/a~1b", "description": "mine"}},
        "$defs": {"a/b": {"type": "integer", "description": "theirs", "exclusiveMinimum": 1}},
    });
    let wanted = json!({
        "type": "OBJECT", "required": ["a"],
        "properties": {"a": {"type": "INTEGER", "description": "mine"}},
    });
    assert_eq!(gemini(&schema), Ok(wanted));
}

#[test]
fn a_schema_that_refers_to_itself_is_refused() {
    let schema = json!({"$ref": "#"});
    assert_eq!(gemini(&schema), Err(Unfit));
    let tree = json!({"$ref": "#/$defs/t", "$defs": {"t": {
        "type": "object", "properties": {"l": {"$ref": "#/$defs/t"}, "r": {"$ref": "#/$defs/t"}}}}});
    assert_eq!(gemini(&tree), Err(Unfit));
    assert_eq!(gemini(&json!({"$ref": "https://example.com/x"})), Err(Unfit));
}

#[test]
fn unions_and_lists_of_types_become_any_of_and_nullable() {
    assert_eq!(gemini(&json!({"type": ["string", "null"]})), Ok(json!({"type": "STRING", "nullable": true})));
    assert_eq!(
        gemini(&json!({"type": ["string", "integer"], "description": "d"})),
        Ok(json!({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}], "description": "d"}))
    );
    assert_eq!(
        gemini(&json!({"anyOf": [{"type": "null"}, {"type": "number"}], "description": "d"})),
        Ok(json!({"type": "NUMBER", "description": "d", "nullable": true}))
    );
    assert_eq!(
        gemini(&json!({"oneOf": [{"type": "number"}, {"type": "string"}]})),
        Ok(json!({"anyOf": [{"type": "NUMBER"}, {"type": "STRING"}]}))
    );
}

#[test]
fn literals_stay_on_strings_only() {
    assert_eq!(gemini(&json!({"const": "a"})), Ok(json!({"type": "STRING", "enum": ["a"]})));
    assert_eq!(gemini(&json!({"type": "integer", "enum": [1, 2]})), Ok(json!({"type": "INTEGER"})));
    assert_eq!(gemini(&json!({"enum": ["a", ""]})), Ok(json!({"type": "STRING", "enum": ["a"]})));
}

#[test]
fn arrays_get_items_and_parts_are_joined() {
    assert_eq!(gemini(&json!({"type": "array"})), Ok(json!({"type": "ARRAY", "items": {"type": "STRING"}})));
    let schema = json!({"allOf": [
        {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}, "required": ["a"]},
        {"$ref": "#/$defs/more"},
    ], "$defs": {"more": {"properties": {"b": {"type": "string", "format": "date-time"}}, "required": ["b"]}}});
    let wanted = json!({"type": "OBJECT", "required": ["a", "b"], "properties": {
        "a": {"type": "STRING"}, "b": {"type": "STRING", "format": "date-time"}}});
    assert_eq!(gemini(&schema), Ok(wanted));
}

#[test]
fn order_is_kept() {
    let raw: Box<RawValue> = serde_json::from_str(
        r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}"#,
    )
    .unwrap();
    let text = to_gemini(&raw).unwrap();
    assert!(text.get().find("\"z\"").unwrap() < text.get().find("\"a\"").unwrap());
    let back = from_gemini(&text).unwrap();
    assert_eq!(back.get(), raw.get());
}

#[test]
fn gemini_schemas_become_json_schema() {
    let raw = to_raw_value(&json!({"type": "ARRAY", "nullable": true, "items": {"type": "STRING"}})).unwrap();
    let back: Value = serde_json::from_str(from_gemini(&raw).unwrap().get()).unwrap();
    assert_eq!(back, json!({"type": ["array", "null"], "items": {"type": "string"}}));
}
