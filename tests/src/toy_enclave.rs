//! An enclave in a few lines, written from the protocol, whose keys a test can steal and whose conduct it can choose.
//!
//! It plays the genuine enclave where the real one must not give its keys away, and the man in the middle elsewhere.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use attestation::binding::{
    BindRequest, BindResponse, ChallengeRequest, EXPORTER_LABEL, exporter_context, session_transcript,
};
use attestation::digest::{Sha256, Sha384, UnixTime};
use attestation::enclave_claims::{Channel, EnclaveClaims, Kind, Role, TimeQuality, report_data};
use attestation::endorsements::Endorsements;
use attestation::evidence::{CpuEvidence, EvidenceDocument, TeeType};
use attestation::keyset::{Keyset, TlsKey};
use rcgen::{CertificateParams, KeyPair};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use simtee::Processor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::enclave::NAME;

/// The public configuration of a toy that behaves.
pub const CONFIG: &str = r#"{"version":1,"content_logging":false,"debug":false,"stream_shape":"bucketed"}"#;
/// What a toy answers to every application request.
pub const ANSWER: &str = "toy answer";

/// A TLS identity: certificate chain and private key.
#[derive(Debug)]
pub struct TlsIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub key: Vec<u8>,
    /// SHA-256 of the leaf's public key.
    pub spki: Sha256,
}

impl TlsIdentity {
    /// A fresh self-signed one.
    pub fn fresh() -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params().self_signed(&key).expect("a certificate can be made");
        Self { spki: spki(&key), key: key.serialize_der(), chain: vec![certificate.der().clone()] }
    }

    /// A fresh one signed by a fresh authority; also the authority's certificate as PEM.
    pub fn from_authority() -> (Self, String) {
        let mut authority = CertificateParams::new(vec![]).expect("no names");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("keys can be made");
        let root = authority.self_signed(&authority_key).expect("a certificate can be made");
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params().signed_by(&key, &issuer).expect("a certificate can be made");
        let identity =
            Self { spki: spki(&key), key: key.serialize_der(), chain: vec![certificate.der().clone()] };
        (identity, root.pem())
    }
}

/// The session-binding key.
#[derive(Debug)]
pub struct BindingKey(Ed25519KeyPair);

impl BindingKey {
    /// A fresh one.
    pub fn fresh() -> Self {
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).expect("keys can be made");
        Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key just made"))
    }

    /// Its public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("32 bytes")
    }
}

/// Answers a nonce with an evidence document.
pub type EvidenceSource = Arc<dyn Fn(attestation::Nonce) -> Vec<u8> + Send + Sync>;

/// How a toy deviates from the protocol.
#[derive(Clone, Default)]
pub struct Conduct {
    /// Answers the evidence request with these bytes of HTTP.
    pub evidence_answer: Option<Vec<u8>>,
    /// Shows this evidence instead of its own.
    pub evidence: Option<EvidenceSource>,
    /// Shows this configuration and commits to it.
    pub config: Option<String>,
    /// Names this deployment in its claims.
    pub deployment_id: [u8; 32],
    /// Claims to be at this end of this channel; the gateway's unless stated.
    pub claims_role: Option<Role>,
    /// Signs connections in this role; the gateway's unless stated.
    pub signs_in_role: Option<Role>,
    /// Signs with this key instead of the one in its keyset.
    pub signs_with: Option<Arc<BindingKey>>,
    /// Passes evidence, configuration and bind requests on to this enclave, over a TLS connection of its own.
    pub forwards_to: Option<SocketAddr>,
    /// Key exchange groups; the one that is required unless stated.
    pub groups: Option<Vec<&'static dyn SupportedKxGroup>>,
    /// Application protocols; HTTP/1.1 unless stated.
    pub alpn: Option<Vec<Vec<u8>>>,
    /// Gives so many tickets and takes them back.
    pub tickets: usize,
    /// Answers application requests with these bytes of HTTP, and closes.
    pub application: Option<Vec<u8>>,
}

/// What happened to a toy.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections with a finished handshake.
    pub handshakes: AtomicUsize,
    /// Of them, resumed ones.
    pub resumed: AtomicUsize,
    /// Bytes of requests outside `/.well-known/postern/`.
    pub application_bytes: AtomicUsize,
    /// Signatures made.
    pub bound: Mutex<Vec<Bound>>,
}

/// One answer to a bind request.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The request.
    pub request: BindRequest,
    /// The signature.
    pub signature: [u8; 64],
    /// Exporter value of the connection that it covers.
    pub ekm: [u8; 32],
}

/// A running toy. It ends with the runtime.
pub struct ToyEnclave {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its TLS key.
    pub tls: Arc<TlsIdentity>,
    /// Its session-binding key.
    pub binding: Arc<BindingKey>,
    /// What happened to it.
    pub seen: Arc<Seen>,
    inner: Arc<Inner>,
}

struct Inner {
    processor: Arc<Processor>,
    tls: Arc<TlsIdentity>,
    binding: Arc<BindingKey>,
    conduct: Conduct,
    seen: Arc<Seen>,
    claims: Mutex<Vec<u8>>,
}

impl ToyEnclave {
    /// One with fresh keys that behaves.
    pub async fn start(processor: Arc<Processor>) -> Self {
        Self::with(processor, TlsIdentity::fresh(), BindingKey::fresh(), Conduct::default()).await
    }

    /// One with fresh keys and this conduct.
    pub async fn behaving(processor: Arc<Processor>, conduct: Conduct) -> Self {
        Self::with(processor, TlsIdentity::fresh(), BindingKey::fresh(), conduct).await
    }

    /// One with these keys and this conduct.
    pub async fn with(
        processor: Arc<Processor>,
        tls: impl Into<Arc<TlsIdentity>>,
        binding: impl Into<Arc<BindingKey>>,
        conduct: Conduct,
    ) -> Self {
        let (tls, binding, seen) = (tls.into(), binding.into(), Arc::new(Seen::default()));
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&tls, &conduct)));
        let inner = Arc::new(Inner {
            processor,
            tls: Arc::clone(&tls),
            binding: Arc::clone(&binding),
            conduct,
            seen: Arc::clone(&seen),
            claims: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let served = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, inner) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        inner.serve(stream).await;
                    }
                });
            }
        });
        Self { address, tls, binding, seen, inner }
    }

    /// Evidence for a nonce, as this toy makes it.
    pub fn evidence(&self, nonce: attestation::Nonce) -> Vec<u8> {
        self.inner.make_evidence(Kind::Challenge { nonce })
    }
}

impl Inner {
    async fn serve(&self, mut stream: TlsStream<TcpStream>) {
        self.seen.handshakes.fetch_add(1, Ordering::SeqCst);
        if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.seen.resumed.fetch_add(1, Ordering::SeqCst);
        }
        let mut buffer = Vec::new();
        while let Some((head, body)) = read_request(&mut stream, &mut buffer).await {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (answer, close) = self.answer(&path, &head, &body, &stream).await;
            let sent = stream.write_all(&answer).await.is_ok() && stream.flush().await.is_ok();
            if close || !sent {
                let _closed = stream.shutdown().await;
                return;
            }
        }
    }

    async fn answer(
        &self,
        path: &str,
        head: &str,
        body: &[u8],
        stream: &TlsStream<TcpStream>,
    ) -> (Vec<u8>, bool) {
        if !path.starts_with("/.well-known/postern/") {
            self.seen.application_bytes.fetch_add(head.len() + body.len(), Ordering::SeqCst);
            return match &self.conduct.application {
                Some(bytes) => (bytes.clone(), true),
                None => (ok("text/plain", ANSWER.as_bytes()), false),
            };
        }
        if let Some(enclave) = self.conduct.forwards_to {
            return (forward(enclave, head, body).await, false);
        }
        let answer = match path.rsplit('/').next() {
            Some("config") => ok("application/json", self.config().as_bytes()),
            Some("evidence") => self.evidence_answer(body),
            Some("bind") => self.bind(body, stream),
            _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        };
        (answer, false)
    }

    fn config(&self) -> &str {
        self.conduct.config.as_deref().unwrap_or(CONFIG)
    }

    fn evidence_answer(&self, body: &[u8]) -> Vec<u8> {
        if let Some(bytes) = &self.conduct.evidence_answer {
            return bytes.clone();
        }
        let nonce = ChallengeRequest::decode(body).expect("the client asks properly").nonce;
        let document = match &self.conduct.evidence {
            Some(source) => source(nonce),
            None => self.make_evidence(Kind::Challenge { nonce }),
        };
        *self.claims.lock().unwrap() =
            EvidenceDocument::decode(&document).map(|d| d.claims).unwrap_or_default();
        ok(EvidenceDocument::MEDIA_TYPE, &document)
    }

    fn make_evidence(&self, kind: Kind) -> Vec<u8> {
        let keyset = self.keyset().encode();
        let claims = EnclaveClaims {
            role: self.conduct.claims_role.unwrap_or(Role::Gateway),
            kind,
            keyset_digest: Sha384::of(&keyset),
            config_digest: Sha384::of(self.config().as_bytes()),
            deployment_id: self.conduct.deployment_id,
            instance_id: [7; 16],
            channels: vec![Channel::T],
            min_version: 1,
            max_version: 1,
            state_head: None,
            log: None,
            gpu_digest: None,
            time_quality: TimeQuality::Degraded,
        };
        document(&self.processor, &claims.encode(), &keyset)
    }

    fn keyset(&self) -> Keyset {
        let tls = vec![TlsKey { spki_sha256: self.tls.spki, names: vec![NAME.to_owned()] }];
        let not_after = UnixTime::from_seconds(now() + 3600);
        Keyset { epoch: 1, not_after, tls, ohttp: None, sbk: self.binding.public(), rck: None, prv: None }
    }

    fn bind(&self, body: &[u8], stream: &TlsStream<TcpStream>) -> Vec<u8> {
        let request = BindRequest::decode(body).expect("the client asks properly");
        let claims = EnclaveClaims::decode(&self.claims.lock().unwrap()).expect("evidence was shown before");
        let role = self.conduct.signs_in_role.unwrap_or(Role::Gateway);
        let context = exporter_context(role, b"http/1.1", &request.nonce, &claims.keyset_digest);
        let session = stream.get_ref().1;
        let ekm =
            session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&context)).expect("TLS 1.3 exports");
        let transcript = session_transcript(role, &request.nonce, &ekm, &request.claims, &self.tls.spki);
        let key = self.conduct.signs_with.as_ref().unwrap_or(&self.binding);
        let signature: [u8; 64] = key.0.sign(&transcript).as_ref().try_into().expect("64 bytes");
        self.seen.bound.lock().unwrap().push(Bound { request, signature, ekm });
        ok("application/cbor", &BindResponse::Signature(signature).encode())
    }
}

/// A document over these claims, signed by `processor`.
pub fn document(processor: &Processor, claims: &[u8], keyset: &[u8]) -> Vec<u8> {
    let quote = processor.quote(report_data(claims).as_bytes()).expect("the processor signs");
    let endorsements =
        Endorsements::from_snp_certificate_table(&quote.certificate_table).expect("a good table");
    EvidenceDocument {
        claims: claims.to_vec(),
        keyset: keyset.to_vec(),
        cpu: CpuEvidence { tee: TeeType::Snp, bytes: quote.report },
        endorsements: endorsements.encode(),
        devices: None,
        release: None,
        deployment: None,
    }
    .encode()
}

/// A whole answer.
pub fn ok(media_type: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Passes a request on over a fresh TLS connection.
async fn forward(enclave: SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
    let stream =
        crate::tls::connect(enclave, crate::tls::Offer::http1().config()).await.expect("it shakes hands");
    let mut client = crate::http1::Http1::new(stream);
    client.send(&[head.as_bytes(), body].concat()).await.expect("the enclave takes it");
    let answer = client.answer().await.expect("the enclave answers");
    let mut bytes = format!("HTTP/1.1 {} Status\r\n", answer.status);
    for (name, value) in &answer.headers {
        bytes.extend([name, ": ", value, "\r\n"]);
    }
    [bytes.as_bytes(), b"\r\n", &answer.body].concat()
}

fn server_config(identity: &TlsIdentity, conduct: &Conduct) -> ServerConfig {
    let kx_groups = conduct.groups.clone().unwrap_or_else(|| vec![kx_group::X25519MLKEM768]);
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), key)
        .expect("key and certificate belong together");
    config.alpn_protocols = conduct.alpn.clone().unwrap_or_else(|| vec![b"http/1.1".to_vec()]);
    config.send_tls13_tickets = conduct.tickets;
    config
}

fn params() -> CertificateParams {
    CertificateParams::new(vec![NAME.to_owned()]).expect("a DNS name")
}

fn spki(key: &KeyPair) -> Sha256 {
    use rcgen::PublicKeyData;
    Sha256::of(&key.subject_public_key_info())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

async fn read_request(stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:").map(|l| l.trim().to_owned())
        })
        .map_or(0, |length| length.parse().expect("a number"));
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some((head, body))
}
