//! What an operator has given once outlives the process, sealed to exactly the enclave that he gave it to.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use postern_tests::canary::{Canaries, total};
use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::security_processor::{self, SecurityProcessor};
use postern_tests::{memory, programs, stack};
use tempfile::TempDir;

use super::provisioning::{Operator, ready, said};

/// An enclave on a machine with a disk, over which its host can start others.
struct Machine {
    operator: Operator,
    disk: TempDir,
    enclave: Enclave,
}

/// The machine's chip.
const CHIP: [u8; 64] = [0xc1; 64];

impl Machine {
    fn new() -> Self {
        let (operator, disk, folder) = (Operator::new(), TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut processor = SecurityProcessor::start_with(disk.path(), |spec| spec.set_hardware_id(&CHIP));
        // What the configuration names leads to whichever processor the host likes.
        let link = disk.path().join("processor");
        symlink(&processor.socket, &link).unwrap();
        processor.socket = link;
        let setup = setup(&operator, disk.path(), "chip");
        let enclave = Enclave::on(processor, &setup, folder);
        Self { operator, disk, enclave }
    }

    fn records(&self) -> PathBuf {
        self.disk.path().join("state.redb")
    }

    fn gives(&self, secret: &str, more: &[&Path]) {
        let given = self.operator.send(&self.enclave, &format!("vendor = \"{secret}\""), more);
        assert!(given.status.success(), "{}", said(&given));
        assert!(said(&given).contains("kept           sealed in the enclave's state"), "{}", said(&given));
    }

    /// From the next start on, the machine has this chip and runs code with this measurement.
    fn becomes(&self, chip: [u8; 64], measurement: [u8; 48]) {
        let other = SecurityProcessor::start_with(self.disk.path(), |spec| {
            spec.set_hardware_id(&chip);
            spec.report.measurement = measurement;
        });
        let link = self.disk.path().join("processor");
        std::fs::remove_file(&link).unwrap();
        symlink(other.socket, link).unwrap();
    }

    /// Asks for a model behind the operator's account, and returns with what the account was shown.
    async fn serves_with(&self, secret: &str, model: &str) {
        assert_eq!(ready(&self.enclave).await, (200, "ok\n".to_owned()));
        let mut client = Http1::connect(self.enclave.address).await;
        let answer = client.post("/v1/chat/completions", &chat(model, false)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let bearer = format!("Bearer {secret}");
        assert_eq!(self.enclave.upstream.last().header("authorization"), Some(bearer.as_str()));
    }

    /// It has started, and has not what it takes to serve.
    async fn waits(&self, reason: &str) {
        self.enclave.process.waits_to_say(&format!(r#""event":"kept_refused","reason":"{reason}""#), 1);
        self.enclave.process.waits_to_say(r#""event":"awaits_provisioning","secrets":1"#, 1);
        assert_eq!(ready(&self.enclave).await, (503, "awaiting provisioning\n".to_owned()));
    }
}

fn setup(operator: &Operator, disk: &Path, root_key: &str) -> Setup {
    let at = disk.display();
    let process = format!(
        "{}keep = \"sealed\"\n[state]\nroot_key = \"{root_key}\"\nmode = \"lease\"\nstore = \"file:{at}/state.redb\"\naudit = \"{at}/log\"\n",
        operator.lines
    );
    Setup { process, ..operator.setup() }
}

/// Every byte of every file below.
fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut read = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read.extend(bytes_below(&path));
        } else if path.is_file() {
            read.extend(std::fs::read(path).unwrap());
        }
    }
    read
}

#[tokio::test]
async fn an_enclave_starts_without_the_operator_who_gave_its_secrets_once() {
    let mut machine = Machine::new();
    let host = stack::host(&machine.enclave);
    let canaries = Canaries::new();
    let secret = canaries.plant("kept secrets", "secret");
    let text = format!("vendor = \"{secret}\"");
    let given = machine.operator.send_by(host.said("ingress"), &machine.enclave, &text, &[]);
    assert!(given.status.success(), "{}", said(&given));
    machine.serves_with(&secret, "paid").await;

    for life in 1..3 {
        machine.enclave.restart();
        machine.enclave.process.waits_to_say(r#""event":"provisioned_from_state","secrets":1"#, 1);
        assert!(!machine.enclave.process.stderr().contains("awaits_provisioning"), "life {life}");
        machine.serves_with(&secret, "paid").await;
    }

    // Nothing that the host or the machine's other users can read has it; the search itself is shown to work first.
    assert_eq!(total(&canaries.search(secret.as_bytes())), 1);
    let mut read = bytes_below(machine.disk.path());
    assert!(read.len() > 10_000, "records and a log");
    read.extend(bytes_below(machine.enclave.folder()));
    read.extend(bytes_below(machine.operator.folder.path()));
    for file in ["environ", "cmdline"] {
        read.extend(std::fs::read(format!("/proc/{}/{file}", machine.enclave.process.id())).unwrap());
    }
    read.extend(machine.enclave.process.stderr().into_bytes());
    read.extend(host.stderr().into_bytes());
    read.extend(said(&given).into_bytes());
    assert_eq!(total(&canaries.search(&read)), 0);
    match memory::scan(host.id(), &canaries) {
        Ok(scan) => assert!(scan.bytes > 0 && total(&scan.hits) == 0, "{:?}", scan.hits),
        Err(_) => eprintln!("the host's memory was not searched: that takes root"),
    }

    // A later message replaces what is kept, and an old number is still an old number.
    machine.gives("sk-2", &[]);
    machine.enclave.restart();
    machine.serves_with("sk-2", "paid").await;
}

#[tokio::test]
async fn what_is_kept_opens_for_the_same_enclave_and_for_no_other() {
    let mut machine = Machine::new();
    machine.gives("sk-1", &[]);
    let (file, measurement) = (machine.enclave.config_file(), security_processor::measurement());
    let text = std::fs::read_to_string(&file).unwrap();

    // Who is admitted does not show to clients: the host writes in a key of its own.
    let own_key = format!(
        "[[gateway.admission.keys]]\nid = \"host\"\nsha256 = \"{}\"\nmodels = [\"*\"]\n",
        "ab".repeat(32)
    );
    let at = text.find("[[gateway.admission.keys]]").unwrap();
    let admitted = format!("{}{own_key}{}", &text[..at], &text[at..]);
    let elsewhere =
        text.replace("credential = \"sealed:vendor\"", "credential = \"sealed:vendor\"\nregion = \"x\"");
    for changed in [admitted, elsewhere] {
        assert_ne!(changed, text);
        std::fs::write(&file, changed).unwrap();
        machine.enclave.restart();
        machine.waits("PROV_KEPT_CONFIGURATION").await;
    }
    // The control.
    std::fs::write(&file, &text).unwrap();
    machine.enclave.restart();
    machine.serves_with("sk-1", "paid").await;

    let other_release = simtee::measure(&[b"another release".as_slice()]);
    for (chip, code) in [(CHIP, other_release), ([0xc2; 64], measurement)] {
        machine.becomes(chip, code);
        let (status, said) = machine.enclave.try_restart().unwrap_err();
        assert!(!status.success() && said.contains("STATE_KEY: "), "{said}");
    }
    machine.becomes(CHIP, measurement);
    machine.enclave.restart();
    machine.serves_with("sk-1", "paid").await;

    // Told to keep no longer, it forgets.
    std::fs::write(&file, text.replace("keep = \"sealed\"\n", "")).unwrap();
    machine.enclave.restart();
    machine.enclave.process.waits_to_say(r#""event":"awaits_provisioning""#, 1);
    std::fs::write(&file, &text).unwrap();
    machine.enclave.restart();
    machine.enclave.process.waits_to_say(r#""event":"awaits_provisioning""#, 1);
    assert_eq!(ready(&machine.enclave).await.0, 503);
}

#[tokio::test]
async fn routing_that_came_with_the_secrets_is_kept_with_them() {
    let mut machine = Machine::new();
    let file = machine.operator.folder.path().join("gateway.toml");
    let text = std::fs::read_to_string(machine.enclave.config_file()).unwrap();
    std::fs::write(&file, text.replace("models.paid", "models.renamed")).unwrap();
    machine.gives("sk-1", &[Path::new("--gateway"), &file]);
    // A further message without routing leaves it as it is.
    machine.gives("sk-2", &[]);
    machine.enclave.restart();
    machine.serves_with("sk-2", "renamed").await;
    let mut client = Http1::connect(machine.enclave.address).await;
    assert_eq!(client.post("/v1/chat/completions", &chat("paid", false)).await.status, 404);
}

#[tokio::test]
async fn a_disk_that_was_edited_cut_or_put_back_stops_the_start() {
    let mut machine = Machine::new();
    machine.gives("sk-old", &[]);
    machine.enclave.process.kill();
    let old = std::fs::read(machine.records()).unwrap();
    machine.enclave.restart();
    machine.gives("sk-new", &[]);
    machine.enclave.restart();
    machine.serves_with("sk-new", "paid").await;
    machine.enclave.process.kill();
    let good = std::fs::read(machine.records()).unwrap();

    let records = machine.records();
    let mut refused = |bytes: &[u8]| {
        std::fs::write(&records, bytes).unwrap();
        let outcome = machine.enclave.try_restart();
        machine.enclave.process.kill();
        outcome.err().map(|(status, said)| {
            assert!(!status.success() && said.contains("STATE_"), "{said}");
            said
        })
    };
    // What it held before: the log remembers more.
    assert!(refused(&old).unwrap().contains("STATE_ROLLBACK"));
    assert!(refused(&good[..good.len() / 2]).is_some());
    assert!(refused(&[]).unwrap().contains("STATE_ROLLBACK"));
    // Most of the file is room for more, and a bit that nobody reads stops nobody.
    let mut found = 0;
    for part in 0..24 {
        let mut bytes = good.clone();
        let at = bytes.len() / 24 * part + 16;
        bytes[at] ^= 1;
        found += usize::from(refused(&bytes).is_some());
    }
    assert!(found > 0);
    // The control.
    std::fs::write(&records, &good).unwrap();
    machine.enclave.restart();
    machine.serves_with("sk-new", "paid").await;
}

#[test]
fn a_configuration_that_cannot_keep_secrets_says_why() {
    let (operator, disk) = (Operator::new(), TempDir::new().unwrap());
    std::fs::write(disk.path().join("root.key"), "a5".repeat(32)).unwrap();
    let of_file = format!("file:{}/root.key", disk.path().display());
    for (root_key, expected) in
        [("provisioned", "cannot be kept under itself"), (of_file.as_str(), "would read the secrets")]
    {
        let setup = setup(&operator, disk.path(), root_key);
        let (_, said) = Enclave::refused(&setup);
        assert!(said.contains("CONFIG_VALUE: provisioning.keep: expected `memory`"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    // `check` says it before anything starts.
    let file = disk.path().join("enclave.toml");
    let lines = setup(&operator, disk.path(), "provisioned").process;
    let text = format!(
        "version = 1\n[listen]\naddress = \"tcp:127.0.0.1:0\"\nnames = [\"localhost\"]\n[tee]\nattester = \"auto\"\n[process]\n{lines}\n[gateway]\nversion = 1\n[gateway.admission]\n[gateway.deployments]\n[gateway.models]\n"
    );
    std::fs::write(&file, text).unwrap();
    let checked = Command::new(programs::path("postern-enclave")).arg("check").arg(&file).output().unwrap();
    assert_eq!(checked.status.code(), Some(2));
    assert!(said(&checked).contains("cannot be kept under itself"), "{}", said(&checked));
}
