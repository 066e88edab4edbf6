//! What a client may ask before it trusts: evidence, a binding, the public configuration, and liveness.

use attestation::binding::{BindRequest, ChallengeRequest};
use attestation::cbor::Writer;
use attestation::digest::Sha256;
use attestation::enclave_claims::Role;
use attestation::evidence::EvidenceDocument;
use attestation::provisioning;
use audit::tile::Named;

use crate::active::Active;
use crate::agent::{AgentError, Connection, role_on};
use crate::telemetry::{Event, emit};
use crate::worker::{Phase, Shared, Worker};

/// Largest request body on these paths but for provisioning, in bytes.
const MAX_BODY: usize = 512;

/// One of the fixed paths, with a method it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WellKnown {
    /// `POST /.well-known/postern/bind`
    Bind,
    /// `GET /.well-known/postern/config`
    Config,
    /// `POST /.well-known/postern/evidence`
    Evidence,
    /// `GET /livez`
    Live,
    /// `GET /.well-known/postern/log/checkpoint`
    LogCheckpoint,
    /// `GET /.well-known/postern/log/tile/entries/...`, with the auditor's credential.
    LogEntries {
        /// Which bundle.
        bundle: Named,
        /// SHA-256 of the bearer token, if there was one.
        credential: Option<Sha256>,
    },
    /// `GET /.well-known/postern/log/tile/...`: hashes, which tell nobody what they are of.
    LogTile(Named),
    /// Right path, wrong method.
    MethodNotAllowed,
    /// `POST /.well-known/postern/provision`, on a provisioning connection
    Provision,
    /// `GET /readyz`
    Ready,
    /// Below `/.well-known/postern/`, but nothing there.
    Unknown,
}

/// A small complete answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
    /// `retry-after`, in seconds.
    pub retry_after: Option<u32>,
}

impl WellKnown {
    /// The fixed path that a request names, if it names one.
    ///
    /// `authorization` is the value of that header, needed by one of them.
    pub fn route(method: &str, path: &str, authorization: Option<&[u8]>) -> Option<Self> {
        let (allowed, target) = match path {
            "/livez" => ("GET", Self::Live),
            "/readyz" => ("GET", Self::Ready),
            "/.well-known/postern/bind" => ("POST", Self::Bind),
            "/.well-known/postern/config" => ("GET", Self::Config),
            // Kind 0, by GET, needs a public beacon and is not offered; kind 1 takes a nonce by POST.
            "/.well-known/postern/evidence" => ("POST", Self::Evidence),
            provisioning::PATH => ("POST", Self::Provision),
            "/.well-known/postern/log/checkpoint" => ("GET", Self::LogCheckpoint),
            other if other.starts_with("/.well-known/postern/") => {
                let Some(named) = other.strip_prefix("/.well-known/postern/log/").and_then(Named::parse)
                else {
                    return Some(Self::Unknown);
                };
                let target = match named {
                    bundle @ Named::Entries { .. } => {
                        let bearer = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
                        Self::LogEntries { bundle, credential: bearer.map(Sha256::of) }
                    }
                    tile @ Named::Hashes { .. } => Self::LogTile(tile),
                };
                ("GET", target)
            }
            _ => return None,
        };
        Some(if method == allowed { target } else { Self::MethodNotAllowed })
    }

    /// Most bytes of the request's body.
    pub const fn max_body(self) -> usize {
        match self {
            Self::Provision => provisioning::MAX_BYTES,
            Self::Bind
            | Self::Config
            | Self::Evidence
            | Self::Live
            | Self::LogCheckpoint
            | Self::LogEntries { .. }
            | Self::LogTile(_)
            | Self::MethodNotAllowed
            | Self::Ready
            | Self::Unknown => MAX_BODY,
        }
    }

    /// Answers it on a connection that is served under `active`.
    pub async fn answer(
        self,
        body: &[u8],
        worker: &Worker,
        connection: &impl Connection,
        active: &Active,
    ) -> Reply {
        match self {
            Self::Bind => bind(body, worker, connection, active).await,
            Self::Config => Reply::ok("application/json", active.public.clone()),
            Self::Evidence => evidence(body, worker, connection, active).await,
            Self::Live => Reply::ok("text/plain", b"ok\n".to_vec()),
            Self::LogCheckpoint => match worker.shared.agent.checkpoint() {
                Some(note) => Reply::ok("text/plain; charset=utf-8", note.into_bytes()),
                None => Reply::problem(404, "NOT_FOUND"),
            },
            Self::LogEntries { bundle, credential } => {
                let state = active.config.state.as_ref();
                let auditor = state.and_then(|state| state.auditor_sha256.as_deref());
                // Digests are compared, so the time that takes tells nothing of the credential.
                match (auditor.and_then(|hex| Sha256::from_hex(hex).ok()), credential) {
                    (Some(auditor), Some(own)) if own == auditor => log(bundle, worker).await,
                    _ => Reply::problem(401, "AUDITOR_UNKNOWN"),
                }
            }
            Self::LogTile(tile) => log(tile, worker).await,
            Self::MethodNotAllowed => Reply::problem(405, "METHOD_NOT_ALLOWED"),
            Self::Provision if role_on(connection) == Role::Provisioning => {
                provision(body, worker, active).await
            }
            Self::Ready => ready(worker, active),
            Self::Provision | Self::Unknown => Reply::problem(404, "NOT_FOUND"),
        }
    }
}

fn ready(worker: &Worker, active: &Active) -> Reply {
    if worker.shared.phase() != Phase::Serving {
        return Reply::not_ready("draining\n");
    }
    if active.gateway.is_none() {
        return Reply::not_ready("awaiting provisioning\n");
    }
    Reply::ok("text/plain", b"ok\n".to_vec())
}

async fn evidence(body: &[u8], worker: &Worker, connection: &impl Connection, active: &Active) -> Reply {
    let Ok(request) = ChallengeRequest::decode(body) else {
        return Reply::problem(400, "CHALLENGE_MALFORMED");
    };
    match worker.shared.agent.challenge(request.nonce, role_on(connection), active.digest).await {
        Ok(document) => Reply::ok(EvidenceDocument::MEDIA_TYPE, document),
        Err(error) => refusal(error),
    }
}

async fn bind(body: &[u8], worker: &Worker, connection: &impl Connection, active: &Active) -> Reply {
    let Ok(request) = BindRequest::decode(body) else {
        return Reply::problem(400, "BIND_MALFORMED");
    };
    match worker.shared.agent.bind(&request, connection, active.digest).await {
        Ok(response) => Reply::ok("application/cbor", response.encode()),
        Err(error) => refusal(error),
    }
}

async fn provision(body: &[u8], worker: &Worker, active: &Active) -> Reply {
    let Shared { agent, in_force, provisioned, keeping, .. } = &*worker.shared;
    match provisioned.take(body, agent, active, in_force, keeping).await {
        Ok(receipt) => Reply::ok("application/cbor", receipt.encode()),
        Err(refusal) => {
            emit(Event::ProvisioningRefused { reason: refusal.code() });
            Reply::problem_with(refusal.status(), refusal.code(), refusal.detail().as_deref())
        }
    }
}

async fn log(named: Named, worker: &Worker) -> Reply {
    let Some(log) = worker.shared.agent.log() else { return Reply::problem(404, "NOT_FOUND") };
    match log.read(named).await {
        Ok(Some(bytes)) => Reply::ok("application/octet-stream", bytes),
        Ok(None) => Reply::problem(404, "NOT_FOUND"),
        Err(error) => Reply::problem(503, error.code()),
    }
}

fn refusal(error: AgentError) -> Reply {
    match error {
        AgentError::Busy { retry_after } => {
            let mut reply = Reply::problem(429, error.code());
            reply.retry_after = Some(retry_after);
            reply
        }
        AgentError::EvidenceUnknown => Reply::problem(409, error.code()),
        AgentError::Attester(_) | AgentError::Exporter | AgentError::Identity(_) | AgentError::Unsealed => {
            emit(Event::EvidenceFailed { reason: error.code() });
            Reply::problem(503, error.code())
        }
    }
}

impl Reply {
    fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content_type, body, retry_after: None }
    }

    /// `{1: code}`: for people and logs; no client decides by it, since nothing has vouched for it.
    pub fn problem(status: u16, code: &str) -> Self {
        Self::problem_with(status, code, None)
    }

    fn not_ready(why: &str) -> Self {
        Self { status: 503, ..Self::ok("text/plain", why.as_bytes().to_vec()) }
    }

    /// `{1: code, 2: detail}`.
    fn problem_with(status: u16, code: &str, detail: Option<&str>) -> Self {
        let mut writer = Writer::new();
        writer.map(if detail.is_some() { 2 } else { 1 }).uint(1).text(code);
        if let Some(detail) = detail {
            writer.uint(2).text(detail);
        }
        Self {
            status,
            content_type: "application/problem+cbor",
            body: writer.into_bytes(),
            retry_after: None,
        }
    }
}
