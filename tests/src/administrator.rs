//! A platform team with `postern admin`: claims an enclave, makes keys, asks what was spent.

use std::path::PathBuf;
use std::process::{Command, Output};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::enclave::Enclave;
use crate::{policies, programs};

/// What makes the first administrator.
const CODE: &str = "claim-code-of-the-test-4711";

/// Lines of an enclave's configuration that let administrators in.
pub fn admin_table() -> String {
    let hash = hex::encode(digest(&SHA256, CODE.as_bytes()));
    format!("[admin]\naddress = \"tcp:127.0.0.1:0\"\nclaim_sha256 = \"{hash}\"\n")
}

/// Lines at the end of `[gateway]` that let issued keys in.
pub const VIRTUAL_KEYS: &str = "[gateway.admission]\nvirtual_keys = true\n";

/// Who has claimed an enclave, and from then on has its admin key.
pub struct Administrator {
    folder: tempfile::TempDir,
}

impl Default for Administrator {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("code"), CODE).expect("a folder that can be written to");
        Self { folder }
    }
}

impl Administrator {
    /// Claims this enclave.
    pub fn of(enclave: &Enclave) -> Self {
        let own = Self::default();
        let claimed = own.run(enclave, &["claim", "--code-file", &own.file("code").display().to_string()]);
        let claimed: Value = serde_json::from_slice(&claimed.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&claimed.stderr)));
        let key = claimed["secret"].as_str().expect("the admin key is shown once");
        std::fs::write(own.file("admin.key"), key).expect("a folder that can be written to");
        own
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `postern admin` against the enclave.
    pub fn run(&self, enclave: &Enclave, arguments: &[&str]) -> Output {
        let admin = enclave.process.said("admin").replace("tcp:127.0.0.1", "https://localhost");
        let mut command = Command::new(programs::path("postern"));
        command.args(["admin", "--to", &admin, "--policy"]).arg(policies::write(enclave));
        command.arg("--state-file").arg(self.file("remembered.json"));
        command.arg("--key-file").arg(self.file("admin.key")).args(arguments);
        if !self.file("admin.key").exists() {
            std::fs::write(self.file("admin.key"), "none-yet").expect("a folder that can be written to");
        }
        command.output().expect("postern runs")
    }

    /// Asks or changes something that must succeed.
    pub fn asks(&self, enclave: &Enclave, arguments: &[&str]) -> Value {
        let output = self.run(enclave, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&output.stdout).expect("answers are JSON")
    }

    /// Makes a thing.
    pub fn makes(&self, enclave: &Enclave, path: &str, body: &Value) -> Value {
        let file = self.file("body.json");
        std::fs::write(&file, body.to_string()).expect("a folder that can be written to");
        self.asks(enclave, &["create", path, &file.display().to_string()])
    }

    /// An organisation `acme` with a team `search` that has this budget, and a key of that team: its secret and its id.
    pub fn key_with_budget(&self, enclave: &Enclave, unit: &str, limit: u64) -> (String, String) {
        let everything = json!({ "allowed_models": ["*"] });
        let budget =
            json!({ "name": "all", "unit": unit, "limit": limit, "window": { "every": "lifetime" } });
        self.makes(enclave, "orgs", &json!({ "id": "acme", "policy": everything }));
        let policy = json!({ "allowed_models": ["*"], "budgets": [budget] });
        self.makes(enclave, "teams", &json!({ "id": "search", "org": "acme", "policy": policy }));
        self.key(enclave)
    }

    /// Another key of that team: its secret and its id.
    pub fn key(&self, enclave: &Enclave) -> (String, String) {
        let body =
            json!({ "owner": { "org": "acme", "team": "search" }, "policy": { "allowed_models": ["*"] } });
        let minted = self.makes(enclave, "keys", &body);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(&minted["secret"]), text(&minted["key"]["id"]))
    }

    /// What the team's budget looks like to this enclave.
    pub fn budget(&self, enclave: &Enclave) -> Value {
        self.asks(enclave, &["get", "teams/search/budgets"])
    }
}
