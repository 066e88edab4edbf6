//! How long the life of a large audit log takes: writing it, opening it at a start, checking and searching all of it.
//!
//! `AUDIT_RECORDS=10000000 cargo bench -p postern-enclave --bench audit_log` (100,000 without it, about 50 MB). Prints one
//! line a step, processor time first: the log goes to the disk, whose speed is not ours.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "bench code"
)]

#[path = "measured/step.rs"]
mod step;

use std::path::Path;
use std::sync::Arc;

use audit::SignedCheckpoint;
use audit::entry::{Call, Event, Tokens};
use audit::filter::Filter;
use audit::log::{Auditor, Summary};
use audit::tile::{Named, entries_path};
use gateway::settle::Books;
use postern_enclave::audit_log::{AuditLog, Opened};
use ring::signature::{Ed25519KeyPair, KeyPair};
use state::RootKey;
use step::Step;

const ORIGIN: &str = "postern/00/a";
/// Records handed over at once, as the writer finds them after 50 ms at 20,000 requests a second.
const BATCH: u64 = 1000;
/// Keys that made the calls.
const KEYS: u64 = 100_000;

fn main() {
    let records =
        std::env::var("AUDIT_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000_u64);
    // Beside the build: temporary folders may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = start(folder.path());
    let step = Step::begin();
    runtime.block_on(async {
        for batch in 0..records / BATCH {
            log.record((0..BATCH).map(|place| call(batch * BATCH + place)).collect()).await.unwrap();
        }
    });
    log.stop(None);
    step.end("write", records);
    let bytes: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("{:>22}: {bytes} bytes, {} a record", "on the disk", bytes / records.max(1));

    let step = Step::begin();
    let log = start(folder.path());
    step.end("open at a start", 1);

    let step = Step::begin();
    let summary = runtime.block_on(pass(&log, |_, _, _| ()));
    step.end("read and verify", records);
    assert_eq!(summary.calls, records);

    let filter = Filter { who: Some(key(7)), ..Filter::default() };
    let mut found = 0;
    let step = Step::begin();
    runtime.block_on(pass(&log, |_, entry, _| found += u64::from(filter.matches(entry))));
    step.end("verify and search", records);
    println!("{:>22}: {found} of one key", "found");
    log.stop(None);
}

fn start(folder: &Path) -> AuditLog {
    let root = RootKey::new([6; 32]);
    let opened = Opened::open(folder, &root, ORIGIN.to_owned(), "a").unwrap();
    opened.start(&root, Arc::new(Books::default()), [1; 16], None, String::new).unwrap()
}

fn key(number: u64) -> String {
    format!("key-{:06}", number % KEYS)
}

/// A call as an ordinary one is written down.
fn call(number: u64) -> Event {
    Event::Call(Box::new(Call {
        request_id: format!("{number:032x}"),
        started_unix_ms: 1_800_000_000_000 + number,
        key: key(number),
        key_version: Some(1),
        team: Some("search".to_owned()),
        organisation: Some("acme".to_owned()),
        operation: "chat".to_owned(),
        wire: "openai_chat".to_owned(),
        model: Some("smart".to_owned()),
        deployment: Some("smart-eu".to_owned()),
        provider: Some("openai".to_owned()),
        exposure: Some("contract_zdr".to_owned()),
        attempts: 1,
        outcome: "complete".to_owned(),
        finish_reason: Some("stop".to_owned()),
        prompt_hmac: Some("ab".repeat(32)),
        response_hmac: Some("cd".repeat(32)),
        tokens: Some(Tokens { input: 1000, output: 200, ..Tokens::default() }),
        cost_nano_usd: Some(4_500_000),
        charged_nano_usd: Some(4_500_000),
        request_bytes: 4000,
        answer_bytes: 900,
        first_content_us: Some(310_000),
        duration_us: 1_900_000,
        config: "ef".repeat(48),
        ..Call::default()
    }))
}

/// What an auditor does with the whole log, reading it from the enclave that wrote it.
async fn pass(log: &AuditLog, mut show: impl FnMut(u64, &audit::entry::Entry, &[u8])) -> Summary {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let checkpoint = log.checkpoint();
    let signature = pair.sign(checkpoint.text().as_bytes());
    let note = checkpoint.with_signature(&public, signature.as_ref().try_into().unwrap());
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    let mut auditor = Auditor::new(&signed, &public, ORIGIN, Vec::new()).unwrap();
    while let Some((index, width)) = auditor.wants() {
        let named = Named::parse(&entries_path(index, width)).unwrap();
        auditor.bundle(&log.read(named).await.unwrap().unwrap(), &mut show).unwrap();
    }
    auditor.finish().unwrap()
}
