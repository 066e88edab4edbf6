//! The attestation agent: the one place that asks the hardware to sign.
//!
//! It quotes nothing it is handed. Its inputs are a kind, a nonce and a live connection; the claims are made
//! here from this process's own values, so no caller can obtain evidence over bytes of its choosing
//! (protocol.md A4; the evidence-oracle attack needs exactly that).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use attestation::attester::{Attester, AttesterError};
use attestation::binding::{self, BindRequest, BindResponse};
use attestation::digest::{Nonce, Sha256, Sha384};
use attestation::enclave_claims::{Channel, EnclaveClaims, Kind, Role, TimeQuality, report_data};
use attestation::evidence::{CpuEvidence, EvidenceDocument};
use attestation::provisioning::{ProvisioningReceipt, SealedProvisioning};
use tokio::sync::Semaphore;

use crate::audit_log::AuditLog;
use crate::clock::ProcessClock;
use crate::endorsements::EndorsementSource;
use crate::identity::{Epoch, Identity, IdentityError};
use crate::rate::RateLimit;

/// How long claims may be bound to at the rate at which they are made, in seconds; longer than any client
/// policy lets evidence age by default.
const ISSUED_SECONDS: usize = 900;
/// Requests that may wait for the hardware at once; more are told to come back.
const QUOTES_WAITING: usize = 32;

/// Why there is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentError {
    /// The hardware or its driver failed.
    Attester(&'static str),
    /// More requests than the configured rate; come back after this many seconds.
    Busy {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// Bind names evidence that this process did not issue, or not recently.
    EvidenceUnknown,
    /// No exporter value from the TLS stack.
    Exporter,
    /// New keys are due and could not be made.
    Identity(IdentityError),
    /// Not sealed to this process's provisioning key.
    Unsealed,
}

impl AgentError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Attester(code) => code,
            Self::Busy { .. } => "EVIDENCE_BUSY",
            Self::EvidenceUnknown => "EVIDENCE_UNKNOWN",
            Self::Exporter => "EXPORTER",
            Self::Identity(error) => error.code(),
            Self::Unsealed => "PROV_SEAL",
        }
    }
}

impl From<IdentityError> for AgentError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

/// A live TLS connection, as far as the agent needs to know it.
pub trait Connection {
    /// Exports 32 bytes from this connection's own TLS stack (RFC 8446 section 7.5).
    fn export(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]>;
    /// The negotiated application protocol.
    fn alpn(&self) -> &[u8];
    /// SHA-256 of the key that this connection's handshake was signed with.
    fn spki(&self) -> Sha256;
}

/// See the module documentation.
pub struct Agent {
    attester: Arc<dyn Attester>,
    endorsements: EndorsementSource,
    identity: Identity,
    deployment_id: [u8; 32],
    /// Set once state is open, if a log is kept.
    log: Arc<OnceLock<Arc<AuditLog>>>,
    issued: Mutex<Issued>,
    waiting: Semaphore,
    rate: RateLimit,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Agent").field("tee", &self.attester.tee()).finish_non_exhaustive()
    }
}

impl Agent {
    /// An agent for this process.
    pub fn new(
        attester: Arc<dyn Attester>,
        endorsements: EndorsementSource,
        identity: Identity,
        deployment_id: [u8; 32],
        log: Arc<OnceLock<Arc<AuditLog>>>,
        evidence_per_second: u32,
    ) -> Self {
        Self {
            attester,
            endorsements,
            identity,
            deployment_id,
            log,
            issued: Mutex::new(Issued::new(evidence_per_second)),
            waiting: Semaphore::new(QUOTES_WAITING),
            rate: RateLimit::new(evidence_per_second),
        }
    }

    /// The log's head as a signed note; the key is the keyset's receipt key. Nothing if no log is kept.
    pub fn checkpoint(&self) -> Option<String> {
        let checkpoint = self.log.get()?.checkpoint();
        let (public, signature) = self.identity.sign_checkpoint(&checkpoint.text());
        Some(checkpoint.with_signature(&public, &signature))
    }

    /// The log, if one is kept and open.
    pub fn log(&self) -> Option<&Arc<AuditLog>> {
        self.log.get()
    }

    /// The keys in force now.
    ///
    /// # Errors
    /// [`AgentError::Identity`] when new keys are due and cannot be made.
    pub fn epoch(&self) -> Result<Arc<Epoch>, AgentError> {
        Ok(self.identity.epoch(ProcessClock::shared().unix())?)
    }

    /// Evidence of kind 1: fresh for the caller's nonce, in a role, under the configuration with that digest.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn challenge(&self, nonce: Nonce, role: Role, config: Sha384) -> Result<Vec<u8>, AgentError> {
        let epoch = self.epoch()?;
        self.evidence(&epoch, Kind::Challenge { nonce }, role, config).await
    }

    /// Answers a bind request (protocol.md A6) for the connection it came on, which is served under the configuration with
    /// that digest: claims that name another one do not hold for it.
    ///
    /// # Errors
    /// [`AgentError::EvidenceUnknown`] asks the client for fresh evidence first.
    pub async fn bind(
        &self,
        request: &BindRequest,
        connection: &impl Connection,
        config: Sha384,
    ) -> Result<BindResponse, AgentError> {
        let role = role_on(connection);
        let epoch = self.issued_under(&request.claims, role, config).ok_or(AgentError::EvidenceUnknown)?;
        let context =
            binding::exporter_context(role, connection.alpn(), &request.nonce, &epoch.keyset_digest);
        let ekm = connection.export(binding::EXPORTER_LABEL, &context).ok_or(AgentError::Exporter)?;
        if request.evidence {
            let kind = Kind::Session { nonce: request.nonce, session: ekm };
            return self.evidence(&epoch, kind, role, config).await.map(BindResponse::Evidence);
        }
        let spki = connection.spki();
        let transcript = binding::session_transcript(role, &request.nonce, &ekm, &request.claims, &spki);
        Ok(BindResponse::Signature(epoch.sign(&transcript)))
    }

    /// Opens what an operator has sealed under evidence of role `provisioning` that this process issued lately under the
    /// configuration with that digest.
    ///
    /// # Errors
    /// [`AgentError::EvidenceUnknown`]; [`AgentError::Unsealed`] if it was not sealed to this process's key.
    pub fn open(&self, sealed: &SealedProvisioning, config: Sha384) -> Result<Vec<u8>, AgentError> {
        self.issued_under(&sealed.claims, Role::Provisioning, config).ok_or(AgentError::EvidenceUnknown)?;
        self.identity.open(sealed).ok_or(AgentError::Unsealed)
    }

    /// The receipt for a message, now that the configuration with that digest is in force.
    pub fn receipt(&self, message: &Sha384, config_digest: Sha384) -> ProvisioningReceipt {
        let transcript = ProvisioningReceipt::signed(message, &config_digest);
        ProvisioningReceipt { config_digest, signature: self.identity.sign_receipt(&transcript) }
    }

    fn issued_under(&self, claims: &Sha384, role: Role, config: Sha384) -> Option<Arc<Epoch>> {
        let now = ProcessClock::shared().unix();
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let made = issued.claims.get(claims)?;
        let holds = made.role == role && made.config == config && made.epoch.honoured(now);
        holds.then(|| Arc::clone(&made.epoch))
    }

    async fn evidence(
        &self,
        epoch: &Arc<Epoch>,
        kind: Kind,
        role: Role,
        config: Sha384,
    ) -> Result<Vec<u8>, AgentError> {
        let now = ProcessClock::shared().unix();
        self.rate.take(now).map_err(|retry_after| AgentError::Busy { retry_after })?;
        let _waiting = self.waiting.try_acquire().map_err(|_| AgentError::Busy { retry_after: 1 })?;
        let claims = EnclaveClaims {
            role,
            kind,
            keyset_digest: epoch.keyset_digest,
            config_digest: config,
            deployment_id: self.deployment_id,
            instance_id: self.identity.instance(),
            channels: vec![Channel::T],
            min_version: 1,
            max_version: 1,
            state_head: self.log.get().map(|log| log.head()),
            log: self.log.get().map(|log| log.replica().to_owned()),
            gpu_digest: None,
            // The clock is the host's word until a time protocol says otherwise.
            time_quality: TimeQuality::Degraded,
        }
        .encode();
        let attester = Arc::clone(&self.attester);
        let data = report_data(&claims);
        let quote = tokio::task::spawn_blocking(move || attester.quote(&data))
            .await
            .map_err(|_| AgentError::Attester("ATTESTER_PANICKED"))?
            .map_err(|error| AgentError::Attester(attester_code(error)))?;
        let endorsements = self.endorsements.for_quote(&quote).await;
        let document = EvidenceDocument {
            claims: claims.clone(),
            keyset: epoch.keyset.clone(),
            cpu: CpuEvidence { tee: self.attester.tee(), bytes: quote.bytes },
            endorsements,
            devices: None,
            release: None,
            deployment: None,
        }
        .encode();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.remember(Sha384::of(&claims), Made { epoch: Arc::clone(epoch), role, config });
        drop(issued);
        Ok(document)
    }
}

/// The role that evidence has on a connection: its protocol says what it is for.
pub fn role_on(connection: &impl Connection) -> Role {
    if connection.alpn() == attestation::provisioning::ALPN { Role::Provisioning } else { Role::Gateway }
}

/// Claims that this process made lately, with what they vouch for.
struct Issued {
    kept: usize,
    order: VecDeque<Sha384>,
    claims: HashMap<Sha384, Made>,
}

/// What claims vouch for.
struct Made {
    epoch: Arc<Epoch>,
    role: Role,
    config: Sha384,
}

impl Issued {
    fn new(per_second: u32) -> Self {
        let kept = usize::try_from(per_second).unwrap_or(usize::MAX).saturating_mul(ISSUED_SECONDS);
        Self { kept, order: VecDeque::new(), claims: HashMap::new() }
    }

    fn remember(&mut self, claims: Sha384, made: Made) {
        if self.order.len() >= self.kept
            && let Some(oldest) = self.order.pop_front()
        {
            self.claims.remove(&oldest);
        }
        self.order.push_back(claims);
        self.claims.insert(claims, made);
    }
}

/// Stable code of what the hardware or its driver said.
pub(crate) const fn attester_code(error: AttesterError) -> &'static str {
    match error {
        AttesterError::Busy => "ATTESTER_BUSY",
        AttesterError::Io { .. } => "ATTESTER_IO",
        AttesterError::Malformed(_) => "ATTESTER_MALFORMED",
        AttesterError::Refused | AttesterError::Tpm { .. } => "ATTESTER_REFUSED",
        AttesterError::Unavailable(_) => "ATTESTER_UNAVAILABLE",
        _ => "ATTESTER",
    }
}
