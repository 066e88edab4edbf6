//! Every recipe of the corpus that changes an SNP entry.

use crate::{Corpus, Files, files, reasons, recipes, reference, text};
use attestation::TeeType;
use serde_json::Value;

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
        recipes::apply(op, recipe, &mut changed, &corpus.folder, &|id: &str| corpus.entry(id));
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
