//! The places where a canary could turn up, and how each is searched.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use postern_tests::canary::{Canaries, Hits};
use postern_tests::enclave::{Enclave, Setup, bridge, can_isolate};
use postern_tests::http1::{Http1, post_with};
use postern_tests::memory;
use postern_tests::programs::{self, Running};
use postern_tests::tls::{self, Offer};
use ring::digest::{SHA256, digest};
use serde_json::json;
use tempfile::TempDir;
use tokio_rustls::client::TlsStream;

/// Seconds until an idle connection is closed.
pub(super) const IDLE_SECONDS: u64 = 1;

/// Clients, `postern-host`, a tap on its connection to the enclave, the enclave, and its model provider.
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
    tap: Tap,
    started: SystemTime,
    /// Where records and the log are kept.
    disk: TempDir,
}

impl World {
    /// One that closes idle connections soon.
    pub(super) fn start() -> Self {
        Self::closing_idle_after(IDLE_SECONDS)
    }

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
        let claim = hex::encode(digest(&SHA256, CLAIM.as_bytes()));
        std::fs::write(secret.path(), &credential).unwrap();
        let enclave = Enclave::with(&Setup {
            limits: format!("idle_seconds = {seconds}\nconnections = 40"),
            drain: "limit_seconds = 1".to_owned(),
            before: "ulimit -c unlimited".to_owned(),
            isolated: can_isolate(),
            gateway: format!(
                "[[gateway.admission.keys]]\nid = \"canary\"\nsha256 = \"{}\"\nmodels = [\"*\"]\n\
                 [gateway.limits]\nrequest_body_bytes = 2000000\n\
                 [gateway.deployments.hasty]\nprovider = \"openai_compatible\"\nmodel = \"real-model\"\nbase_url = \"http://UPSTREAM/v1\"\n\
                 credential = \"file:{}\"\ntimeouts = {{ response_head_ms = 300, stall_ms = 300 }}\n\
                 [gateway.models.hasty]\ndeployments = [\"hasty\"]\n\
                 [gateway.models.{}]\ndeployments = [\"fake\"]\n\
                 [gateway.admission]\nvirtual_keys = true\n\
                 [admin]\naddress = \"unix:admin.sock\"\nclaim_sha256 = \"{claim}\"\n\
                 [state]\nstore = \"file:{at}/state.redb\"\nmode = \"lease\"\nroot_key = \"file:{at}/root.key\"\naudit = \"{at}/log\"\n\
                 [metrics]\naddress = \"unix:metrics.sock\"\ninterval_seconds = 10",
                hex::encode(digest(&SHA256, key.as_bytes())),
                secret.path().display(),
                named,
                at = disk.path().display(),
            ),
            ..Setup::default()
        });
        drop(secret);
        let tap = Tap::before(enclave.address);
        let config = enclave.folder().join("host.toml");
        let text = format!(
            "[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"tcp:{}\"\nmax_connections_per_source = 0\nnew_connections_per_second_per_source = 0\n",
            tap.address
        );
        std::fs::write(&config, text).unwrap();
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
            tap,
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

    /// What crossed the host's connection to the enclave, both ways: bytes and what was found.
    pub(super) fn wire(&self) -> (usize, Hits) {
        let seen = self.tap.seen.lock().unwrap();
        (seen.len(), self.canaries.search(&seen))
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

/// Larger files are others', in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// The scenario name of what the enclave keeps in its records, and so in its memory.
pub(super) const KEPT: &str = "kept in records";

/// Makes the first administrator.
const CLAIM: &str = "claimed by the canary run";

/// The scenario name of deliberate leaks.
pub(super) const CONTROL: &str = "deliberate leak";

/// Passes connections on and keeps what crosses.
struct Tap {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    fn before(enclave: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(enclave) else { continue };
                let copies = (near.try_clone().unwrap(), far.try_clone().unwrap());
                for (from, into) in [(near, far), (copies.1, copies.0)] {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || copy(from, into, &shared));
                }
            }
        });
        Self { address, seen }
    }
}

fn copy(mut from: TcpStream, mut into: TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        seen.lock().unwrap().extend_from_slice(&buffer[..count]);
        if into.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ended = (into.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}

/// Waits until the enclave has noticed that its clients are gone.
pub(super) fn let_connections_end() {
    std::thread::sleep(Duration::from_millis(100));
}
