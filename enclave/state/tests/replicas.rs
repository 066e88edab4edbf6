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

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use state::backend::Backend;
use state::backend::postgres::Postgres;
use state::backend::valkey::Valkey;
use state::{Change, Expect, RecordId, RootKey, StateError, Store, Table};

const STORE: [u8; 16] = [8; 16];

/// A server that ends with the test.
struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program, or a plain word that the test is skipped; in CI it must be there.
fn program(names: &[&str]) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs one of {names:?}");
        eprintln!("skipped: none of {names:?} is installed");
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// PostgreSQL refuses to run as root, so it gets another user there.
fn as_user(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
}

fn postgres() -> Option<Server> {
    let (initdb, postgres) = (program(&["initdb"])?, program(&["postgres"])?);
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let data = folder.path().join("data");
    let made = as_user(&initdb)
        .args(["-A", "trust", "-U", "postern", "--no-sync", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let port = free_port();
    let child = as_user(&postgres)
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some(Server { child, url: format!("postgres://postern@127.0.0.1:{port}/postgres"), _folder: folder })
}

fn valkey() -> Option<Server> {
    let program = program(&["valkey-server", "redis-server"])?;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let child = Command::new(program)
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            "word",
            "--dir",
        ])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Some(Server { child, url: format!("redis://:word@127.0.0.1:{port}"), _folder: folder })
}

async fn open(url: &str) -> Result<Store, StateError> {
    let backend: Arc<dyn Backend> = if url.starts_with("postgres") {
        Arc::new(Postgres::open(url, STORE).await?)
    } else {
        Arc::new(Valkey::open(url, STORE).await?)
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
    if let Some(server) = postgres() {
        share(&server.url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_one_valkey() {
    if let Some(server) = valkey() {
        share(&server.url).await;
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let port = free_port();
    for url in [format!("postgres://postern@127.0.0.1:{port}/postgres"), format!("redis://127.0.0.1:{port}")]
    {
        assert_eq!(open(&url).await.err(), Some(StateError::Unavailable));
    }
}
