//! `[state]`: what outlives the process, where, and under which key.

use std::path::PathBuf;

use gateway::config::SecretReference;
use serde::Deserialize;
use state::backend::{postgres, valkey};

/// `[state]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Where sealed records are kept: `memory`, `file:PATH`, `postgres://...` or `redis://...`. Servers are reached through
    /// the host, in TLS with `?sslmode=verify-full` and `rediss://...`.
    #[serde(default)]
    pub store: Keeper,
    /// The server's password in place of one in the URL, which whoever holds this file reads: `sealed:NAME`, `file:PATH` or
    /// `env:NAME`.
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// File of root certificates (PEM) that vouch for the server in place of the public web's.
    #[serde(default)]
    pub server_roots: Option<PathBuf>,
    /// How the store going back to an older state is dealt with; see [`Mode`].
    #[serde(default)]
    pub mode: Mode,
    /// Where the root sealing key comes from: `file:PATH` with 64 hex digits, `chip`, or `provisioned` by the operator. Needed
    /// for anything that outlives the process; what does not is sealed under a key that nobody keeps.
    #[serde(default)]
    pub root_key: Option<RootKeyFrom>,
    /// Mixes in what the processor derives for this measurement, so that what is sealed opens on this machine and in this
    /// release only. SEV-SNP with `/dev/sev-guest`.
    #[serde(default)]
    pub bind_to_chip: bool,
    /// Epoch in which records are sealed; those of the epoch before are sealed again at a start. Raise it by one.
    #[serde(default = "first_epoch")]
    pub epoch: u32,
    /// Name of this replica within the deployment, and of its log.
    #[serde(default = "only_replica")]
    pub replica: String,
    /// Folder of the audit log. Absent: no log is kept.
    #[serde(default)]
    pub audit: Option<PathBuf>,
    /// SHA-256 of the credential with which an auditor reads entries, as hex. Absent: nobody reads them here.
    #[serde(default)]
    pub auditor_sha256: Option<String>,
}

/// Where sealed records are kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum Keeper {
    /// In memory: gone with the process.
    #[default]
    Memory,
    /// In one file.
    File(PathBuf),
    /// In PostgreSQL, shared by replicas.
    Postgres(String),
    /// In Valkey or Redis, shared by replicas.
    Valkey(String),
}

impl TryFrom<String> for Keeper {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text)),
            Some(("redis" | "rediss" | "valkey" | "valkeys", _)) => Ok(Self::Valkey(text)),
            _ => Err("must be `memory`, `file:PATH`, `postgres://...` or `redis://...`"),
        }
    }
}

impl Keeper {
    /// As the public configuration says it: the kind, never the place.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File(_) => "file",
            Self::Postgres(_) => "postgres",
            Self::Valkey(_) => "valkey",
        }
    }
}

/// How the store going back is dealt with.
///
/// A host that owns the disk can put an older copy back while the enclave is off, and no enclave alone can tell. So a
/// process over a store that outlives it starts only in lease mode.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Budgets are spent from slices that end with the process, so that going back gains at most one slice; and the head of
    /// the log in the evidence shows it to clients.
    Lease,
    /// Going back must be impossible.
    #[default]
    Strict,
}

impl Mode {
    /// As the public configuration says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Strict => "strict",
        }
    }
}

/// Where the root sealing key comes from.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum RootKeyFrom {
    /// A file. Whoever starts the process can read it: for demonstrations, and for folders that only the image can open.
    File(PathBuf),
    /// The processor, which derives it for this measurement: what is sealed opens on this machine and in this release only,
    /// and nobody has to give anything. SEV-SNP with `/dev/sev-guest`.
    Chip,
    /// The operator, after verifying this enclave.
    Provisioned,
}

impl TryFrom<String> for RootKeyFrom {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            None if text == "chip" => Ok(Self::Chip),
            None if text == "provisioned" => Ok(Self::Provisioned),
            _ => Err("must be `file:PATH`, `chip` or `provisioned`"),
        }
    }
}

impl State {
    /// What is wrong with it, if anything: the key, and what it must be.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let name = self.replica.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        if name.is_empty() || name.len() > 32 || !name.iter().all(plain) {
            return Some(("state.replica", "1 to 32 lower-case letters, digits and hyphens"));
        }
        if self.root_key.is_none() && (self.outlives_the_process() || self.bind_to_chip) {
            return Some((
                "state.root_key",
                "`file:PATH`, `chip` or `provisioned`, since something is to outlive the process",
            ));
        }
        let server = match &self.store {
            Keeper::Memory | Keeper::File(_) => Ok(()),
            Keeper::Postgres(url) => postgres::Server::parse(url).map(drop),
            Keeper::Valkey(url) => valkey::Server::parse(url).map(drop),
        };
        if let Err(expected) = server {
            return Some(("state.store", expected));
        }
        if !self.is_on_a_server() && (self.password.is_some() || self.server_roots.is_some()) {
            return Some(("state.password", "absent with state.server_roots, since no server keeps state"));
        }
        if self.epoch == 0 {
            return Some(("state.epoch", "at least 1"));
        }
        let digest = self.auditor_sha256.as_deref().map(attestation::digest::Sha256::from_hex);
        if digest.is_some_and(|digest| digest.is_err()) {
            return Some(("state.auditor_sha256", "64 hex digits"));
        }
        if self.auditor_sha256.is_some() && self.audit.is_none() {
            return Some(("state.auditor_sha256", "absent, since state.audit names no log"));
        }
        None
    }

    /// Whether it cannot be opened before the operator has given something.
    pub fn awaits_operator(&self) -> bool {
        let sealed = |own: &SecretReference| own.parts().is_some_and(|(scheme, _)| scheme == "sealed");
        self.root_key == Some(RootKeyFrom::Provisioned) || self.password.as_ref().is_some_and(sealed)
    }

    /// Whether what is sealed opens on this machine and in this release only.
    pub fn is_bound_to_chip(&self) -> bool {
        self.bind_to_chip || self.root_key == Some(RootKeyFrom::Chip)
    }

    /// Whether records outlive the process.
    pub const fn keeps_records(&self) -> bool {
        !matches!(self.store, Keeper::Memory)
    }

    /// Whether a server keeps it, which replicas share.
    pub const fn is_on_a_server(&self) -> bool {
        matches!(self.store, Keeper::Postgres(_) | Keeper::Valkey(_))
    }

    /// Whether anything is kept in files.
    pub const fn keeps_files(&self) -> bool {
        matches!(self.store, Keeper::File(_)) || self.audit.is_some()
    }

    /// Whether anything outlives the process.
    pub const fn outlives_the_process(&self) -> bool {
        self.keeps_records() || self.audit.is_some()
    }

    /// What clients may know.
    pub(super) fn public(&self) -> serde_json::Value {
        serde_json::json!({
            "store": self.store.kind(),
            "mode": self.mode.as_str(),
            "root_key": match self.root_key {
                Some(RootKeyFrom::Chip) => "chip",
                Some(RootKeyFrom::Provisioned) => "provisioned",
                Some(RootKeyFrom::File(_)) => "file",
                None => "none",
            },
            "bound_to_chip": self.is_bound_to_chip(),
            "replica": self.replica,
            "audited": self.audit.is_some(),
        })
    }
}

const fn first_epoch() -> u32 {
    1
}

fn only_replica() -> String {
    "a".to_owned()
}
