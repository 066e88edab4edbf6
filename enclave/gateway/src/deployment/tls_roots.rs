//! Under which authorities an upstream's certificate is believed.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// Authorities under which an upstream's certificate is believed. Part of where an upstream is: a connection to the same
/// address under other authorities is another connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsRoots {
    /// Those of the public web, as built into the program.
    #[default]
    Web,
    /// Those that the configuration holds, and no others.
    Own(Arc<OwnRoots>),
}

impl TlsRoots {
    /// SHA-256 of each certificate that the configuration holds; nothing where the public web's authorities count.
    pub fn fingerprints(&self) -> Option<&[[u8; 32]]> {
        match self {
            Self::Web => None,
            Self::Own(own) => Some(&own.fingerprints),
        }
    }
}

/// Authorities from the configuration; at least one.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnRoots {
    anchors: Vec<TrustAnchor<'static>>,
    fingerprints: Vec<[u8; 32]>,
}

/// Longest text of certificates, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Most certificates.
const MOST: usize = 32;

impl OwnRoots {
    /// From certificates in PEM (RFC 7468). Lines between them are skipped: tools write there whose certificate follows.
    ///
    /// # Errors
    /// What would be right.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_BYTES {
            return Err("at most 64 KiB of certificates");
        }
        let mut own = Self { anchors: Vec::new(), fingerprints: Vec::new() };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (SectionKind::Certificate, der) = section.map_err(|_| WHOLE)? else { return Err(ONLY) };
            own.add(&CertificateDer::from(der))?;
        }
        // The reader passes over kinds that it does not know.
        if text.matches("-----BEGIN ").count() != own.anchors.len() {
            return Err(ONLY);
        }
        if own.anchors.is_empty() { Err("at least one certificate in PEM") } else { Ok(own) }
    }

    fn add(&mut self, certificate: &CertificateDer<'_>) -> Result<(), &'static str> {
        let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|_| WHOLE)?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, certificate).as_ref());
        if self.fingerprints.contains(&fingerprint) {
            return Err("each certificate once");
        }
        if self.anchors.len() >= MOST {
            return Err("at most 32 certificates");
        }
        self.anchors.push(anchor.to_owned());
        self.fingerprints.push(fingerprint);
        Ok(())
    }

    /// As certificates are checked against them.
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

const WHOLE: &str = "whole certificates in PEM";
const ONLY: &str = "certificates in PEM, and nothing else in PEM";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const ONE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUbTZRAl0LcU8zrG8iCWAF29u2WngwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNYXV0aG9yaXR5IG9uZTAgFw0yNjExMjEyMDUyMTlaGA8yMTI2
MTAyODIwNTIxOVowGDEWMBQGA1UEAwwNYXV0aG9yaXR5IG9uZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABK0i2OLRjCfF/FhCt4w98yQz7ChtVasH75WmS76B45dH
BICxNxEkfsVsDSCxo5J3o/n8y3/ZGVymn0UbKk2fGXqjUzBRMB0GA1UdDgQWBBTj
Q0Z11wijmmNzB8/07h7HrIipLjAfBgNVHSMEGDAWgBTjQ0Z11wijmmNzB8/07h7H
rIipLjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAmLxtOXn9Rw
1Gm4VjEaeRelfZpRRdSwD/oeyWxbTJQiAiABx64D4E1D2Lmx9k8c1K99I/S/yONe
4qYCqjQWDWs+3w==
-----END CERTIFICATE-----
";
    const TWO: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiDCCAS2gAwIBAgIUXDixMamxEuh4hmJfKLfvwS5igsUwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNYXV0aG9yaXR5IHR3bzAgFw0yNjExMjEyMDUyMjBaGA8yMTI2
MTAyODIwNTIyMFowGDEWMBQGA1UEAwwNYXV0aG9yaXR5IHR3bzBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABOgjM74Z7v7yV5gvuUMjSOYHMNLV59m+hVnS49ajE3Fq
I9R1O5uLCRsG/RfNSoiuROCjdXH2BA/VS6H6evBjgr6jUzBRMB0GA1UdDgQWBBRr
s9KL3O+GlJxUGk/QchAulNXi1DAfBgNVHSMEGDAWgBRrs9KL3O+GlJxUGk/QchAu
lNXi1DAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDHEKjupE/m
uvJzKaMgSR1mGqdkKh7XcR89EWewHRjLRQIhAPCijHEGMMQj+gyCRIymYVb5WknO
jhiIuUl/4/feL+mK
-----END CERTIFICATE-----
";

    fn fingerprints(pem: &str) -> Result<Vec<String>, &'static str> {
        let own = OwnRoots::from_pem(pem)?;
        assert_eq!(own.anchors().len(), own.fingerprints.len());
        let start = |own: &[u8; 32]| format!("{:02x}{:02x}", own[0], own[1]);
        Ok(own.fingerprints.iter().map(start).collect())
    }

    #[test]
    fn certificates_are_read_with_the_text_between_them() {
        assert_eq!(fingerprints(ONE), Ok(vec!["c49d".to_owned()]));
        let both = format!("# authority one\n{ONE}\nSubject: CN = authority two\n{TWO}");
        assert_eq!(fingerprints(&both), Ok(vec!["c49d".to_owned(), "dd79".to_owned()]));
    }

    #[test]
    fn the_same_certificates_are_the_same_roots() {
        let roots = |pem: &str| TlsRoots::Own(Arc::new(OwnRoots::from_pem(pem).unwrap()));
        assert_eq!(roots(ONE), roots(&format!("again\n{ONE}")));
        assert_ne!(roots(ONE), roots(TWO));
        assert_ne!(roots(ONE), TlsRoots::Web);
        assert_eq!(TlsRoots::Web.fingerprints(), None);
    }

    #[test]
    fn what_is_not_whole_certificates_is_refused() {
        let cut = ONE.split_at(300).0;
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let strange = key.replace("PRIVATE KEY", "TRUSTED CERTIFICATE");
        let no_certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for (pem, expected) in [
            ("", "at least one certificate in PEM"),
            ("file:/config/ca.pem", "at least one certificate in PEM"),
            (cut, WHOLE),
            (no_certificate, WHOLE),
            (&format!("{ONE}{key}"), ONLY),
            (&format!("{ONE}{strange}"), ONLY),
            (&format!("{ONE}{ONE}"), "each certificate once"),
            (&format!("{ONE}{}", " ".repeat(MAX_BYTES)), "at most 64 KiB of certificates"),
        ] {
            assert_eq!(fingerprints(pem), Err(expected), "{pem}");
        }
    }
}
