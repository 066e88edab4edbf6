//! How long a start over many issued keys takes: the file of sealed records is read and held against its head, opened
//! record by record, and made into what requests meet.
//!
//! `KEYS=1000000 cargo bench -p postern-enclave --bench start` (100,000 without it, in 100 teams, of 10,000 users). Prints one
//! line a step, processor time first: what is read comes from a disk, whose speed is not ours.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "bench code"
)]

#[path = "measured/step.rs"]
mod step;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gateway::governance::record::{GroupRecord, KeyRecord, Owner, SecretVersion, Status};
use gateway::governance::secret::PublicId;
use gateway::governance::{Policy, ScopeKind};
use postern_enclave::governance::{Governor, table};
use serde::Serialize;
use state::backend::embedded::Embedded;
use state::{Change, Expect, RecordId, RootKey, Store, Table};
use step::Step;

const POLICY: &str = r#"{"allowed_models":["gpt-*","claude-*"],
    "budgets":[{"name":"month","unit":"nano_usd","limit":50000000000,"window":{"every":"month"}}],
    "rate_limits":[{"unit":"requests","limit":600},{"unit":"tokens","limit":1000000}]}"#;

fn main() {
    let keys = std::env::var("KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000_u64);
    // Beside the build: temporary folders may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("state.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let step = Step::begin();
    let store = open(&file);
    runtime.block_on(fill(&store, keys));
    drop(store);
    step.end("seal and write", keys);
    println!("{:>22}: {} bytes", "on the disk", std::fs::metadata(&file).unwrap().len());

    let whole = Step::begin();
    let step = Step::begin();
    let store = open(&file);
    step.end("read and check", keys);
    let step = Step::begin();
    let (governor, _) = runtime.block_on(Governor::open(store, [1; 16])).unwrap();
    step.end("unseal and load", keys);
    whole.end("start", keys);
    let last = PublicId::parse(&id(keys - 1)).unwrap();
    assert!(governor.governance().key(&last).is_some());
}

fn open(file: &Path) -> Store {
    let root = RootKey::new([6; 32]);
    Store::new(Arc::new(Embedded::open(file, &root, [2; 16]).unwrap()), &root, [2; 16], 1)
}

async fn fill(store: &Store, keys: u64) {
    let mut groups = vec![put(table(ScopeKind::Org), "acme", &group("acme", None, None))];
    for number in 0..100 {
        let id = format!("team-{number}");
        groups.push(put(table(ScopeKind::Team), &id, &group(&id, Some("acme"), None)));
    }
    for number in 0..10_000 {
        let (id, team) = (format!("user-{number}"), format!("team-{}", number % 100));
        groups.push(put(table(ScopeKind::User), &id, &group(&id, Some("acme"), Some(&team))));
    }
    let keys = (0..keys).map(|number| put(Table::VirtualKeys, &id(number), &key(number)));
    let mut changes = groups.into_iter().chain(keys).peekable();
    while changes.peek().is_some() {
        store.commit(changes.by_ref().take(Store::MAX_CHANGES).collect()).await.unwrap();
    }
}

fn put(of: Table, id: &str, record: &impl Serialize) -> Change {
    let value = serde_json::to_vec(record).unwrap();
    Change::put(of, RecordId::new(id).unwrap(), Expect::Absent, value)
}

fn policy() -> Policy {
    serde_json::from_str(POLICY).unwrap()
}

fn group(id: &str, org: Option<&str>, team: Option<&str>) -> GroupRecord {
    GroupRecord {
        id: id.to_owned(),
        name: String::new(),
        org: org.map(str::to_owned),
        team: team.map(str::to_owned),
        blocked: false,
        policy: policy(),
        created_by: "admin".to_owned(),
        created_at_ms: 1_800_000_000_000,
    }
}

fn id(number: u64) -> String {
    format!("{number:012}")
}

fn key(number: u64) -> KeyRecord {
    let mut tag = [0; 32];
    tag[..8].copy_from_slice(&number.to_be_bytes());
    KeyRecord {
        id: id(number),
        name: format!("key {number} of the bench"),
        owner: Owner {
            org: "acme".to_owned(),
            team: Some(format!("team-{}", number % 100)),
            user: Some(format!("user-{}", number % 10_000)),
        },
        created_by: "admin".to_owned(),
        created_at_ms: 1_800_000_000_000,
        expires_at_ms: None,
        status: Status::Active,
        secrets: vec![SecretVersion {
            version: 1,
            tag,
            created_at_ms: 1_800_000_000_000,
            valid_until_ms: None,
        }],
        policy: policy(),
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    }
}
