//! The operations of the corpus' mutation recipes on an entry's files and on collateral. Also read by the tests of
//! `postern appraise`, so it depends on nothing beside it.

use std::collections::BTreeMap;
use std::path::Path;

use attestation::digest::{from_hex, to_hex};
use serde_json::Value;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is not a text in {value}"))
}

/// A collateral set of the corpus.
fn set(folder: &Path, name: &str) -> Value {
    let bytes = std::fs::read(folder.join(format!("collateral/intel/{name}.json"))).expect(name);
    serde_json::from_slice::<Value>(&bytes).expect(name)["collateral"].clone()
}

/// Does one operation on the file of its role.
pub(crate) fn apply<'a>(
    op: &Value,
    recipe: &Value,
    changed: &mut BTreeMap<String, Vec<u8>>,
    folder: &Path,
    entry: &impl Fn(&str) -> &'a Value,
) {
    let role = op["role"].as_str().unwrap_or_else(|| text(recipe, "role")).to_owned();
    let bytes = changed.entry(role).or_default();
    let hex = || from_hex(text(op, "hex"), 1 << 16).expect("hex");
    let number = |key: &str| usize::try_from(op[key].as_u64().expect(key)).expect("small");
    match text(op, "op") {
        "xor" => {
            let at = number("offset");
            for (own, flip) in bytes[at..].iter_mut().zip(hex()) {
                *own ^= flip;
            }
        }
        "set" => {
            let (at, new) = (number("offset"), hex());
            bytes[at..at + new.len()].copy_from_slice(&new);
        }
        "truncate" => bytes.truncate(number("length")),
        "append" => bytes.extend_from_slice(&hex()),
        "insert" => {
            let at = number("offset");
            bytes.splice(at..at, hex());
        }
        "use" => {
            let path = match op["file"].as_str() {
                Some(path) => path,
                None => text(&entry(text(op, "from_entry"))["files"], text(op, "from_role")),
            };
            *bytes = std::fs::read(folder.join(path)).expect(path);
        }
        other => panic!("unknown operation {other}"),
    }
}

/// Does one operation on collateral.
pub(crate) fn change_collateral(op: &Value, collateral: &mut Value, folder: &Path) {
    match text(op, "op") {
        "collateral_use" => *collateral = set(folder, text(op, "set")),
        "collateral_field_from" => {
            let field = text(op, "field");
            collateral[field] = set(folder, text(op, "from"))[field].clone();
        }
        "collateral_xor_hex" => {
            let field = text(op, "field");
            let mut bytes = from_hex(text(collateral, field), 1 << 20).expect("hex");
            let at = usize::try_from(op["offset"].as_u64().expect("offset")).expect("small");
            for (own, flip) in bytes[at..].iter_mut().zip(from_hex(text(op, "hex"), 64).expect("hex")) {
                *own ^= flip;
            }
            collateral[field] = to_hex(&bytes).into();
        }
        "collateral_replace" => {
            let field = text(op, "field");
            let before = text(collateral, field);
            let after = before.replacen(text(op, "find"), text(op, "replace"), 1);
            assert_ne!(before, after, "{op}");
            collateral[field] = after.into();
        }
        "collateral_clear" => collateral[text(op, "field")] = "".into(),
        other => panic!("unknown operation {other}"),
    }
}
