//! The configuration in force: one immutable whole, replaced by another at once or not at all.
//!
//! A client has verified the configuration that its evidence names. So a connection is served under the one that was in
//! force when it began, or under a later one that is the same to clients (issued keys, credentials): never under one
//! with another digest. When the digest changes, connections finish what they do and close, and their clients verify
//! anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use attestation::digest::Sha384;
use gateway::config::SecretSource;
use gateway::governance::Governance;
use gateway::settle::Books;
use gateway::{Gateway, Secret};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::config::{AdminConfig, Config, ConfigError, RootKeyFrom, ServiceUrl, State, WebhookConfig};
use crate::secrets::{Given, Recording};
use crate::telemetry::{Event, emit};

/// What requests need of `[state]`.
#[derive(Clone, Default)]
pub enum Standing {
    /// Nothing: it is open, or there is none.
    #[default]
    Open,
    /// The keys and budgets in it.
    Governed(Arc<Governance>),
    /// That it opens, for which an operator has yet to give something. Nothing is served until then.
    Awaited,
}

/// One configuration and everything that was made from it.
pub struct Active {
    /// The file.
    pub config: Config,
    /// The pipeline's parts; nothing while something is missing that an operator has yet to give: secrets, or the root key of
    /// state.
    pub gateway: Option<Gateway>,
    /// Which secrets those are.
    pub missing: BTreeSet<String>,
    /// What clients may know of it.
    pub public: Vec<u8>,
    /// SHA-384 of `public`, as in the claims.
    pub digest: Sha384,
    /// Who is told of budgets; nobody while secrets are missing.
    pub webhooks: Vec<Receiver>,
    /// Where request ids start.
    seed: u64,
    key: Arc<Zeroizing<[u8; 32]>>,
    standing: Standing,
}

/// A receiver of notices.
#[derive(Clone)]
pub struct Receiver {
    /// Where.
    pub url: ServiceUrl,
    /// What signs them.
    pub secret: Arc<Secret<Vec<u8>>>,
}

/// Shortest secret of a receiver, in bytes.
const SHORTEST_SECRET: usize = 32;

impl std::fmt::Debug for Active {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Active").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Why a configuration that reads well cannot be put in force.
#[derive(Debug)]
pub enum Unusable {
    /// `[gateway]` is wrong or refers to something that is not there.
    Gateway(gateway::config::ConfigError),
    /// A deployment, or the store of state, is reached over the network and there is no host to carry it.
    NoEgress,
    /// Secrets are sealed, or state waits for its root key, and nobody is named who may give them.
    NoOperator,
}

impl Unusable {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gateway(error) => error.code(),
            Self::NoEgress | Self::NoOperator => "CONFIG_VALUE",
        }
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway(error) => error.fmt(out),
            Self::NoOperator => out.write_str(
                "CONFIG_VALUE: provisioning.operator: must be set, since a secret is sealed:NAME or state.root_key is \"provisioned\"; make a key with 'postern provision new-key'",
            ),
            Self::NoEgress => out.write_str(
                "CONFIG_VALUE: host.egress: must be set, since a deployment, a service or the store of state is reached over the network; point it at postern-host",
            ),
        }
    }
}

impl std::error::Error for Unusable {}

/// Why the configuration in force stays.
#[derive(Debug)]
pub enum ReloadError {
    /// The file cannot be read or is wrong.
    Config(ConfigError),
    /// These tables differ, and take effect at a start only.
    Restart(Vec<&'static str>),
    /// It reads well and cannot be used.
    Unusable(Unusable),
    /// An operator has given secrets for the configuration in force; clients could tell this one from it.
    Provisioned,
}

impl ReloadError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Restart(_) => "CONFIG_RESTART",
            Self::Unusable(error) => error.code(),
            Self::Provisioned => "CONFIG_PROVISIONED",
        }
    }
}

impl std::fmt::Display for ReloadError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(out),
            Self::Restart(tables) => {
                write!(out, "CONFIG_RESTART: {}: differ, and change at a start only", tables.join(", "))
            }
            Self::Unusable(error) => error.fmt(out),
            Self::Provisioned => out.write_str(
                "CONFIG_PROVISIONED: the operator has given secrets for the configuration in force; give another one with 'postern provision send --gateway'",
            ),
        }
    }
}

impl std::error::Error for ReloadError {}

impl Active {
    /// Makes everything that a configuration needs.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn build(config: Config, secrets: &dyn SecretSource) -> Result<Self, Unusable> {
        let recording = Recording::new(secrets, &config.gateway);
        let gateway = gateway::config::build(&config.gateway, &recording).map_err(Unusable::Gateway)?;
        if let Some(password) = config.state.as_ref().and_then(|own| own.password.as_ref()) {
            // Whether it is there is for the opening of state to say, unless the operator gives it.
            drop(recording.read(password));
        }
        let webhooks = webhooks(&config, &recording)?;
        let (sealed, missing) = recording.into_names();
        let awaits = config.state.as_ref().is_some_and(State::awaits_operator);
        if config.provisioning.is_none() && (awaits || !sealed.is_empty()) {
            return Err(Unusable::NoOperator);
        }
        let networked = |deployment: &gateway::config::DeploymentConfig| deployment.provider != "builtin";
        let shared = config.state.as_ref().is_some_and(State::is_on_a_server);
        let services = config.admin.as_ref().is_some_and(AdminConfig::is_networked);
        let leaves = shared
            || services
            || gateway.asks_services()
            || config.gateway.deployments.values().any(networked);
        if config.host.egress.is_none() && leaves {
            return Err(Unusable::NoEgress);
        }
        let public = config.public(gateway.public_config(), &sealed).to_string().into_bytes();
        let digest = Sha384::of(&public);
        // With a stand-in for a secret in it, it must not exist.
        let whole = missing.is_empty();
        let gateway = whole.then_some(gateway);
        let webhooks = if whole { webhooks } else { Vec::new() };
        Ok(Self {
            config,
            gateway,
            missing,
            public,
            digest,
            webhooks,
            seed: 0,
            key: Arc::default(),
            standing: Standing::Open,
        })
    }

    fn settling_into(self, books: &Arc<Books>) -> Self {
        Self { gateway: self.gateway.map(|gateway| gateway.settling_into(books)), ..self }
    }

    /// Gives request ids a start of their own.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { gateway: self.gateway.map(|gateway| gateway.seeded(seed)), seed, ..self }
    }

    /// Gives placeholders and the cache a key of their own.
    #[must_use]
    pub fn keyed(self, key: Arc<Zeroizing<[u8; 32]>>) -> Self {
        Self { gateway: self.gateway.map(|gateway| gateway.keyed(&key)), key, ..self }
    }

    /// Lets in keys that are issued through the admin API; serves nothing while state waits for its key.
    #[must_use]
    pub fn standing(self, standing: Standing) -> Self {
        let gateway = match &standing {
            Standing::Open => self.gateway,
            Standing::Governed(own) => self.gateway.map(|gateway| gateway.governed(Arc::clone(own))),
            Standing::Awaited => None,
        };
        Self { gateway, standing, ..self }
    }

    /// Whether state waits for its root key.
    pub fn awaits_root_key(&self) -> bool {
        let provisioned = |own: &State| own.root_key == Some(RootKeyFrom::Provisioned);
        matches!(self.standing, Standing::Awaited) && self.config.state.as_ref().is_some_and(provisioned)
    }

    /// Keeps the books and the request ids of the one before it, over state that stands like this now.
    #[must_use]
    pub fn succeeding(self, before: &Self, standing: Standing) -> Self {
        let next = match (self.gateway, &before.gateway) {
            (Some(gateway), Some(earlier)) => {
                let gateway = Some(gateway.succeeding(earlier));
                Self { gateway, seed: before.seed, key: Arc::clone(&before.key), ..self }
            }
            (gateway, _) => Self { gateway, ..self }.seeded(before.seed).keyed(Arc::clone(&before.key)),
        };
        next.standing(standing)
    }

    /// Reads the file again and makes its successor, which keeps this one's books.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub fn reread(&self, path: &Path, given: &Given) -> Result<Self, ReloadError> {
        let config = Config::load(path).map_err(ReloadError::Config)?;
        let fixed = self.config.differences_that_need_a_start(&config);
        if !fixed.is_empty() {
            return Err(ReloadError::Restart(fixed));
        }
        let next = Self::build(config, &given.references()).map_err(ReloadError::Unusable)?;
        if let (Some(gateway), Some(before)) = (&next.gateway, &self.gateway)
            && let Some(error) = gateway.contradicts(before)
        {
            return Err(ReloadError::Unusable(Unusable::Gateway(error)));
        }
        // Whoever writes the file must not be able to send the operator's secrets elsewhere.
        if given.number() > 0 && next.digest != self.digest {
            return Err(ReloadError::Provisioned);
        }
        Ok(next.succeeding(self, self.standing.clone()))
    }
}

/// Receivers with their secrets, which nobody may guess (ST-20).
fn webhooks(config: &Config, secrets: &Recording<'_>) -> Result<Vec<Receiver>, Unusable> {
    let configured = config.admin.iter().flat_map(|own| &own.webhooks);
    let read = |(place, own): (usize, &WebhookConfig)| {
        let wrong = |problem| {
            let path = format!("admin.webhooks[{place}].secret");
            Unusable::Gateway(gateway::config::ConfigError { path, problem })
        };
        let secret = secrets.read_long(&own.secret, SHORTEST_SECRET).map_err(wrong)?;
        Ok(Receiver { url: own.url.clone(), secret: Arc::new(secret) })
    };
    configured.enumerate().map(read).collect()
}

/// Holds the configuration in force.
pub struct InForce {
    active: watch::Sender<Arc<Active>>,
    /// Its digest, for those who must not keep the configuration itself.
    digest: watch::Sender<Sha384>,
    /// What every gateway of this process settles into, the one that waits for its secrets too.
    books: Arc<Books>,
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("InForce").field("active", &self.now()).finish_non_exhaustive()
    }
}

impl InForce {
    /// The first one.
    pub fn new(first: Active, digest: watch::Sender<Sha384>, books: Arc<Books>) -> Self {
        let first = first.settling_into(&books);
        Self { active: watch::Sender::new(Arc::new(first)), digest, books }
    }

    /// The one in force now.
    pub fn now(&self) -> Arc<Active> {
        Arc::clone(&self.active.borrow())
    }

    /// From now on, this one. Requests in flight keep theirs.
    pub fn replace(&self, next: Active) {
        self.digest.send_replace(next.digest);
        self.active.send_replace(Arc::new(next.settling_into(&self.books)));
    }

    /// Reads the file again and puts it in force, or says why the one in force stays.
    ///
    /// # Errors
    /// [`ReloadError`], written down already.
    pub fn reload(&self, path: &Path, given: &Given) -> Result<(), ReloadError> {
        let before = self.now();
        let next = before.reread(path, given);
        if let Some(gateway) = &before.gateway {
            gateway.books().metrics.reloaded(next.is_ok());
        }
        match next {
            Ok(next) => {
                emit(Event::Reloaded { visible: next.digest != before.digest });
                self.replace(next);
                Ok(())
            }
            Err(error) => {
                emit(Event::ReloadFailed { reason: error.code() });
                Err(error)
            }
        }
    }

    /// Brings `held` up to date if its client cannot tell the difference; false if it could.
    pub fn refresh(&self, held: &mut Arc<Active>) -> bool {
        let now = self.active.borrow();
        if Arc::ptr_eq(&now, held) {
            return true;
        }
        let same = now.digest == held.digest;
        if same {
            held.clone_from(&now);
        }
        same
    }

    /// Ends when a configuration with another digest is in force.
    pub fn superseded(&self, held: &Active) -> impl Future<Output = ()> + use<> {
        let (mut now, digest) = (self.active.subscribe(), held.digest);
        async move {
            let changed = now.wait_for(|now| now.digest != digest).await.is_ok();
            if !changed {
                // Nobody can replace it any more.
                std::future::pending::<()>().await;
            }
        }
    }
}
