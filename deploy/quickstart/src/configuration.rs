//! The files the programs read.

use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::build::Programs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::process::{Program, run_to_end};
use crate::state::State;

/// What clients call the built-in model.
pub(crate) const MODEL: &str = "postern-builtin";
/// The name clients dial, in the gateway's certificate and keyset.
pub(crate) const NAME: &str = "localhost";
/// The client's policy, in the state folder.
pub(crate) const POLICY_FILE: &str = "policy.toml";
/// What the client's programs remember between runs, in the state folder.
pub(crate) const MEMORY_FILE: &str = "remembered.json";
/// The proxy's token, in the state folder.
pub(crate) const TOKEN_FILE: &str = "token";
/// The gateway's key that the proxy sends, in the state folder.
pub(crate) const KEY_FILE: &str = "gateway-key";
/// The security processor's socket, in the state folder.
pub(crate) const PROCESSOR_SOCKET: &str = "processor.sock";
/// The enclave's socket, in the state folder.
const ENCLAVE_SOCKET: &str = "enclave.sock";
/// The socket where the host takes the enclave's outgoing connections, in the state folder.
const EGRESS_SOCKET: &str = "egress.sock";

/// Makes a gateway key and writes it, and the enclave's configuration with its digest.
pub(crate) fn write_enclave(state: &State, processor_socket: &str) -> Result<PathBuf, Failure> {
    let key = new_key()?;
    let key_digest = hex::encode(digest(&SHA256, key.as_bytes()));
    state.write(KEY_FILE, &format!("{key}\n"))?;
    let text = format!(
        r#"# Written by the quickstart: a gateway with its built-in model on a simulated security processor.
version = 1

[listen]
address = {listen}
names = ["{NAME}"]
workers = 1

[tee]
attester = {attester}

[host]
egress = {egress}

[drain]
limit_seconds = 3

# An ordinary account may not lock all memory, and a simulated machine keeps no secrets from its owner.
[process]
lock_memory = false

[gateway]
version = 1

[[gateway.admission.keys]]
id = "quickstart"
sha256 = "{key_digest}"
models = ["*"]

[gateway.deployments.builtin]
provider = "builtin"
model = "{MODEL}"

[gateway.models.{MODEL}]
deployments = ["builtin"]
"#,
        listen = quoted(&format!("unix:{}", state.path(ENCLAVE_SOCKET).display())),
        attester = quoted(&format!("socket:{processor_socket}")),
        egress = quoted(&format!("unix:{}", state.path(EGRESS_SOCKET).display())),
    );
    state.write("enclave.toml", &text)
}

/// Writes the host's configuration: relay a free port of this machine to the enclave's socket.
pub(crate) fn write_host(state: &State) -> Result<PathBuf, Failure> {
    let text = format!(
        r#"# Written by the quickstart: clients to the enclave's socket, and no way out.
drain_seconds = 3

[ingress]
listen = "127.0.0.1:0"
enclave = {enclave}

[egress]
listen = {egress}
allow = []
"#,
        enclave = quoted(&format!("unix:{}", state.path(ENCLAVE_SOCKET).display())),
        egress = quoted(&format!("unix:{}", state.path(EGRESS_SOCKET).display())),
    );
    state.write("host.toml", &text)
}

/// Has `postern policy init` write a policy for exactly this simulated machine.
pub(crate) fn write_policy(
    programs: &Programs,
    state: &State,
    interrupt: &Interrupt,
    processor: &Program,
) -> Result<PathBuf, Failure> {
    let path = state.path(POLICY_FILE);
    let arguments = [
        "policy",
        "init",
        "--force",
        "--measurement",
        processor.ready_text("measurement")?,
        "--hardware-id",
        processor.ready_text("chip_id")?,
        "--simulated-root",
        processor.ready_text("ark_der")?,
        "--floors",
        processor.ready_text("floors")?,
        "--deployment",
        "unpinned",
        "--webpki",
        "not-required",
        "--output",
    ];
    let arguments = arguments.into_iter().map(AsRef::as_ref).chain([path.as_os_str()]);
    run_to_end("policy", &programs.client, arguments, state, interrupt)?;
    Ok(path)
}

/// A random key in the gateway's usual shape.
fn new_key() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::File {
        doing: "draw a random key from",
        path: PathBuf::from("/dev/urandom"),
        problem: "the generator failed".to_owned(),
    })?;
    Ok(format!("psk-{}", hex::encode(bytes)))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
