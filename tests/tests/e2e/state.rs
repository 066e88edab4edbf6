//! What outlives a process: keys, what they spent, and the log, over restarts, with the root key from a file or from the
//! operator.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use postern_tests::administrator::{Administrator, VIRTUAL_KEYS, admin_table};
use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Http1, chat, post_with};
use postern_tests::programs;
use serde_json::Value;
use tempfile::TempDir;

use super::provisioning::{Operator, ready, said};

/// Lines that keep state on this disk, in lease mode.
fn state_on(disk: &Path, root_key: &str) -> String {
    let at = disk.display();
    format!(
        "[state]\nroot_key = \"{root_key}\"\nmode = \"lease\"\nstore = \"file:{at}/state.redb\"\naudit = \"{at}/log\"\n{}",
        admin_table()
    )
}

fn setup(process: String) -> Setup {
    let drain = "limit_seconds = 2".to_owned();
    Setup { process, gateway: VIRTUAL_KEYS.to_owned(), drain, ..Setup::default() }
}

/// Asks with an issued key; the status, and the code if it was refused.
pub(super) async fn ask(enclave: &Enclave, key: &str) -> (u16, String) {
    let mut client = Http1::connect(enclave.address).await;
    let fields = format!("authorization: Bearer {key}\r\n");
    let request = post_with("/v1/chat/completions", &fields, &chat("fake", false).to_string());
    client.send(&request).await.unwrap();
    let answer = client.answer().await.unwrap();
    (answer.status, answer.code())
}

/// Ends in order.
pub(super) fn stop(mut enclave: Enclave) {
    enclave.process.terminate();
    assert!(enclave.process.wait(Duration::from_secs(30)).unwrap().success());
}

/// A thing of that name anywhere in an answer.
pub(super) fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => {
            members.get(name).or_else(|| members.values().find_map(|own| find(own, name)))
        }
        Value::Array(items) => items.iter().find_map(|own| find(own, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_what_they_spent_outlive_the_process() {
    let disk = TempDir::new().unwrap();
    std::fs::write(disk.path().join("root.key"), "a5".repeat(32)).unwrap();
    let setup = setup(state_on(disk.path(), &format!("file:{}/root.key", disk.path().display())));
    let enclave = Enclave::with(&setup);
    let admin = Administrator::of(&enclave);
    let (key, _) = admin.key_with_budget(&enclave, "requests", 5);
    for _ in 0..3 {
        assert_eq!(ask(&enclave, &key).await.0, 200);
    }
    stop(enclave);

    let enclave = Enclave::with(&setup);
    assert_eq!(find(&admin.budget(&enclave), "spent"), Some(&3.into()));
    for _ in 0..2 {
        assert_eq!(ask(&enclave, &key).await.0, 200);
    }
    let (status, code) = ask(&enclave, &key).await;
    assert!(status == 429 && code == "budget_exceeded", "{status} {code}");
    stop(enclave);

    // The claim was used up, in the store.
    let enclave = Enclave::with(&setup);
    let again = Administrator::default();
    let refused =
        again.run(&enclave, &["claim", "--code-file", &disk.path().join("root.key").display().to_string()]);
    assert!(!refused.status.success());
    assert_eq!(ask(&enclave, &key).await.1, "budget_exceeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_opens_when_its_operator_gives_the_root_key() {
    let (disk, operator) = (TempDir::new().unwrap(), Operator::new());
    let file = |name: &str| operator.folder.path().join(name);
    for name in ["root.key", "other.key"] {
        let made = Command::new(programs::path("postern"))
            .args(["provision", "new-root-key"])
            .arg(file(name))
            .output()
            .unwrap();
        assert!(made.status.success() && made.stdout.is_empty(), "{made:?}");
    }
    let (root, other) = (file("root.key"), file("other.key"));
    assert_eq!(std::fs::read_to_string(&root).unwrap().trim_end().len(), 64);
    let setup = setup(format!("{}{}", operator.lines, state_on(disk.path(), "provisioned")));
    let argument = Path::new("--root-key");

    let enclave = Enclave::with(&setup);
    enclave.process.waits_to_say(r#""event":"awaits_provisioning","secrets":0,"root_key":true"#, 1);
    assert_eq!(ready(&enclave).await, (503, "awaiting provisioning\n".to_owned()));
    assert_eq!(ask(&enclave, "any").await, (503, "not_provisioned".to_owned()));
    assert!(!disk.path().join("state.redb").exists(), "nothing is made before there is a key");
    let early = Administrator::default();
    let refused = early.run(&enclave, &["get", "keys"]);
    assert!(said(&refused).contains("not_provisioned"), "{}", said(&refused));

    let without = operator.send(&enclave, "", &[]);
    assert_eq!(without.status.code(), Some(2));
    assert!(said(&without).contains("STATE_KEY_AWAITED"), "{}", said(&without));
    let given = operator.send(&enclave, "", &[argument, &root]);
    assert!(given.status.success() && said(&given).contains("root_key       given"), "{}", said(&given));
    assert_eq!(ready(&enclave).await, (200, "ok\n".to_owned()));
    let admin = Administrator::of(&enclave);
    let (key, _) = admin.key_with_budget(&enclave, "requests", 3);
    assert_eq!(ask(&enclave, &key).await.0, 200);
    // Later messages need not bring it again, and must not bring another.
    assert!(operator.send(&enclave, "", &[]).status.success());
    assert!(operator.send(&enclave, "", &[argument, &root]).status.success());
    let another = operator.send(&enclave, "", &[argument, &other]);
    assert!(said(&another).contains("STATE_KEY_ANOTHER"), "{}", said(&another));
    stop(enclave);

    // The key is nowhere but with the operator.
    let hex = std::fs::read_to_string(&root).unwrap();
    let bytes = hex::decode(hex.trim_end()).unwrap();
    for entry in
        std::fs::read_dir(disk.path()).unwrap().chain(std::fs::read_dir(disk.path().join("log")).unwrap())
    {
        let Ok(read) = std::fs::read(entry.unwrap().path()) else { continue };
        assert!(!read.windows(32).any(|part| part == bytes), "in the clear");
    }

    let enclave = Enclave::with(&setup);
    let wrong = operator.send(&enclave, "", &[argument, &other]);
    assert!(said(&wrong).contains("STATE_KEY:"), "{}", said(&wrong));
    assert_eq!(ready(&enclave).await.0, 503, "nothing has changed");
    assert!(operator.send(&enclave, "", &[argument, &root]).status.success());
    assert_eq!(find(&admin.budget(&enclave), "spent"), Some(&1.into()));
    assert_eq!(ask(&enclave, &key).await.0, 200);
}

#[tokio::test]
async fn a_root_key_that_nobody_waits_for_is_not_sent() {
    let operator = Operator::new();
    let root = operator.folder.path().join("root.key");
    std::fs::write(&root, "a5".repeat(32)).unwrap();
    let enclave = Enclave::with(&Setup { process: operator.lines.clone(), ..Setup::default() });
    let refused = operator.send(&enclave, "", &[Path::new("--root-key"), &root]);
    assert!(said(&refused).contains("PROV_ROOT_KEY"), "{}", said(&refused));
    std::fs::write(&root, "a5".repeat(31)).unwrap();
    let refused = operator.send(&enclave, "", &[Path::new("--root-key"), &root]);
    assert!(said(&refused).contains("not 64 hex digits"), "{}", said(&refused));
    let process = "[state]\nroot_key = \"provisioned\"\n".to_owned();
    let (_, said) = Enclave::refused(&Setup { process, ..Setup::default() });
    assert!(said.contains("CONFIG_VALUE: provisioning.operator: must be set"), "{said}");
}
