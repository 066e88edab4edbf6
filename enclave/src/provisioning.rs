//! Taking what an operator gives (protocol.md A14): secrets, and a configuration if he likes, in force together or not at
//! all.
//!
//! The host cannot give its own: the operator's key is in the public configuration, and he signs. It cannot give an old
//! message again: messages are sealed under evidence of this boot and numbered. It cannot send the secrets elsewhere:
//! they are for the configuration that the operator has seen in that evidence.
//!
//! Where the configuration says so, they are kept sealed in the state, and a later start under the same configuration
//! takes them from there ([`reopen`]).

use std::sync::{Mutex, PoisonError};

use attestation::digest::Sha384;
use attestation::provisioning::{Provisioning, ProvisioningError, ProvisioningReceipt, SealedProvisioning};
use gateway::Secret;
use state::{RootKey, StateError};
use zeroize::Zeroize;

use crate::active::{Active, InForce, Standing, Unusable};
use crate::agent::{Agent, AgentError};
use crate::kept::{AtWork, Keeping, KeptError, Reopened, Unopened};
use crate::secrets::Given;
use crate::telemetry::{Event, emit};

/// What operators have given in this boot.
#[derive(Default)]
pub struct Provisioned {
    given: Mutex<Given>,
    /// Held while a message is taken: one at a time, so that numbers only grow.
    turn: tokio::sync::Mutex<()>,
}

/// Why a message was not taken. Nothing has changed.
#[derive(Debug)]
pub enum Refusal {
    /// The evidence it was sealed under is not this process's, has aged, or names another configuration.
    Evidence(AgentError),
    /// Not a message, or not the operator's.
    Message(ProvisioningError),
    /// The configuration names no operator.
    NotConfigured,
    /// A message with this number or a higher one was taken before.
    Number,
    /// The `[gateway]` that came along is wrong.
    Gateway(gateway::config::ConfigError),
    /// With these secrets the configuration cannot be used.
    Unusable(Unusable),
    /// The configuration names sealed secrets that are not among those given.
    Missing(Vec<String>),
    /// State cannot be opened, with the root key that came along or for want of one.
    State(KeptError),
}

impl Refusal {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Evidence(error) => error.code(),
            Self::Message(error) => error.code(),
            Self::NotConfigured => "PROV_NOT_CONFIGURED",
            Self::Number => "PROV_REPLAYED",
            Self::Gateway(error) => error.code(),
            Self::Unusable(error) => error.code(),
            Self::Missing(_) => "PROV_MISSING",
            Self::State(error) => error.code(),
        }
    }

    /// HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Evidence(_) | Self::Number => 409,
            Self::Message(ProvisioningError::Signature) | Self::NotConfigured => 403,
            Self::Message(ProvisioningError::Malformed(_)) => 400,
            Self::State(KeptError::State(StateError::Unavailable | StateError::Locked)) => 503,
            Self::Gateway(_) | Self::Unusable(_) | Self::Missing(_) | Self::State(_) => 422,
        }
    }

    /// What the operator can mend, for one whose signature was good. Names keys of the configuration, never a value.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Gateway(error) => Some(error.to_string()),
            Self::Unusable(error) => Some(error.to_string()),
            Self::Missing(names) => Some(names.join(", ")),
            Self::State(error) => Some(error.to_string()),
            Self::Evidence(_) | Self::Message(_) | Self::NotConfigured | Self::Number => None,
        }
    }
}

impl From<ProvisioningError> for Refusal {
    fn from(error: ProvisioningError) -> Self {
        Self::Message(error)
    }
}

impl Provisioned {
    /// After what was given before this start and is in force.
    pub fn after(given: Given) -> Self {
        Self { given: Mutex::new(given), turn: tokio::sync::Mutex::default() }
    }

    /// What was given so far.
    pub fn given(&self) -> Given {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a message that came on a connection served under `active`: opens state if that waits for the root key, keeps what
    /// was given if that is configured, and puts the outcome in force.
    ///
    /// # Errors
    /// [`Refusal`]: what is in force has not changed.
    pub async fn take(
        &self,
        message: &[u8],
        agent: &Agent,
        active: &Active,
        in_force: &InForce,
        keeping: &Keeping,
    ) -> Result<ProvisioningReceipt, Refusal> {
        let operator = active.config.provisioning.ok_or(Refusal::NotConfigured)?.operator;
        let sealed = SealedProvisioning::decode(message)?;
        sealed.verify(operator.as_bytes())?;
        let opened = agent.open(&sealed, active.digest).map_err(Refusal::Evidence)?;
        let opened = Secret::new(opened);
        let Provisioning { number, secrets, gateway, mut root_key } = Provisioning::decode(opened.expose())?;
        let root = root_key.map(RootKey::new);
        root_key.zeroize();
        drop(opened);

        let _turn = self.turn.lock().await;
        if number <= self.given().number() {
            return Err(Refusal::Number);
        }
        let unchanged = || {
            let now = in_force.now();
            if now.digest == active.digest {
                Ok(now)
            } else {
                Err(Refusal::Evidence(AgentError::EvidenceUnknown))
            }
        };
        let mut config = unchanged()?.config.clone();
        if let Some(text) = &gateway {
            config.gateway = gateway::config::parse(text).map_err(Refusal::Gateway)?;
        }
        let next = self.given().followed_by(number, secrets, gateway.as_deref(), config.source);
        let built = Active::build(config, &next.references()).map_err(Refusal::Unusable)?;
        if !built.missing.is_empty() {
            return Err(Refusal::Missing(built.missing.into_iter().collect()));
        }
        // Last of what can fail but for a race: from here on there is state.
        let standing = keeping.open(root, &next.references()).await.map_err(Refusal::State)?;
        let digest = built.digest;
        if let Some(record) = keeping.at_work().and_then(AtWork::given) {
            unchanged()?;
            record.keep(&next, &digest).await.map_err(|error| Refusal::State(error.into()))?;
        }
        let before = unchanged()?;
        emit(Event::Provisioned { secrets: next.secrets(), visible: digest != before.digest });
        in_force.replace(built.succeeding(&before, standing));
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(agent.receipt(&Sha384::of(message), digest))
    }
}

/// Puts in force what the operator gave before this start, if it is kept and was given for this configuration. What is
/// there and cannot be used is told, and waits for the operator to give it again.
///
/// # Errors
/// What the store says: a start over a store that lies does not go on as if nothing had been given.
pub async fn reopen(
    active: Active,
    standing: Standing,
    keeping: &Keeping,
) -> Result<(Active, Given), StateError> {
    let Some(record) = keeping.at_work().and_then(AtWork::given) else {
        return Ok((active.standing(standing), Given::default()));
    };
    let reopened = match record.open(&active.config.source).await {
        Ok(None) => return Ok((active.standing(standing), Given::default())),
        Ok(Some(reopened)) => in_force_with(&active, reopened),
        Err(Unopened::State(error)) => return Err(error),
        Err(Unopened::Configuration) => Err(KEPT_CONFIGURATION),
    };
    match reopened {
        Ok((next, given)) => {
            emit(Event::ProvisionedFromState { secrets: given.secrets() });
            Ok((next.succeeding(&active, standing), given))
        }
        Err(reason) => {
            emit(Event::KeptRefused { reason });
            Ok((active.standing(standing), Given::default()))
        }
    }
}

/// What was kept is for another configuration than the one that it makes now.
const KEPT_CONFIGURATION: &str = "PROV_KEPT_CONFIGURATION";

fn in_force_with(active: &Active, kept: Reopened) -> Result<(Active, Given), &'static str> {
    let Reopened { given, in_force } = kept;
    let mut config = active.config.clone();
    if let Some(text) = given.gateway() {
        config.gateway = gateway::config::parse(text).map_err(|error| error.code())?;
    }
    let next = Active::build(config, &given.references()).map_err(|error| error.code())?;
    if next.digest != in_force || !next.missing.is_empty() {
        return Err(KEPT_CONFIGURATION);
    }
    Ok((next, given))
}
