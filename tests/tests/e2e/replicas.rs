//! Two active replicas over one store that neither trusts, reached through the host alone: `PostgreSQL` and Valkey, real
//! ones, with TLS and without.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postern_tests::administrator::{Administrator, VIRTUAL_KEYS, admin_table};
use postern_tests::enclave::{Enclave, Setup};
use postern_tests::keepers::{self, Certificate, Server};
use postern_tests::policies;
use tempfile::TempDir;

use super::provisioning::{Operator, ready, said};
use super::state::{ask, find, stop};

/// A deployment: one store, one root key, a folder for the logs.
struct Deployment {
    folder: TempDir,
    server: Server,
    store: String,
}

impl Deployment {
    fn over(server: Server) -> Self {
        // The name is known to the host alone.
        let store = server.url.replace(&server.address.to_string(), "store.internal:7777");
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("root.key"), "a5".repeat(32)).unwrap();
        Self { folder, server, store }
    }

    fn setup(&self, replica: &str) -> Setup {
        let (at, store) = (self.folder.path().display(), &self.store);
        let process = format!(
            "[state]\nroot_key = \"file:{at}/root.key\"\nmode = \"lease\"\nstore = \"{store}\"\nreplica = \"{replica}\"\naudit = \"{at}/log-{replica}\"\n{}",
            admin_table()
        );
        let (led_to, drain) = (Some(self.server.address), "limit_seconds = 2".to_owned());
        Setup { process, gateway: VIRTUAL_KEYS.to_owned(), led_to, drain, ..Setup::default() }
    }

    /// A replica, as soon as the server takes connections.
    fn replica(&self, name: &str) -> Enclave {
        self.wait_for_server();
        Enclave::with(&self.setup(name))
    }

    fn wait_for_server(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(self.server.address).is_err() {
            assert!(Instant::now() < end, "the server never came");
            std::thread::sleep(Duration::from_millis(50));
        }
        // It listens a little before it answers.
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Whose log its evidence names, and how long that is.
async fn log_of(enclave: &Enclave) -> (String, u64) {
    let verifier = policies::verifier(enclave.address, policies::of(enclave));
    let channel = verifier.connect().await.unwrap();
    let claims = channel.verified().claims();
    (claims.log.clone().unwrap(), claims.state_head.clone().unwrap().tree_size)
}

/// Asks until there is this status: how long that took.
async fn until(enclave: &Enclave, key: &str, status: u16) -> Duration {
    let began = Instant::now();
    while ask(enclave, key).await.0 != status {
        assert!(began.elapsed() < Duration::from_secs(20), "{status} never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

/// Spends a budget of requests from here until nothing has been left for a while; how many went through.
async fn spend(enclave: &Enclave, key: &str, done: &AtomicUsize) {
    let mut refused_since = Instant::now();
    while refused_since.elapsed() < Duration::from_secs(3) {
        let Some(status) = try_ask(enclave, key).await else { return };
        if status == 200 {
            done.fetch_add(1, Ordering::SeqCst);
            refused_since = Instant::now();
        } else {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// The status; nothing if the replica is gone.
async fn try_ask(enclave: &Enclave, key: &str) -> Option<u16> {
    let asking = async {
        use postern_tests::http1::{Http1, chat, post_with};
        use postern_tests::tls::{self, Offer};
        let stream = tls::connect(enclave.address, Offer::http1().config()).await.ok()?;
        let mut client = Http1::new(stream);
        let fields = format!("authorization: Bearer {key}\r\n");
        let body = chat("fake", false).to_string();
        client.send(&post_with("/v1/chat/completions", &fields, &body)).await.ok()?;
        client.answer().await.filter(|answer| answer.complete).map(|answer| answer.status)
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.ok().flatten()
}

const LIMIT: u64 = 160;
/// What a replica leases at a time.
const SLICE: usize = 10;

async fn two_replicas_share(deployment: Deployment) {
    let (a, b) = (deployment.replica("a"), deployment.replica("b"));
    assert_eq!((log_of(&a).await.0, log_of(&b).await.0), ("a".to_owned(), "b".to_owned()));
    let admin = Administrator::of(&a);
    let (key, _) = admin.key_with_budget(&a, "requests", LIMIT);
    let (to_revoke, id) = admin.key(&a);
    let heard = until(&b, &to_revoke, 200).await;
    assert!(heard < Duration::from_secs(1), "a new key after {heard:?}");
    admin.asks(&a, &["revoke", &id]);
    let heard = until(&b, &to_revoke, 401).await;
    assert!(heard < Duration::from_secs(1), "a revocation after {heard:?}");
    assert_eq!(ask(&a, &to_revoke).await.0, 401);

    // Both spend from one budget; one is killed in the middle of it.
    let (_, before) = log_of(&a).await;
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..12 {
        assert_eq!(ask(&a, &key).await.0, 200);
        done.fetch_add(1, Ordering::SeqCst);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (a, b) = (Arc::new(a), Arc::new(b));
    let spending = |enclave: &Arc<Enclave>| {
        let (enclave, key, done) = (Arc::clone(enclave), key.clone(), Arc::clone(&done));
        tokio::spawn(async move { spend(&enclave, &key, &done).await })
    };
    let (on_a, on_b) = (spending(&a), spending(&b));
    while done.load(Ordering::SeqCst) < 40 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let killed = Command::new("kill").args(["-KILL", &a.process.id().to_string()]).status().unwrap();
    assert!(killed.success());
    on_a.await.unwrap();
    drop(a);

    // It comes back and goes on with the same budget and the same log.
    let again = Arc::new(deployment.replica("a"));
    let (log, size) = log_of(&again).await;
    assert!(
        log == "a" && size > before + 12,
        "what was written down 300 ms before is there: {size}, {before}"
    );
    spending(&again).await.unwrap();
    on_b.await.unwrap();
    // One of the calls with the revoked key counted as well.
    let spent = done.load(Ordering::SeqCst) + 1;
    let limit = usize::try_from(LIMIT).unwrap();
    assert!(spent <= limit, "{spent} of {limit}: overspent");
    assert!(spent + SLICE + 8 >= limit, "{spent} of {limit}: more lost than a slice and what was in flight");
    let told = find(&admin.budget(&b), "spent").and_then(serde_json::Value::as_u64).unwrap();
    assert!(told >= u64::try_from(spent).unwrap().saturating_sub(LIMIT / 16), "{told} told, {spent} spent");
    for enclave in [again, b] {
        stop(Arc::into_inner(enclave).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_keys_and_budgets_over_postgresql() {
    if let Some(server) = keepers::postgres(None) {
        two_replicas_share(Deployment::over(server)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_keys_and_budgets_over_valkey() {
    if let Some(server) = keepers::valkey(None) {
        two_replicas_share(Deployment::over(server)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_back_or_mixes_rows_is_noticed() {
    let Some(server) = keepers::postgres(None) else { return };
    let deployment = Deployment::over(server);
    let enclave = deployment.replica("a");
    let admin = Administrator::of(&enclave);
    let (key, id) = admin.key_with_budget(&enclave, "requests", 1000);
    let sql = |statement: &str| deployment.server.run_sql(statement);
    sql("CREATE TABLE kept AS SELECT * FROM postern_rows");
    admin.asks(&enclave, &["block", &id]);
    until(&enclave, &key, 401).await;

    // The control: going on is no rollback.
    let path = format!("keys/{id}");
    assert_eq!(find(&admin.asks(&enclave, &["get", &path]), "status"), Some(&"blocked".into()));
    sql("TRUNCATE postern_rows; INSERT INTO postern_rows SELECT * FROM kept");
    let refused = admin.run(&enclave, &["get", &path]);
    assert!(said(&refused).contains("STATE_ROLLBACK"), "{}", said(&refused));
    assert_eq!(ask(&enclave, &key).await.0, 401, "the key that was good then does not become good again");
    drop(enclave);

    // A new process has seen nothing; but rows that changed places do not open.
    sql("UPDATE postern_rows AS one SET sealed = other.sealed FROM postern_rows AS other
         WHERE one.tbl = 6 AND other.tbl = 3");
    let (status, refused) = Enclave::refused_by(&deployment.setup("b"));
    assert!(!status.success() && refused.contains("STATE_DAMAGED"), "{refused}");
}

/// An authority, and a certificate of it for the store's name.
fn authority() -> (String, Certificate) {
    let (key, authority_key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let own = rcgen::CertificateParams::new(vec!["store.internal".to_owned()]).unwrap();
    let signed = own.signed_by(&key, &rcgen::Issuer::from_params(&authority, &authority_key)).unwrap();
    (root, Certificate { certificate: signed.pem(), key: key.serialize_pem() })
}

/// With TLS to a store whose password the operator gives; and with certificates of others, not at all.
async fn with_tls(server: Server, root: &str, store: &str) {
    let (deployment, operator) = (Deployment::over(server), Operator::new());
    deployment.wait_for_server();
    let roots = deployment.folder.path().join("roots.pem");
    let plain = deployment.setup("a");
    let process = plain.process.replace(
        &format!("store = \"{}\"", deployment.store),
        &format!("store = \"{store}\"\nserver_roots = \"{}\"\npassword = \"sealed:store\"", roots.display()),
    );
    assert_ne!(process, plain.process);
    let setup = Setup { process: format!("{}{process}", operator.lines), ..plain };

    std::fs::write(&roots, authority().0).unwrap();
    let enclave = Enclave::with(&setup);
    let foreign = operator.send(&enclave, "store = \"word\"", &[]);
    assert!(said(&foreign).contains("STATE_TLS"), "{}", said(&foreign));
    std::fs::write(&roots, root).unwrap();
    let without = operator.send(&enclave, "other = \"word\"", &[]);
    assert!(said(&without).contains("PROV_MISSING"), "{}", said(&without));
    let given = operator.send(&enclave, "store = \"word\"", &[]);
    assert!(given.status.success(), "{}", said(&given));
    assert_eq!(ready(&enclave).await.0, 200);
    let admin = Administrator::of(&enclave);
    let (key, _) = admin.key_with_budget(&enclave, "requests", 10);
    assert_eq!(ask(&enclave, &key).await.0, 200);
    stop(enclave);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_reached_in_tls_with_a_password_that_the_host_never_sees() {
    let (root, certificate) = authority();
    if let Some(server) = keepers::postgres(Some(&certificate)) {
        let store = "postgres://postern@store.internal:7777/postgres?sslmode=verify-full";
        with_tls(server, &root, store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_is_reached_in_tls_with_a_password_that_the_host_never_sees() {
    let (root, certificate) = authority();
    if let Some(server) = keepers::valkey(Some(&certificate)) {
        with_tls(server, &root, "rediss://store.internal:7777").await;
    }
}

#[tokio::test]
async fn servers_are_reached_through_the_host_or_not_at_all() {
    let Some(server) = keepers::valkey(None) else { return };
    let deployment = Deployment::over(server);
    deployment.wait_for_server();
    // The control: led there by the host, it starts.
    stop(deployment.replica("a"));
    // Where the server can be dialled and the host does not allow it, it is not dialled.
    let mut setup = deployment.setup("b");
    setup.led_to = None;
    setup.process = setup.process.replace("store.internal:7777", &deployment.server.address.to_string());
    let (_, refused) = Enclave::refused_by(&setup);
    assert!(refused.contains("STATE_UNAVAILABLE"), "{refused}");
    let wrong = Setup { process: setup.process.replace("redis:", "postgres:"), ..setup };
    let (_, refused) = Enclave::refused_by(&wrong);
    assert!(refused.contains("CONFIG_VALUE: state.store: expected"), "{refused}");
}
