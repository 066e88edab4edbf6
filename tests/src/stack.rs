//! The whole path as real processes: enclave, host, verifying proxy.

use std::path::PathBuf;
use std::process::Command;

use crate::enclave::{Enclave, KEY, NAME, Setup};
use crate::policies;
use crate::programs::{self, Running};

/// Everything between an unmodified client and the model.
pub struct Stack {
    /// The enclave.
    pub enclave: Enclave,
    /// `postern-host`.
    pub host: Running,
    /// `postern proxy`.
    pub proxy: Running,
    /// What an SDK needs: where, up to and including `/v1`.
    pub base_url: String,
    /// What an SDK needs: the key.
    pub token: String,
    /// The policy that the proxy verifies with.
    pub policy: PathBuf,
    /// The gateway as clients dial it, through the host.
    pub url: String,
}

impl Stack {
    /// Starts all of it.
    pub fn start(setup: &Setup) -> Self {
        let enclave = Enclave::with(setup);
        let folder = enclave.folder().to_owned();
        let host = host(&enclave);
        let ingress = host.said("ingress").to_owned();
        let port = ingress.rsplit(':').next().expect("an address has a port");
        let url = format!("https://{NAME}:{port}");
        let policy = policies::write(&enclave);
        let key_file = folder.join("gateway-key");
        std::fs::write(&key_file, KEY).expect("the folder can be written to");
        let mut command = Command::new(programs::path("postern"));
        command
            .args(["proxy", "--to", &url, "--connect", &ingress, "--listen", "127.0.0.1:0", "--policy"])
            .arg(&policy);
        command.arg("--token-file").arg(folder.join("token")).arg("--key-file").arg(&key_file);
        command.arg("--state-file").arg(folder.join("remembered.json"));
        private(&key_file);
        let proxy = Running::start(&mut command);
        let base_url = proxy.said("base_url").to_owned();
        let token = std::fs::read_to_string(folder.join("token")).expect("the proxy wrote its token");
        Self { enclave, host, proxy, base_url, token: token.trim().to_owned(), policy, url }
    }
}

/// A `postern-host` before this enclave. Its ready line says where: `ingress`.
pub fn host(enclave: &Enclave) -> Running {
    let config = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"tcp:{}\"\nmax_connections_per_source = 0\nnew_connections_per_second_per_source = 0\n",
        enclave.address
    );
    let file = enclave.folder().join("host.toml");
    std::fs::write(&file, config).expect("the folder can be written to");
    Running::start(Command::new(programs::path("postern-host")).arg("--config").arg(file))
}

fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let only_owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, only_owner).expect("the file is ours");
}
