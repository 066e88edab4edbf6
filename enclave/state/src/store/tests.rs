use super::*;
use crate::backend::memory::Tampered;

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn put(name: &str, expect: Expect, value: &str) -> Change {
    Change::put(Table::Teams, id(name), expect, value)
}

fn open(memory: &Arc<Memory>, epoch: u32) -> Store {
    let backend: Arc<dyn Backend> = Arc::clone(memory) as _;
    Store::new(backend, &RootKey::new([1; 32]), [2; 16], epoch)
}

fn fresh() -> (Arc<Memory>, Store) {
    let memory = Arc::new(Memory::default());
    let store = open(&memory, 1);
    (memory, store)
}

async fn value(store: &Store, name: &str) -> Option<String> {
    let record = store.get(Table::Teams, &id(name)).await.unwrap()?;
    Some(String::from_utf8(record.value.to_vec()).unwrap())
}

#[tokio::test]
async fn changes_happen_all_or_none() {
    let (_, store) = fresh();
    assert_eq!(store.commit(vec![put("a", Expect::Absent, "1")]).await, Ok(vec![1]));
    let both = vec![put("b", Expect::Absent, "1"), put("a", Expect::Version(9), "2")];
    assert_eq!(store.commit(both).await, Err(StateError::Conflict { index: 1 }));
    assert_eq!(value(&store, "b").await, None);
    let both = vec![put("b", Expect::Any, "1"), put("a", Expect::Version(1), "2")];
    assert_eq!(store.commit(both).await, Ok(vec![1, 2]));
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_deleted_record_counts_on() {
    let (_, store) = fresh();
    store.commit(vec![put("a", Expect::Absent, "1")]).await.unwrap();
    let delete = Change::delete(Table::Teams, id("a"), Expect::Version(1));
    assert_eq!(store.commit(vec![delete]).await, Ok(vec![2]));
    assert_eq!(value(&store, "a").await, None);
    assert_eq!(store.page(Table::Teams, None, 10).await.unwrap().len(), 0);
    assert_eq!(
        store.commit(vec![put("a", Expect::Version(1), "x")]).await,
        Err(StateError::Conflict { index: 0 })
    );
    assert_eq!(store.commit(vec![put("a", Expect::Absent, "again")]).await, Ok(vec![3]));
    assert_eq!(
        store.commit(vec![put("a", Expect::Absent, "x")]).await,
        Err(StateError::Conflict { index: 0 })
    );
}

#[tokio::test]
async fn pages_hold_everything_once_past_deletions() {
    let (_, store) = fresh();
    for number in 0..100 {
        store.commit(vec![put(&format!("team-{number}"), Expect::Absent, "x")]).await.unwrap();
    }
    for number in 0..50 {
        let delete = Change::delete(Table::Teams, id(&format!("team-{number}")), Expect::Any);
        store.commit(vec![delete]).await.unwrap();
    }
    let (mut after, mut names) = (None, Vec::new());
    loop {
        let page = store.page(Table::Teams, after.as_ref(), 7).await.unwrap();
        names.extend(page.iter().map(|record| record.id.clone()));
        after = page.last().map(|record| record.id.clone());
        if page.len() < 7 {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn another_replica_hears_of_changes() {
    let (memory, one) = fresh();
    let other = open(&memory, 1);
    let start = other.cursor().await.unwrap();
    assert_eq!(other.changes(start, Duration::from_secs(5)).await.unwrap().changed.len(), 0);
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.changes(start, Duration::from_mins(1)).await.unwrap() }
    });
    tokio::task::yield_now().await;
    one.commit(vec![put("a", Expect::Absent, "1"), put("b", Expect::Absent, "1")]).await.unwrap();
    one.commit(vec![Change::delete(Table::Teams, id("b"), Expect::Any)]).await.unwrap();
    let news = waiting.await.unwrap();
    let rest = other.changes(news.cursor, Duration::ZERO).await.unwrap();
    let all: Vec<Changed> = news.changed.into_iter().chain(rest.changed).collect();
    assert_eq!(all.last().map(|last| (last.id.clone(), last.value.is_none())), Some((id("b"), true)));
    assert_eq!(other.changes(rest.cursor, Duration::ZERO).await.unwrap().changed.len(), 0);
}

#[tokio::test]
async fn a_store_that_goes_back_is_noticed_by_who_has_seen_more() {
    let (memory, store) = fresh();
    store.commit(vec![put("a", Expect::Absent, "old")]).await.unwrap();
    let copy = memory.copy();
    store.commit(vec![put("a", Expect::Version(1), "revoked")]).await.unwrap();
    store.commit(vec![put("b", Expect::Absent, "x")]).await.unwrap();
    // positive control: nothing was touched yet
    assert_eq!(value(&store, "a").await.as_deref(), Some("revoked"));
    memory.replace_with(&copy);
    assert_eq!(store.get(Table::Teams, &id("a")).await.err(), Some(StateError::Rollback));
    assert_eq!(store.get(Table::Teams, &id("b")).await.err(), Some(StateError::Rollback));
    assert_eq!(store.page(Table::Teams, None, 10).await.err(), Some(StateError::Rollback));
    // A process that starts now cannot know. That is why a single node starts in lease mode only.
    assert_eq!(value(&open(&memory, 1), "a").await.as_deref(), Some("old"));
}

#[tokio::test]
async fn a_page_cannot_leave_out_what_was_seen() {
    let (memory, store) = fresh();
    for number in 0..20 {
        store.commit(vec![put(&format!("team-{number}"), Expect::Absent, "x")]).await.unwrap();
    }
    assert_eq!(store.page(Table::Teams, None, 30).await.unwrap().len(), 20);
    let mut first = true;
    memory.tamper(|_| if std::mem::take(&mut first) { Tampered::Removed } else { Tampered::Kept });
    assert_eq!(store.page(Table::Teams, None, 30).await.err(), Some(StateError::Rollback));
    assert_eq!(store.page(Table::Teams, None, 5).await.err(), Some(StateError::Rollback));
}

#[tokio::test]
async fn rows_that_change_places_do_not_open() {
    let (memory, store) = fresh();
    store.commit(vec![put("a", Expect::Absent, "for a"), put("b", Expect::Absent, "for b")]).await.unwrap();
    let mut sealed = Vec::new();
    memory.tamper(|row| {
        sealed.push(row.sealed.clone());
        Tampered::Kept
    });
    memory.tamper(|row| {
        row.sealed = sealed.pop().unwrap();
        Tampered::Kept
    });
    assert_eq!(store.get(Table::Teams, &id("a")).await.err(), Some(StateError::Damaged));
    assert_eq!(store.get(Table::Teams, &id("b")).await.err(), Some(StateError::Damaged));
}

#[tokio::test]
async fn a_new_epoch_takes_everything_along() {
    let (memory, store) = fresh();
    store.commit(vec![put("a", Expect::Absent, "1"), put("b", Expect::Absent, "2")]).await.unwrap();
    store.commit(vec![Change::delete(Table::Teams, id("b"), Expect::Any)]).await.unwrap();
    let second = open(&memory, 2);
    assert_eq!(second.rewrap().await, Ok(2));
    assert_eq!(second.rewrap().await, Ok(0));
    assert_eq!(value(&open(&memory, 3), "a").await.as_deref(), Some("1"));
    assert_eq!(open(&memory, 4).get(Table::Teams, &id("a")).await.err(), Some(StateError::Epoch));
}

#[tokio::test]
async fn everything_moves_to_another_store() {
    let (_, store) = fresh();
    for number in 0..300 {
        store.commit(vec![put(&format!("team-{number}"), Expect::Absent, "x")]).await.unwrap();
    }
    let target = Store::memory(&RootKey::new([5; 32]));
    assert_eq!(store.copy_to(&target).await, Ok(300));
    assert_eq!(value(&target, "team-299").await.as_deref(), Some("x"));
    assert!(matches!(store.copy_to(&target).await, Err(StateError::Conflict { .. })));
}

#[tokio::test]
async fn sizes_are_bounded() {
    let (_, store) = fresh();
    let big = Change::put(Table::Teams, id("a"), Expect::Any, vec![0; Store::MAX_VALUE + 1]);
    assert_eq!(store.commit(vec![big]).await, Err(StateError::TooLarge));
    let many = (0..=Store::MAX_CHANGES).map(|n| put(&n.to_string(), Expect::Any, "x")).collect();
    assert_eq!(store.commit(many).await, Err(StateError::TooLarge));
}
