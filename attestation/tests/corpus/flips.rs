//! No single-bit flip of a real accepted report or of its endorsement key's certificate is accepted: every bit of
//! one report, every thirteenth of the others, and a sample of the certificates (the simulator's reports of both
//! layouts are flipped exhaustively elsewhere).

use crate::{Files, corpus, files, json, reference, text};

/// Flipped exhaustively.
const EXHAUSTIVE: &str = "snp-turin-v5-azure";

/// A stride coprime to eight visits every bit position.
const STRIDE: usize = 13;

/// The same for certificates, most of which is one signature.
const CERTIFICATE_STRIDE: usize = 61;

#[test]
fn no_single_bit_flip_of_real_evidence_is_accepted() {
    let Some(folder) = corpus() else { return };
    let manifest = json(&folder.join("MANIFEST.json"));
    let mut entries = 0;
    for entry in manifest["entries"].as_array().expect("entries") {
        let cases = entry["cases"].as_array().expect("cases");
        let accepted = cases.iter().find(|case| case["verdict"] == "accept");
        let Some(case) =
            accepted.filter(|_| entry["platform"] == "sev-snp" && entry["files"]["report"].is_string())
        else {
            continue;
        };
        entries += 1;
        let id = text(entry, "id");
        let (anchor, at) = (case["trust_anchor"].as_str(), text(case, "verify_at"));
        let mut files = files(&folder, entry);
        let accepts = |files: &Files| reference::judge(files, anchor, None, at).is_ok();
        assert!(accepts(&files), "{id} unchanged");
        let stride = if id == EXHAUSTIVE { 1 } else { STRIDE };
        for (role, stride) in [("report", stride), ("vek", CERTIFICATE_STRIDE)] {
            let bits = files.get(role).map_or(0, |bytes| bytes.len() * 8);
            for bit in (0..bits).step_by(stride) {
                flip(&mut files, role, bit);
                assert!(!accepts(&files), "{id}: bit {bit} of the {role} may be flipped");
                flip(&mut files, role, bit);
            }
        }
        assert!(accepts(&files), "{id} unchanged again");
    }
    assert!(entries >= 11, "only {entries} accepted entries");
}

fn flip(files: &mut Files, role: &str, bit: usize) {
    let bytes = files.get_mut(role).expect("role");
    bytes[bit / 8] ^= 1 << (bit % 8);
}
