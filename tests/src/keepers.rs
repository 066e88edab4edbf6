//! `PostgreSQL` and Valkey from the system's packages, started on loopback and gone when dropped. Also read, as a file, by the
//! tests of the crate that speaks with them.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server that ends with the test.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// `postgres://...` or `redis://...`, in the clear.
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A certificate and its key, both PEM, for a server to prove itself with.
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The program, or a plain word that the test is skipped; in CI it must be there.
fn program(names: &[&str]) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs one of {names:?}");
        eprintln!("skipped: none of {names:?} is installed");
    }
    found
}

/// A port of loopback on which nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `PostgreSQL` refuses to run as root, so it gets another user there.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Writes certificate and key where the server may read them: their paths.
fn files(folder: &Path, own: &Certificate) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    std::fs::write(&certificate, &own.certificate).unwrap();
    std::fs::write(&key, &own.key).unwrap();
    // As PostgreSQL wants a key: nobody's but its own.
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&key, Some(65534), Some(65534)).unwrap();
    }
    (certificate, key)
}

impl Server {
    /// Has the database's owner run a statement: `PostgreSQL` only.
    pub fn run_sql(&self, statement: &str) {
        let psql = program(&["psql"]).expect("it comes with the server");
        let port = self.address.port().to_string();
        let ran = Command::new(psql)
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postern", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .arg("postgres")
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// `PostgreSQL`, with TLS too if it is given a certificate.
pub fn postgres(tls: Option<&Certificate>) -> Option<Server> {
    let (initdb, postgres) = (program(&["initdb"])?, program(&["postgres"])?);
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let data = folder.path().join("data");
    let made = as_user(&initdb)
        .args(["-A", "trust", "-U", "postern", "--no-sync", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let port = free_port();
    let mut command = as_user(&postgres);
    command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    if let Some(own) = tls {
        let (certificate, key) = files(folder.path(), own);
        command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", certificate.display())]);
        command.args(["-c", &format!("ssl_key_file={}", key.display())]);
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Some(Server { child, address, url: format!("postgres://postern@{address}/postgres"), _folder: folder })
}

/// Valkey or Redis with the password `word`, with TLS alone if it is given a certificate.
pub fn valkey(tls: Option<&Certificate>) -> Option<Server> {
    let program = program(&["valkey-server", "redis-server"])?;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--save", "", "--requirepass", "word", "--dir"]).arg(folder.path());
    if let Some(own) = tls {
        let (certificate, key) = files(folder.path(), own);
        command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"]);
        command.arg(&certificate).arg("--tls-key-file").arg(key).arg("--tls-ca-cert-file").arg(certificate);
    } else {
        command.args(["--port", &port]);
    }
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    Some(Server { child, address, url: format!("redis://:word@{address}"), _folder: folder })
}
