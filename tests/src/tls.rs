//! TLS clients that believe any certificate and can be set weaker than ours.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::enclave::NAME;

/// What to offer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Application protocols.
    pub alpn: Vec<&'static [u8]>,
    /// Key exchange groups, best first.
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// Whether to remember sessions and send early data.
    pub resume: bool,
}

impl Offer {
    /// HTTP/1.1, and the group that is required.
    pub fn http1() -> Self {
        Self { alpn: vec![b"http/1.1"], groups: vec![kx_group::X25519MLKEM768], resume: false }
    }

    /// HTTP/2.
    pub fn http2() -> Self {
        Self { alpn: vec![b"h2"], ..Self::http1() }
    }

    /// The settings, to use for several connections.
    pub fn config(&self) -> Arc<ClientConfig> {
        let provider = CryptoProvider { kx_groups: self.groups.clone(), ..aws_lc_rs::default_provider() };
        let algorithms = provider.signature_verification_algorithms.supported_schemes();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible(algorithms)))
            .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config.enable_early_data = self.resume;
        if !self.resume {
            config.resumption = Resumption::disabled();
        }
        Arc::new(config)
    }
}

/// Connects and shakes hands.
///
/// # Errors
/// Whatever the network or the TLS library says.
pub async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(NAME).expect("a DNS name");
    TlsConnector::from(config).connect(name, stream).await
}

/// Believes every certificate and every signature.
#[derive(Debug)]
struct Gullible(Vec<SignatureScheme>);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
