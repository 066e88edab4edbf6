//! Peers of a run: every one a gateway on loopback in front of the same mock, started and stopped here.
//!
//! The gateway has CPU 0 for itself, the mock and the load generator share CPU 1.

mod llm_gateways;

mod nginx;
pub mod postern;
mod proxies;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::load::{Exchange, Load, Target};
use crate::mock::Stats;
use crate::process::Process;
use crate::prompt::{self, Shape};
use crate::tls::{self, Alpn, Group};

/// CPU of the measured gateway.
pub const GATEWAY_CPU: usize = 0;
/// CPU of mock and load.
pub const LOAD_CPU: usize = 1;

/// Which gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// No gateway: the mock itself.
    Direct,
    /// No gateway: a second mock, on the gateway's CPU, that ends TLS.
    DirectTls,
    /// Envoy, TLS 1.3.
    EnvoyTls,
    /// `HAProxy`, TLS 1.3.
    HaproxyTls,
    /// `LiteLLM`, plain.
    Litellm,
    /// nginx, plain.
    Nginx,
    /// nginx, TLS 1.3: the reference.
    NginxTls,
    /// Portkey's gateway, plain.
    Portkey,
    /// `postern-enclave` alone; the mock plays the host's egress.
    PosternEnclave,
    /// `postern-host` in front of and behind `postern-enclave`, over Unix sockets.
    PosternWhole,
    /// The byte relay, plain.
    Relay,
    /// The byte relay behind TLS: the floor.
    RelayTls,
}

impl Kind {
    /// Every peer, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::Direct,
        Self::DirectTls,
        Self::Relay,
        Self::RelayTls,
        Self::Nginx,
        Self::NginxTls,
        Self::HaproxyTls,
        Self::EnvoyTls,
        Self::PosternEnclave,
        Self::PosternWhole,
        Self::Litellm,
        Self::Portkey,
    ];

    /// True for the peers that the targets need.
    pub fn is_in_quick_run(self) -> bool {
        matches!(
            self,
            Self::Direct
                | Self::Relay
                | Self::RelayTls
                | Self::NginxTls
                | Self::PosternEnclave
                | Self::PosternWhole
        )
    }

    /// True if it has evidence to bind a session to.
    pub fn has_evidence(self) -> bool {
        matches!(self, Self::PosternEnclave | Self::PosternWhole)
    }

    /// Name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectTls => "direct-tls",
            Self::EnvoyTls => "envoy-tls",
            Self::HaproxyTls => "haproxy-tls",
            Self::Litellm => "litellm",
            Self::Nginx => "nginx",
            Self::NginxTls => "nginx-tls",
            Self::Portkey => "portkey",
            Self::PosternEnclave => "postern-enclave",
            Self::PosternWhole => "postern-host+enclave",
            Self::Relay => "relay",
            Self::RelayTls => "relay-tls",
        }
    }

    /// True if it is a gateway of others that understands the request. Its streams are not one chunk out for one chunk
    /// in, which the harness insists on, and it takes many seconds to start.
    pub fn is_llm_gateway(self) -> bool {
        matches!(self, Self::Litellm | Self::Portkey)
    }

    /// True if clients speak TLS to it.
    pub fn is_tls(self) -> bool {
        !matches!(self, Self::Direct | Self::Litellm | Self::Nginx | Self::Portkey | Self::Relay)
    }

    /// Key exchange groups that it has.
    pub fn groups(self) -> &'static [Group] {
        match self {
            Self::Direct | Self::Litellm | Self::Nginx | Self::Portkey | Self::Relay => &[],
            Self::HaproxyTls | Self::NginxTls => &[Group::X25519, Group::P256],
            Self::DirectTls | Self::EnvoyTls | Self::RelayTls => {
                &[Group::X25519, Group::P256, Group::X25519mlkem768]
            }
            Self::PosternEnclave | Self::PosternWhole => &[Group::X25519mlkem768, Group::X25519],
        }
    }
}

/// What every peer of a run shares.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Folder for configuration files and logs.
    pub state: PathBuf,
    /// Certificate of every harness-made end, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// This program, which is also mock and relay.
    pub program: PathBuf,
    /// The mock's plain listener.
    pub upstream: SocketAddr,
    /// The mock's listener behind the egress frame.
    pub egress: SocketAddr,
    /// Socket of the simulated security processor.
    pub processor: PathBuf,
    /// Which enclave is measured.
    pub enclave: Enclave,
}

/// The enclave under measurement.
#[derive(Debug, Clone, Default)]
pub struct Enclave {
    /// Another program than the one built beside this one.
    pub program: Option<PathBuf>,
    /// Does not lock its memory, where it otherwise would.
    pub unlocked: bool,
}

impl Setup {
    /// A program of this project, if it was built in the same profile as this one.
    fn built(&self, name: &str) -> Option<PathBuf> {
        Some(self.program.parent()?.join(name)).filter(|path| path.is_file())
    }
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    /// Which it is.
    pub kind: Kind,
    /// Where the load goes.
    pub address: SocketAddr,
    /// Header lines of every request, each with its line end: a key, for those who want one.
    pub headers: String,
    /// `model` of every request.
    pub model: String,
    /// Where to ask the mock behind it for its counts.
    pub counts_at: SocketAddr,
    /// From the start of its (last) process to the first whole answer.
    pub started_in: Duration,
    /// What is measured; none for `direct`.
    pub processes: Vec<Process>,
}

impl Peer {
    /// Starts a peer and waits for its first answer; nothing if its program is not installed.
    ///
    /// # Errors
    /// It is installed but does not come up.
    pub fn start(kind: Kind, setup: &Setup) -> Result<Option<Self>> {
        let address = if kind == Kind::Direct { setup.upstream } else { free_address()? };
        let counts_at = if kind == Kind::DirectTls { free_address()? } else { setup.upstream };
        let Some(commands) = commands(kind, setup, address, counts_at)? else { return Ok(None) };
        let mut peer = Self {
            kind,
            address,
            headers: headers(kind, setup),
            model: "mock".to_owned(),
            counts_at,
            started_in: Duration::ZERO,
            processes: Vec::new(),
        };
        let start = Instant::now();
        for (role, command) in commands {
            peer.processes.push(Process::start(role, &command, GATEWAY_CPU, &setup.state)?);
        }
        peer.await_answer().with_context(|| format!("start {}", kind.name()))?;
        peer.started_in = start.elapsed();
        Ok(Some(peer))
    }

    /// Where and how to load it, with the given group in TLS.
    ///
    /// # Errors
    /// TLS settings cannot be made.
    pub fn target(&self, group: Group) -> Result<Target> {
        let tls = if self.kind.is_tls() { Some(tls::client(group, Alpn::Http11)?) } else { None };
        Ok(Target { address: self.address, tls })
    }

    /// A chat request of the given shape and size.
    pub fn exchange(&self, shape: Shape, prompt_bytes: usize, close: bool) -> Exchange {
        let body = prompt::body(&self.model, shape, prompt_bytes);
        Exchange {
            message: prompt::message(&body, &self.headers, close).into(),
            chunks: match shape {
                Shape::Stream { chunks, .. } => Some(chunks),
                Shape::Whole => None,
            },
        }
    }

    /// The request that binds a session to evidence which the client already holds.
    ///
    /// # Errors
    /// The peer has no evidence.
    pub fn bind_exchange(&self) -> Result<Exchange> {
        ensure!(self.kind.has_evidence(), "{} has no evidence", self.kind.name());
        Ok(Exchange { message: postern::bind_message(self.address, self.group())?.into(), chunks: None })
    }

    /// Memory of its processes, bytes (proportional set size).
    ///
    /// # Errors
    /// A process has ended.
    pub fn memory_bytes(&self) -> Result<u64> {
        self.processes.iter().map(Process::memory_bytes).sum()
    }

    /// Groups that a handshake may use; the first is used where the group does not matter.
    pub fn group(&self) -> Group {
        self.kind.groups().first().copied().unwrap_or(Group::X25519)
    }

    /// What the mock behind this peer has served.
    ///
    /// # Errors
    /// The mock does not answer.
    pub fn counts(&self) -> Result<Stats> {
        mock_stats(self.counts_at)
    }

    /// CPU time so far of each process, nanoseconds.
    ///
    /// # Errors
    /// A process has ended.
    pub fn cpu_ns(&self) -> Result<Vec<u64>> {
        self.processes.iter().map(Process::cpu_ns).collect()
    }

    fn await_answer(&mut self) -> Result<()> {
        use crate::load::{Arrival, Connections, Limit};
        let patience = Instant::now() + START_PATIENCE;
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            let job = vec![self.exchange(Shape::Whole, 300, true)];
            let tried = Load::new(self.target(self.group())?, job, 1, Connections::New)
                .and_then(|mut load| load.run(Arrival::Closed, Limit::Jobs(1)));
            match tried {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > patience => {
                    let logs: String = self.processes.iter().map(Process::log).collect();
                    bail!("no answer in {START_PATIENCE:?}: {error:#}\n{logs}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// What every request to such a peer carries.
fn headers(kind: Kind, setup: &Setup) -> String {
    match kind {
        Kind::Litellm | Kind::PosternEnclave | Kind::PosternWhole => prompt::bearer(postern::BEARER),
        Kind::Portkey => llm_gateways::portkey_headers(setup.upstream),
        Kind::Direct
        | Kind::DirectTls
        | Kind::EnvoyTls
        | Kind::HaproxyTls
        | Kind::Nginx
        | Kind::NginxTls
        | Kind::Relay
        | Kind::RelayTls => String::new(),
    }
}

/// What to start, by role, in order; nothing if a program of it is not installed.
fn commands(
    kind: Kind,
    setup: &Setup,
    listen: SocketAddr,
    counts_at: SocketAddr,
) -> Result<Option<Vec<(&'static str, Command)>>> {
    let identity =
        [format!("--certificate={}", setup.certificate.display()), format!("--key={}", setup.key.display())];
    let own = |part: &str, arguments: &[String]| {
        let mut command = Command::new(&setup.program);
        command.arg(part).args(arguments);
        Some(command)
    };
    let relay = [format!("--listen={listen}"), format!("--to={}", setup.upstream)];
    let command = match kind {
        Kind::Direct => return Ok(Some(Vec::new())),
        Kind::DirectTls => {
            let listeners = [format!("--plain={counts_at}"), format!("--tls={listen}")];
            own("mock", &[listeners, identity].concat())
        }
        Kind::EnvoyTls => proxies::envoy(setup, listen)?,
        Kind::HaproxyTls => proxies::haproxy(setup, listen)?,
        Kind::Litellm => llm_gateways::litellm(setup, listen)?,
        Kind::Nginx => nginx::command(setup, listen, false)?,
        Kind::NginxTls => nginx::command(setup, listen, true)?,
        Kind::Portkey => llm_gateways::portkey(listen),
        Kind::PosternEnclave => {
            let places =
                postern::Places { enclave: format!("tcp:{listen}"), egress: format!("tcp:{}", setup.egress) };
            postern::enclave(setup, kind.name(), &places)?
        }
        Kind::PosternWhole => return whole_commands(setup, listen),
        Kind::Relay => own("relay", &relay),
        Kind::RelayTls => own("relay", &[relay, identity].concat()),
    };
    Ok(command.map(|command| vec![(kind.name(), command)]))
}

fn whole_commands(setup: &Setup, listen: SocketAddr) -> Result<Option<Vec<(&'static str, Command)>>> {
    // A second instance beside the first needs its own sockets.
    let folder = setup.state.join(format!("postern-{}", listen.port()));
    std::fs::create_dir_all(&folder)?;
    let places = postern::Places {
        enclave: format!("unix:{}", text(&folder.join("enclave.sock"))?),
        egress: format!("unix:{}", text(&folder.join("egress.sock"))?),
    };
    let name = Kind::PosternWhole.name();
    let enclave = postern::enclave(setup, name, &places)?;
    let host = postern::host(setup, name, listen, &places)?;
    Ok(enclave.zip(host).map(|(enclave, host)| vec![("postern-host", host), ("postern-enclave", enclave)]))
}

/// Asks a mock's plain listener for its counts.
///
/// # Errors
/// It does not answer.
pub fn mock_stats(address: SocketAddr) -> Result<Stats> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"}") {
        let count = socket.read(&mut buffer)?;
        ensure!(count > 0, "the mock closed the connection");
        answer.extend_from_slice(&buffer[..count]);
    }
    let body = memchr::memmem::find(&answer, b"\r\n\r\n").context("no head in the mock's answer")? + 4;
    Ok(serde_json::from_slice(&answer[body..])?)
}

/// A loopback address that nobody listens on at this moment.
///
/// # Errors
/// No port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The program's path if it is installed.
fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let folders: Vec<PathBuf> = folders.collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

fn write(setup: &Setup, name: &str, text: &str) -> Result<PathBuf> {
    let path = setup.state.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of the state folder is not UTF-8")
}

const START_PATIENCE: Duration = Duration::from_mins(1);
