//! How the servers of shared state are reached: through the host like everything else, and TLS inside where the URL says so.
//!
//! What goes through is sealed. TLS keeps the database's password from the host, and others than its owner from editing it;
//! the host can still lead the connection nowhere.

use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use state::StateError;
use state::backend::Pending;
use state::backend::reach::{Reach, Stream};
use tokio_rustls::TlsConnector;

use crate::host_link::HostLink;
use crate::upstream::web_pki;

/// See the module.
pub struct ThroughHost {
    host: Option<HostLink>,
    tls: TlsConnector,
}

impl ThroughHost {
    /// Through this host; certificates are believed under the roots in the file (PEM), or under the public web's.
    ///
    /// # Errors
    /// [`StateError::Tls`] if the file cannot be read or holds anything but certificates.
    pub fn new(host: Option<HostLink>, roots: Option<&Path>) -> Result<Self, StateError> {
        let roots = roots.map_or_else(|| Ok(web_pki::web()), from_file)?;
        let tls = web_pki::connector_to(roots, &[]).map_err(|_| StateError::Tls)?;
        Ok(Self { host, tls })
    }
}

#[expect(clippy::disallowed_methods, reason = "start-up reads the roots that its file names")]
fn from_file(path: &Path) -> Result<RootCertStore, StateError> {
    let text = std::fs::read(path).map_err(|_| StateError::Tls)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| StateError::Tls)?;
        roots.add(certificate).map_err(|_| StateError::Tls)?;
    }
    if roots.is_empty() { Err(StateError::Tls) } else { Ok(roots) }
}

impl Reach for ThroughHost {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let link = self.host.as_ref().ok_or(StateError::Unavailable)?;
            let stream = link.connect(host, port).await.map_err(|_| StateError::Unavailable)?;
            Ok::<Box<dyn Stream>, _>(Box::new(stream))
        })
    }

    fn secure<'a>(&'a self, host: &'a str, stream: Box<dyn Stream>) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let name = ServerName::try_from(host).map_err(|_| StateError::Tls)?.to_owned();
            let secured = self.tls.connect(name, stream).await.map_err(|_| StateError::Tls)?;
            Ok::<Box<dyn Stream>, _>(Box::new(secured))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files for the test")]
    fn roots_are_certificates_and_at_least_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        let opens = || ThroughHost::new(None, Some(&path)).map(drop);
        assert_eq!(opens(), Err(StateError::Tls), "no file");
        for bad in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(opens(), Err(StateError::Tls));
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        std::fs::write(&path, authority.self_signed(&key).unwrap().pem()).unwrap();
        assert_eq!(opens(), Ok(()));
    }

    #[tokio::test]
    async fn without_a_host_there_is_no_way() {
        let own = ThroughHost::new(None, None).unwrap();
        assert_eq!(own.dial("127.0.0.1", 5432).await.map(drop), Err(StateError::Unavailable));
    }
}
