//! A gateway over rustls and a simulated processor, with HTTP written by hand so that it can also be wrong on purpose.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attestation::binding::{BindRequest, BindResponse, ChallengeRequest, EXPORTER_LABEL};
use attestation::binding::{exporter_context, session_transcript};
use attestation::enclave_claims::{Channel, Kind, TimeQuality, report_data};
use attestation::endorsements::Endorsements;
use attestation::evidence::{CpuEvidence, EvidenceDocument, TeeType};
use attestation::keyset::{Keyset, TlsKey};
use attestation::{EnclaveClaims, Nonce, Role, Sha256, Sha384, UnixTime};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use simtee::{Authority, Processor, ProcessorSpec, Product};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is wrong with this gateway. The default is nothing.
#[derive(Clone, Debug)]
pub(crate) struct Lies {
    /// Does not offer ALPN.
    pub(crate) no_alpn: bool,
    /// Agrees on TLS 1.2 only.
    pub(crate) tls12: bool,
    /// Agrees on X25519 only.
    pub(crate) classical: bool,
    /// Sends session tickets and would resume.
    pub(crate) tickets: bool,
    /// Answers without TLS.
    pub(crate) plaintext: bool,
    /// Its keyset names another TLS key: the evidence is a relayed one.
    pub(crate) other_spki: bool,
    /// Its keyset names another host.
    pub(crate) other_name: bool,
    /// Does not hold the session-binding key: the TLS key has leaked.
    pub(crate) other_sbk: bool,
    /// Signs the exporter of another connection: the nonce was forwarded.
    pub(crate) other_connection: bool,
    /// Answers evidence for another nonce: a replay.
    pub(crate) stale_nonce: bool,
    /// Status, media type and body where evidence should be.
    pub(crate) evidence_answer: Option<(u16, &'static str, Vec<u8>)>,
    /// Status of the answer to bind.
    pub(crate) bind_status: Option<u16>,
    /// Signs with the session key although a report of the hardware was asked for.
    pub(crate) signs_instead: bool,
    /// Says at the first bind that it does not know the evidence.
    pub(crate) forgets_once: bool,
    /// Publishes this configuration.
    pub(crate) config: &'static str,
    /// Publishes another configuration than the claims commit to.
    pub(crate) config_swapped: bool,
    /// Runs other code.
    pub(crate) measurement: [u8; 48],
    /// End of the keyset, seconds from now.
    pub(crate) keyset_seconds: u64,
}

impl Default for Lies {
    fn default() -> Self {
        Self {
            no_alpn: false,
            tls12: false,
            classical: false,
            tickets: false,
            plaintext: false,
            other_spki: false,
            other_name: false,
            other_sbk: false,
            other_connection: false,
            stale_nonce: false,
            evidence_answer: None,
            bind_status: None,
            signs_instead: false,
            forgets_once: false,
            config: r#"{"content_logging":false,"debug":false,"stream_shape":"bucketed"}"#,
            config_swapped: false,
            measurement: MEASUREMENT,
            keyset_seconds: 3600,
        }
    }
}

/// What the gateway saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) evidence: AtomicUsize,
    pub(crate) binds: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    pub(crate) resumed: AtomicUsize,
    /// Streams that ended because the other side left.
    pub(crate) cancelled: AtomicUsize,
    /// Heads of application requests, with their bodies.
    pub(crate) heads: Mutex<Vec<String>>,
}

pub(crate) struct FakeGateway {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    pub(crate) folder: tempfile::TempDir,
    chip_id: Vec<u8>,
    /// The self-signed certificate, PEM.
    pub(crate) certificate_pem: String,
}

struct State {
    lies: Lies,
    seen: Arc<Seen>,
    processor: Processor,
    spki: Sha256,
    session_key: Ed25519KeyPair,
    other_key: Ed25519KeyPair,
}

pub(crate) const MEASUREMENT: [u8; 48] = [0x5a; 48];

impl FakeGateway {
    pub(crate) async fn start(lies: Lies) -> Self {
        let signing = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&signing).unwrap();
        let spki = Sha256::of(&rcgen::PublicKeyData::subject_public_key_info(&signing));
        let mut spec = ProcessorSpec::new(Product::Genoa);
        spec.report.measurement = lies.measurement;
        let chip_id = spec.report.chip_id.to_vec();
        let state = Arc::new(State {
            processor: Processor::new(authority(), spec).unwrap(),
            spki,
            session_key: ed25519(),
            other_key: ed25519(),
            seen: Arc::default(),
            lies,
        });
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing.serialize_der()));
        let acceptor = acceptor(&state.lies, certificate.der().clone(), key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::clone(&state.seen);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                state.seen.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(tcp, acceptor.clone(), Arc::clone(&state)));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ark.der"), authority().ark_certificate()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        std::fs::write(folder.path().join("floors.json"), simtee::floors::document(now)).unwrap();
        Self { address, seen, folder, chip_id, certificate_pem: certificate.pem() }
    }

    /// A policy that accepts this gateway when it does not lie.
    pub(crate) fn policy_text(&self) -> String {
        postern_client::policy_file::Template {
            measurements: vec![attestation::Measurement::new(MEASUREMENT)],
            hardware: vec![attestation::HardwareId::try_from(self.chip_id.as_slice()).unwrap()],
            deployment: Some("unpinned".into()),
            simulated_roots: vec![PathBuf::from("ark.der")],
            webpki: Some("not-required".into()),
            floors: Some(PathBuf::from("floors.json")),
            ..Default::default()
        }
        .render()
    }

    /// Writes the policy, changed by `edit`, and gives its path.
    pub(crate) fn policy_file(&self, edit: impl FnOnce(String) -> String) -> PathBuf {
        let path = self.folder.path().join("policy.toml");
        std::fs::write(&path, edit(self.policy_text())).unwrap();
        path
    }

    pub(crate) fn policy(&self, edit: impl FnOnce(String) -> String) -> postern_client::ClientPolicy {
        postern_client::policy_file::load(&self.policy_file(edit)).unwrap()
    }

    pub(crate) fn target(&self) -> postern_client::Target {
        postern_client::Target::parse(&self.url()).unwrap().with_connect(&self.address.to_string())
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

/// One throw-away root for all tests of this process: RSA keys are slow to make.
fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::create(Product::Genoa.line()).unwrap())
}

fn ed25519() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

fn acceptor(
    lies: &Lies,
    certificate: rustls_pki_types::CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> TlsAcceptor {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = match (lies.classical, lies.tls12) {
        (false, false) => vec![kx_group::X25519MLKEM768, kx_group::X25519],
        _ => vec![kx_group::X25519],
    };
    let versions: &[&rustls::SupportedProtocolVersion] =
        if lies.tls12 { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    if !lies.no_alpn {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    if lies.tickets {
        config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        config.send_tls13_tickets = 4;
        config.max_early_data_size = 1024;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    TlsAcceptor::from(Arc::new(config))
}

async fn connection(mut tcp: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    if state.lies.plaintext {
        let mut hello = [0; 64];
        let _read = tcp.read(&mut hello).await;
        let page = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let _written = tcp.write_all(page.as_bytes()).await;
        return;
    }
    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
    if tls.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
        state.seen.resumed.fetch_add(1, Ordering::SeqCst);
    }
    let mut issued: Option<(Vec<u8>, Keyset)> = state.issued();
    while let Some((head, body)) = read_request(&mut tls).await {
        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
        let answered = match path.as_str() {
            "/.well-known/postern/evidence" => state.evidence(&mut tls, &body, &mut issued).await,
            "/.well-known/postern/config" => {
                let config = if state.lies.config_swapped { r#"{"debug":false}"# } else { state.lies.config };
                respond(&mut tls, 200, "application/json", config.as_bytes()).await
            }
            "/.well-known/postern/bind" => state.bind(&mut tls, &body, issued.as_ref()).await,
            _ => {
                state.seen.requests.fetch_add(1, Ordering::SeqCst);
                let text = format!("{head}{}", String::from_utf8_lossy(&body));
                state.seen.heads.lock().unwrap().push(text.clone());
                application(&mut tls, &path, &text, &state.seen).await
            }
        };
        if answered.is_none() {
            return;
        }
    }
}

impl State {
    /// Evidence lives as long as the process: a bind may come on a later connection.
    fn issued(&self) -> Option<(Vec<u8>, Keyset)> {
        LAST_ISSUED
            .lock()
            .unwrap()
            .iter()
            .find(|(spki, ..)| *spki == self.spki)
            .map(|(_, claims, keyset)| (claims.clone(), keyset.clone()))
    }

    fn document(&self, kind: Kind) -> (Vec<u8>, Vec<u8>, Keyset) {
        let lies = &self.lies;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let name = if lies.other_name { "other.example" } else { "localhost" };
        let spki_sha256 = if lies.other_spki { Sha256::of(b"another key") } else { self.spki };
        let keyset = Keyset {
            epoch: 1,
            not_after: UnixTime::from_seconds(now + lies.keyset_seconds),
            tls: vec![TlsKey { spki_sha256, names: vec![name.to_owned()] }],
            ohttp: None,
            sbk: self.session_key.public_key().as_ref().try_into().unwrap(),
            rck: None,
            prv: None,
        };
        let keyset_bytes = keyset.encode();
        let claims = EnclaveClaims {
            role: Role::Gateway,
            kind,
            keyset_digest: Sha384::of(&keyset_bytes),
            config_digest: Sha384::of(lies.config.as_bytes()),
            deployment_id: [0; 32],
            instance_id: [7; 16],
            channels: vec![Channel::T],
            min_version: 1,
            max_version: 1,
            state_head: None,
            log: None,
            gpu_digest: None,
            time_quality: TimeQuality::Good,
        }
        .encode();
        let quote = self.processor.quote(report_data(&claims).as_bytes()).unwrap();
        let document = EvidenceDocument {
            claims: claims.clone(),
            keyset: keyset_bytes,
            cpu: CpuEvidence { tee: TeeType::Snp, bytes: quote.report },
            endorsements: Endorsements::from_snp_certificate_table(&quote.certificate_table)
                .unwrap()
                .encode(),
            devices: None,
            release: None,
            deployment: None,
        };
        (document.encode(), claims, keyset)
    }

    async fn evidence(
        &self,
        tls: &mut TlsStream<TcpStream>,
        body: &[u8],
        issued: &mut Option<(Vec<u8>, Keyset)>,
    ) -> Option<()> {
        self.seen.evidence.fetch_add(1, Ordering::SeqCst);
        if let Some((status, media_type, body)) = &self.lies.evidence_answer {
            return respond(tls, *status, media_type, body).await;
        }
        let asked = ChallengeRequest::decode(body).unwrap().nonce;
        let nonce = if self.lies.stale_nonce { Nonce::new([1; 32]) } else { asked };
        let (document, claims, keyset) = self.document(Kind::Challenge { nonce });
        {
            let mut last = LAST_ISSUED.lock().unwrap();
            last.retain(|(spki, ..)| *spki != self.spki);
            last.push((self.spki, claims.clone(), keyset.clone()));
        }
        *issued = Some((claims, keyset));
        respond(tls, 200, EvidenceDocument::MEDIA_TYPE, &document).await
    }

    async fn bind(
        &self,
        tls: &mut TlsStream<TcpStream>,
        body: &[u8],
        issued: Option<&(Vec<u8>, Keyset)>,
    ) -> Option<()> {
        let before = self.seen.binds.fetch_add(1, Ordering::SeqCst);
        if let Some(status) = self.lies.bind_status {
            return respond(tls, status, "application/problem+cbor", &[0xa0]).await;
        }
        let request = BindRequest::decode(body).unwrap();
        let known = issued.filter(|(claims, _)| Sha384::of(claims) == request.claims);
        let Some((claims, keyset)) = known.filter(|_| !(self.lies.forgets_once && before == 0)) else {
            return respond(tls, 409, "application/problem+cbor", &[0xa0]).await;
        };
        let digest = Sha384::of(&keyset.encode());
        let context = exporter_context(Role::Gateway, b"http/1.1", &request.nonce, &digest);
        let mut ekm =
            tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(&context)).unwrap();
        if self.lies.other_connection {
            ekm[0] ^= 1;
        }
        let response = if request.evidence && !self.lies.signs_instead {
            BindResponse::Evidence(self.document(Kind::Session { nonce: request.nonce, session: ekm }).0)
        } else {
            let key = if self.lies.other_sbk { &self.other_key } else { &self.session_key };
            let transcript =
                session_transcript(Role::Gateway, &request.nonce, &ekm, &Sha384::of(claims), &self.spki);
            BindResponse::Signature(key.sign(&transcript).as_ref().try_into().unwrap())
        };
        respond(tls, 200, "application/cbor", &response.encode()).await
    }
}

/// What was issued last, by TLS key.
static LAST_ISSUED: Mutex<Vec<(Sha256, Vec<u8>, Keyset)>> = Mutex::new(Vec::new());

/// The application behind the gateway: each path ends its answer in its own way.
async fn application(tls: &mut TlsStream<TcpStream>, path: &str, request: &str, seen: &Seen) -> Option<()> {
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let word = |text: &str| {
        chunk(&format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"))
    };
    match path {
        "/v1/models" => {
            let models = br#"{"object":"list","data":[{"id":"fake-model","object":"model"}]}"#;
            respond(tls, 200, "application/json", models).await
        }
        "/v1/chat/completions" => {
            send(tls, events).await?;
            for text in ["Hello", ", ", "world"] {
                send(tls, &word(text)).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            send(tls, &format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n"))).await
        }
        "/cut/length" => {
            send(tls, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await?;
            close(tls).await
        }
        "/cut/chunks" => {
            send(tls, &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk("some")))
                .await?;
            close(tls).await
        }
        "/cut/unframed" => {
            send(tls, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nthe end is where the connection ends")
                .await?;
            close(tls).await
        }
        "/cut/events" => send(tls, &format!("{events}{}0\r\n\r\n", word("Hello"))).await,
        "/cut/events-with-length" => {
            let body = "data: {}\n\n";
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length:";
            send(tls, &format!("{head} {}\r\n\r\n{body}", body.len())).await
        }
        "/cut/mid-events" => {
            send(tls, &format!("{events}{}", word("Hello"))).await?;
            close(tls).await
        }
        "/forever" => {
            send(tls, events).await?;
            forever(tls, &word("tick"), seen).await
        }
        "/nothing" => send(tls, "HTTP/1.1 204 No Content\r\n\r\n").await,
        "/cors" => {
            let head = "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\nalt-svc: h3=\":1\"\r\ncontent-length: 0\r\n\r\n";
            send(tls, head).await
        }
        _ => respond(tls, 200, "text/plain", request.as_bytes()).await,
    }
}

/// Sends `piece` until the other side has left.
async fn forever(tls: &mut TlsStream<TcpStream>, piece: &str, seen: &Seen) -> Option<()> {
    loop {
        let sent = send(tls, piece).await;
        let mut byte = [0];
        let left = tokio::time::timeout(Duration::from_millis(10), tls.read(&mut byte)).await;
        if sent.is_none() || matches!(left, Ok(Ok(0) | Err(_))) {
            seen.cancelled.fetch_add(1, Ordering::SeqCst);
            return None;
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn send(tls: &mut TlsStream<TcpStream>, text: &str) -> Option<()> {
    tls.write_all(text.as_bytes()).await.ok()?;
    tls.flush().await.ok()
}

/// A polite end: with `close_notify`, so that only framing can tell.
async fn close(tls: &mut TlsStream<TcpStream>) -> Option<()> {
    tls.shutdown().await.ok()?;
    None
}

async fn respond(tls: &mut TlsStream<TcpStream>, status: u16, media_type: &str, body: &[u8]) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    tls.write_all(head.as_bytes()).await.ok()?;
    tls.write_all(body).await.ok()?;
    tls.flush().await.ok()
}

async fn read_request(tls: &mut TlsStream<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if tls.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let field = |name: &str| {
        head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix(name).map(|value| value.trim().to_owned())
        })
    };
    let mut body = bytes[end..].to_vec();
    if let Some(length) = field("content-length:") {
        let length: usize = length.parse().ok()?;
        while body.len() < length {
            if tls.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
    } else if field("transfer-encoding:").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            if tls.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
    }
    Some((head, body))
}
