//! The configuration in force: one immutable whole, replaced by another at once or not at all.
//!
//! A client has verified the configuration that its evidence names. So a connection is served under the one that was in
//! force when it began, or under a later one that is the same to clients (issued keys, credentials): never under one
//! with another digest. When the digest changes, connections finish what they do and close, and their clients verify
//! anew.

use std::path::Path;
use std::sync::Arc;

use attestation::digest::Sha384;
use gateway::Gateway;
use gateway::config::SecretSource;
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::secrets::References;
use crate::telemetry::{Event, emit};

/// One configuration and everything that was made from it.
pub struct Active {
    /// The file.
    pub config: Config,
    /// The pipeline's parts.
    pub gateway: Gateway,
    /// What clients may know of it.
    pub public: Vec<u8>,
    /// SHA-384 of `public`, as in the claims.
    pub digest: Sha384,
}

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
    /// A deployment is reached over the network and there is no host to carry it.
    NoEgress,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway(error) => error.fmt(out),
            Self::NoEgress => out.write_str(
                "CONFIG_VALUE: host.egress: must be set, since a deployment is reached over the network; point it at postern-host",
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
}

impl ReloadError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Restart(_) => "CONFIG_RESTART",
            Self::Unusable(Unusable::Gateway(error)) => error.code(),
            Self::Unusable(Unusable::NoEgress) => "CONFIG_VALUE",
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
        let gateway = gateway::config::build(&config.gateway, secrets).map_err(Unusable::Gateway)?;
        Self::of(config, gateway)
    }

    /// Gives request ids a start of their own.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { gateway: self.gateway.seeded(seed), ..self }
    }

    fn of(config: Config, gateway: Gateway) -> Result<Self, Unusable> {
        let networked = |deployment: &gateway::config::DeploymentConfig| deployment.provider != "builtin";
        if config.host.egress.is_none() && config.gateway.deployments.values().any(networked) {
            return Err(Unusable::NoEgress);
        }
        let public = config.public(gateway.public_config()).to_string().into_bytes();
        let digest = Sha384::of(&public);
        Ok(Self { config, gateway, public, digest })
    }

    /// Reads the file again and makes its successor, which keeps this one's books.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub fn reread(&self, path: &Path) -> Result<Self, ReloadError> {
        let config = Config::load(path).map_err(ReloadError::Config)?;
        let fixed = self.config.differences_that_need_a_start(&config);
        if !fixed.is_empty() {
            return Err(ReloadError::Restart(fixed));
        }
        let gateway = gateway::config::build(&config.gateway, &References)
            .map_err(|error| ReloadError::Unusable(Unusable::Gateway(error)))?
            .succeeding(&self.gateway);
        Self::of(config, gateway).map_err(ReloadError::Unusable)
    }
}

/// Holds the configuration in force.
#[derive(Debug)]
pub struct InForce(watch::Sender<Arc<Active>>);

impl InForce {
    /// The first one.
    pub fn new(first: Active) -> Self {
        Self(watch::Sender::new(Arc::new(first)))
    }

    /// The one in force now.
    pub fn now(&self) -> Arc<Active> {
        Arc::clone(&self.0.borrow())
    }

    /// From now on, this one. Requests in flight keep theirs.
    fn replace(&self, next: Active) {
        self.0.send_replace(Arc::new(next));
    }

    /// Reads the file again and puts it in force, or says why the one in force stays.
    ///
    /// # Errors
    /// [`ReloadError`], written down already.
    pub fn reload(&self, path: &Path) -> Result<(), ReloadError> {
        let before = self.now();
        let next = before.reread(path);
        before.gateway.books().metrics.reloaded(next.is_ok());
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
        let now = self.0.borrow();
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
        let (mut now, digest) = (self.0.subscribe(), held.digest);
        async move {
            let changed = now.wait_for(|now| now.digest != digest).await.is_ok();
            if !changed {
                // Nobody can replace it any more.
                std::future::pending::<()>().await;
            }
        }
    }
}
