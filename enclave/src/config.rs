//! The enclave's own file: where it listens, what vouches for it, how much it will bear.
//!
//! One versioned TOML file. An unknown key is an error. It names secrets, it never holds one.

mod admin;
mod error;
mod limits;
mod metrics;
mod operator;
mod provisioning;
mod service;
mod state;
mod stream_shape;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attestation::digest::Sha384;
use gateway::config::GatewayConfig;
use serde::Deserialize;

pub use self::admin::{AdminConfig, OidcConfig, WebhookConfig};
pub use self::error::ConfigError;
pub use self::limits::Limits;
pub use self::metrics::Metrics;
pub use self::operator::OperatorKey;
pub use self::provisioning::{Keep, Provisioning};
pub use self::service::ServiceUrl;
pub use self::state::{Keeper, Mode, RootKeyFrom, State};
pub use self::stream_shape::StreamShape;
use crate::transport::Address;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Format of this file; 1.
    pub version: u32,
    /// Where and as whom clients are served.
    pub listen: Listen,
    /// What vouches for this enclave.
    pub tee: Tee,
    /// Services of the untrusted host.
    #[serde(default)]
    pub host: Host,
    /// What one client, and all of them, may use.
    #[serde(default)]
    pub limits: Limits,
    /// How the process ends.
    #[serde(default)]
    pub drain: Drain,
    /// How the process is closed to the rest of its machine.
    #[serde(default)]
    pub process: Process,
    /// Who may give the secrets that are referred to as `sealed:NAME`.
    #[serde(default)]
    pub provisioning: Option<Provisioning>,
    /// Who may read the process's numbers; nobody if absent.
    #[serde(default)]
    pub metrics: Option<Metrics>,
    /// Who administers; nobody unless stated.
    #[serde(default)]
    pub admin: Option<AdminConfig>,
    /// What outlives the process. Absent: nothing does.
    #[serde(default)]
    pub state: Option<State>,
    /// Keys, deployments and models.
    pub gateway: GatewayConfig,
    /// SHA-384 of the text that all of this was read from. Unlike the digest of the public configuration it changes with
    /// every character, so with what clients do not see too.
    #[serde(skip, default = "nothing_read")]
    pub source: Sha384,
}

/// `[listen]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// `tcp:IP:PORT`, `unix:PATH` or `vsock:PORT`.
    #[serde(deserialize_with = "address")]
    pub address: Address,
    /// DNS names clients dial; they are in the TLS certificate and in the attested keyset.
    pub names: Vec<String>,
    /// Key exchange groups offered.
    #[serde(default)]
    pub key_exchange: KeyExchange,
    /// How answers are padded and timed, unless a request asks otherwise; see [`StreamShape`].
    #[serde(default)]
    pub stream_shape: StreamShape,
    /// Worker threads, each with its own runtime. Default: one per CPU.
    pub workers: Option<usize>,
}

/// Key exchange groups of the TLS endpoint.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    /// X25519MLKEM768 first, X25519 for clients that have nothing better.
    Compatible,
    /// X25519MLKEM768 and nothing else.
    #[default]
    PostQuantum,
}

/// `[tee]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tee {
    /// `auto`, `configfs-tsm`, `sev-guest`, `azure-vtpm`, `socket:PATH` or `socket:tcp:IP:PORT` for a security processor behind a socket.
    pub attester: String,
    /// Deployment authority this instance belongs to: SHA-256 of its public key, as hex. Absent: none.
    #[serde(default)]
    pub deployment_id: Option<String>,
    /// File with firmware's event log, for policies that want the TDX registers explained: usually
    /// `/sys/firmware/acpi/tables/data/CCEL`. A log that does not lead to the registers makes clients refuse.
    #[serde(default)]
    pub event_log: Option<PathBuf>,
}

/// `[host]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Where `postern-host` takes outgoing connections and fetches endorsements. Absent: no way out.
    #[serde(default, deserialize_with = "some_address")]
    pub egress: Option<Address>,
}

/// `[drain]`
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Seconds between `readyz` turning 503 and the listener closing, for load balancers to notice.
    pub delay_seconds: u64,
    /// Seconds that streams in flight may still take.
    pub limit_seconds: u64,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay_seconds: 0, limit_seconds: 600 }
    }
}

/// `[process]`
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Process {
    /// Locks all memory, so that no page of it is ever written to swap. Needs an unlimited
    /// `RLIMIT_MEMLOCK`; where that cannot be had the process does not start, unless this is `false`, which
    /// clients see in the public configuration.
    pub lock_memory: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self { lock_memory: true }
    }
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ConfigError`]: the first thing that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&Self::read(path)?)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the one configuration file is read at start and on demand"
    )]
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error.kind()))
    }

    /// Parses and checks the text of the file.
    ///
    /// # Errors
    /// [`ConfigError`]: the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = gateway::config::parse(text).map_err(ConfigError::Invalid)?;
        config.check()?;
        Ok(Self { source: Sha384::of(text.as_bytes()), ..config })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, expected| Err(ConfigError::Value { key, expected });
        if self.version != 1 {
            return refuse("version", "1, the only format there is");
        }
        let valid_name = |name: &String| rustls_pki_types::ServerName::try_from(name.as_str()).is_ok();
        if self.gateway.admission.virtual_keys != (self.admin.is_some() && self.state.is_some()) {
            return refuse(
                "gateway.admission.virtual_keys",
                "true together with the tables 'admin' and 'state', or none of the three",
            );
        }
        if let Some((key, expected)) = self.admin.as_ref().and_then(AdminConfig::problem) {
            return refuse(key, expected);
        }
        if self.listen.names.is_empty() || !self.listen.names.iter().all(valid_name) {
            return refuse("listen.names", "at least one DNS name or IP address, and nothing else");
        }
        if self.listen.workers.is_some_and(|workers| workers == 0 || workers > 1024) {
            return refuse("listen.workers", "1 to 1024");
        }
        if let Some((key, expected)) = self.state.as_ref().and_then(State::problem) {
            return refuse(key, expected);
        }
        let provisioning = self.provisioning.and_then(|own| own.problem(self.state.as_ref()));
        if let Some((key, expected)) = provisioning {
            return refuse(key, expected);
        }
        if let Some((key, expected)) = self.limits.problem() {
            return refuse(key, expected);
        }
        let intervals = self.metrics.as_ref().map(|own| own.interval_seconds);
        if intervals.is_some_and(|seconds| !(10..=3600).contains(&seconds)) {
            return refuse("metrics.interval_seconds", "10 to 3600");
        }
        Ok(())
    }

    /// Everything that is wrong with the text of a file, secrets aside.
    ///
    /// # Errors
    /// All problems found; at least one.
    pub fn examine(text: &str) -> Result<Self, Vec<ConfigError>> {
        let config: Self = gateway::config::problems::parse_all(text)
            .map_err(|all| all.into_iter().map(ConfigError::Invalid).collect::<Vec<_>>())?;
        config.check().map_err(|error| vec![error])?;
        Ok(config)
    }

    /// The tables in which another configuration differs and that are read at a start only: whatever sockets, keys,
    /// threads and the system-call filter were made from.
    pub fn differences_that_need_a_start(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            version,
            listen,
            tee,
            host,
            limits,
            drain,
            process,
            provisioning,
            metrics,
            admin,
            state,
            gateway: _,
            source: _,
        } = self;
        [
            ("version", *version == other.version),
            ("listen", *listen == other.listen),
            ("tee", *tee == other.tee),
            ("host", *host == other.host),
            ("limits", *limits == other.limits),
            ("drain", *drain == other.drain),
            ("process", *process == other.process),
            ("provisioning", *provisioning == other.provisioning),
            ("metrics", *metrics == other.metrics),
            ("admin", *admin == other.admin),
            ("state", *state == other.state),
        ]
        .into_iter()
        .filter_map(|(table, same)| (!same).then_some(table))
        .collect()
    }

    /// What clients may rely on, as published at `/.well-known/postern/config` and hashed into the claims.
    ///
    /// Every behaviour that could betray a client is named here, so that switching it on shows. `sealed` are the names of
    /// the secrets that an operator gives.
    pub fn public(&self, gateway: &serde_json::Value, sealed: &BTreeSet<String>) -> serde_json::Value {
        let provisioning = self.provisioning.map(|own| {
            serde_json::json!({
                "operator": own.operator.to_string(), "secrets": sealed, "keep": own.keep.as_str(),
            })
        });
        let admin = self.admin.as_ref().map(AdminConfig::public);
        let mut public = serde_json::json!({
            "version": 1,
            "content_logging": false,
            "debug": false,
            "stream_shape": self.listen.stream_shape.as_str(),
            "memory_locked": self.process.lock_memory,
            "provisioning": provisioning,
            "metrics_every_seconds": self.metrics.as_ref().map(|own| own.interval_seconds),
            "admin": admin,
            "tls": {
                "names": self.listen.names,
                "post_quantum_required": self.listen.key_exchange == KeyExchange::PostQuantum,
            },
            "limits": {
                "idle_seconds": self.limits.idle_seconds,
                "header_bytes": self.limits.header_bytes,
            },
            "gateway": gateway,
        });
        if let (Some(state), Some(members)) = (&self.state, public.as_object_mut()) {
            members.insert("state".to_owned(), state.public());
        }
        public
    }
}

fn nothing_read() -> Sha384 {
    Sha384::of(&[])
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn some_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    address(deserializer).map(Some)
}
