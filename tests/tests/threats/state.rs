//! The host and the disk: real enclaves over one folder, which the host copies, puts back, forks and edits between their
//! lives.

use std::path::Path;
use std::time::Duration;

use attestation::Measurement;
use attestation::enclave_claims::StateHead;
use http_body_util::BodyExt;
use postern_client::policy_file;
use postern_client::provisioning::{OperatorKey, Package, provision};
use postern_client::state_file::StateFile;
use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::Http1;
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;
use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

fn setup(disk: &Path) -> Setup {
    let at = disk.display();
    let state = format!(
        "[state]\nroot_key = \"file:{at}/root.key\"\nmode = \"lease\"\nstore = \"file:{at}/kept/state.redb\"\naudit = \"{at}/kept/log\"\n"
    );
    Setup { process: state, drain: "limit_seconds = 2".to_owned(), ..Setup::default() }
}

fn disk() -> TempDir {
    let disk = TempDir::new().unwrap();
    std::fs::write(disk.path().join("root.key"), "a5".repeat(32)).unwrap();
    std::fs::create_dir(disk.path().join("kept")).unwrap();
    disk
}

/// One life of an enclave over this disk: some requests, then a verification by a client with this memory; ends in order.
async fn live(disk: &Path, requests: usize, memory: &Path) -> Result<StateHead, String> {
    let mut enclave = Enclave::with(&setup(disk));
    let asking = policies::verifier(enclave.address, policies::of(&enclave));
    for _ in 0..requests {
        let mut channel = asking.connect().await.unwrap();
        let body =
            json!({ "model": "builtin", "messages": [{ "role": "user", "content": "CANARY-IN-A-PROMPT" }] });
        let answer = channel.send(super::request("/v1/chat/completions", &body)).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let verifier = policies::verifier(enclave.address, policies::of(&enclave));
    let seen = verifier.with_state(StateFile::at(memory)).connect().await;
    let seen = seen.map(|channel| channel.verified().claims().state_head.clone().unwrap());
    enclave.process.terminate();
    assert!(enclave.process.wait(Duration::from_secs(30)).unwrap().success());
    seen.map_err(|error| error.code().to_owned())
}

/// Replaces `to` by a copy of `from`.
fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir_all(to.join("log")).unwrap();
    std::fs::copy(from.join("state.redb"), to.join("state.redb")).unwrap();
    for file in std::fs::read_dir(from.join("log")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("log").join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_35_a_disk_that_was_put_back_is_shown_to_those_who_saw_more() {
    let disk = disk();
    let (kept, memory) = (disk.path().join("kept"), disk.path().join("remembered.json"));
    let first = live(disk.path(), 2, &memory).await.unwrap();
    assert_eq!(first.tree_size, 3, "an opening and two calls");
    copy(&kept, &disk.path().join("old"));
    // the control: going on is no rollback
    let second = live(disk.path(), 2, &memory).await.unwrap();
    assert_eq!(second.tree_size, 7);
    copy(&disk.path().join("old"), &kept);
    assert_eq!(live(disk.path(), 0, &memory).await, Err("STATE_FORK".to_owned()));
    // nothing but ciphertext was written
    for file in std::fs::read_dir(kept.join("log")).unwrap().chain(std::fs::read_dir(&kept).unwrap()) {
        let Ok(bytes) = std::fs::read(file.unwrap().path()) else { continue };
        for hidden in [b"CANARY".as_slice(), b"builtin", b"request_id"] {
            assert!(!bytes.windows(hidden.len()).any(|part| part == hidden));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_two_continuations_of_one_disk_are_a_fork() {
    let disk = disk();
    let (kept, memory) = (disk.path().join("kept"), disk.path().join("remembered.json"));
    live(disk.path(), 1, &memory).await.unwrap();
    copy(&kept, &disk.path().join("fork"));
    live(disk.path(), 1, &memory).await.unwrap();
    copy(&disk.path().join("fork"), &kept);
    // as many entries, and others
    assert_eq!(live(disk.path(), 1, &memory).await, Err("STATE_FORK".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_37_an_edited_disk_stops_the_start() {
    let disk = disk();
    let (kept, memory) = (disk.path().join("kept"), disk.path().join("remembered.json"));
    live(disk.path(), 1, &memory).await.unwrap();
    copy(&kept, &disk.path().join("good"));
    // the control: it starts as it is
    live(disk.path(), 0, &memory).await.unwrap();

    copy(&disk.path().join("good"), &kept);
    std::fs::write(disk.path().join("root.key"), "a6".repeat(32)).unwrap();
    let (status, said) = Enclave::refused(&setup(disk.path()));
    assert!(!status.success() && said.contains("STATE_KEY"), "{said}");
    std::fs::write(disk.path().join("root.key"), "a5".repeat(32)).unwrap();

    let log = kept.join("log/00000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let (status, said) = Enclave::refused(&setup(disk.path()));
    assert!(!status.success() && said.contains("STATE_DAMAGED"), "{said}");

    // The file of records: a bit within what it holds, and its end.
    let records = std::fs::read(disk.path().join("good/state.redb")).unwrap();
    let (mut started, mut found) = (0, 0);
    for part in 0..12 {
        copy(&disk.path().join("good"), &kept);
        let mut bytes = records.clone();
        let at = bytes.len() / 12 * part + 16;
        bytes[at] ^= 1;
        std::fs::write(kept.join("state.redb"), bytes).unwrap();
        // Most of the file is room for more: a bit that nobody reads stops nobody.
        match Enclave::tried(&setup(disk.path())) {
            Ok(()) => started += 1,
            Err((status, said)) => {
                found += 1;
                assert!(!status.success() && said.contains("STATE_"), "{said}");
            }
        }
    }
    assert!(found > 0, "{started} of 12 files with a changed bit were taken");
    copy(&disk.path().join("good"), &kept);
    std::fs::write(kept.join("state.redb"), &records[..records.len() / 2]).unwrap();
    let (status, said) = Enclave::refused(&setup(disk.path()));
    assert!(!status.success() && said.contains("STATE_"), "{said}");

    copy(&disk.path().join("good"), &kept);
    std::fs::remove_file(kept.join("state.redb")).unwrap();
    let (status, said) = Enclave::refused(&setup(disk.path()));
    assert!(!status.success() && said.contains("STATE_ROLLBACK"), "{said}");

    let strict = Setup { process: setup(disk.path()).process.replace("lease", "strict"), ..Setup::default() };
    let (status, said) = Enclave::refused(&strict);
    assert!(!status.success() && said.contains("STATE_ROLLBACK_UNPROVABLE"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_44_an_upgrade_asks_for_the_root_key_and_gets_none() {
    let (disk, operator) = (TempDir::new().unwrap(), OperatorKey::generate().unwrap());
    let at = disk.path().display();
    let process = format!(
        "[provisioning]\noperator = \"{}\"\n[state]\nroot_key = \"provisioned\"\nmode = \"lease\"\nstore = \"file:{at}/state.redb\"\n",
        operator.public()
    );
    let setup = Setup { process, ..Setup::default() };
    let package = |number| Package { root_key: Some(Zeroizing::new([7; 32])), number, ..Package::default() };
    let ready = async |enclave: &Enclave| Http1::connect(enclave.address).await.get("/readyz").await.status;

    // The control: the release that the operator's policy names gets the key and opens what is kept.
    let enclave = Enclave::with(&setup);
    let policy = policies::of(&enclave);
    let verifier = policies::provisioning_verifier(enclave.address, policy);
    provision(&verifier, &operator, &package(1)).await.unwrap();
    assert_eq!(ready(&enclave).await, 200);
    drop(enclave);

    // The host starts another image over the same disk, on the same kind of processor: all genuine but what runs there.
    let folder = TempDir::new().unwrap();
    let other = simtee::measure(&[b"an upgrade that nobody has approved".as_slice()]);
    let processor = SecurityProcessor::start_with(folder.path(), |spec| spec.report.measurement = other);
    let upgrade = Enclave::on(processor, &setup, folder);
    let verifier = policies::provisioning_verifier(upgrade.address, policies::of(&upgrade));
    let refused = provision(&verifier, &operator, &package(2)).await.unwrap_err();
    assert_eq!(refused.code(), "ATT_MEASUREMENT");
    assert_eq!(ready(&upgrade).await, 503, "what is kept stays closed to it");

    // The control of that: an operator who names the new measurement opens it.
    let mut template = policies::template(&upgrade.processor, upgrade.folder());
    template.measurements.push(Measurement::try_from(other.as_slice()).unwrap());
    let approved = policy_file::parse(&template.render(), upgrade.folder()).unwrap();
    let verifier = policies::provisioning_verifier(upgrade.address, approved);
    provision(&verifier, &operator, &package(3)).await.unwrap();
    assert_eq!(ready(&upgrade).await, 200);
}
