//! Where evidence comes from and how long one appraisal serves: a fresh challenge per instance of the gateway, shared
//! by its connections until it ages. Each connection is bound for itself; a binding is never shared or kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attestation::{Expected, Nonce, Role, Sha256, UnixTime, Verified, VerifiedChains};
use bytes::Bytes;

use crate::channel::{Unverified, VerifiedChannel};
use crate::error::{Error, NetworkFault, Step};
use crate::policy_file::ClientPolicy;
use crate::state_file::StateFile;
use crate::target::Target;
use crate::tls::{TlsSettings, random_bytes};

/// Evidence that the policy accepted, with the public configuration it commits to.
#[derive(Debug)]
pub struct Appraised {
    verified: Verified,
    config: Bytes,
    /// How long a connection may lie idle before the gateway closes it.
    idle_limit: Duration,
    /// When the evidence is too old by the monotonic clock; the wall clock may be set back meanwhile.
    deadline: Instant,
    /// Vendor chains of earlier appraisals, for the next one.
    chains: Arc<VerifiedChains>,
}

impl Appraised {
    /// Appraises `document` with the wall clock of this machine; vendor chains that are in `chains` are not verified
    /// again.
    pub(crate) fn judge(
        document: &[u8],
        config: &Bytes,
        expected: &Expected,
        policy: &ClientPolicy,
        chains: &Arc<VerifiedChains>,
    ) -> Result<Self, Error> {
        let now = now();
        let verified = chains
            .appraise(document, config, expected, &policy.appraisal, now)
            .map_err(|rejected| Error::Appraisal(Arc::new(rejected)))?;
        let left = verified.expires_at().seconds().saturating_sub(now.seconds());
        let deadline = Instant::now() + Duration::from_secs(left.min(MOST_SECONDS));
        let (config, idle_limit) = (config.clone(), idle_limit(config));
        Ok(Self { verified, config, idle_limit, deadline, chains: Arc::clone(chains) })
    }

    /// The vendor chains behind it and behind others.
    pub(crate) fn chains(&self) -> &Arc<VerifiedChains> {
        &self.chains
    }

    /// What was verified.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The public configuration, byte for byte as its digest in the claims was taken.
    pub fn config(&self) -> &Bytes {
        &self.config
    }

    /// How long a connection to it may lie idle: a second less than its public configuration says, at most 4 s.
    pub fn idle_limit(&self) -> Duration {
        self.idle_limit
    }

    /// Whether it is too old for another request, by either clock.
    pub fn is_expired(&self) -> bool {
        Instant::now() >= self.deadline || now() >= self.verified.expires_at()
    }
}

/// Opens verified channels to one gateway under one policy.
pub struct Verifier {
    target: Target,
    policy: ClientPolicy,
    tls: TlsSettings,
    state: Option<StateFile>,
    known: Mutex<Vec<Arc<Appraised>>>,
    chains: Arc<VerifiedChains>,
    /// Whether a rejection lists also what follows the check that decided.
    explains: bool,
    /// One appraisal at a time; the last failure serves those who waited for it.
    refresh: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

impl Verifier {
    /// A verifier of the gateway, without memory of earlier runs.
    pub fn new(target: Target, policy: ClientPolicy) -> Result<Self, Error> {
        Self::of_role(Role::Gateway, target, policy)
    }

    /// A verifier of the same enclave as the one that takes an operator's secrets; its channels carry nothing else.
    pub fn for_provisioning(target: Target, policy: ClientPolicy) -> Result<Self, Error> {
        Self::of_role(Role::Provisioning, target, policy)
    }

    fn of_role(role: Role, target: Target, policy: ClientPolicy) -> Result<Self, Error> {
        let tls = TlsSettings::new(role, policy.post_quantum, &policy.webpki)?;
        Ok(Self {
            target,
            policy,
            tls,
            state: None,
            known: Mutex::new(Vec::new()),
            chains: Arc::default(),
            explains: false,
            refresh: tokio::sync::Mutex::new(None),
        })
    }

    /// Remembers in `state` what must never go backwards (`protocol.md` A11).
    #[must_use]
    pub fn with_state(mut self, state: StateFile) -> Self {
        self.state = Some(state);
        self
    }

    /// Lists, with every rejection, also the checks after the one that decided, as far as they can be made. Verdict and
    /// first failure stay the same.
    #[must_use]
    pub fn explaining(mut self) -> Self {
        self.explains = true;
        self
    }

    /// The gateway.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The policy.
    pub fn policy(&self) -> &ClientPolicy {
        &self.policy
    }

    /// Dials, shakes hands, obtains evidence where none is fresh for this instance, and binds the connection.
    pub async fn connect(&self) -> Result<VerifiedChannel, Error> {
        let mut last = Error::EvidenceUnknown;
        for _ in 0..MOST_CONNECTIONS {
            let mut connection = Unverified::dial(&self.target, &self.tls).await?;
            let evidence = match self.evidence_for(&mut connection).await {
                Ok(evidence) => evidence,
                Err(error) => {
                    last = unless_final(error)?;
                    continue;
                }
            };
            match connection.bind(Arc::clone(&evidence), &self.policy).await {
                Ok(channel) => return Ok(channel),
                Err(error) => {
                    last = unless_final(error)?;
                    if matches!(last, Error::EvidenceUnknown) {
                        self.forget(&evidence);
                    }
                }
            }
        }
        Err(last)
    }

    async fn evidence_for(&self, connection: &mut Unverified) -> Result<Arc<Appraised>, Error> {
        let asked = Instant::now();
        if let Some(known) = self.known_for(connection.spki()) {
            return Ok(known);
        }
        let waited = tokio::time::timeout(WAIT_TIME, self.refresh.lock()).await;
        let mut failure =
            waited.map_err(|_| Error::Network { step: Step::Wait, fault: NetworkFault::TimedOut })?;
        if let Some(known) = self.known_for(connection.spki()) {
            return Ok(known);
        }
        if let Some((_, error)) = failure.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        match self.obtain(connection).await {
            Ok(appraised) => {
                let appraised = Arc::new(appraised);
                let mut known = self.known();
                known.retain(|other| !other.is_expired());
                known.truncate(MOST_INSTANCES - 1);
                known.insert(0, Arc::clone(&appraised));
                Ok(appraised)
            }
            Err(error) => {
                *failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn obtain(&self, connection: &mut Unverified) -> Result<Appraised, Error> {
        let nonce = Nonce::new(random_bytes()?);
        let document = connection.evidence(&nonce).await?;
        let config = connection.config().await?;
        let expected = Expected::Challenge { role: self.tls.role(), nonce };
        let appraised = Appraised::judge(&document, &config, &expected, &self.policy, &self.chains)
            .map_err(|error| self.explained(error, &document, &config, &expected))?;
        if let Some(state) = &self.state {
            state.check_and_remember(appraised.verified(), self.policy.floors_version())?;
        }
        Ok(appraised)
    }

    /// The same rejection with every check that can be made.
    fn explained(&self, error: Error, document: &[u8], config: &Bytes, expected: &Expected) -> Error {
        let Error::Appraisal(rejected) = &error else { return error };
        if !self.explains {
            return error;
        }
        match attestation::explain(document, config, expected, &self.policy.appraisal, now()) {
            Err(explained) if explained.rejection.code == rejected.rejection.code => {
                Error::Appraisal(Arc::new(explained))
            }
            // the clock has moved on in between: what was decided stays
            Ok(_) | Err(_) => error,
        }
    }

    fn known_for(&self, spki: &Sha256) -> Option<Arc<Appraised>> {
        let name = self.target.name();
        let fits = |known: &&Arc<Appraised>| {
            !known.is_expired() && known.verified().check_tls_key(spki, name).is_ok()
        };
        self.known().iter().find(fits).cloned()
    }

    fn forget(&self, evidence: &Arc<Appraised>) {
        self.known().retain(|known| !Arc::ptr_eq(known, evidence));
    }

    fn known(&self) -> MutexGuard<'_, Vec<Arc<Appraised>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The gateway closes idle connections early (plaintext residue); be first, so that no request meets the close.
fn idle_limit(config: &[u8]) -> Duration {
    let stated = serde_json::from_slice::<serde_json::Value>(config)
        .ok()
        .and_then(|config| config.pointer("/limits/idle_seconds").and_then(serde_json::Value::as_u64));
    Duration::from_secs(stated.unwrap_or(MOST_IDLE_SECONDS + 1).saturating_sub(1).min(MOST_IDLE_SECONDS))
}

/// A connection that was closed while it waited for another one's appraisal, or an instance that has restarted, is
/// worth another connection; `Err` for everything else.
fn unless_final(error: Error) -> Result<Error, Error> {
    let again = matches!(
        error,
        Error::EvidenceUnknown
            | Error::Network { step: Step::Bind | Step::Evidence, fault: NetworkFault::Closed }
    );
    if again { Ok(error) } else { Err(error) }
}

/// The wall clock of this machine. Before 1970 counts as 1970: every certificate and nonce window then fails.
pub(crate) fn now() -> UnixTime {
    UnixTime::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Connections tried until one is bound: instances may change between two of them.
const MOST_CONNECTIONS: usize = 3;
/// Idle connections are not kept longer, whatever the gateway allows.
const MOST_IDLE_SECONDS: u64 = 4;
/// Replicas whose evidence is kept.
const MOST_INSTANCES: usize = 64;
/// Evidence never serves longer than this, whatever it says (keeps the sum of two instants in range).
const MOST_SECONDS: u64 = 24 * 3600;
/// How long a connection waits for another one's appraisal.
const WAIT_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_limit_is_the_gateways_or_ours() {
        for (config, seconds) in [
            (r#"{"limits":{"idle_seconds":3}}"#, 2),
            (r#"{"limits":{"idle_seconds":60}}"#, 4),
            (r#"{"limits":{"idle_seconds":1}}"#, 0),
            (r#"{"limits":{"idle_seconds":0}}"#, 0),
            (r#"{"limits":{}}"#, 4),
            ("not json", 4),
        ] {
            assert_eq!(idle_limit(config.as_bytes()), Duration::from_secs(seconds), "{config}");
        }
    }
}
