//! What clients run against a machine: the relay before it, `postern`, and another company's SDK.

use std::path::Path;
use std::process::{Command, Output};

use postern_tests::programs::{self, Running};
use postern_tests::scripts::{kept, python, run, source, succeeded};

use crate::surroundings::{KEY, NAME};

/// `postern-host` before the machine, and how clients dial it.
pub struct Relay {
    _host: Running,
    /// Address to connect to.
    pub ingress: String,
    /// The gateway's URL.
    pub url: String,
}

impl Relay {
    /// Starts it. `enclave` is where the machine listens, as `postern-host` writes addresses.
    pub fn start(folder: &Path, enclave: &str) -> Self {
        let config = folder.join("host.toml");
        let text =
            format!("[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"{enclave}\"\nconnect_seconds = 60\n");
        std::fs::write(&config, text).expect("the folder can be written to");
        let host = Running::start(Command::new(programs::path("postern-host")).arg("--config").arg(config));
        let ingress = host.said("ingress").to_owned();
        let port = ingress.rsplit(':').next().expect("an address has a port");
        let url = format!("https://{NAME}:{port}");
        Self { _host: host, ingress, url }
    }

    /// `postern verify`.
    pub fn verify(&self, policy: &Path, folder: &Path) -> Output {
        let mut command = Command::new(programs::path("postern"));
        command.args(["verify", &self.url, "--connect", &self.ingress, "--json", "--policy"]).arg(policy);
        command.arg("--state-file").arg(folder.join("remembered.json"));
        command.output().expect("postern runs")
    }

    /// The OpenAI SDK through `postern proxy`: short and long answers, streamed. Nothing where there is no Python.
    pub fn serves_an_sdk(&self, policy: &Path, folder: &Path) {
        let Some(python) = python() else { return };
        let (key, token) = (folder.join("gateway-key"), folder.join("token"));
        private_file(&key, KEY);
        let mut command = Command::new(programs::path("postern"));
        command.args(["proxy", "--to", &self.url, "--connect", &self.ingress, "--listen", "127.0.0.1:0"]);
        command.arg("--policy").arg(policy).arg("--token-file").arg(&token).arg("--key-file").arg(&key);
        command.arg("--state-file").arg(folder.join("remembered.json"));
        let proxy = Running::start(&mut command);
        let token = std::fs::read_to_string(token).expect("the proxy wrote its token");
        let mut script = Command::new(python);
        script.arg(source("openai_machine.py")).env_remove("OPENAI_API_KEY");
        script.env("BASE_URL", proxy.said("base_url")).env("TOKEN", token.trim());
        let said = run(&mut script).expect("Python was there a moment ago");
        assert_eq!(kept(&succeeded(&said)), 5);
    }
}

/// Demands that it was refused for this reason.
pub fn refused(output: &Output, code: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(code), "{said}");
}

/// Demands that it was accepted.
pub fn accepted(output: &Output) {
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
}

/// Runs one of our programs to its end, in the repository, and returns what it printed.
pub fn program(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(programs::path(name));
    let output = command.args(arguments).current_dir(crate::parts::root()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn private_file(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, content).expect("the folder can be written to");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}
