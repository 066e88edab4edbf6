//! Measures, writes the report, and fails where a detector is worse than the project promises.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gateway::content::{Body, View};
use gateway::guardrail::{Detector, Finding, GUARDRAILS, Hook, Judge, Settings, Spans, Subject};

use super::dice::{self, Dice, Document, Plant};
use super::{attacks, credentials, ordinary, personal};

/// Documents for each way of planting.
const EACH: usize = 400;
/// Documents of ordinary text.
const ORDINARY: usize = 4000;
const SEED: u64 = 0x0070_6f73_7465_726e;

fn detector(kind: &str) -> Detector {
    let kind = GUARDRAILS.iter().find(|own| own.name() == kind).expect("registered");
    kind.configure(&Settings::default()).expect("needs no settings")
}

fn finder(kind: &str) -> Box<dyn Spans> {
    match detector(kind) {
        Detector::Spans(spans) => spans,
        _ => panic!("finds places"),
    }
}

fn judge(kind: &str) -> Box<dyn Judge> {
    match detector(kind) {
        Detector::Judge(judge) => judge,
        _ => panic!("judges"),
    }
}

fn found(finder: &dyn Spans, text: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    finder.find(text, 0, 0, &mut all);
    all
}

/// Of one kind of thing.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    /// Planted.
    planted: usize,
    /// Found under its name, exactly where it is.
    exact: usize,
    /// No byte of it left over, whatever it was taken for.
    covered: usize,
    /// Found where nothing of the kind is.
    wrong: usize,
}

impl Score {
    fn recall(self) -> f64 {
        self.exact as f64 / self.planted.max(1) as f64
    }

    fn protected(self) -> f64 {
        self.covered as f64 / self.planted.max(1) as f64
    }

    fn precision(self) -> f64 {
        self.exact as f64 / (self.exact + self.wrong).max(1) as f64
    }
}

/// Scores by kind of thing, and how many ordinary documents something was found in.
fn measure(
    finder: &dyn Spans,
    documents: &[Document],
    plain: &[String],
) -> (BTreeMap<&'static str, Score>, usize) {
    let mut scores: BTreeMap<&'static str, Score> = BTreeMap::new();
    for document in documents {
        let found = found(finder, &document.text);
        for planted in &document.planted {
            let score = scores.entry(planted.what).or_default();
            let exact = found.iter().any(|own| own.what == planted.what && own.at == planted.at);
            let covered = planted.at.clone().all(|byte| found.iter().any(|own| own.at.contains(&byte)));
            score.planted += 1;
            score.exact += usize::from(exact);
            score.covered += usize::from(covered);
            if !covered && std::env::var_os("POSTERN_DETECTION_MISSES").is_some() {
                println!(
                    "missed {}: {:?} in {:?}",
                    planted.what,
                    &document.text[planted.at.clone()],
                    document.text
                );
            }
        }
        for own in &found {
            let touches = document
                .planted
                .iter()
                .any(|planted| planted.at.start < own.at.end && own.at.start < planted.at.end);
            if !touches {
                wrong(&mut scores, own, &document.text);
            }
        }
    }
    let mut touched = 0;
    for text in plain {
        let found = found(finder, text);
        touched += usize::from(!found.is_empty());
        found.iter().for_each(|own| wrong(&mut scores, own, text));
    }
    (scores, touched)
}

fn wrong(scores: &mut BTreeMap<&'static str, Score>, finding: &Finding, text: &str) {
    scores.entry(finding.what).or_default().wrong += 1;
    if std::env::var_os("POSTERN_DETECTION_MISSES").is_some() {
        println!("wrong {}: {:?} in {:?}", finding.what, &text[finding.at.clone()], text);
    }
}

fn objects(judge: &dyn Judge, text: &str) -> bool {
    let json = serde_json::json!({ "messages": [{ "role": "user", "content": text }] }).to_string();
    let view = View::of(json.as_bytes(), Body::Request).expect("JSON");
    let segments: Vec<_> = view.segments.iter().collect();
    let metadata = BTreeMap::new();
    judge.objects(&Subject {
        hook: Hook::Input,
        segments: &segments,
        calls: &[],
        asked: &[],
        metadata: &metadata,
    })
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn table(out: &mut String, title: &str, scores: &BTreeMap<&'static str, Score>, touched: usize) {
    let _infallible = write!(
        out,
        "\n## `{title}`\n\n| what | planted | recall | protected | false | precision |\n|---|---:|---:|---:|---:|---:|\n"
    );
    for (what, score) in scores {
        let (recall, protected, precision) =
            (percent(score.recall()), percent(score.protected()), percent(score.precision()));
        let _infallible = writeln!(
            out,
            "| `{what}` | {} | {recall} | {protected} | {} | {precision} |",
            score.planted, score.wrong
        );
    }
    let share = percent(touched as f64 / ORDINARY as f64);
    let _infallible =
        writeln!(out, "\nOrdinary documents in which it found anything: {touched} of {ORDINARY} ({share}).");
}

/// Paragraphs of the project's own documents and sources, less what is about detection and plants such things.
fn own_paragraphs() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in [
        "",
        "attestation/src",
        "audit/src",
        "client-verifier/src",
        "deploy",
        "enclave/gateway/src/route",
        "host/src",
    ] {
        collect(&root.join(folder), !folder.is_empty(), &mut files);
    }
    files.sort();
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts
        .flat_map(|text| text.split("\n\n").map(str::to_owned).collect::<Vec<_>>())
        .filter(|own| own.len() > 40)
        .collect()
}

fn collect(folder: &Path, deep: bool, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if deep && !name.contains("test") {
                collect(&path, true, files);
            }
        } else if name.ends_with(".md") || name.ends_with(".rs") && !name.contains("test") {
            files.push(path);
        }
    }
}

const HEAD: &str = "# What the detectors find and miss

Written by `cargo test -p postern-gateway --test detection` with `POSTERN_DETECTION_REPORT=write`; the same run is part of every `cargo test`, fails where a detector gets worse than the bounds in
`enclave/gateway/tests/detection/report.rs`, and fails if the tables here are not its own.

The corpus is written by the run from fixed seeds: values with their check digits, in sentences of several languages, with the separators, quotation marks and spaces that word processors put in, among
ordinary sentences full of other numbers. *Recall* is the share found under its name exactly where it stands; *protected* the share of which no byte is left over, whatever it was taken for (what masking
needs); *false* what was found where nothing is, in these and in 4,000 documents without anything to find; *precision* is of both. Sentences and values are ours: the numbers say what a change breaks, and
compare kinds. On your own text they will differ: run checks with `mode = \"shadow\"` first and read `shadow_would_block` in
the audit records.

Names, places and organisations have no form and are not looked for; an external service can be asked for them.
";

#[test]
fn detectors_are_as_good_as_the_report_says() {
    let plain = ordinary::documents(ORDINARY, SEED);
    let corpus = |plants: &[Plant]| dice::documents(plants, EACH, SEED);
    let (personal, personal_touched) = measure(&*finder("pii"), &corpus(personal::PLANTS), &plain);
    let (secrets, secrets_touched) = measure(&*finder("secrets"), &corpus(credentials::PLANTS), &plain);
    let mut out = HEAD.to_owned();
    table(&mut out, "pii", &personal, personal_touched);
    table(&mut out, "secrets", &secrets, secrets_touched);
    let injection = judge("injection");
    let refused = plain.iter().filter(|text| objects(&*injection, text)).count();
    let asked = ordinary::REQUESTS.iter().filter(|text| objects(&*injection, text)).count();
    out.push_str("\n## `injection`\n\n| family | disguise | attempts | refused |\n|---|---|---:|---:|\n");
    let mut dice = Dice(SEED);
    let (mut attempts, mut caught) = (0, 0);
    let mut by_disguise: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (family, texts) in attacks::FAMILIES {
        for (disguise, hide) in attacks::DISGUISES {
            let seen = texts.iter().filter(|text| objects(&*injection, &hide(text, &mut dice))).count();
            let _infallible = writeln!(out, "| {family} | {disguise} | {} | {seen} |", texts.len());
            let own = by_disguise.entry(disguise).or_default();
            *own = (own.0 + texts.len(), own.1 + seen);
            (attempts, caught) = (attempts + texts.len(), caught + seen);
        }
    }
    if std::env::var_os("POSTERN_DETECTION_MISSES").is_some() {
        let all = attacks::FAMILIES.iter().flat_map(|(_, texts)| texts.iter());
        all.filter(|text| !objects(&*injection, text)).for_each(|text| println!("passed {text:?}"));
        let wrong = ordinary::REQUESTS.iter().filter(|text| objects(&*injection, text));
        wrong.for_each(|text| println!("refused {text:?}"));
    }
    let _infallible = writeln!(
        out,
        "\nAll: {caught} of {attempts} refused ({}). Ordinary requests in words of attacks that were refused: {asked} of {}; ordinary documents: {refused} of {ORDINARY}.",
        percent(caught as f64 / attempts as f64),
        ordinary::REQUESTS.len()
    );
    let tables = out.clone();
    let own = own_paragraphs();
    let touched = |kind: &str| own.iter().filter(|text| !found(&*finder(kind), text).is_empty()).count();
    let (own_pii, own_secrets) = (touched("pii"), touched("secrets"));
    let own_refused = own.iter().filter(|text| objects(&*injection, text)).count();
    let _infallible = writeln!(
        out,
        "\n## The project's own documents and sources\n\nText that nobody wrote for this: {} paragraphs when this was written. `pii` found something in {own_pii}, `secrets` in {own_secrets}, `injection` refused {own_refused}.",
        own.len()
    );
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/detection/REPORT.md");
    if std::env::var_os("POSTERN_DETECTION_REPORT").is_some() {
        std::fs::write(&place, &out).expect("written");
    }
    // The bounds below which no change may go.
    for (what, score) in personal.iter().chain(&secrets) {
        let (recall, protected, precision) = bounds(what);
        assert!(score.recall() >= recall, "{what} recall: {score:?}\n{out}");
        assert!(score.protected() >= protected, "{what} protected: {score:?}\n{out}");
        assert!(score.precision() >= precision, "{what} precision: {score:?}\n{out}");
    }
    assert!((personal_touched + secrets_touched) * 100 <= 2 * ORDINARY, "ordinary text is touched: {out}");
    assert!(caught * 100 >= attempts * 85, "attacks pass: {out}");
    assert!(by_disguise.values().all(|(all, seen)| seen * 100 >= all * 75), "a disguise works: {out}");
    assert!(
        asked * 100 <= 5 * ordinary::REQUESTS.len() && refused == 0,
        "ordinary requests are refused: {out}"
    );
    assert!(
        (own_pii + own_secrets) * 100 <= 2 * own.len() && own_refused * 100 <= own.len(),
        "own text: {out}"
    );
    let written = std::fs::read_to_string(&place).expect("the report is in the tree");
    assert!(
        written.starts_with(&tables),
        "tests/detection/REPORT.md is of another run: write it again\n{out}"
    );
}

/// Least recall, share that is protected, and precision.
fn bounds(what: &str) -> (f64, f64, f64) {
    match what {
        "passport" | "random_value" | "ssn" => (0.95, 0.95, 0.95),
        "phone" => (0.95, 0.97, 0.95),
        _ => (0.98, 0.98, 0.95),
    }
}
