//! A real enclave with a sealed store, an audit log and an admin listener, and `postern admin` and `postern audit` to ask
//! them with.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ring::digest::{SHA256, digest};
use serde_json::Value;
use tempfile::TempDir;

use crate::enclave::{Enclave, NAME, Setup};
use crate::{policies, programs};

/// The code that makes the first administrator.
const CODE: &str = "one-time-code-of-the-operator";
/// What the auditor shows.
const AUDITOR: &str = "the-auditors-credential";

/// See the module documentation.
pub struct Administered {
    /// The gateway.
    pub enclave: Enclave,
    /// Where it serves administrators.
    pub admin: SocketAddr,
    /// The first administrator's key.
    pub root: String,
    disk: TempDir,
}

impl Administered {
    /// Starts it with further lines of `[admin]` and of `[gateway]`, and claims it. `DISK` stands for a folder of its own.
    pub fn start(admin: &str, setup: Setup, prepare: impl FnOnce(&Path)) -> Self {
        let disk = TempDir::new().expect("a temporary folder");
        std::fs::write(disk.path().join("root.key"), "a5".repeat(32)).expect("a folder of our own");
        std::fs::write(disk.path().join("code"), CODE).expect("a folder of our own");
        std::fs::write(disk.path().join("auditor"), AUDITOR).expect("a folder of our own");
        prepare(disk.path());
        let sha256 = |text: &str| hex::encode(digest(&SHA256, text.as_bytes()));
        let lines = format!(
            "[state]\nroot_key = \"file:DISK/root.key\"\nmode = \"lease\"\nstore = \"file:DISK/state.redb\"\n\
             audit = \"DISK/log\"\nauditor_sha256 = \"{}\"\n\
             [admin]\naddress = \"tcp:127.0.0.1:0\"\nclaim_sha256 = \"{}\"\n{admin}\n",
            sha256(AUDITOR),
            sha256(CODE),
        );
        let at = disk.path().display().to_string();
        let process = format!("{}{lines}", setup.process).replace("DISK", &at);
        let gateway = format!("[gateway.admission]\nvirtual_keys = true\n{}", setup.gateway);
        let drain = "limit_seconds = 2".to_owned();
        let enclave = Enclave::with(&Setup { drain, process, gateway, ..setup });
        let address = enclave.process.said("admin").trim_start_matches("tcp:");
        let admin = address.parse().expect("it serves administrators over TCP");
        policies::write(&enclave);
        let own = Self { enclave, admin, root: String::new(), disk };
        let key_file = own.disk.path().join("admin.key");
        std::fs::write(&key_file, "none yet").expect("a folder of our own");
        let claimed = own.administer(&["claim", "--code-file", "code"], None);
        let root = claimed["secret"].as_str().expect("the first key").to_owned();
        std::fs::write(&key_file, &root).expect("a folder of our own");
        Self { root, ..own }
    }

    /// Its disk.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// `postern admin` as the first administrator, with a document on standard input.
    pub fn postern_admin(&self, arguments: &[&str], document: Option<&Value>) -> Output {
        let mut command = self.postern(&["admin", "--to"]);
        command.arg(format!("https://{NAME}")).args(["--connect", &self.admin.to_string(), "--key-file"]);
        command.arg(self.disk.path().join("admin.key"));
        command.args(self.reach()).args(arguments);
        run(&mut command, document)
    }

    /// The same, where it must succeed.
    pub fn administer(&self, arguments: &[&str], document: Option<&Value>) -> Value {
        told(&self.postern_admin(arguments, document))
    }

    /// Fetches the audit log into a folder, and returns the entries that meet these conditions.
    pub fn audited(&self, conditions: &[&str]) -> Vec<Value> {
        let folder = self.disk.path().join("fetched");
        let mut fetch = self.postern(&["audit", "fetch"]);
        fetch.arg(format!("https://{NAME}")).arg(&folder).arg("--credential-file");
        fetch.arg(self.disk.path().join("auditor"));
        fetch.args(["--connect", &self.enclave.address.to_string()]).args(self.reach());
        let fetched = run(&mut fetch, None);
        assert!(fetched.status.success(), "{fetched:?}");
        let mut export = self.postern(&["audit", "export"]);
        let exported = run(export.arg(&folder).args(conditions), None);
        assert!(exported.status.success(), "{exported:?}");
        let lines = String::from_utf8(exported.stdout).expect("JSON lines");
        lines.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
    }

    fn postern(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs::path("postern"));
        command.args(arguments).current_dir(self.disk.path()).env_remove("POSTERN_API_KEY");
        command
    }

    fn reach(&self) -> [std::ffi::OsString; 4] {
        let policy = self.enclave.folder().join("policy.toml");
        let state = self.disk.path().join("remembered.json");
        ["--policy".into(), policy.into(), "--state-file".into(), state.into()]
    }
}

fn run(command: &mut Command, document: Option<&Value>) -> Output {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    if let Some(document) = document {
        stdin.write_all(document.to_string().as_bytes()).expect("it reads");
    }
    drop(stdin);
    child.wait_with_output().expect("a child can be waited for")
}

fn told(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}
