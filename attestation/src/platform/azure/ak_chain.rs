//! The certificate of a virtual TPM's attestation key, up to Azure's root: RSA with PKCS #1 v1.5 throughout. Microsoft
//! staples no revocation list, and none is judged.

use crate::claims::Anchor;
use crate::digest::UnixTime;
use crate::platform::azure::runtime_data::AttestationKey;
use crate::platform::azure::steps;
use crate::policy::TrustAnchors;
use crate::rejection::{Code, Rejection};
use crate::work_limit::WorkLimit;
use crate::x509::{Certificate, PublicKey, common_name};

/// Azure's root certificate; see `data/roots/README.md`.
pub(super) const AZURE_ROOT: &[u8] = include_bytes!("../../../data/roots/azure-vtpm-root-2023.der");

/// A chain that holds.
pub(super) struct AkChain {
    /// Whose root it ends in.
    pub(super) anchor: Anchor,
    /// Common names, leaf first.
    pub(super) names: Vec<String>,
    /// First end of validity.
    pub(super) not_after: UnixTime,
}

/// Verifies leaf and CA (and a copy of the root, if there is one) and that the leaf is `key`'s.
///
/// # Errors
/// `ATT_UNTRUSTED_ROOT` for a CA of another root, `AZ_AK` for everything else.
pub(super) fn verify(
    certificates: &[Vec<u8>],
    key: &AttestationKey,
    anchors: &TrustAnchors,
    now: UnixTime,
    limit: &mut WorkLimit,
) -> Result<AkChain, Rejection> {
    let (leaf, authority, copy) = match certificates {
        [leaf, authority] => (leaf, authority, None),
        [leaf, authority, root] => (leaf, authority, Some(root.as_slice())),
        other => {
            return Err(broken("a certificate, its CA and at most a root", other.len().to_string()));
        }
    };
    let (leaf, authority) = (parse(leaf, limit)?, parse(authority, limit)?);
    let own = leaf.key == PublicKey::Rsa2048(&key.pkcs1);
    if !own {
        return Err(broken("a certificate of HCLAkPub", "one of another key".to_owned()));
    }
    if leaf.authority || !authority.authority {
        return Err(broken("an authority above and none below", "other constraints".to_owned()));
    }
    let (root, anchor) = root_of(&authority, copy, anchors, limit)?;
    if !leaf.issued_by(&authority, limit)? || !authority.issued_by(&root, limit)? {
        return Err(broken("every certificate signed by the next", "a signature that fails".to_owned()));
    }
    for certificate in [&leaf, &authority, &root] {
        if !certificate.valid_at(now) {
            let window = format!("{} to {}", certificate.not_before, certificate.not_after);
            return Err(broken(&format!("certificates valid at {now}"), window));
        }
    }
    let name = |certificate: &Certificate<'_>| common_name(certificate.subject).unwrap_or("").to_owned();
    Ok(AkChain {
        anchor,
        names: vec![name(&leaf), name(&authority), name(&root)],
        not_after: leaf.not_after.min(authority.not_after).min(root.not_after),
    })
}

/// The trusted root with the name the CA gives, which a copy in the evidence has to be byte for byte.
fn root_of<'a>(
    authority: &Certificate<'_>,
    copy: Option<&[u8]>,
    anchors: &'a TrustAnchors,
    limit: &mut WorkLimit,
) -> Result<(Certificate<'a>, Anchor), Rejection> {
    let vendor = anchors.vendor.then_some((AZURE_ROOT, Anchor::Vendor)).into_iter();
    let simulated = anchors.simulated_roots.iter().map(|root| (root.as_slice(), Anchor::Simulated));
    for (der, anchor) in vendor.chain(simulated) {
        // the policy's roots are of every vendor; those that are not of this kind are not meant
        let Ok(root) = Certificate::parse_vtpm(der) else { continue };
        if root.subject == authority.issuer && root.authority && copy.is_none_or(|copy| copy == der) {
            limit.certificate()?;
            // named by the policy or compiled in, Azure's root is Azure's
            return Ok((root, if der == AZURE_ROOT { Anchor::Vendor } else { anchor }));
        }
    }
    let (code, field) = (Code::AttUntrustedRoot, steps::CERTIFICATE.field);
    Err(Rejection::new(code, field, "a CA of a trusted root", "another issuer"))
}

fn parse<'a>(der: &'a [u8], limit: &mut WorkLimit) -> Result<Certificate<'a>, Rejection> {
    limit.certificate()?;
    Certificate::parse_vtpm(der)
        .map_err(|error| broken("certificates as Azure issues them", error.to_string()))
}

fn broken(expected: &str, found: String) -> Rejection {
    Rejection::new(steps::CERTIFICATE.code, steps::CERTIFICATE.field, expected, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn the_root_is_the_published_one() {
        let pinned = "e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95";
        assert_eq!(Sha256::of(AZURE_ROOT).to_hex(), pinned);
        let root = Certificate::parse_vtpm(AZURE_ROOT).expect("root");
        assert!(root.authority && root.self_issued());
        assert!(root.signed_by(&root.key, &mut WorkLimit::new()).expect("within the limit"));
        // and it is no root of AMD's or Intel's kind
        assert!(Certificate::parse(AZURE_ROOT).is_err());
    }
}
