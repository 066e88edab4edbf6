//! Every recipe of the corpus that changes an SNP entry.

use crate::{Corpus, Files, files, reasons, reference, text};
use attestation::TeeType;
use attestation::digest::from_hex;
use serde_json::Value;
use std::path::Path;

#[test]
fn every_snp_mutation_has_the_outcome_the_corpus_names() {
    let Some(corpus) = Corpus::open() else { return };
    let mut failures = Vec::new();
    let mut judged = 0;
    for (recipe, base) in corpus.recipes("sev-snp") {
        judged += 1;
        let changed = changed(&corpus, recipe, base);
        let trust_anchor = recipe["trust_anchor"].as_str();
        if let Err(failure) = judge(recipe, trust_anchor, &changed) {
            failures.push(format!("{}: {failure}", text(recipe, "id")));
        }
    }
    eprintln!("{judged} mutations judged");
    assert!(judged >= 100, "only {judged} mutations");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The files of `base` after a recipe that changes files only.
pub(crate) fn changed(corpus: &Corpus, recipe: &Value, base: &Value) -> Files {
    let mut changed = files(&corpus.folder, base);
    for op in recipe["ops"].as_array().expect("ops") {
        apply(op, recipe, &mut changed, &corpus.folder, &|id: &str| corpus.entry(id));
    }
    changed
}

fn judge(recipe: &Value, trust_anchor: Option<&str>, changed: &Files) -> Result<(), String> {
    let result = reference::judge(changed, trust_anchor, None, text(recipe, "verify_at"));
    let expected = recipe["reasons"].as_array().expect("reasons");
    match (text(recipe, "expect"), result) {
        ("accept" | "crypto-valid", Ok(_)) | ("either", _) => Ok(()),
        ("reject", Err(rejected)) => {
            let named = reasons(TeeType::Snp, &rejected.rejection);
            if named.iter().any(|name| expected.iter().any(|reason| reason == name)) {
                Ok(())
            } else {
                Err(format!("{rejected}, expected one of {expected:?}"))
            }
        }
        (expect, Ok(_)) => Err(format!("accepted, {expect} expected")),
        (expect, Err(rejected)) => Err(format!("{rejected}, {expect} expected")),
    }
}

pub(crate) fn apply<'a>(
    op: &Value,
    recipe: &Value,
    changed: &mut Files,
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
