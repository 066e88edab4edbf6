//! Objects to answers that are not the JSON that was wanted: any JSON object, one with certain members, or one that a JSON
//! Schema describes (the subset of draft 2020-12 below; a schema that uses more is refused when the configuration is read).

use regex::Regex;
use serde_json::Value;

use super::{Detector, GuardrailKind, Hook, Judge, Settings, Subject, regex::compile};

/// The registered kind.
pub const KIND: JsonAnswerKind = JsonAnswerKind;

/// Deepest nesting of a schema.
const MAX_DEPTH: usize = 32;

/// Makes checks of answers in JSON.
pub struct JsonAnswerKind;

impl GuardrailKind for JsonAnswerKind {
    fn name(&self) -> &'static str {
        "json_answer"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["json_schema", "required_keys"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Output]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let wrong = "a JSON Schema with type, enum, const, properties, required, additionalProperties, items, anyOf, allOf, oneOf, not, minimum, maximum, minLength, maxLength, minItems, maxItems and pattern";
        let schema = match &settings.json_schema {
            None => None,
            Some(text) => {
                let value: Value = serde_json::from_str(text).map_err(|_| wrong)?;
                Some(Schema::read(&value, 0).ok_or(wrong)?)
            }
        };
        let keys = settings.required_keys.clone().unwrap_or_default();
        Ok(Detector::Judge(Box::new(JsonAnswer { schema, keys })))
    }
}

struct JsonAnswer {
    schema: Option<Schema>,
    keys: Vec<String>,
}

impl Judge for JsonAnswer {
    /// Each text of the answer is looked at alone. An answer that only calls tools passes.
    fn objects(&self, subject: &Subject<'_>) -> bool {
        !subject.texts().filter(|text| !text.trim().is_empty()).all(|text| self.fits(text))
    }
}

impl JsonAnswer {
    fn fits(&self, text: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Value>(text.trim()) else { return false };
        let has_keys = self.keys.iter().all(|key| value.get(key).is_some());
        has_keys && self.schema.as_ref().is_none_or(|own| own.fits(&value))
    }
}

/// One schema, read.
#[derive(Default)]
struct Schema {
    never: bool,
    types: Vec<String>,
    one_of_these: Option<Vec<Value>>,
    properties: Vec<(String, Self)>,
    required: Vec<String>,
    additional: Option<Box<Self>>,
    items: Option<Box<Self>>,
    any: Vec<Self>,
    all: Vec<Self>,
    one: Vec<Self>,
    not: Option<Box<Self>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    length: (u64, u64),
    count: (u64, u64),
    pattern: Option<Regex>,
}

impl Schema {
    fn read(value: &Value, depth: usize) -> Option<Self> {
        let mut own = Self { length: (0, u64::MAX), count: (0, u64::MAX), ..Self::default() };
        let object = match value {
            Value::Bool(all) => return Some(Self { never: !all, ..own }),
            Value::Object(object) if depth < MAX_DEPTH => object,
            Value::Array(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
                return None;
            }
        };
        let deeper = depth.saturating_add(1);
        let list = |value: &Value| {
            value.as_array()?.iter().map(|one| Self::read(one, deeper)).collect::<Option<Vec<_>>>()
        };
        let texts =
            |value: &Value| value.as_array()?.iter().map(|one| Some(one.as_str()?.to_owned())).collect();
        for (key, value) in object {
            match key.as_str() {
                "type" => {
                    own.types = value.as_str().map(|one| vec![one.to_owned()]).or_else(|| texts(value))?;
                }
                "enum" => own.one_of_these = Some(value.as_array()?.clone()),
                "const" => own.one_of_these = Some(vec![value.clone()]),
                "required" => own.required = texts(value)?,
                "properties" => {
                    let read =
                        |(name, one): (&String, &Value)| Some((name.clone(), Self::read(one, deeper)?));
                    own.properties = value.as_object()?.iter().map(read).collect::<Option<_>>()?;
                }
                "additionalProperties" => own.additional = Some(Box::new(Self::read(value, deeper)?)),
                "items" => own.items = Some(Box::new(Self::read(value, deeper)?)),
                "not" => own.not = Some(Box::new(Self::read(value, deeper)?)),
                "anyOf" => own.any = list(value)?,
                "allOf" => own.all = list(value)?,
                "oneOf" => own.one = list(value)?,
                "minimum" => own.minimum = Some(value.as_f64()?),
                "maximum" => own.maximum = Some(value.as_f64()?),
                "minLength" => own.length.0 = value.as_u64()?,
                "maxLength" => own.length.1 = value.as_u64()?,
                "minItems" => own.count.0 = value.as_u64()?,
                "maxItems" => own.count.1 = value.as_u64()?,
                "pattern" => own.pattern = Some(compile(value.as_str()?).ok()?),
                "$schema" | "$id" | "title" | "description" | "examples" | "default" | "format" => {}
                _ => return None,
            }
        }
        Some(own)
    }

    fn fits(&self, value: &Value) -> bool {
        let typed = self.types.is_empty() || self.types.iter().any(|own| is_type(value, own));
        let listed = self.one_of_these.as_ref().is_none_or(|all| all.contains(value));
        let any = self.any.is_empty() || self.any.iter().any(|own| own.fits(value));
        let one = self.one.is_empty() || self.one.iter().filter(|own| own.fits(value)).count() == 1;
        let all = self.all.iter().all(|own| own.fits(value))
            && self.not.as_ref().is_none_or(|own| !own.fits(value));
        !self.never && typed && listed && any && one && all && self.fits_inside(value)
    }

    fn fits_inside(&self, value: &Value) -> bool {
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                self.minimum.is_none_or(|least| number >= least)
                    && self.maximum.is_none_or(|most| number <= most)
            }
            Value::String(text) => {
                let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
                let (least, most) = self.length;
                (least..=most).contains(&length) && self.pattern.as_ref().is_none_or(|own| own.is_match(text))
            }
            Value::Array(items) => {
                let (least, most) = self.count;
                let counted = (least..=most).contains(&u64::try_from(items.len()).unwrap_or(u64::MAX));
                counted && self.items.as_ref().is_none_or(|own| items.iter().all(|item| own.fits(item)))
            }
            Value::Object(members) => {
                let known =
                    |name: &str| self.properties.iter().find(|(own, _)| own == name).map(|(_, own)| own);
                let fits = |(name, value): (&String, &Value)| match known(name) {
                    Some(own) => own.fits(value),
                    None => self.additional.as_ref().is_none_or(|own| own.fits(value)),
                };
                self.required.iter().all(|name| members.contains_key(name)) && members.iter().all(fits)
            }
            Value::Bool(_) | Value::Null => true,
        }
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|own| own.fract() == 0.0),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fit_their_schema_or_not() {
        let schema = r#"{"type":"object","required":["a"],"additionalProperties":false,"properties":{"a":{"type":"integer","minimum":1},
            "b":{"type":"array","items":{"enum":["x","y"]},"maxItems":2},"c":{"anyOf":[{"type":"null"},{"type":"string","pattern":"^z"}]}}}"#;
        let settings = Settings { json_schema: Some(schema.to_owned()), ..Settings::default() };
        assert!(KIND.configure(&settings).is_ok());
        let check = JsonAnswer {
            schema: Schema::read(&serde_json::from_str(schema).expect("JSON"), 0),
            keys: vec!["a".to_owned()],
        };
        for right in [r#"{"a":1}"#, r#" {"a":2,"b":["x","y"],"c":"z1"} "#, r#"{"a":3,"c":null}"#] {
            assert!(check.fits(right), "{right}");
        }
        for wrong in [
            "hello",
            "[]",
            "{}",
            r#"{"a":0}"#,
            r#"{"a":1.5}"#,
            r#"{"a":1,"b":["z"]}"#,
            r#"{"a":1,"d":1}"#,
            r#"{"a":1,"c":"y"}"#,
            r#"{"a":1} x"#,
        ] {
            assert!(!check.fits(wrong), "{wrong}");
        }
        let unknown = Settings { json_schema: Some(r#"{"contains":{}}"#.to_owned()), ..Settings::default() };
        assert!(KIND.configure(&unknown).is_err());
    }
}
