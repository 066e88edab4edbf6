//! From a configuration to a serving process, one irreversible step at a time.
//!
//! Each step takes the one before by value, so that secrets are read only by a confined process, keys exist
//! only after the entropy gate, state only after keys, evidence only after state (its claims name the head of the log),
//! and a listener only after evidence.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use attestation::attester::Attester;
use attestation::digest::Nonce;
use attestation::enclave_claims::Role;
use attestation::endorsements::MAX_EVENT_LOG_BYTES;
use gateway::settle::Books;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::active::{Active, InForce, Unusable};
use crate::agent::{Agent, AgentError};
use crate::audit_log::AuditLog;
use crate::clock::ProcessClock;
use crate::config::Config;
use crate::endorsements::EndorsementSource;
use crate::entropy::{Hardware, Kernel, Seeds};
use crate::hardening::Hardened;
use crate::host_link::HostLink;
use crate::identity::{Identity, IdentityError};
use crate::kept::{Keeping, KeptError, Wanted};
use crate::provisioning::{self, Provisioned};
use crate::sealing_key::Chip;
use crate::secrets::{Given, References};
use crate::tee::{NoTee, Source};
use crate::transport::{Address, Listening};
use crate::worker::{Phase, Shared};

/// Why the process does not serve: one line, with what to do next.
#[derive(Debug)]
pub enum BootError {
    /// The listening address cannot be bound.
    Bind(Address, std::io::ErrorKind),
    /// Keys could not be made.
    Identity(IdentityError),
    /// What outlives the process cannot be opened.
    Kept(KeptError),
    /// The hardware gave no evidence.
    NoEvidence(AgentError),
    /// The configured source of evidence is not there.
    NoTee(NoTee),
    /// The file that `tee.event_log` names cannot be read, or is longer than an event log may be.
    EventLog(std::io::ErrorKind),
    /// `tee.attester` or `tee.deployment_id` is not one of the forms.
    Tee(&'static str),
    /// The configuration reads well and cannot be used.
    Unusable(Unusable),
}

impl std::fmt::Display for BootError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(address, kind) => write!(out, "BIND: {address}: {kind}; is another process there?"),
            Self::Identity(error) => {
                write!(out, "{}: no keys were made; this machine's randomness cannot be used", error.code())
            }
            Self::NoEvidence(error) => write!(
                out,
                "{}: no evidence from tee.attester; without a TEE this program does not serve",
                error.code()
            ),
            Self::Kept(error) => write!(out, "{error}"),
            Self::NoTee(error) => {
                let code = match error.reasons() {
                    [(_, only)] => crate::agent::attester_code(*only),
                    _ => "ATTESTER_UNAVAILABLE",
                };
                write!(out, "{code}: tee.attester: {error}; without a TEE this program does not serve")
            }
            Self::EventLog(kind) => write!(out, "CONFIG_VALUE: tee.event_log: {kind}"),
            Self::Tee(problem) => write!(out, "CONFIG_VALUE: {problem}"),
            Self::Unusable(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for BootError {}

/// The configuration is read and names a source of evidence.
pub struct Measured {
    config: Config,
    source: Source,
    event_log: Vec<u8>,
    deployment_id: [u8; 32],
}

/// Keys exist.
pub struct Keyed {
    config: Config,
    chip: Chip,
    attester: Arc<dyn Attester>,
    event_log: Vec<u8>,
    deployment_id: [u8; 32],
    identity: Identity,
    /// Of placeholders and of the cache.
    gateway_key: Zeroizing<[u8; 32]>,
    /// Of state that ends with the process.
    fresh: Zeroizing<[u8; 32]>,
}

/// What outlives the process is open, or waits for its key; the configuration is in force.
pub struct Stated {
    attester: Arc<dyn Attester>,
    event_log: Vec<u8>,
    deployment_id: [u8; 32],
    identity: Identity,
    log: Arc<OnceLock<Arc<AuditLog>>>,
    keeping: Keeping,
    in_force: InForce,
    given: Given,
}

/// The hardware has vouched for the keys once; the listener is bound.
pub struct Attested {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// The bound listener.
    pub listening: Listening,
    /// The bound listener of the page of numbers, if there is to be one.
    pub metrics: Option<Listening>,
    /// The bound listener of administrators, if there are any.
    pub admin: Option<Listening>,
}

impl Measured {
    /// Takes the configuration of a hardened process and notes which source of evidence it names.
    ///
    /// # Errors
    /// [`BootError::Tee`].
    pub fn new(config: Config, _: Hardened) -> Result<Self, BootError> {
        let source = source(&config)?;
        let deployment_id = deployment_id(&config)?;
        let event_log = config.tee.event_log.as_deref().map(event_log).transpose()?.unwrap_or_default();
        Ok(Self { config, source, event_log, deployment_id })
    }

    /// Finds the source of evidence, opens the entropy gate and makes the first keys.
    ///
    /// # Errors
    /// [`BootError::NoTee`], [`BootError::Identity`].
    pub fn make_keys(self) -> Result<Keyed, BootError> {
        let Self { config, source, event_log, deployment_id } = self;
        let host = config.host.egress.clone().map(HostLink::new);
        let chip = source.chip();
        let attester = source.open(host).map_err(BootError::NoTee)?;
        let made = || {
            let mut seeds = Seeds::open(Kernel::default(), Hardware)?;
            let (gateway_key, fresh) = (seeds.seed("gateway")?, seeds.seed("state without a root key")?);
            let now = ProcessClock::shared().unix();
            Ok((Identity::generate(seeds, config.listen.names.clone(), now)?, gateway_key, fresh))
        };
        let (identity, gateway_key, fresh) = made().map_err(BootError::Identity)?;
        Ok(Keyed { config, chip, attester, event_log, deployment_id, identity, gateway_key, fresh })
    }
}

impl Keyed {
    /// Builds the gateway and opens state, as far as what they need is there already, kept from an earlier start or not.
    ///
    /// # Errors
    /// [`BootError::Unusable`], [`BootError::Kept`].
    pub async fn open_state(self) -> Result<Stated, BootError> {
        let Self { config, chip, attester, event_log, deployment_id, identity, gateway_key, fresh } = self;
        let active = Active::build(config, &References::default())
            .map_err(BootError::Unusable)?
            .seeded(request_id_seed(identity.instance()))
            .keyed(Arc::new(gateway_key));
        let (served_under, digest) = watch::channel(active.digest);
        let (books, log) = (Arc::new(Books::default()), Arc::new(OnceLock::new()));
        let wanted = Wanted {
            config: active.config.state.clone(),
            provisioning: active.config.provisioning,
            chip,
            host: active.config.host.egress.clone().map(HostLink::new),
            deployment_id,
            fresh,
            instance: identity.instance(),
            books: Arc::clone(&books),
            served_under: digest,
            log: Arc::clone(&log),
        };
        let (keeping, standing) =
            Keeping::begin(wanted, &References::default()).await.map_err(BootError::Kept)?;
        let (active, given) = provisioning::reopen(active, standing, &keeping)
            .await
            .map_err(|error| BootError::Kept(error.into()))?;
        served_under.send_replace(active.digest);
        let in_force = InForce::new(active, served_under, books);
        Ok(Stated { attester, event_log, deployment_id, identity, log, keeping, in_force, given })
    }
}

impl Stated {
    /// Asks the hardware for evidence once, and binds the listeners.
    ///
    /// # Errors
    /// [`BootError::NoEvidence`], [`BootError::Bind`].
    pub async fn attest(self) -> Result<Attested, BootError> {
        let Self { attester, event_log, deployment_id, identity, log, keeping, in_force, given } = self;
        let active = in_force.now();
        let config = &active.config;
        let host = config.host.egress.clone().map(HostLink::new);
        let agent = Agent::new(
            attester,
            EndorsementSource::new(host, event_log),
            identity,
            deployment_id,
            log,
            config.limits.evidence_per_second,
        );
        // A process that cannot prove itself has nothing to offer.
        agent
            .challenge(Nonce::new([0; 32]), Role::Gateway, active.digest)
            .await
            .map_err(BootError::NoEvidence)?;
        let listening = bind(&config.listen.address)?;
        let metrics = config.metrics.as_ref().map(|own| bind(&own.address)).transpose()?;
        let admin = config.admin.as_ref().map(|own| bind(&own.address)).transpose()?;
        let shared = Shared {
            agent,
            limits: config.limits.clone(),
            in_force,
            provisioned: Provisioned::after(given),
            keeping,
            phase: watch::Sender::new(Phase::Serving),
            connections: AtomicUsize::new(0),
        };
        Ok(Attested { shared: Arc::new(shared), listening, metrics, admin })
    }
}

fn bind(address: &Address) -> Result<Listening, BootError> {
    Listening::bind(address).map_err(|error| BootError::Bind(address.clone(), error.kind()))
}

/// Firmware's log, less the unused rest of its buffer.
fn event_log(path: &Path) -> Result<Vec<u8>, BootError> {
    #[expect(clippy::disallowed_methods, reason = "part of the configuration, read at start-up")]
    let read = std::fs::read(path);
    let mut log = read.map_err(|error| BootError::EventLog(error.kind()))?;
    let used =
        log.iter().rposition(|byte| !matches!(byte, 0 | 0xff)).map_or(0, |last| last.saturating_add(1));
    log.truncate(used);
    if log.len() > MAX_EVENT_LOG_BYTES {
        return Err(BootError::EventLog(std::io::ErrorKind::FileTooLarge));
    }
    Ok(log)
}

/// Request ids of two boots do not meet.
fn request_id_seed(instance: [u8; 16]) -> u64 {
    instance.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

/// Whether `[tee]` names a source of evidence; whether it is there shows at a start.
///
/// # Errors
/// [`BootError::Tee`].
pub fn source_is_named(config: &Config) -> Result<(), BootError> {
    source(config)?;
    deployment_id(config).map(drop)
}

fn source(config: &Config) -> Result<Source, BootError> {
    Source::named(&config.tee.attester).ok_or(BootError::Tee(
        "tee.attester: must be `auto`, `configfs-tsm`, `sev-guest`, `azure-vtpm`, `socket:PATH` or `socket:tcp:IP:PORT`",
    ))
}

fn deployment_id(config: &Config) -> Result<[u8; 32], BootError> {
    let Some(hex) = &config.tee.deployment_id else { return Ok([0; 32]) };
    let id = attestation::digest::Sha256::from_hex(hex)
        .map_err(|_| BootError::Tee("tee.deployment_id: must be 64 hex digits"))?;
    Ok(*id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme() -> Config {
        let text = include_str!("../../README.md");
        let sample = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        Config::parse(sample).unwrap()
    }

    #[test]
    fn the_configuration_in_the_readme_is_accepted() {
        let config = readme();
        assert_eq!(config.tee.attester, "auto");
        assert!(Measured::new(config, Hardened::not()).is_ok());
    }

    #[test]
    fn the_routing_in_the_readme_is_accepted() {
        let text = include_str!("../../README.md");
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut gateways = blocks.filter(|block| block.contains("[gateway"));
        let (first, routing) = (gateways.next().unwrap(), gateways.next().unwrap());
        let (process, _) = first.split_once("[gateway]").unwrap();
        let config = Config::parse(&format!("{process}{routing}")).unwrap();
        let secrets = gateway::config::problems::NoSecrets::of(&config.gateway);
        let built = gateway::config::build(&config.gateway, &secrets).map_err(|error| error.to_string());
        let built = built.unwrap();
        let smart = built.models().find("smart").unwrap();
        assert_eq!(smart.leaves.len(), 4);
        assert_eq!(smart.settings.context_window, ["long".into()]);
    }

    #[test]
    fn without_a_tee_no_keys_are_made() {
        if Path::new(attestation::attester::configfs_tsm::DEFAULT_ROOT).exists() {
            return;
        }
        let error = Measured::new(readme(), Hardened::not()).unwrap().make_keys().err().unwrap();
        assert!(matches!(error, BootError::NoTee(_)), "{error}");
        assert!(error.to_string().contains("without a TEE this program does not serve"), "{error}");
    }
}
