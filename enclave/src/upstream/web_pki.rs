//! Which certificates of upstreams are believed: those of the public web, or those under the authorities that the
//! configuration holds for a deployment, whatever the host says the time is.
//!
//! Nobody vouches for the enclave's time, so a host that sets the clock back could revive a certificate that has
//! expired. Two rules bound that: time is never before the release of this code ([`crate::clock`]), and a
//! certificate must hold for another seven days, so that setting back by less gains nothing.

use std::sync::Arc;
use std::time::Duration;

use gateway::deployment::TlsRoots;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use crate::clock::ProcessClock;

/// How much longer a certificate must hold, while nobody vouches for the time.
const MARGIN: Duration = Duration::from_hours(7 * 24);

/// TLS 1.3 with hybrid key exchange offered first, for servers that these authorities vouch for.
///
/// # Errors
/// What the TLS library says about its own settings.
pub fn connector(roots: &TlsRoots) -> Result<TlsConnector, rustls::Error> {
    let roots = match roots {
        TlsRoots::Web => web(),
        TlsRoots::Own(own) => RootCertStore { roots: own.anchors().to_vec() },
    };
    connector_to(roots, &[b"http/1.1"])
}

/// The public web's roots as measured into this binary.
pub fn web() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// The same for servers under these roots that speak these application protocols.
///
/// # Errors
/// What the TLS library says about its own settings, or that there is no root.
pub fn connector_to(roots: RootCertStore, protocols: &[&[u8]]) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
        ],
        ..aws_lc_rs::default_provider()
    });
    let verifier = WithMargin::over(roots, &provider)?;
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(OwnClock))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The process clock, which the host can set once and not move afterwards.
#[derive(Debug)]
struct OwnClock;

impl TimeProvider for OwnClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(ProcessClock::shared().unix().seconds())))
    }
}

/// The library's verifier, asked about now and about [`MARGIN`] later.
#[derive(Debug)]
struct WithMargin(Arc<WebPkiServerVerifier>);

impl WithMargin {
    fn over(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map(Self)
            .map_err(|_| rustls::Error::General("no roots".to_owned()))
    }
}

impl ServerCertVerifier for WithMargin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let later =
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().saturating_add(MARGIN.as_secs())));
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, later)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    /// What the verifier says at `now` of a certificate that ends `days` later.
    fn judged(now: u64, days: u64) -> Result<(), String> {
        let date =
            |seconds: u64| OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["api.example".to_owned()]).unwrap();
        params.not_before = date(now - 30 * DAY);
        params.not_after = date(now + days * DAY + 60);
        let (key, authority_key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let leaf = params.signed_by(&key, &rcgen::Issuer::from_params(&authority, &authority_key)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let verifier = WithMargin::over(roots, &Arc::new(aws_lc_rs::default_provider())).unwrap();
        let name = ServerName::try_from("api.example").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        verifier
            .verify_server_cert(leaf.der(), &[], &name, &[], now)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_about_to_expire_is_refused() {
        let now = ProcessClock::shared().unix().seconds();
        assert_eq!(judged(now, 8), Ok(()));
        assert!(judged(now, 6).unwrap_err().contains("expired"), "{:?}", judged(now, 6));
        assert!(judged(now, 0).is_err());
    }
}
