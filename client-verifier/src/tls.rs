//! TLS 1.3 with nothing remembered: no tickets, no resumption, no early data, the key exchange that the policy names.
//! A finished handshake proves possession of the certificate's key and nothing else; whose key it is, evidence decides.

use std::fmt;
use std::sync::Arc;

use attestation::binding::{EXPORTER_LABEL, exporter_context};
use attestation::{Nonce, Role, Sha256, Sha384};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, HandshakeKind, NamedGroup,
    PeerIncompatible, PeerMisbehaved, ProtocolVersion, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, NetworkFault, Step, TlsFault};

/// The one application protocol that a channel of a role speaks; both are HTTP/1.1.
pub(crate) const fn protocol(role: Role) -> &'static [u8] {
    match role {
        Role::Provisioning => attestation::provisioning::ALPN,
        Role::Gateway | Role::PeerInitiator | Role::PeerResponder => b"http/1.1",
    }
}

/// Which key exchange groups may be agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostQuantum {
    /// `X25519MLKEM768` first, `X25519` too: recorded traffic may be readable later.
    Compat,
    /// `X25519MLKEM768` only.
    Strict,
}

impl PostQuantum {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Compat => "X25519MLKEM768 or X25519",
            Self::Strict => "X25519MLKEM768",
        }
    }
}

/// Whether the certificate must also chain to a public root for the dialled name.
#[derive(Debug, Clone)]
pub enum WebPki {
    /// The attested keyset alone names the key.
    NotRequired,
    /// An additional requirement, never a substitute.
    Required(Arc<RootCertStore>),
}

/// TLS settings for one gateway, built once and shared by its connections.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    config: Arc<ClientConfig>,
    post_quantum: PostQuantum,
    role: Role,
}

impl TlsSettings {
    /// Settings of `protocol.md` 1.6, client side, from an explicit provider.
    pub fn new(role: Role, post_quantum: PostQuantum, webpki: &WebPki) -> Result<Self, Error> {
        let provider = Arc::new(provider(post_quantum));
        let verifier = Arc::new(CertificateCheck {
            algorithms: provider.signature_verification_algorithms,
            webpki: match webpki {
                WebPki::NotRequired => None,
                WebPki::Required(roots) => Some(
                    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&provider))
                        .build()
                        .map_err(|_| TlsFault::Configuration)?,
                ),
            },
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| TlsFault::Configuration)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol(role).to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_secret_extraction = false;
        config.cert_decompressors = Vec::new();
        Ok(Self { config: Arc::new(config), post_quantum, role })
    }

    /// What the peer is expected to be on these connections.
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Shakes hands over `tcp` and checks what was agreed. The caller bounds the time.
    pub(crate) async fn handshake(
        &self,
        tcp: TcpStream,
        name: ServerName<'static>,
    ) -> Result<TlsSession, Error> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, tcp).await.map_err(|error| self.explain(&error))?;
        self.check_agreed(&stream)?;
        let spki = spki_of_leaf(&stream)?;
        Ok(TlsSession { stream, spki })
    }

    fn check_agreed(&self, stream: &TlsStream<TcpStream>) -> Result<(), TlsFault> {
        let connection = stream.get_ref().1;
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(TlsFault::Version);
        }
        if connection.alpn_protocol() != Some(protocol(self.role)) {
            return Err(TlsFault::Alpn);
        }
        match connection.handshake_kind() {
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) => {}
            Some(HandshakeKind::Resumed) | None => return Err(TlsFault::Resumed),
        }
        let group = connection.negotiated_key_exchange_group().map(SupportedKxGroup::name);
        let allowed = groups(self.post_quantum).iter().any(|known| Some(known.name()) == group);
        if allowed { Ok(()) } else { Err(TlsFault::KeyExchange) }
    }

    fn explain(&self, error: &std::io::Error) -> Error {
        let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Error::Network { step: Step::TlsHandshake, fault: network_fault(error) };
        };
        Error::Tls(self.tls_fault(cause))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls adds errors; each unknown one is a refusal all the same"
    )]
    fn tls_fault(&self, error: &rustls::Error) -> TlsFault {
        match error {
            rustls::Error::InvalidMessage(_) => TlsFault::NotTls,
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => TlsFault::Version,
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::NoApplicationProtocol => TlsFault::Alpn,
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)
                if self.post_quantum == PostQuantum::Strict =>
            {
                TlsFault::KeyExchange
            }
            rustls::Error::PeerMisbehaved(
                PeerMisbehaved::WrongGroupForKeyShare
                | PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup
                | PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedCipherSuite,
            )
            | rustls::Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => TlsFault::KeyExchange,
            rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            )
            | rustls::Error::PeerMisbehaved(PeerMisbehaved::SelectedTls12UsingTls13VersionExtension) => {
                TlsFault::Version
            }
            rustls::Error::InvalidCertificate(CertificateError::Other(other))
                if other.0.downcast_ref::<NotWebPki>().is_some() =>
            {
                TlsFault::WebPki
            }
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                TlsFault::Certificate
            }
            _ => TlsFault::Other,
        }
    }
}

/// A finished handshake: the stream and the digest of the key that the server proved to hold.
#[derive(Debug)]
pub(crate) struct TlsSession {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) spki: Sha256,
}

/// The exporter value of `protocol.md` A6 for this connection, taken from our own TLS stack.
pub(crate) fn export(
    stream: &TlsStream<TcpStream>,
    role: Role,
    nonce: &Nonce,
    keyset_digest: &Sha384,
) -> Result<[u8; 32], Error> {
    let context = exporter_context(role, protocol(role), nonce, keyset_digest);
    stream
        .get_ref()
        .1
        .export_keying_material([0_u8; 32], EXPORTER_LABEL, Some(&context))
        .map_err(|_| Error::Tls(TlsFault::Other))
}

/// Fills a fresh nonce from the provider's generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0_u8; N];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).map_err(|_| Error::Entropy)?;
    Ok(bytes)
}

/// The key exchange that was agreed on.
pub(crate) fn negotiated_group(stream: &TlsStream<TcpStream>) -> &'static str {
    match stream.get_ref().1.negotiated_key_exchange_group().map(SupportedKxGroup::name) {
        Some(NamedGroup::X25519MLKEM768) => "X25519MLKEM768",
        Some(NamedGroup::X25519) => "X25519",
        _ => "another",
    }
}

/// The kind of an I/O failure, without its text.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other kind is passed on as it is")]
pub(crate) fn network_fault(error: &std::io::Error) -> NetworkFault {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
            NetworkFault::Closed
        }
        Kind::TimedOut => NetworkFault::TimedOut,
        kind => NetworkFault::Io(kind),
    }
}

fn groups(post_quantum: PostQuantum) -> Vec<&'static dyn SupportedKxGroup> {
    match post_quantum {
        PostQuantum::Compat => vec![kx_group::X25519MLKEM768, kx_group::X25519],
        PostQuantum::Strict => vec![kx_group::X25519MLKEM768],
    }
}

fn provider(post_quantum: PostQuantum) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = groups(post_quantum);
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    provider
}

fn spki_of_leaf(stream: &TlsStream<TcpStream>) -> Result<Sha256, TlsFault> {
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).ok_or(TlsFault::Certificate)?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(|_| TlsFault::Certificate)?;
    Ok(Sha256::of(&parsed.subject_public_key_info()))
}

/// Takes any well-formed certificate (the keyset decides about its key later), and a public chain too where demanded.
/// The handshake signature is always the provider's to verify.
struct CertificateCheck {
    algorithms: WebPkiSupportedAlgorithms,
    webpki: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for CertificateCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        ParsedCertificate::try_from(end_entity)?;
        match &self.webpki {
            Some(webpki) => webpki
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|_| CertificateError::Other(rustls::OtherError(Arc::new(NotWebPki))).into()),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateCheck").field("webpki", &self.webpki.is_some()).finish_non_exhaustive()
    }
}

/// Marks the refusal of the public chain, apart from refusals of the certificate as such.
#[derive(Debug)]
struct NotWebPki;

impl fmt::Display for NotWebPki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no chain to a public root")
    }
}

impl std::error::Error for NotWebPki {}
