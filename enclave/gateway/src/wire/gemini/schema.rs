//! JSON Schema as Gemini's `Schema` object (Gemini API reference, "Schema"), and back.
//!
//! Gemini knows a part of JSON Schema: no references, no unions but `anyOf`, one type each, enumerations of strings only.
//! References are put in place, within bounds: a schema is a client's text and may refer to itself.

use serde_json::value::{RawValue, to_raw_value};

use crate::wire::ordered_json::Json;

/// Deepest nesting after references have been put in place.
const MAX_DEPTH: u32 = 32;
/// Most schemas after references have been put in place.
const MAX_NODES: u32 = 10_000;

/// A schema is too deep or too large once its references are put in place, or refers to something that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

/// Members that both sides write alike.
const SAME: &[&str] = &[
    "title",
    "description",
    "default",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "required",
    "propertyOrdering",
];
/// Formats that Gemini accepts; others it refuses.
const FORMATS: &[&str] = &["date-time", "double", "enum", "float", "int32", "int64"];

/// A client's JSON Schema as Gemini takes it.
pub(super) fn to_gemini(schema: &RawValue) -> Result<Box<RawValue>, Unfit> {
    let root: Json = serde_json::from_str(schema.get()).map_err(|_| Unfit)?;
    let mut writer = Writer { root: &root, nodes: 0 };
    let written = writer.schema(&root, 0)?;
    to_raw_value(&written).map_err(|_| Unfit)
}

struct Writer<'a> {
    root: &'a Json,
    nodes: u32,
}

impl Writer<'_> {
    fn schema(&mut self, schema: &Json, depth: u32) -> Result<Json, Unfit> {
        self.nodes = self.nodes.saturating_add(1);
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(Unfit);
        }
        let deeper = depth.saturating_add(1);
        let Json::Object(members) = schema else {
            // `true`, `false` and what is no schema: anything goes.
            return Ok(Json::Object(vec![("type".to_owned(), "STRING".into())]));
        };
        if let Some(reference) = schema.member("$ref").and_then(Json::text) {
            let target = self.find(reference).ok_or(Unfit)?.clone();
            return self.schema(&merged(&target, members, &["$ref"]), deeper);
        }
        if let Some(Json::Array(all)) = schema.member("allOf") {
            let mut whole = merged(&Json::Object(Vec::new()), members, &["allOf"]);
            for part in all {
                whole = self.joined(whole, part)?;
            }
            return self.schema(&whole, deeper);
        }
        self.plain(schema, members, deeper)
    }

    /// A schema without `$ref` and `allOf`.
    fn plain(&mut self, schema: &Json, members: &[(String, Json)], depth: u32) -> Result<Json, Unfit> {
        let mut out = Vec::new();
        let (mut types, mut nullable) = types_of(schema);
        let union = schema.member("anyOf").or_else(|| schema.member("oneOf"));
        if types.len() > 1 {
            let one = |own: &String| {
                let mut one = merged(schema, &[], &[]);
                if let Json::Object(members) = &mut one {
                    members.retain(|(name, _)| name != "type" && name != "description");
                    members.push(("type".to_owned(), own.as_str().into()));
                }
                one
            };
            let alternatives: Vec<Json> = types.iter().map(one).collect();
            out.push(("anyOf".to_owned(), self.all(&alternatives, depth)?));
            types.clear();
        } else if let Some(Json::Array(alternatives)) = union {
            let is_null = |own: &Json| own.member("type").and_then(Json::text) == Some("null");
            nullable |= alternatives.iter().any(is_null);
            let rest: Vec<Json> = alternatives.iter().filter(|own| !is_null(own)).cloned().collect();
            if let [only] = rest.as_slice() {
                let whole = merged(only, members, &["anyOf", "oneOf"]);
                return Ok(with_null(self.schema(&whole, depth)?, nullable));
            }
            out.push(("anyOf".to_owned(), self.all(&rest, depth)?));
        }
        let literals = literals(schema);
        let own_type = types.pop().or_else(|| implied_type(schema, literals.is_some()));
        let is_text = own_type.as_deref().is_none_or(|own| own == "string");
        if let Some(own) = &own_type {
            out.push(("type".to_owned(), Json::String(own.to_ascii_uppercase())));
        }
        match literals {
            Some(texts) if is_text && !texts.is_empty() => out.push(("enum".to_owned(), Json::Array(texts))),
            _ => {}
        }
        if own_type.as_deref() == Some("array") && schema.member("items").is_none() {
            let any = Json::Object(vec![("type".to_owned(), "STRING".into())]);
            out.push(("items".to_owned(), any));
        }
        for (name, value) in members {
            if let Some(kept) = self.member(name, value, own_type.as_deref(), depth)? {
                out.push((name.clone(), kept));
            }
        }
        Ok(with_null(Json::Object(out), nullable))
    }

    /// One member as Gemini takes it; nothing if it does not.
    fn member(
        &mut self,
        name: &str,
        value: &Json,
        own: Option<&str>,
        depth: u32,
    ) -> Result<Option<Json>, Unfit> {
        Ok(match (name, value) {
            ("properties", Json::Object(properties)) if !properties.is_empty() => {
                let mut out = Vec::with_capacity(properties.len());
                for (name, schema) in properties {
                    out.push((name.clone(), self.schema(schema, depth)?));
                }
                Some(Json::Object(out))
            }
            ("items", value) if own != Some("object") => Some(self.schema(value, depth)?),
            ("format", Json::String(format)) => FORMATS.contains(&format.as_str()).then(|| value.clone()),
            ("required", Json::Array(names)) if names.is_empty() => None,
            (name, value) => SAME.contains(&name).then(|| value.clone()),
        })
    }

    fn all(&mut self, schemas: &[Json], depth: u32) -> Result<Json, Unfit> {
        let each = schemas.iter().map(|own| self.schema(own, depth));
        each.collect::<Result<Vec<_>, _>>().map(Json::Array)
    }

    /// Two parts of an `allOf` as one: properties and required names are joined.
    fn joined(&self, whole: Json, part: &Json) -> Result<Json, Unfit> {
        let part = match part.member("$ref").and_then(Json::text) {
            Some(reference) => self.find(reference).ok_or(Unfit)?,
            None => part,
        };
        let (Json::Object(mut members), Json::Object(new)) = (whole, part) else { return Err(Unfit) };
        for (name, value) in new {
            match (members.iter_mut().find(|(own, _)| own == name), value) {
                (Some((_, Json::Object(own))), Json::Object(more)) if name == "properties" => {
                    own.extend(more.iter().cloned());
                }
                (Some((_, Json::Array(own))), Json::Array(more)) if name == "required" => {
                    own.extend(more.iter().cloned());
                }
                (Some(_), _) => {}
                (None, value) => members.push((name.clone(), value.clone())),
            }
        }
        Ok(Json::Object(members))
    }

    /// What `#/...` refers to (RFC 6901).
    fn find(&self, reference: &str) -> Option<&Json> {
        let path = reference.strip_prefix('#')?;
        let steps = path.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        steps.into_iter().try_fold(self.root, |at, step| at.member(&step))
    }
}

/// `base` with the members of `over`, but for `without`; those of `over` win.
fn merged(base: &Json, over: &[(String, Json)], without: &[&str]) -> Json {
    let Json::Object(base) = base else { return base.clone() };
    let over = || over.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    let mut members: Vec<(String, Json)> =
        base.iter().filter(|(name, _)| !over().any(|(own, _)| own == name)).cloned().collect();
    members.extend(over().cloned());
    Json::Object(members)
}

/// The types that a schema names, without `null`, and whether that is among them.
fn types_of(schema: &Json) -> (Vec<String>, bool) {
    let named: Vec<String> = match schema.member("type") {
        Some(Json::String(one)) => vec![one.to_ascii_lowercase()],
        Some(Json::Array(several)) => {
            several.iter().filter_map(Json::text).map(str::to_ascii_lowercase).collect()
        }
        _ => Vec::new(),
    };
    let nullable =
        named.iter().any(|own| own == "null") || schema.member("nullable") == Some(&Json::Bool(true));
    (named.into_iter().filter(|own| own != "null").collect(), nullable)
}

/// A type that a schema has without naming it.
fn implied_type(schema: &Json, has_literals: bool) -> Option<String> {
    let own = if schema.member("properties").is_some() {
        "object"
    } else if schema.member("items").is_some() {
        "array"
    } else if has_literals {
        "string"
    } else {
        return None;
    };
    Some(own.to_owned())
}

/// The texts of `enum` or `const`; empty if they are not texts.
fn literals(schema: &Json) -> Option<Vec<Json>> {
    let given = match (schema.member("enum"), schema.member("const")) {
        (Some(Json::Array(given)), _) => given.as_slice(),
        (_, Some(one)) => std::slice::from_ref(one),
        _ => return None,
    };
    Some(given.iter().filter(|own| own.text().is_some_and(|text| !text.is_empty())).cloned().collect())
}

fn with_null(mut schema: Json, nullable: bool) -> Json {
    if let Json::Object(members) = &mut schema
        && nullable
        && !members.iter().any(|(name, _)| name == "nullable")
    {
        members.push(("nullable".to_owned(), Json::Bool(true)));
    }
    schema
}

/// A client's Gemini schema as JSON Schema: types in small letters, `nullable` as a type.
pub(super) fn from_gemini(schema: &RawValue) -> Result<Box<RawValue>, Unfit> {
    let schema: Json = serde_json::from_str(schema.get()).map_err(|_| Unfit)?;
    to_raw_value(&plain_json_schema(schema)).map_err(|_| Unfit)
}

fn plain_json_schema(schema: Json) -> Json {
    let Json::Object(members) = schema else { return schema };
    let nullable = members.iter().any(|own| *own == ("nullable".to_owned(), Json::Bool(true)));
    let one = |(name, value): (String, Json)| {
        let value = match (name.as_str(), value) {
            ("nullable" | "propertyOrdering" | "property_ordering", _) => return None,
            ("type", Json::String(own)) => {
                let own = Json::String(own.to_ascii_lowercase());
                if nullable { Json::Array(vec![own, "null".into()]) } else { own }
            }
            ("properties", Json::Object(properties)) => Json::Object(
                properties.into_iter().map(|(name, own)| (name, plain_json_schema(own))).collect(),
            ),
            ("anyOf" | "any_of", Json::Array(all)) => {
                Json::Array(all.into_iter().map(plain_json_schema).collect())
            }
            ("items", own) => plain_json_schema(own),
            (_, other) => other,
        };
        let name = if name == "any_of" { "anyOf".to_owned() } else { name };
        Some((name, value))
    };
    Json::Object(members.into_iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests;
