//! A real `postern-enclave` with everything around it that it needs.

use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use tempfile::TempDir;

use crate::evilhost::{Plan, egress};
use crate::programs::{self, Running};
use crate::security_processor::SecurityProcessor;
use crate::upstream::{Identity, Upstream};

/// The DNS name in the enclave's certificate and keyset.
pub const NAME: &str = "localhost";
/// The key that the enclave admits.
pub const KEY: &str = "sk-test-6f2d0c9b7a5e4831";
/// A second key, admitted to the model `builtin` only.
pub const OTHER_KEY: &str = "sk-test-0000000000000000";

/// The DNS name of a provider that speaks TLS.
pub const PROVIDER: &str = "provider.test";

/// What can be chosen about an enclave.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Lines of `[listen]`.
    pub listen: String,
    /// Lines of `[limits]`.
    pub limits: String,
    /// Evidence documents per second; plenty unless stated.
    pub evidence_per_second: Option<u32>,
    /// Lines of `[drain]`.
    pub drain: String,
    /// Lines of `[process]`. Memory is locked where the test may raise the limit, unless they say otherwise.
    pub process: String,
    /// Lines at the end of `[gateway]`, whole tables; `UPSTREAM` stands for the provider's address, `PROVIDER_ADDRESS` for
    /// the one by its name, and `PROVIDER_LINES` for the lines that say where it is and who vouches for it.
    pub gateway: String,
    /// The provider speaks TLS as [`PROVIDER`], under an authority that only the configuration names.
    pub tls_provider: bool,
    /// What happens to its connections to the provider, in the order in which they are made.
    pub providers_leg: Vec<Plan>,
    /// The test starts what carries connections out of the enclave, at [`Enclave::way_out`].
    pub own_way_out: bool,
    /// Where the host leads connections to every name that is not the provider's.
    pub led_to: Option<SocketAddr>,
    /// Variables for its environment.
    pub environment: Vec<(&'static str, String)>,
    /// A shell command before it, such as `ulimit`, after which it starts in the same process.
    pub before: String,
    /// Puts it into user, network and mount namespaces of its own, whose only ways in and out are the Unix sockets of the
    /// test; see [`can_isolate`].
    pub isolated: bool,
    /// The user it runs as; only root can choose.
    pub user: Option<u32>,
}

/// A running enclave, reachable over TCP on loopback.
pub struct Enclave {
    /// The process.
    pub process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// What vouches for it.
    pub processor: SecurityProcessor,
    /// The model `fake` is served by this provider; `builtin` is served inside.
    pub upstream: Upstream,
    /// The certificate of whom the configuration lets vouch for the provider, if that speaks TLS.
    pub roots: Option<String>,
    folder: TempDir,
    setup: Setup,
}

impl Enclave {
    /// One with ordinary settings on a good processor.
    pub fn start() -> Self {
        Self::with(&Setup::default())
    }

    /// One with these settings on a good processor.
    pub fn with(setup: &Setup) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let processor = SecurityProcessor::start(folder.path());
        Self::on(processor, setup, folder)
    }

    /// What it says when it does not start with these settings.
    pub fn refused(setup: &Setup) -> (ExitStatus, String) {
        Self::tried(setup).expect_err("it started")
    }

    /// Starts it with these settings, and ends it if it started.
    ///
    /// # Errors
    /// What it says when it does not start.
    pub fn tried(setup: &Setup) -> Result<(), (ExitStatus, String)> {
        let folder = TempDir::new().expect("a temporary folder");
        let processor = SecurityProcessor::start(folder.path());
        let none = folder.path().join("none.sock");
        let provider = Provider { address: SocketAddr::from(([127, 0, 0, 1], 9)), roots: None };
        let config = write_config(folder.path(), &none, &processor.socket, &provider, setup);
        Running::try_start(&mut command(folder.path(), &config, setup)).map(drop)
    }

    /// What it says when it does not start with these settings though there is a host.
    pub fn refused_by(setup: &Setup) -> (ExitStatus, String) {
        let folder = TempDir::new().expect("a temporary folder");
        let processor = SecurityProcessor::start(folder.path());
        let (socket, led_to) = (folder.path().join("egress.sock"), setup.led_to);
        egress(&socket, Arc::new(move |_, _| led_to), Vec::new());
        let provider = Provider { address: SocketAddr::from(([127, 0, 0, 1], 9)), roots: None };
        let config = write_config(folder.path(), &socket, &processor.socket, &provider, setup);
        match Running::try_start(&mut command(folder.path(), &config, setup)) {
            Ok(_) => panic!("it started"),
            Err(refusal) => refusal,
        }
    }

    /// One on this processor; `folder` holds its sockets and files.
    pub fn on(processor: SecurityProcessor, setup: &Setup, folder: TempDir) -> Self {
        let identity = setup.tls_provider.then(|| Identity::new(PROVIDER));
        let roots = identity.as_ref().map(|own| own.roots.clone());
        let upstream = identity.map_or_else(Upstream::start, Upstream::in_tls);
        let socket = folder.path().join(WAY_OUT);
        let (address, led_to) = (upstream.address, setup.led_to);
        if !setup.own_way_out {
            let is_provider =
                move |host: &str, port| ["127.0.0.1", PROVIDER].contains(&host) && port == address.port();
            egress(
                &socket,
                Arc::new(move |host, port| if is_provider(host, port) { Some(address) } else { led_to }),
                setup.providers_leg.clone(),
            );
        }
        let provider = Provider { address, roots: roots.clone() };
        let config = write_config(folder.path(), &socket, &processor.socket, &provider, setup);
        let process = Running::start(&mut command(folder.path(), &config, setup));
        let address = listening(&process);
        Self { process, address, processor, upstream, roots, folder, setup: setup.clone() }
    }

    /// Kills the process, as a power cut does, and starts it again with the same file.
    pub fn restart(&mut self) {
        self.try_restart().unwrap_or_else(|(_, said)| panic!("it does not start again: {said}"));
    }

    /// The same where it may not start: what it says then. It is gone after that.
    ///
    /// # Errors
    /// What it says when it does not start.
    pub fn try_restart(&mut self) -> Result<(), (ExitStatus, String)> {
        self.process.kill();
        let mut command = command(self.folder(), &self.config_file(), &self.setup);
        self.process = Running::try_start(&mut command)?;
        self.address = listening(&self.process);
        Ok(())
    }

    /// The Unix socket at which it looks for its way out.
    pub fn way_out(&self) -> PathBuf {
        self.folder().join(WAY_OUT)
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder().join("enclave.toml")
    }

    /// Replaces text in its configuration file and has it read again.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config_file()).expect("it has a configuration");
        assert!(text.contains(from), "{from} is not in the configuration");
        std::fs::write(self.config_file(), text.replace(from, to)).expect("the folder can be written to");
        self.process.hang_up();
    }

    /// Its working folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Where clients reach it.
fn listening(process: &Running) -> SocketAddr {
    match process.said("listen").split_once(':') {
        Some(("unix", socket)) => bridge(Path::new(socket)),
        Some(("tcp", address)) => address.parse().expect("an address"),
        _ => panic!("it listens neither on TCP nor on a Unix socket"),
    }
}

/// Name of the Unix socket at which an enclave looks for its way out.
const WAY_OUT: &str = "egress.sock";

/// Where the provider is, and whose certificate vouches for it if it speaks TLS.
struct Provider {
    address: SocketAddr,
    roots: Option<String>,
}

impl Provider {
    fn lines(&self) -> String {
        match &self.roots {
            None => format!("base_url = \"http://{}/v1\"", self.address),
            Some(roots) => {
                format!(
                    "base_url = \"https://{PROVIDER}:{}/v1\"\ntls_roots = '''\n{roots}'''",
                    self.address.port()
                )
            }
        }
    }

    /// The text with the provider's address and lines where it asks for them.
    fn named_in(&self, text: &str) -> String {
        text.replace("UPSTREAM", &self.address.to_string())
            .replace("PROVIDER_LINES", &self.lines())
            .replace("PROVIDER_ADDRESS", &format!("{PROVIDER}:{}", self.address.port()))
    }
}

/// The command that starts an enclave with this configuration.
fn command(folder: &Path, config: &Path, setup: &Setup) -> Command {
    let program = programs::path("postern-enclave");
    let mut command = Command::new("sh");
    let alone = if setup.isolated {
        // Raised outside, since inside nobody may.
        let raised = if can_raise_limit() { "ulimit -l unlimited\n" } else { "" };
        format!("{raised}exec {UNSHARE}")
    } else {
        "exec".to_owned()
    };
    command.args(["-c", &format!("{}\n{alone} \"$0\" \"$@\"", setup.before)]);
    if let Some(user) = setup.user {
        // The target folder may lie where only its owner can go.
        let copy = folder.join("postern-enclave");
        std::fs::copy(program, &copy).expect("the program can be copied");
        open_to_all(folder);
        command.arg(copy).uid(user).gid(user);
    } else {
        command.arg(program);
    }
    command.arg("--config").arg(config).current_dir(folder);
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command
}

/// How a program comes into namespaces of its own (util-linux).
const UNSHARE: &str = "unshare --user --map-root-user --net --mount";

/// Whether this machine lets the test make namespaces.
pub fn can_isolate() -> bool {
    let tried = Command::new("sh").args(["-c", &format!("{UNSHARE} true")]).stderr(Stdio::null()).status();
    tried.expect("sh runs").success()
}

/// A TCP address that leads to a Unix socket.
pub fn bridge(socket: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound socket has an address");
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(enclave) = UnixStream::connect(&socket) else { continue };
            let (Ok(client_in), Ok(enclave_in)) = (client.try_clone(), enclave.try_clone()) else { continue };
            std::thread::spawn(move || {
                let _ended = std::io::copy(&mut &client_in, &mut &enclave);
                let _closed = enclave.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ended = std::io::copy(&mut &enclave_in, &mut &client);
                let _closed = client.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn open_to_all(folder: &Path) {
    let open = |path: &Path| {
        let _best_effort = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777));
    };
    open(folder);
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        open(&entry.expect("an entry").path());
    }
}

/// Whether processes that this test starts may lock all of their memory: the limit can be raised, or does not hold for them.
pub fn can_lock_memory() -> bool {
    can_raise_limit() || has_lock_capability()
}

fn can_raise_limit() -> bool {
    let raised = Command::new("sh").args(["-c", "ulimit -l unlimited"]).stderr(Stdio::null()).status();
    raised.expect("sh runs").success()
}

/// `CAP_IPC_LOCK`, bit 14, in the first user namespace, which alone has all users.
fn has_lock_capability() -> bool {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let status = read("/proc/self/status");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap_or_default();
    let users = read("/proc/self/uid_map");
    effective >> 14 & 1 == 1 && users.split_whitespace().eq(["0", "0", "4294967295"])
}

/// `[process]`, with memory locked where that can be, unless it says something about that itself.
fn process_lines(setup: &Setup) -> String {
    if setup.process.contains("lock_memory") {
        return setup.process.clone();
    }
    // The capability is lost with the user, and void in a namespace.
    let can_lock = setup.user.is_none() && (can_raise_limit() || !setup.isolated && has_lock_capability());
    format!("lock_memory = {can_lock}\n{}", setup.process)
}

/// `[listen] address`: loopback, or a Unix socket where there is no loopback to share.
fn listens(folder: &Path, setup: &Setup) -> String {
    if setup.isolated {
        format!("unix:{}", folder.join("enclave.sock").display())
    } else {
        "tcp:127.0.0.1:0".to_owned()
    }
}

fn sha256(key: &str) -> String {
    hex::encode(digest(&SHA256, key.as_bytes()))
}

fn write_config(
    folder: &Path,
    egress: &Path,
    processor: &Path,
    provider: &Provider,
    setup: &Setup,
) -> PathBuf {
    let Setup { listen, limits, drain, gateway, .. } = setup;
    let (lines, listens, gateway) = (provider.lines(), listens(folder, setup), provider.named_in(gateway));
    let text = format!(
        r#"version = 1
[listen]
address = "{listens}"
names = ["{NAME}"]
{listen}
[tee]
attester = "socket:{processor}"
[host]
egress = "unix:{egress}"
[limits]
evidence_per_second = {evidence}
{limits}
[drain]
{drain}
[process]
{process}
[gateway]
version = 1
[[gateway.admission.keys]]
id = "all"
sha256 = "{all}"
models = ["*"]
[[gateway.admission.keys]]
id = "some"
sha256 = "{some}"
models = ["builtin"]
[gateway.deployments.builtin]
provider = "builtin"
model = "postern-builtin"
[gateway.deployments.slow]
provider = "builtin"
model = "postern-builtin"
tokens_per_second = 20
[gateway.deployments.fake]
provider = "openai_compatible"
model = "real-model"
{lines}
[gateway.models.builtin]
deployments = ["builtin"]
[gateway.models.slow]
deployments = ["slow"]
[gateway.models.fake]
deployments = ["fake"]
[gateway.models.real-model]
deployments = ["fake"]
{gateway}
"#,
        evidence = setup.evidence_per_second.unwrap_or(1000),
        process = process_lines(setup),
        processor = processor.display(),
        egress = egress.display(),
        all = sha256(KEY),
        some = sha256(OTHER_KEY),
    );
    let path = folder.join("enclave.toml");
    std::fs::write(&path, text).expect("the folder can be written to");
    path
}
