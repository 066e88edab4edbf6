//! The places where a canary could turn up, and how each is searched.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use postern_tests::canary::{Canaries, Hits};
use postern_tests::enclave::{Enclave, PROVIDER, Setup, bridge, can_isolate};
use postern_tests::http1::{Http1, post_with};
use postern_tests::memory;
use postern_tests::packets::{Found, Packets};
use postern_tests::programs::{self, Running};
use postern_tests::tls::{self, Offer};
use postern_tests::upstream::Upstream;
use ring::digest::{SHA256, digest};
use serde_json::json;
use tempfile::TempDir;
use tokio_rustls::client::TlsStream;

use super::taps::{self, Seen};

/// Seconds until an idle connection is closed.
pub(super) const IDLE_SECONDS: u64 = 5;

/// Clients, `postern-host`, taps on its connections to and from the enclave, the enclave, and its model provider, which
/// speaks TLS. Nothing else leads into the enclave's namespaces or out of them.
pub(super) struct World {
    pub(super) canaries: Arc<Canaries>,
    pub(super) enclave: Enclave,
    pub(super) host_process: Running,
    /// Where clients connect.
    pub(super) host: SocketAddr,
    /// The key that requests carry; a canary.
    pub(super) key: String,
    /// A model with a canary for a name.
    pub(super) named: String,
    /// A key that was issued to a team with a canary for a name.
    pub(super) issued: String,
    /// A provider that does not encrypt, behind the model `plain`: a leak.
    plain: Upstream,
    clients_leg: Seen,
    providers_leg: Seen,
    /// Nothing where this process may not capture packets.
    packets: Option<Packets>,
    started: SystemTime,
    /// Where records and the log are kept.
    disk: TempDir,
}

impl World {
    pub(super) fn closing_idle_after(seconds: u64) -> Self {
        let started = SystemTime::now();
        let canaries = Arc::new(Canaries::new());
        let key = canaries.plant("throughout", "gateway key");
        let credential = canaries.plant(CONTROL, "provider's key");
        // Names of models are in the numbers that the operator reads.
        let named = canaries.plant(CONTROL, "name of a model");
        let secret = tempfile::NamedTempFile::new().unwrap();
        let disk = TempDir::new().unwrap();
        std::fs::write(disk.path().join("root.key"), "a5".repeat(32)).unwrap();
        let (plain, packets) = (Upstream::start(), packets(&canaries));
        std::fs::write(secret.path(), &credential).unwrap();
        let enclave = Enclave::with(&Setup {
            limits: format!("idle_seconds = {seconds}\nconnections = 40"),
            drain: "limit_seconds = 1".to_owned(),
            before: "ulimit -c unlimited".to_owned(),
            isolated: can_isolate(),
            tls_provider: true,
            own_way_out: true,
            gateway: gateway(&key, secret.path(), &named, plain.address, disk.path()),
            ..Setup::default()
        });
        drop(secret);
        let (tapped, clients_leg) = taps::before(enclave.address);
        let way_out = enclave.folder().join("host.sock");
        let providers_leg = taps::on_the_way_out(&enclave.way_out(), &way_out);
        let config = enclave.folder().join("host.toml");
        std::fs::write(&config, host(tapped, &way_out, plain.address, enclave.upstream.address)).unwrap();
        let mut command = Command::new(programs::path("postern-host"));
        let host_process = Running::start(command.arg("--config").arg(config).current_dir(enclave.folder()));
        let host = host_process.said("ingress").parse().unwrap();
        let mut world = Self {
            canaries,
            enclave,
            host_process,
            host,
            key,
            named,
            issued: String::new(),
            plain,
            clients_leg,
            providers_leg,
            packets,
            started,
            disk,
        };
        world.issued = world.issue_key();
        world
    }

    /// Makes an organisation and a team whose names are canaries, and a key for it: they go into sealed records and into
    /// the log of what administrators do.
    fn issue_key(&self) -> String {
        let address = bridge(&self.enclave.folder().join("admin.sock"));
        let (org, team) = (self.canaries.plant(KEPT, "organisation"), self.canaries.plant(KEPT, "team"));
        let policy = json!({ "allowed_models": ["*"] });
        let asking = async {
            let mut client = Http1::connect(address).await;
            let mut credential = String::new();
            for (path, body) in [
                ("claim", json!({ "code": CLAIM })),
                ("orgs", json!({ "id": org, "policy": policy })),
                ("teams", json!({ "id": team, "org": org, "policy": policy })),
                ("keys", json!({ "owner": { "org": org, "team": team }, "policy": policy })),
            ] {
                client
                    .send(&post_with(&format!("/admin/v1/{path}"), &credential, &body.to_string()))
                    .await
                    .unwrap();
                let answer = client.answer().await.unwrap();
                assert_eq!(answer.status, 201, "{path}: {}", answer.text());
                let made = answer.json()["secret"].as_str().map(str::to_owned);
                match path {
                    "claim" => credential = format!("authorization: Bearer {}\r\n", made.unwrap()),
                    "keys" => return made.unwrap(),
                    _ => {}
                }
            }
            panic!("the last one makes a key")
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asking))
    }

    /// Sealed records and the log, as the disk holds them: how many bytes.
    pub(super) fn kept_on_disk(&self) -> u64 {
        let folders = [self.disk.path().to_owned(), self.disk.path().join("log")];
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).flatten();
        let data = files.filter_map(|file| file.metadata().ok());
        data.filter(std::fs::Metadata::is_file).map(|data| data.len()).sum()
    }

    /// A connection through the host that nothing was verified about.
    pub(super) async fn client(&self) -> Http1<TlsStream<tokio::net::TcpStream>> {
        Http1::new(tls::connect(self.host, Offer::http1().config()).await.unwrap())
    }

    pub(super) fn enclave_memory(&self) -> memory::Scan {
        memory::scan(self.enclave.process.id(), &self.canaries).expect("root reads the enclave's memory")
    }

    pub(super) fn host_memory(&self) -> memory::Scan {
        memory::scan(self.host_process.id(), &self.canaries).expect("root reads the host's memory")
    }

    /// What crossed between the host and the enclave on the leg of clients and on that of providers, both ways: bytes and what
    /// was found.
    pub(super) fn legs(&self) -> [(&'static str, usize, Hits); 2] {
        [("clients' leg", &self.clients_leg), ("providers' leg", &self.providers_leg)].map(|(leg, seen)| {
            let seen = seen.lock().unwrap();
            (leg, seen.len(), self.canaries.search(&seen))
        })
    }

    /// Packets on all interfaces of the host, if they may be captured.
    pub(super) fn packets(&self) -> Option<Found> {
        self.packets.as_ref().map(Packets::found)
    }

    /// Requests that the provider got which does not encrypt.
    pub(super) fn sent_in_the_clear(&self) -> usize {
        self.plain.received().len()
    }

    /// Standard error of both programs.
    pub(super) fn logs(&self) -> (usize, Hits) {
        let text = [self.enclave.process.stderr(), self.host_process.stderr()].concat();
        (text.len(), self.canaries.search(text.as_bytes()))
    }

    /// The page of numbers: bytes and what was found.
    pub(super) fn numbers(&self) -> (usize, Hits) {
        let mut stream = UnixStream::connect(self.enclave.folder().join("metrics.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut page = Vec::new();
        stream.read_to_end(&mut page).unwrap();
        assert!(page.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&page));
        (page.len(), self.canaries.search(&page))
    }

    /// KiB of the enclave that the kernel has written to swap.
    pub(super) fn swapped(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.enclave.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmSwap:")).expect("the kernel counts");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Every file that is new since the start in the working folder, the shared memory folder and the folder for
    /// temporary files: how many, and what was found.
    pub(super) fn files(&self) -> (usize, Hits) {
        let (mut count, mut hits) = (0, Hits::new());
        // The working folder is one of those for temporary files.
        let places = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
        for file in places.iter().flat_map(|place| self.new_files(place, 3)) {
            let Ok(bytes) = std::fs::read(&file) else { continue };
            count += 1;
            for (place, found) in self.canaries.search(&bytes) {
                *hits.entry(place).or_default() += found;
            }
        }
        (count, hits)
    }

    fn new_files(&self, folder: &Path, depth: usize) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (Ok(kind), Ok(data)) = (entry.file_type(), entry.metadata()) else { continue };
            if kind.is_dir() && depth > 0 {
                found.extend(self.new_files(&entry.path(), depth - 1));
            } else if kind.is_file()
                && data.len() < LARGEST_FILE
                && data.modified().is_ok_and(|time| time >= self.started)
            {
                found.push(entry.path());
            }
        }
        found
    }
}

fn packets(canaries: &Arc<Canaries>) -> Option<Packets> {
    let packets = Packets::searched_for(canaries);
    if packets.is_err() {
        eprintln!("packets are not captured: only root may");
        assert!(std::env::var_os("CI").is_none(), "continuous integration has to be able to");
    }
    packets.ok()
}

/// The enclave's configuration from `[gateway]` on: this key, this credential, a model of this name, a provider that does not
/// encrypt, and this folder for what is kept.
fn gateway(key: &str, credential: &Path, named: &str, plain: SocketAddr, disk: &Path) -> String {
    let (key, claim) =
        (hex::encode(digest(&SHA256, key.as_bytes())), hex::encode(digest(&SHA256, CLAIM.as_bytes())));
    let (credential, at) = (credential.display(), disk.display());
    format!(
        "[[gateway.admission.keys]]\nid = \"canary\"\nsha256 = \"{key}\"\nmodels = [\"*\"]\n\
         [gateway.limits]\nrequest_body_bytes = 2000000\n\
         [gateway.deployments.hasty]\nprovider = \"openai_compatible\"\nmodel = \"real-model\"\nPROVIDER_LINES\n\
         credential = \"file:{credential}\"\ntimeouts = {{ response_head_ms = 300, stall_ms = 300 }}\n\
         [gateway.models.hasty]\ndeployments = [\"hasty\"]\n\
         [gateway.models.{named}]\ndeployments = [\"fake\"]\n\
         [gateway.deployments.plain]\nprovider = \"openai_compatible\"\nmodel = \"real-model\"\nbase_url = \"http://{plain}/v1\"\n\
         [gateway.models.plain]\ndeployments = [\"plain\"]\n\
         [gateway.admission]\nvirtual_keys = true\n\
         [admin]\naddress = \"unix:admin.sock\"\nclaim_sha256 = \"{claim}\"\n\
         [state]\nstore = \"file:{at}/state.redb\"\nmode = \"lease\"\nroot_key = \"file:{at}/root.key\"\naudit = \"{at}/log\"\n\
         [metrics]\naddress = \"unix:metrics.sock\"\ninterval_seconds = 10"
    )
}

/// The host's configuration.
fn host(enclave: SocketAddr, way_out: &Path, plain: SocketAddr, provider: SocketAddr) -> String {
    let (way_out, name) = (way_out.display(), format!("{PROVIDER}:{}", provider.port()));
    format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"tcp:{enclave}\"\nmax_connections_per_source = 0\nnew_connections_per_second_per_source = 0\n\
         [egress]\nlisten = \"unix:{way_out}\"\nallow = [\"{name}\", \"{plain}\"]\nresolve = {{ \"{name}\" = \"{provider}\" }}\n"
    )
}

/// Larger files are others', in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// The scenario name of what the enclave keeps in its records, and so in its memory.
pub(super) const KEPT: &str = "kept in records";

/// Makes the first administrator.
const CLAIM: &str = "claimed by the canary run";

/// The scenario name of deliberate leaks.
pub(super) const CONTROL: &str = "deliberate leak";

/// Waits until the enclave has noticed that its clients are gone.
pub(super) fn let_connections_end() {
    std::thread::sleep(Duration::from_millis(100));
}
