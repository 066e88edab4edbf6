use std::sync::Arc;

use super::*;
use crate::store::{Change, Expect, Store};
use crate::table::RecordId;

const STORE: [u8; 16] = [4; 16];

fn root() -> RootKey {
    RootKey::new([3; 32])
}

fn open(path: &Path) -> Result<(Store, u64), StateError> {
    open_with(&root(), path)
}

fn open_with(root: &RootKey, path: &Path) -> Result<(Store, u64), StateError> {
    // the thread of a store that was just dropped may not have let go yet
    for _ in 0..100 {
        match Embedded::open(path, root, STORE) {
            Err(StateError::Locked) => std::thread::sleep(Duration::from_millis(10)),
            other => {
                let store = Store::new(Arc::new(other?), root, STORE, 1);
                let generation = store.generation().unwrap();
                return Ok((store, generation));
            }
        }
    }
    Err(StateError::Locked)
}

fn put(name: &str, value: &str) -> Change {
    Change::put(Table::Teams, RecordId::new(name).unwrap(), Expect::Any, value)
}

async fn fill(store: &Store, count: usize) {
    for number in 0..count {
        store.commit(vec![put(&format!("team-{number}"), "CANARY-VALUE")]).await.unwrap();
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_only_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (store, generation) = open(&path).unwrap();
    assert_eq!(generation, 0);
    fill(&store, 20).await;
    store
        .commit(vec![Change::delete(Table::Teams, RecordId::new("team-3").unwrap(), Expect::Any)])
        .await
        .unwrap();
    assert!(matches!(Embedded::open(&path, &root(), STORE).err(), Some(StateError::Locked)));
    drop(store);
    let (store, generation) = open(&path).unwrap();
    assert_eq!(generation, 21);
    assert_eq!(store.page(Table::Teams, None, 100).await.unwrap().len(), 19);
    drop(store);
    assert_eq!(open_with(&RootKey::new([9; 32]), &path).map(drop), Err(StateError::Key));
    let bytes = std::fs::read(&path).unwrap();
    for hidden in [b"CANARY".as_slice(), b"team-"] {
        assert!(!bytes.windows(hidden.len()).any(|part| part == hidden), "in the clear");
    }
}

#[tokio::test]
async fn those_who_wait_share_the_disk_and_the_feed_tells_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder.path().join("state.redb")).unwrap();
    let start = store.cursor().await.unwrap();
    let all: Vec<_> = (0..50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(vec![put(&format!("team-{number}"), "x")]).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    let news = store.changes(start, Duration::from_secs(1)).await.unwrap();
    assert_eq!(news.changed.len(), 50);
    assert_eq!(store.changes(news.cursor, Duration::ZERO).await.unwrap().changed.len(), 0);
    let lost = vec![
        Change::put(Table::Teams, RecordId::new("team-1").unwrap(), Expect::Version(7), "x"),
        put("y", "x"),
    ];
    assert_eq!(store.commit(lost).await, Err(StateError::Conflict { index: 0 }));
    assert!(store.get(Table::Teams, &RecordId::new("y").unwrap()).await.unwrap().is_none());
}

/// Every way in which a host edits the rows of the file, through the same library.
#[tokio::test]
async fn a_file_put_together_from_others_does_not_open() {
    type Edit = fn(&redb::WriteTransaction);
    let edits: [(&str, Edit); 5] = [
        ("nothing, the positive control", |_| {}),
        ("a row is lost", |transaction| {
            transaction.open_table(ROWS).unwrap().pop_first().unwrap();
        }),
        ("a row is older", |transaction| {
            let mut rows = transaction.open_table(ROWS).unwrap();
            let (key, (version, position, sealed)) = {
                let (key, row) = rows.first().unwrap().unwrap();
                let (version, position, sealed) = row.value();
                (*key.value(), (version, position, sealed.to_vec()))
            };
            rows.insert(&key, (version - 1, position, sealed.as_slice())).unwrap();
        }),
        ("a bit is flipped", |transaction| {
            let mut rows = transaction.open_table(ROWS).unwrap();
            let (key, (version, position, mut sealed)) = {
                let (key, row) = rows.first().unwrap().unwrap();
                let (version, position, sealed) = row.value();
                (*key.value(), (version, position, sealed.to_vec()))
            };
            sealed[20] ^= 1;
            rows.insert(&key, (version, position, sealed.as_slice())).unwrap();
        }),
        ("the head is lost", |transaction| {
            transaction.open_table(HEAD).unwrap().pop_first().unwrap();
        }),
    ];
    for (name, edit) in edits {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let (store, _) = open(&path).unwrap();
        fill(&store, 5).await;
        fill(&store, 5).await;
        drop(store);
        let database = loop {
            match Database::create(&path) {
                Ok(database) => break database,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let transaction = database.begin_write().unwrap();
        edit(&transaction);
        transaction.commit().unwrap();
        drop(database);
        let opened = open(&path).map(drop);
        if name.starts_with("nothing") {
            assert_eq!(opened, Ok(()));
        } else {
            assert_eq!(opened, Err(StateError::Damaged), "{name}");
        }
    }
}

#[tokio::test]
async fn a_cut_file_or_another_file_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (store, _) = open(&path).unwrap();
    fill(&store, 50).await;
    drop(store);
    drop(open(&path).unwrap());
    let bytes = std::fs::read(&path).unwrap();
    for length in [1, 100, 4096, bytes.len() / 2, bytes.len() - 1] {
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let opened = catch_unwind(|| open(&cut).map(drop));
        assert!(matches!(opened, Ok(Err(_))), "{length} of {} bytes: {opened:?}", bytes.len());
    }
    let other = folder.path().join("other");
    std::fs::write(&other, "not such a file, but long enough to be looked at".repeat(100)).unwrap();
    assert!(open(&other).is_err());
}
