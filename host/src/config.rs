//! The configuration file, parsed and checked once.
//!
//! Nothing in it is trusted by anybody but the operator: a wrong value costs availability, never secrecy.

pub mod defaults;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use link::HostName;
use serde::{Deserialize, Deserializer, de};

use crate::{address::Address, log::Level};

/// Everything `postern-host` can be told. At least one of `ingress` and `egress` is present.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Worker threads, one single-threaded runtime each; 0 is one per core.
    #[serde(default)]
    pub workers: usize,
    /// How much is logged.
    #[serde(default)]
    pub log: Level,
    /// Longest drain after SIGTERM, in seconds.
    #[serde(default = "defaults::drain_seconds")]
    pub drain_seconds: u64,
    /// Clients to enclave.
    pub ingress: Option<Ingress>,
    /// Enclave to upstreams.
    pub egress: Option<Egress>,
    /// Vendor endorsements, asked for through `egress`; absent: none are fetched.
    pub endorsements: Option<Endorsements>,
}

/// Clients to enclave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Where clients connect: one address or a list of them.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// Where the enclave listens.
    pub enclave: Address,
    /// Client connections at once, over all listeners.
    #[serde(default = "defaults::ingress_connections")]
    pub max_connections: usize,
    /// Connections at once from one IPv4 address or one IPv6 /64; 0 is no limit.
    #[serde(default = "defaults::source_connections")]
    pub max_connections_per_source: u32,
    /// New connections per second from one source, also the burst; 0 is no limit.
    #[serde(default = "defaults::source_rate")]
    pub new_connections_per_second_per_source: u32,
    /// Seconds for the client's first byte; only then the enclave is dialled.
    #[serde(default = "defaults::first_byte_seconds")]
    pub first_byte_seconds: u64,
    /// Seconds for the enclave to accept.
    #[serde(default = "defaults::connect_seconds")]
    pub connect_seconds: u64,
    /// Seconds without a byte either way until a connection is closed.
    #[serde(default = "defaults::idle_seconds")]
    pub idle_seconds: u64,
}

/// Enclave to upstreams.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Where the enclave connects.
    pub listen: Address,
    /// The only vsock context that may connect; absent: any. Of no effect on other listeners.
    pub enclave_cid: Option<u32>,
    /// Destinations, exact `host:port`, IPv6 literals in brackets; nothing else is dialled.
    #[serde(default)]
    pub allow: BTreeSet<Destination>,
    /// Fixed addresses for destinations on the list, in place of DNS.
    #[serde(default)]
    pub resolve: BTreeMap<Destination, SocketAddr>,
    /// Connections at once.
    #[serde(default = "defaults::egress_connections")]
    pub max_connections: usize,
    /// Seconds for DNS and connecting together.
    #[serde(default = "defaults::egress_connect_seconds")]
    pub connect_seconds: u64,
    /// Seconds without a byte either way until a connection is closed.
    #[serde(default = "defaults::idle_seconds")]
    pub idle_seconds: u64,
}

/// Vendor endorsements: fetched on the enclave's request, cached on disk, handed over unchecked (the enclave
/// and the client check signatures and dates).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsements {
    /// Folder for the cache, made when missing.
    pub cache: PathBuf,
    /// AMD Key Distribution Service or a mirror of it.
    #[serde(default = "defaults::amd_kds")]
    pub amd_kds: String,
    /// Intel Provisioning Certification Service or a mirror of it.
    #[serde(default = "defaults::intel_pcs")]
    pub intel_pcs: String,
    /// Where Intel publishes the root's revocation list, or a mirror of it.
    #[serde(default = "defaults::intel_certificates")]
    pub intel_certificates: String,
    /// Seconds for one fetch.
    #[serde(default = "defaults::fetch_seconds")]
    pub fetch_seconds: u64,
    /// Seconds until a revocation list or TCB info is fetched anew.
    #[serde(default = "defaults::refresh_seconds")]
    pub refresh_seconds: u64,
    /// Seconds up to which an old document is still handed over when the vendor cannot be reached.
    #[serde(default = "defaults::stale_seconds")]
    pub stale_seconds: u64,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// One line: code, place, what to do.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let place = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| ConfigError {
            code: "CONFIG_UNREADABLE",
            place: place.clone(),
            problem: format!("{}; check the path given to --config", error.kind()),
        })?;
        Self::parse(&text, &place)
    }

    /// Parses and checks `text`; `place` names it in errors.
    ///
    /// # Errors
    /// One line: code, place, what to do.
    pub fn parse(text: &str, place: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            code: "CONFIG_INVALID",
            place: match error.span() {
                Some(span) => format!("{place}:{}", position(text, span.start)),
                None => place.to_owned(),
            },
            problem: with_suggestion(error.message()),
        })?;
        config.check(place)?;
        Ok(config)
    }

    /// What the types cannot say.
    ///
    /// # Errors
    /// One line: code, `place` with the field, what to do.
    pub fn check(&self, place: &str) -> Result<(), ConfigError> {
        let wrong = |code, field: &str, problem: &str| {
            Err(ConfigError { code, place: format!("{place}: {field}"), problem: problem.to_owned() })
        };
        if self.ingress.is_none() && self.egress.is_none() {
            return wrong("CONFIG_EMPTY", "ingress, egress", "nothing to do; add [ingress] or [egress]");
        }
        if self.endorsements.is_some() && self.egress.is_none() {
            return wrong("CONFIG_NO_EGRESS", "endorsements", "asked for through [egress]; add it");
        }
        let zero = "must be at least 1";
        if let Some(ingress) = &self.ingress {
            if ingress.listen.is_empty() {
                return wrong("CONFIG_RANGE", "ingress.listen", "needs at least one address");
            }
            if matches!(ingress.enclave, Address::Vsock { cid: Address::ANY_CID, .. }) {
                return wrong("CONFIG_RANGE", "ingress.enclave", "name the enclave's context instead of any");
            }
            if ingress.max_connections == 0 {
                return wrong("CONFIG_RANGE", "ingress.max_connections", zero);
            }
        }
        if let Some(egress) = &self.egress {
            if egress.max_connections == 0 {
                return wrong("CONFIG_RANGE", "egress.max_connections", zero);
            }
            if !egress.resolve.keys().all(|destination| egress.allow.contains(destination)) {
                let problem = "names a destination that is not in egress.allow; add it there";
                return wrong("CONFIG_RESOLVE", "egress.resolve", problem);
            }
        }
        self.check_seconds(place)
    }

    fn check_seconds(&self, place: &str) -> Result<(), ConfigError> {
        let ingress = self.ingress.iter().flat_map(|ingress| {
            [
                ("ingress.first_byte_seconds", ingress.first_byte_seconds),
                ("ingress.connect_seconds", ingress.connect_seconds),
                ("ingress.idle_seconds", ingress.idle_seconds),
            ]
        });
        let egress = self.egress.iter().flat_map(|egress| {
            [("egress.connect_seconds", egress.connect_seconds), ("egress.idle_seconds", egress.idle_seconds)]
        });
        let endorsements =
            self.endorsements.iter().map(|found| ("endorsements.fetch_seconds", found.fetch_seconds));
        for (field, seconds) in ingress.chain(egress).chain(endorsements) {
            if !(1..=DAY).contains(&seconds) {
                return Err(ConfigError {
                    code: "CONFIG_RANGE",
                    place: format!("{place}: {field}"),
                    problem: format!("must be 1 to {DAY} seconds"),
                });
            }
        }
        Ok(())
    }

    /// Longest drain.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// Whom the enclave may reach: a host name and a port, exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Host name or address literal.
    pub host: HostName,
    /// TCP port.
    pub port: u16,
}

impl Destination {
    /// Parses `host:port` or `[ipv6]:port`.
    ///
    /// # Errors
    /// One line with an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = || {
            let (host, port) = text.rsplit_once(':')?;
            let bare = match host.strip_prefix('[') {
                Some(rest) => {
                    let bare = rest.strip_suffix(']')?;
                    matches!(bare.parse(), Ok(IpAddr::V6(_))).then_some(bare)?
                }
                None if host.contains(':') => return None,
                None => host,
            };
            let port = port.parse().ok().filter(|&port| port != 0)?;
            Some(Self { host: HostName::new(bare).ok()?, port })
        };
        parts().ok_or_else(|| {
            "a destination is host:port, as in \"api.openai.com:443\"; no wildcards".to_owned()
        })
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Why the configuration cannot be used, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Stable code.
    pub code: &'static str,
    /// File, and line and column or field.
    pub place: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.place, self.problem)
    }
}

impl std::error::Error for ConfigError {}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let texts = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    };
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| de::Error::custom("listen is an IP address and a port, as in \"0.0.0.0:8443\""))
    };
    texts.iter().map(parse).collect()
}

/// `LINE:COLUMN` of a byte offset, both counted from 1.
fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{line}:{column}")
}

/// First line of the parser's message; "unknown field `a`, expected one of `b`, `c`" gets the nearest name.
fn with_suggestion(message: &str) -> String {
    let message = message.lines().next().unwrap_or("not TOML");
    let mut names = message.split('`').skip(1).step_by(2);
    let nearest = message.starts_with("unknown").then(|| names.next()).flatten().and_then(|unknown| {
        names
            .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
            .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
            .min()
    });
    match nearest {
        Some((_, name)) => format!("{message}; did you mean `{name}`?"),
        None => message.to_owned(),
    }
}

/// Upper bound of every timeout, in seconds.
const DAY: u64 = 86_400;

#[cfg(test)]
mod tests;
