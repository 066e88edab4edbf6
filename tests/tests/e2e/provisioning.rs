//! An operator gives an enclave its secrets: what is served before and after, and where the secrets are not.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use postern_tests::canary::{Canaries, total};
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::{policies, programs};
use tempfile::TempDir;

const GATEWAY: &str = r#"
[gateway.deployments.paid]
provider = "openai_compatible"
model = "real-model"
base_url = "http://UPSTREAM/v1"
credential = "sealed:vendor"
[gateway.models.paid]
deployments = ["paid"]
"#;

/// An operator with a key of his own.
pub(super) struct Operator {
    pub(super) folder: TempDir,
    /// The lines for the enclave's configuration that `new-key` printed.
    pub(super) lines: String,
}

impl Operator {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let output = Command::new(programs::path("postern"))
            .args(["provision", "new-key"])
            .arg(folder.path().join("operator.key"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self { folder, lines: String::from_utf8(output.stdout).unwrap() }
    }

    pub(super) fn setup(&self) -> Setup {
        Setup { process: self.lines.clone(), gateway: GATEWAY.to_owned(), ..Setup::default() }
    }

    /// `postern provision send` with these secrets on standard input.
    pub(super) fn send(&self, enclave: &Enclave, secrets: &str, more: &[&Path]) -> Output {
        self.send_by(&enclave.address.to_string(), enclave, secrets, more)
    }

    /// The same, to the address of whoever relays it.
    pub(super) fn send_by(&self, address: &str, enclave: &Enclave, secrets: &str, more: &[&Path]) -> Output {
        let policy = policies::write(enclave);
        let mut command = Command::new(programs::path("postern"));
        command.args(["provision", "send", "https://localhost", "--connect", address]);
        command.arg("--policy").arg(policy).args(["--secrets", "-", "--operator-key"]);
        command.arg(self.folder.path().join("operator.key"));
        command.arg("--state-file").arg(self.folder.path().join("remembered.json")).args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(secrets.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

pub(super) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn ask(enclave: &Enclave, model: &str) -> (u16, String) {
    let mut client = Http1::connect(enclave.address).await;
    let answer = client.post("/v1/chat/completions", &chat(model, false)).await;
    (answer.status, answer.code())
}

pub(super) async fn ready(enclave: &Enclave) -> (u16, String) {
    let answer = Http1::connect(enclave.address).await.get("/readyz").await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn an_enclave_serves_once_its_operator_has_given_its_secrets() {
    let operator = Operator::new();
    let enclave = Enclave::with(&operator.setup());
    enclave.process.waits_to_say(r#""event":"awaits_provisioning","secrets":1,"root_key":false"#, 1);
    assert_eq!(ready(&enclave).await, (503, "awaiting provisioning\n".to_owned()));
    assert_eq!(ask(&enclave, "builtin").await, (503, "not_provisioned".to_owned()));

    let refused = operator.send(&enclave, "other = \"x\"", &[]);
    assert!(
        said(&refused).contains("PROV_MISSING: the enclave's configuration also names these secrets: vendor")
    );
    assert_eq!(ready(&enclave).await.0, 503, "nothing has changed");

    let canaries = Canaries::new();
    let secret = canaries.plant("provisioning", "secret");
    let given = operator.send(&enclave, &format!("vendor = \"{secret}\""), &[]);
    assert!(given.status.success() && said(&given).starts_with("PROVISIONED"), "{}", said(&given));
    enclave.process.waits_to_say(r#""event":"provisioned","secrets":1,"visible":false"#, 1);
    assert_eq!(ready(&enclave).await, (200, "ok\n".to_owned()));
    let mut client = Http1::connect(enclave.address).await;
    let answer = client.post("/v1/chat/completions", &chat("paid", false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bearer = format!("Bearer {secret}");
    assert_eq!(enclave.upstream.last().header("authorization"), Some(bearer.as_str()));

    // Nothing that the host or the machine's other users can read has it; the search itself is shown to work first.
    assert_eq!(total(&canaries.search(bearer.as_bytes())), 1);
    let mut read = Vec::new();
    for file in ["environ", "cmdline"] {
        read.extend(std::fs::read(format!("/proc/{}/{file}", enclave.process.id())).unwrap());
    }
    for folder in [enclave.folder(), operator.folder.path()] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                read.extend(std::fs::read(path).unwrap());
            }
        }
    }
    read.extend(enclave.process.stderr().into_bytes());
    read.extend(said(&given).into_bytes());
    assert!(read.len() > 1000);
    assert_eq!(total(&canaries.search(&read)), 0);
}

#[tokio::test]
async fn secrets_serve_the_configuration_they_were_given_for_and_no_other() {
    let operator = Operator::new();
    let enclave = Enclave::with(&operator.setup());
    let given = operator.send(&enclave, r#"vendor = "sk-1""#, &[]);
    assert!(given.status.success(), "{}", said(&given));

    // Whoever writes the file has the same secret sent elsewhere.
    enclave.reconfigure("model = \"real-model\"\nbase_url", "model = \"other-model\"\nbase_url");
    enclave.process.waits_to_say(r#""event":"reload_failed","reason":"CONFIG_PROVISIONED""#, 1);
    assert_eq!(ask(&enclave, "paid").await.0, 200);

    // Their operator may.
    let file = operator.folder.path().join("gateway.toml");
    let text = std::fs::read_to_string(enclave.config_file()).unwrap();
    std::fs::write(&file, text.replace("models.paid", "models.renamed")).unwrap();
    let argument = Path::new("--gateway");
    let given = operator.send(&enclave, r#"vendor = "sk-2""#, &[argument, &file]);
    assert!(given.status.success() && said(&given).contains("  before "), "{}", said(&given));
    assert_eq!(ask(&enclave, "paid").await.0, 404);
    assert_eq!(ask(&enclave, "renamed").await.0, 200);
    assert_eq!(enclave.upstream.last().header("authorization"), Some("Bearer sk-2"));
}

#[tokio::test]
async fn what_an_operator_gets_wrong_is_told_and_changes_nothing() {
    let operator = Operator::new();
    let enclave = Enclave::with(&operator.setup());
    let wrong = |secrets: &str, more: &[&Path], expected: &str| {
        let output = operator.send(&enclave, secrets, more);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(expected), "{expected}: {}", said(&output));
    };
    wrong("vendor = sk-live-1", &[], "PROV_SECRETS");
    wrong(r#"vendor = { file = "/does/not/exist" }"#, &[], "PROV_FILE: /does/not/exist: entity not found");
    let file = operator.folder.path().join("gateway.toml");
    std::fs::write(
        &file,
        "[gateway]\nversion = 1\nadmission = {}\ndeployments = {}\nmodels = {}\nmodelz = {}\n",
    )
    .unwrap();
    wrong(r#"vendor = "x""#, &[Path::new("--gateway"), &file], "modelz");
    assert_eq!(ready(&enclave).await.0, 503);

    let plain = Enclave::start();
    let output = operator.send(&plain, r#"vendor = "x""#, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("PROV_OPERATOR: the enclave's configuration names no operator"));
    let (_, said) = Enclave::refused(&Setup { gateway: GATEWAY.to_owned(), ..Setup::default() });
    assert!(said.contains("CONFIG_VALUE: provisioning.operator: must be set"), "{said}");
    assert!(!said.contains(KEY));
}
