//! Unverified may ask for evidence and nothing else; only verified can carry a request.
//! The one road from the first to the second is [`Unverified::bind`], which needs appraised evidence and ends in a
//! signature by the attested key over this very connection.

use std::sync::Arc;
use std::time::Duration;

use attestation::binding::{BindRequest, BindResponse, ChallengeRequest};
use attestation::{EvidenceDocument, Expected, Nonce, Role, Sha256, Verified};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::net::TcpStream;

use crate::error::{Document, Error, NetworkFault, Step};
use crate::evidence_source::Appraised;
use crate::policy_file::{Binding, ClientPolicy};
use crate::target::Target;
use crate::tls::{TlsSettings, export, negotiated_group, network_fault, random_bytes};
use crate::wire::{ChannelBody, Wire, fault};

pub use body::VerifiedBody;

mod body;
pub mod event_stream;
pub mod padding;

/// A TLS connection to somebody. It can ask for the documents under `/.well-known/postern/` and be bound; it cannot
/// carry an application request: it has no method for that.
pub struct Unverified {
    wire: Wire,
    host: HeaderValue,
    name: String,
    spki: Sha256,
    role: Role,
}

impl Unverified {
    /// Opens a TCP connection and shakes hands. Nothing is known about the peer afterwards but its key.
    pub async fn dial(target: &Target, tls: &TlsSettings) -> Result<Self, Error> {
        let name = target.server_name()?;
        let tcp = within(Step::Connect, CONNECT_TIME, connect(target)).await?;
        let session = within(Step::TlsHandshake, HANDSHAKE_TIME, tls.handshake(tcp, name)).await?;
        let host = HeaderValue::from_str(&target.host_header())
            .map_err(|_| Error::Url(crate::error::UrlFault::Malformed))?;
        Ok(Self {
            wire: Wire::new(session.stream).await?,
            host,
            name: target.name().to_owned(),
            spki: session.spki,
            role: tls.role(),
        })
    }

    /// SHA-256 of the public key that the peer proved to hold in the handshake.
    pub fn spki(&self) -> &Sha256 {
        &self.spki
    }

    /// Asks for evidence over `nonce` (claims kind 1), as raw bytes that nobody has judged yet.
    pub async fn evidence(&mut self, nonce: &Nonce) -> Result<Bytes, Error> {
        let body = ChallengeRequest { nonce: *nonce }.encode();
        let request = self.request("POST", EVIDENCE_PATH, EvidenceDocument::MEDIA_TYPE, body)?;
        let limit = EvidenceDocument::MAX_BYTES;
        let (head, bytes) = self.wire.exchange(Step::Evidence, request, limit, EVIDENCE_TIME).await?;
        check_document(Document::Evidence, &head, EvidenceDocument::MEDIA_TYPE)?;
        Ok(bytes)
    }

    /// Asks for the public configuration, as raw bytes. They count once their digest is found in appraised claims.
    pub async fn config(&mut self) -> Result<Bytes, Error> {
        let request = self.request("GET", CONFIG_PATH, "*/*", Vec::new())?;
        let (head, bytes) =
            self.wire.exchange(Step::Evidence, request, MAX_CONFIG_BYTES, EVIDENCE_TIME).await?;
        check_status(Document::Config, &head)?;
        Ok(bytes)
    }

    /// Lets the attested key (or, by policy, the hardware) vouch for this connection with a fresh nonce.
    ///
    /// Errors: `BIND_SPKI` when the peer's TLS key is not in the attested keyset for this name, `BIND_SESSION` when
    /// the answer does not cover this connection, `EVIDENCE_UNKNOWN` when the peer did not issue this evidence.
    pub async fn bind(
        self,
        evidence: Arc<Appraised>,
        policy: &ClientPolicy,
    ) -> Result<VerifiedChannel, Error> {
        evidence.verified().check_tls_key(&self.spki, &self.name).map_err(Error::Binding)?;
        let Self { wire, host, name, spki, role } = self;
        let nonce = Nonce::new(random_bytes()?);
        let stream = wire.into_stream()?;
        let group = negotiated_group(&stream);
        let keyset_digest = evidence.verified().claims().keyset_digest;
        let ekm = export(&stream, role, &nonce, &keyset_digest)?;
        let mut bound = Self { wire: Wire::new(stream).await?, host, name, spki, role };
        let hardware = policy.binding == Binding::Hardware;
        let answer = bound.ask_to_bind(&nonce, evidence.verified(), hardware).await?;
        let evidence = match answer {
            BindResponse::Signature(signature) if !hardware => {
                evidence
                    .verified()
                    .check_session(role, &nonce, &ekm, &bound.spki, &signature)
                    .map_err(Error::Binding)?;
                evidence
            }
            BindResponse::Evidence(document) if hardware => {
                let expected = Expected::Session { role, nonce, ekm };
                let chains = evidence.chains();
                let session = Appraised::judge(&document, evidence.config(), &expected, policy, chains)?;
                bound.check_same_keyset(&evidence, session.verified())?;
                Arc::new(session)
            }
            BindResponse::Signature(_) | BindResponse::Evidence(_) => {
                return Err(Error::BindRefused { status: StatusCode::OK.as_u16() });
            }
        };
        Ok(VerifiedChannel {
            sender: bound.wire.into_running(),
            host: bound.host,
            evidence,
            spki: bound.spki,
            group,
            expected_groups: policy.post_quantum.describe(),
            bound_by: if hardware { "by a report of the hardware" } else { "by the attested session key" },
        })
    }

    async fn ask_to_bind(
        &mut self,
        nonce: &Nonce,
        verified: &Verified,
        hardware: bool,
    ) -> Result<BindResponse, Error> {
        let body =
            BindRequest { nonce: *nonce, evidence: hardware, claims: *verified.claims_sha384() }.encode();
        let request = self.request("POST", BIND_PATH, CBOR, body)?;
        let (head, bytes) = self.wire.exchange(Step::Bind, request, MAX_BIND_BYTES, BIND_TIME).await?;
        match head.status {
            StatusCode::OK if media_type_is(&head, CBOR) => {
                BindResponse::decode(&bytes).map_err(|_| Error::BindRefused { status: head.status.as_u16() })
            }
            StatusCode::CONFLICT => Err(Error::EvidenceUnknown),
            status if is_busy(status) => {
                Err(Error::EvidenceUnavailable { status: status.as_u16(), retry_after: retry_after(&head) })
            }
            status => Err(Error::BindRefused { status: status.as_u16() }),
        }
    }

    /// The exporter was taken over the first document's keyset, so the hardware must have quoted that one again.
    fn check_same_keyset(&self, first: &Appraised, session: &Verified) -> Result<(), Error> {
        if session.claims().keyset_digest != first.verified().claims().keyset_digest {
            return Err(Error::BindRefused { status: StatusCode::OK.as_u16() });
        }
        session.check_tls_key(&self.spki, &self.name).map_err(Error::Binding)
    }

    fn request(
        &self,
        method: &str,
        path: &'static str,
        accept: &'static str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, &self.host).header(ACCEPT, accept);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, CBOR);
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Error::Network { step: Step::Evidence, fault: NetworkFault::Garbled })
    }
}

/// A connection that an attested enclave has vouched for, with evidence that the policy accepts.
/// It can only come from [`Unverified::bind`].
pub struct VerifiedChannel {
    sender: SendRequest<ChannelBody>,
    host: HeaderValue,
    evidence: Arc<Appraised>,
    spki: Sha256,
    group: &'static str,
    expected_groups: &'static str,
    bound_by: &'static str,
}

/// One check of the connection that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelCheck {
    /// Stable name.
    pub id: &'static str,
    /// The code with which it would have refused.
    pub code: &'static str,
    /// What the policy asks for.
    pub expected: String,
    /// What was there.
    pub found: String,
}

/// A request that could not be sent, with the request where nothing of it has left.
#[derive(Debug)]
pub struct SendFailure {
    /// Why.
    pub error: Error,
    /// The request, when no byte of it was sent: it may be tried on another channel.
    pub unsent: Option<Box<Request<ChannelBody>>>,
}

impl VerifiedChannel {
    /// Sends one application request and waits for the head of its answer, as long as it takes: the caller bounds it.
    /// The target must be a path. Evidence past its age is refused before a byte leaves. JSON is padded with spaces to a
    /// length of which there are few ([`padding`]).
    pub async fn send(
        &mut self,
        request: Request<ChannelBody>,
    ) -> Result<Response<VerifiedBody>, SendFailure> {
        if self.is_expired() {
            return Err(SendFailure { error: Error::Expired, unsent: Some(Box::new(request)) });
        }
        let request = padding::pad(self.address(request));
        let head_only = request.method() == http::Method::HEAD;
        let terminal = event_stream::Terminal::of_path(request.uri().path());
        match self.sender.try_send_request(request).await {
            Ok(response) => VerifiedBody::wrap(response, head_only, terminal)
                .map_err(|truncation| SendFailure { error: Error::Truncated(truncation), unsent: None }),
            Err(mut failure) => Err(SendFailure {
                error: fault(Step::Application, failure.error()),
                unsent: failure.take_message().map(Box::new),
            }),
        }
    }

    /// What was verified, check by check.
    pub fn verified(&self) -> &Verified {
        self.evidence.verified()
    }

    /// What was checked about this connection, beyond the evidence. All of it held.
    pub fn channel_checks(&self) -> Vec<ChannelCheck> {
        let check = |id, code, expected: &str, found: String| ChannelCheck {
            id,
            code,
            expected: expected.to_owned(),
            found,
        };
        let spki = self.spki.to_hex();
        vec![
            check(
                "channel.tls",
                "PROTO_TLS",
                "TLS 1.3, ALPN http/1.1, no resumption",
                "as expected".to_owned(),
            ),
            check("channel.key_exchange", "PROTO_PQ", self.expected_groups, self.group.to_owned()),
            check("channel.tls_key", "BIND_SPKI", "a key of the attested keyset for this name", spki),
            check("channel.binding", "BIND_SESSION", "this connection vouched for", self.bound_by.to_owned()),
        ]
    }

    /// The public configuration that the evidence commits to.
    pub fn config(&self) -> &Bytes {
        self.evidence.config()
    }

    /// How long this channel may lie idle and still be used.
    pub fn idle_limit(&self) -> Duration {
        self.evidence.idle_limit()
    }

    /// Whether the evidence behind this channel is too old for another request.
    pub fn is_expired(&self) -> bool {
        self.evidence.is_expired()
    }

    /// Whether a request would be taken at once.
    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the previous answer is done with. `Err`: the connection is gone.
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.sender.ready().await.map_err(|error| fault(Step::Application, &error))
    }

    fn address(&self, mut request: Request<ChannelBody>) -> Request<ChannelBody> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        *request.version_mut() = http::Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }
}

impl std::fmt::Debug for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for VerifiedChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedChannel").finish_non_exhaustive()
    }
}

async fn connect(target: &Target) -> Result<TcpStream, Error> {
    let addresses = tokio::net::lookup_host(target.dial_address())
        .await
        .map_err(|error| Error::Network { step: Step::Resolve, fault: network_fault(&error) })?;
    let mut last =
        Error::Network { step: Step::Resolve, fault: NetworkFault::Io(std::io::ErrorKind::NotFound) };
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream
                    .set_nodelay(true)
                    .map_err(|error| Error::Network { step: Step::Connect, fault: network_fault(&error) })?;
                return Ok(stream);
            }
            Err(error) => last = Error::Network { step: Step::Connect, fault: network_fault(&error) },
        }
    }
    Err(last)
}

async fn within<T>(
    step: Step,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(Error::Network { step, fault: NetworkFault::TimedOut }))
}

fn check_document(document: Document, head: &http::response::Parts, media_type: &str) -> Result<(), Error> {
    check_status(document, head)?;
    if media_type_is(head, media_type) {
        Ok(())
    } else {
        Err(Error::EvidenceMissing { document, status: head.status.as_u16() })
    }
}

fn check_status(document: Document, head: &http::response::Parts) -> Result<(), Error> {
    let status = head.status.as_u16();
    if head.status == StatusCode::OK {
        Ok(())
    } else if is_busy(head.status) {
        Err(Error::EvidenceUnavailable { status, retry_after: retry_after(head) })
    } else {
        Err(Error::EvidenceMissing { document, status })
    }
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn retry_after(head: &http::response::Parts) -> Option<Duration> {
    let seconds: u64 = head.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

fn media_type_is(head: &http::response::Parts, media_type: &str) -> bool {
    head.headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(media_type))
}

const BIND_PATH: &str = "/.well-known/postern/bind";
const CBOR: &str = "application/cbor";
const CONFIG_PATH: &str = "/.well-known/postern/config";
const EVIDENCE_PATH: &str = "/.well-known/postern/evidence";

const BIND_TIME: Duration = Duration::from_secs(10);
const CONNECT_TIME: Duration = Duration::from_secs(10);
const EVIDENCE_TIME: Duration = Duration::from_secs(15);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// A signature is 70 bytes; hardware evidence is a document in a map.
const MAX_BIND_BYTES: usize = EvidenceDocument::MAX_BYTES + 16;
const MAX_CONFIG_BYTES: usize = 256 * 1024;
