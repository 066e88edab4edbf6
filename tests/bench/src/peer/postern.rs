//! Postern itself: the enclave alone (the mock plays the host's egress), or host and enclave together.
//!
//! The enclave gets one worker, one client key, one plain deployment, and evidence from the simulated security
//! processor; nothing is switched off that is on in production, except that X25519 alone is accepted too.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use attestation::binding::{
    BindRequest, BindResponse, ChallengeRequest, EXPORTER_LABEL, exporter_context, session_transcript,
    verify_session,
};
use attestation::{EvidenceDocument, Keyset, Nonce, Role, Sha256, Sha384};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustls::ClientConnection;

use super::{Setup, text, write};
use crate::http1::{MessageReader, Side, Step};
use crate::process::Process;
use crate::prompt;
use crate::tls::{self, Alpn, Group};

/// The client key of every run; its digest is in the configuration.
pub(super) const BEARER: &str = "sk-bench-0123456789abcdef0123456789abcdef";

/// Starts the simulated security processor, if it is built, on the load's CPU, where it is idle.
///
/// # Errors
/// It does not come up.
pub fn start_processor(setup: &Setup, cpu: usize) -> Result<Option<Process>> {
    let (Some(program), Some(enclave)) = (setup.built("postern-simtee"), setup.built("postern-enclave"))
    else {
        return Ok(None);
    };
    let mut command = Command::new(program);
    command.arg("--socket").arg(&setup.processor).arg("--measure").arg(enclave);
    let mut process = Process::start("postern-simtee", &command, cpu, &setup.state)?;
    for _ in 0..30_000 {
        if process.log().contains("\"ready\":true") {
            return Ok(Some(process));
        }
        process.check()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("the simulated security processor did not come up: {}", process.log())
}

/// Where the parts of a Postern under measurement meet.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The enclave's listener, as its configuration says it.
    pub(super) enclave: String,
    /// Where the enclave finds the host's egress.
    pub(super) egress: String,
}

/// The command that runs the enclave; nothing if it is not built.
pub(super) fn enclave(setup: &Setup, name: &str, places: &Places) -> Result<Option<Command>> {
    let built = || setup.built("postern-enclave");
    let Some(program) = setup.enclave.program.clone().or_else(built) else { return Ok(None) };
    let config = format!(
        r#"version = 1
[listen]
address = "{enclave}"
names = ["localhost"]
key_exchange = "compatible"
workers = 1
[tee]
attester = "socket:{processor}"
[host]
egress = "{egress}"
[limits]
idle_seconds = 60
evidence_per_second = 1000
[process]
lock_memory = {locked}
[gateway]
version = 1
[[gateway.admission.keys]]
id = "bench"
sha256 = "{digest}"
models = ["*"]
[gateway.deployments.mock]
provider = "openai_compatible"
model = "mock"
base_url = "http://{upstream}/v1"
[gateway.models.mock]
deployments = ["mock"]
"#,
        enclave = places.enclave,
        egress = places.egress,
        locked = !setup.enclave.unlocked && may_lock_memory(),
        processor = text(&setup.processor)?,
        digest = Sha256::of(BEARER.as_bytes()).to_hex(),
        upstream = setup.upstream,
    );
    Ok(Some(with_config(&program, &write(setup, &format!("{name}-enclave.toml"), &config)?)))
}

/// Whether the enclave may lock all of its memory, as in earnest; it inherits this process's limit, or the capability that
/// makes it void.
fn may_lock_memory() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap_or_default();
    let may_exceed = effective & (1 << CAP_IPC_LOCK) != 0;
    setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_ok() || may_exceed
}

/// Number of the capability (`linux/capability.h`).
const CAP_IPC_LOCK: u32 = 14;

/// The command that runs the host in front of and behind the enclave; nothing if it is not built.
pub(super) fn host(
    setup: &Setup,
    name: &str,
    listen: SocketAddr,
    places: &Places,
) -> Result<Option<Command>> {
    let Some(program) = setup.built("postern-host") else { return Ok(None) };
    let config = format!(
        r#"workers = 1
[ingress]
listen = "{listen}"
enclave = "{enclave}"
max_connections_per_source = 0
new_connections_per_second_per_source = 0
[egress]
listen = "{egress}"
allow = ["{upstream}"]
"#,
        enclave = places.enclave,
        egress = places.egress,
        upstream = setup.upstream,
    );
    Ok(Some(with_config(&program, &write(setup, &format!("{name}-host.toml"), &config)?)))
}

/// The request that binds any session to evidence fetched just now.
///
/// One session is bound here and its signature checked, so that what is measured is a binding that verifies.
///
/// # Errors
/// The evidence cannot be had, or the binding does not verify.
pub(super) fn bind_message(address: SocketAddr, group: Group) -> Result<Vec<u8>> {
    let nonce = Nonce::new([7; 32]);
    let mut session = Session::open(address, group)?;
    let challenge = ChallengeRequest { nonce }.encode();
    let document = session.post("/.well-known/postern/evidence", &challenge)?;
    let document =
        EvidenceDocument::decode(&document).map_err(|_| anyhow::anyhow!("evidence does not parse"))?;
    let keyset = Keyset::decode(&document.keyset).map_err(|_| anyhow::anyhow!("keyset does not parse"))?;
    let claims = Sha384::of(&document.claims);
    let bind = BindRequest { nonce, evidence: false, claims }.encode();
    let context = exporter_context(Role::Gateway, b"http/1.1", &nonce, &Sha384::of(&document.keyset));
    let exported = session.tls.export_keying_material([0; 32], EXPORTER_LABEL, Some(&context))?;
    let answer = session.post("/.well-known/postern/bind", &bind)?;
    let Ok(BindResponse::Signature(signature)) = BindResponse::decode(&answer) else {
        bail!("the bind answer is no signature");
    };
    let spki = &keyset.tls.first().context("the keyset has no TLS key")?.spki_sha256;
    let transcript = session_transcript(Role::Gateway, &nonce, &exported, &claims, spki);
    ensure!(verify_session(&keyset.sbk, &transcript, &signature).is_ok(), "the binding does not verify");
    Ok(prompt::post("/.well-known/postern/bind", "application/cbor", &bind, "", false))
}

fn with_config(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--config").arg(config);
    command
}

/// A blocking client for the few requests that are not measured.
struct Session {
    socket: TcpStream,
    tls: ClientConnection,
}

impl Session {
    fn open(address: SocketAddr, group: Group) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut tls = ClientConnection::new(tls::client(group, Alpn::Http11)?, tls::server_name()?)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { socket, tls })
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream.write_all(&prompt::post(path, "application/cbor", body, "", false))?;
        let mut reader = MessageReader::new(Side::Response);
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let count = stream.read(&mut buffer)?;
            ensure!(count > 0, "the connection ended within the answer to {path}");
            let step = reader.feed(&buffer[..count], &mut |piece: &[u8]| answer.extend_from_slice(piece))?;
            if let Step::Complete(_) = step {
                ensure!(reader.status == 200, "status {} from {path}", reader.status);
                return Ok(answer);
            }
        }
    }
}
