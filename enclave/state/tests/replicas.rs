//! Two replicas over one PostgreSQL, and over one Valkey: servers from the system's packages, started here on loopback.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test starts servers and fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use state::backend::postgres::{self, Postgres};
use state::backend::reach::{Reach, Stream};
use state::backend::valkey::{self, Valkey};
use state::backend::{Backend, Pending};
use state::{Change, Expect, RecordId, RootKey, StateError, Store, Table};
use tokio::net::TcpStream;

const STORE: [u8; 16] = [8; 16];

/// The servers that all tests of the workspace start.
#[path = "../../../tests/src/keepers.rs"]
#[allow(dead_code, unreachable_pub, reason = "tests elsewhere want servers with TLS")]
mod keepers;

/// Straight to the server, as only a test goes.
struct Direct;

impl Reach for Direct {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await.map_err(|_| StateError::Unavailable)?;
            Ok::<Box<dyn Stream>, _>(Box::new(stream))
        })
    }

    fn secure<'a>(&'a self, _: &'a str, _: Box<dyn Stream>) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(std::future::ready(Err(StateError::Tls)))
    }
}

async fn open(url: &str) -> Result<Store, StateError> {
    let backend: Arc<dyn Backend> = if url.starts_with("postgres") {
        Arc::new(Postgres::open(postgres::Server::parse(url).unwrap(), Arc::new(Direct), STORE).await?)
    } else {
        Arc::new(Valkey::open(valkey::Server::parse(url).unwrap(), Arc::new(Direct), STORE).await?)
    };
    Ok(Store::new(backend, &RootKey::new([1; 32]), STORE, 1))
}

async fn ready(url: &str) -> Store {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match open(url).await {
            Ok(store) => return store,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn put(name: &str, expect: Expect, value: &str) -> Change {
    Change::put(Table::VirtualKeys, id(name), expect, value)
}

/// What every shared keeper must do for two replicas.
async fn share(url: &str) {
    let (one, other) = (ready(url).await, ready(url).await);
    let start = other.cursor().await.unwrap();
    let hearing = tokio::spawn({
        let other = other.clone();
        async move { (other.changes(start, Duration::from_secs(20)).await.unwrap(), Instant::now()) }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.commit(vec![put("key-1", Expect::Absent, "active"), put("key-2", Expect::Absent, "active")])
        .await
        .unwrap();
    let committed = Instant::now();
    let (news, heard) = hearing.await.unwrap();
    assert_eq!(news.changed.len(), 2);
    assert!(heard.saturating_duration_since(committed) < Duration::from_secs(1), "later than a second");

    // all or none, and the loser learns which
    assert_eq!(other.commit(vec![put("key-1", Expect::Version(1), "revoked")]).await, Ok(vec![2]));
    let late = vec![put("key-3", Expect::Absent, "x"), put("key-1", Expect::Version(1), "active again")];
    assert_eq!(one.commit(late).await, Err(StateError::Conflict { index: 1 }));
    assert!(one.get(Table::VirtualKeys, &id("key-3")).await.unwrap().is_none());
    assert_eq!(one.get(Table::VirtualKeys, &id("key-1")).await.unwrap().unwrap().value[..], b"revoked"[..]);

    // both count on one record at once, and no change is lost
    one.commit(vec![put("count", Expect::Absent, "0")]).await.unwrap();
    let all: Vec<_> = [&one, &other]
        .into_iter()
        .map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    loop {
                        let now = store.get(Table::VirtualKeys, &id("count")).await.unwrap().unwrap();
                        let count: u32 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
                        let next = (count + 1).to_string();
                        match store.commit(vec![put("count", Expect::Version(now.version), &next)]).await {
                            Ok(_) => break,
                            Err(StateError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(one.get(Table::VirtualKeys, &id("count")).await.unwrap().unwrap().value[..], b"50"[..]);

    // deleted, with pages and the feed agreeing
    one.commit(vec![Change::delete(Table::VirtualKeys, id("key-2"), Expect::Any)]).await.unwrap();
    let mut names: Vec<RecordId> =
        other.page(Table::VirtualKeys, None, 10).await.unwrap().into_iter().map(|record| record.id).collect();
    names.sort();
    assert_eq!(names, [id("count"), id("key-1")]);
    let rest = other.changes(news.cursor, Duration::ZERO).await.unwrap();
    let last = rest.changed.last().unwrap();
    assert_eq!((last.id.clone(), last.value.is_none()), (id("key-2"), true));

    // a third replica that starts now reads everything, in pages
    let many: Vec<Change> =
        (0..500).map(|number| put(&format!("more-{number}"), Expect::Absent, "x")).collect();
    one.commit(many).await.unwrap();
    let third = ready(url).await;
    let (mut after, mut count) = (None, 0);
    loop {
        let page = third.page(Table::VirtualKeys, after.as_ref(), 64).await.unwrap();
        count += page.len();
        after = page.last().map(|record| record.id.clone());
        if page.len() < 64 {
            break;
        }
    }
    assert_eq!(count, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_one_postgresql() {
    if let Some(server) = keepers::postgres(None) {
        share(&server.url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_one_valkey() {
    if let Some(server) = keepers::valkey(None) {
        share(&server.url).await;
    }
}

/// ST-03: whatever an id or a value looks like to a server's language, it is bytes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_03_ids_and_values_are_never_read_as_commands() {
    let servers = [keepers::postgres(None), keepers::valkey(None)];
    for server in servers.iter().flatten() {
        let store = ready(&server.url).await;
        store.commit(vec![put("bystander", Expect::Absent, "untouched")]).await.unwrap();
        let looks: BTreeSet<Vec<u8>> = [
            "'; DROP TABLE rows; --",
            "' OR '1'='1",
            "%",
            "_",
            "\\",
            "$1",
            "*",
            "[a-z]*",
            "\r\nFLUSHALL\r\n",
            "*3\r\n$3\r\nDEL\r\n$1\r\n*\r\n",
            "\0",
            "\u{202e}",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain((0..64).map(|seed| (0..=seed).map(|at: u8| at.wrapping_mul(197) ^ seed).collect()))
        .collect();
        for look in &looks {
            let id = RecordId::new(look).unwrap();
            let change = Change::put(Table::VirtualKeys, id.clone(), Expect::Absent, look.clone());
            assert_eq!(store.commit(vec![change]).await, Ok(vec![1]), "{look:?}");
            let found = store.get(Table::VirtualKeys, &id).await.unwrap().unwrap();
            assert!(found.id == id && found.value[..] == look[..], "{look:?}");
            // As where a page begins, too.
            store.page(Table::VirtualKeys, Some(&id), 5).await.unwrap();
        }
        let all = ready(&server.url).await.page(Table::VirtualKeys, None, 500).await.unwrap();
        assert_eq!(all.len(), looks.len() + 1);
        let bystander = store.get(Table::VirtualKeys, &id("bystander")).await.unwrap().unwrap();
        assert_eq!((bystander.version, &bystander.value[..]), (1, &b"untouched"[..]));
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let port = keepers::free_port();
    for url in [format!("postgres://postern@127.0.0.1:{port}/postgres"), format!("redis://127.0.0.1:{port}")]
    {
        assert_eq!(open(&url).await.err(), Some(StateError::Unavailable));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() {
    let Some(server) = keepers::postgres(None) else { return };
    ready(&server.url).await;
    let secured = format!("{}?sslmode=verify-full", server.url);
    assert_eq!(open(&secured).await.err(), Some(StateError::Tls));
}
