//! TLS 1.3 settings of the harness: a throw-away certificate, a chosen key exchange group, nothing resumed.
//!
//! The client checks the handshake signature but not who signed: every peer runs on loopback with a certificate made
//! a moment ago, and whom to trust is not what is measured here.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};

/// Key exchange group that the client offers, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// NIST P-256 (`secp256r1`).
    P256,
    /// X25519.
    X25519,
    /// X25519 and ML-KEM-768 together, the post-quantum hybrid.
    X25519mlkem768,
}

/// Which HTTP the client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`
    Http2,
    /// `http/1.1`
    Http11,
}

impl Group {
    /// Name as in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::X25519 => "X25519",
            Self::X25519mlkem768 => "X25519MLKEM768",
        }
    }
}

/// Client settings: TLS 1.3, one group, AES-128-GCM first for every peer alike, no resumption.
pub fn client(group: Group, alpn: Alpn) -> Result<Arc<ClientConfig>> {
    let group = match group {
        Group::P256 => kx_group::SECP256R1,
        Group::X25519 => kx_group::X25519,
        Group::X25519mlkem768 => kx_group::X25519MLKEM768,
    };
    let provider = Arc::new(provider(vec![group]));
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(algorithms)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![match alpn {
        Alpn::Http2 => b"h2".to_vec(),
        Alpn::Http11 => b"http/1.1".to_vec(),
    }];
    Ok(Arc::new(config))
}

/// Server settings for the harness's own ends: TLS 1.3, no tickets, every group.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(groups)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Writes a self-signed ECDSA P-256 certificate for `localhost` and its key as PEM files.
pub fn write_certificate(certificate: &Path, key: &Path) -> Result<()> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(certificate, params.self_signed(&pair)?.pem()).context("write the bench certificate")?;
    std::fs::write(key, pair.serialize_pem()).context("write the bench key")?;
    Ok(())
}

/// The name every client sends.
pub fn server_name() -> Result<ServerName<'static>> {
    Ok(ServerName::try_from("localhost")?)
}

fn provider(kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>) -> CryptoProvider {
    use aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    CryptoProvider {
        kx_groups,
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384],
        ..aws_lc_rs::default_provider()
    }
}

#[derive(Debug)]
struct AnyName(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyName {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
