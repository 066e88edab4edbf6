//! From an endorsement key certificate up to a root: who vouches for the key that signed the report.
//! Trusts the compiled-in AMD roots and whatever roots the policy names; endorsements are hostile bytes.

use crate::claims::Anchor;
use crate::claims::snp::{Product, SigningKey};
use crate::digest::UnixTime;
use crate::endorsements::Endorsements;
use crate::platform::sev_snp::extensions::{self, Endorsed};
use crate::platform::sev_snp::steps;
use crate::policy::TrustAnchors;
use crate::policy::snp::{OFFLINE_GRACE, RevocationRule};
use crate::rejection::{Code, Rejection};
use crate::work_limit::WorkLimit;
use crate::x509::{Certificate, Extension, PublicKey, RevocationList, Window, common_name};

/// AMD's root certificates by product line; see `data/roots/README.md`.
const AMD_ROOTS: [(Product, &[u8]); 3] = [
    (Product::Genoa, include_bytes!("../../../data/roots/ark-genoa.der")),
    (Product::Milan, include_bytes!("../../../data/roots/ark-milan.der")),
    (Product::Turin, include_bytes!("../../../data/roots/ark-turin.der")),
];

/// A root that may end a chain.
struct Root<'a> {
    product: Product,
    anchor: Anchor,
    key: PublicKey<'a>,
}

/// A chain that holds.
pub(super) struct Chain<'a> {
    /// Which product line's root it ends in.
    pub(super) product: Product,
    /// Whose root that is.
    pub(super) anchor: Anchor,
    /// When every certificate of the chain is valid.
    pub(super) window: Window,
    /// The endorsement key, an uncompressed P-384 point.
    pub(super) key: &'a [u8],
    /// Which kind of key the issuing intermediate endorses.
    pub(super) kind: SigningKey,
    root_key: PublicKey<'a>,
    root_name: &'a [u8],
    serials: [&'a [u8]; 2],
    extensions: Vec<Extension<'a>>,
}

/// Certificates sorted by what they can only be.
struct Sorted<'a> {
    leaf: Certificate<'a>,
    intermediate: Certificate<'a>,
    root: Option<Certificate<'a>>,
}

/// Verifies certificates from the root down.
///
/// # Errors
/// `SNP_VEK_MISSING` without a key certificate, `ATT_UNTRUSTED_ROOT` for a consistent chain to another root,
/// `SNP_CHAIN` for everything else.
pub(super) fn verify<'a>(
    endorsements: &'a Endorsements,
    anchors: &'a TrustAnchors,
    now: UnixTime,
    limit: &mut WorkLimit,
) -> Result<Chain<'a>, Rejection> {
    let Sorted { leaf, intermediate, root } = sort(endorsements, limit)?;
    if let Some(root) = &root {
        // what is a trusted root byte for byte gains nothing from its signature over itself
        let itself = is_anchor(root, anchors) || root.signed_by(&root.key, limit)?;
        if !(root.authority && itself && intermediate.issued_by(root, limit)?) {
            return Err(broken(
                "the root to sign itself and the intermediate",
                "a signature that does not hold",
            ));
        }
    }
    let known = trusted_root(&intermediate, root.as_ref(), anchors, limit)?;
    let PublicKey::P384(key) = leaf.key else { return Err(broken("a P-384 endorsement key", "another key")) };
    if !intermediate.authority || leaf.authority {
        return Err(broken("an authority above and none below", "other basic constraints or key usage"));
    }
    if !leaf.issued_by(&intermediate, limit)? {
        return Err(broken(
            "the endorsement key signed by the intermediate",
            "a signature that does not hold",
        ));
    }
    let mut window = Window::ALWAYS;
    for certificate in [Some(&leaf), Some(&intermediate), root.as_ref()].into_iter().flatten() {
        if !certificate.valid_at(now) {
            let window = format!("{} to {}", certificate.not_before, certificate.not_after);
            return Err(broken(&format!("certificates valid at {now}"), window));
        }
        window = window.and(certificate.window());
    }
    Ok(Chain {
        product: known.product,
        anchor: known.anchor,
        window,
        key,
        kind: endorses(&intermediate, known.product)?,
        root_key: known.key,
        root_name: intermediate.issuer,
        serials: [leaf.serial, intermediate.serial],
        extensions: leaf.extensions,
    })
}

/// Judges the revocation lists; says when all of them hold.
///
/// # Errors
/// `SNP_CRL_MISSING` when there is no usable list, `SNP_REVOKED` when one names a certificate of the chain.
pub(super) fn revocation(
    chain: &Chain<'_>,
    endorsements: &Endorsements,
    rule: &RevocationRule,
    now: UnixTime,
    limit: &mut WorkLimit,
) -> Result<Window, Rejection> {
    let (required, grace) = match rule {
        RevocationRule::Required => (true, std::time::Duration::ZERO),
        RevocationRule::OfflineGrace { .. } => (true, OFFLINE_GRACE),
        RevocationRule::Unchecked { .. } => (false, std::time::Duration::ZERO),
    };
    let unusable = |found: String| {
        let step = steps::REVOCATION;
        Rejection::new(step.code, step.field, "a current revocation list signed by the root", found)
    };
    let mut all = Window::ALWAYS;
    for der in &endorsements.crls {
        limit.certificate()?;
        let list = RevocationList::parse(der).map_err(|error| unusable(error.to_string()))?;
        if list.issuer != chain.root_name || !list.signed_by(&chain.root_key, limit)? {
            return Err(unusable("a list of another issuer or with a broken signature".to_owned()));
        }
        if chain.serials.iter().any(|serial| list.lists(serial)) {
            return Err(Rejection::new(
                Code::SnpRevoked,
                "endorsements.crls",
                "no certificate revoked",
                "one that is",
            ));
        }
        let window = Window { from: list.this_update, until: list.next_update.plus(grace) };
        if required && !window.contains(now) {
            return Err(unusable(format!("one from {} to {}", list.this_update, list.next_update)));
        }
        if required {
            all = all.and(window);
        }
    }
    if required && endorsements.crls.is_empty() { Err(unusable("none".to_owned())) } else { Ok(all) }
}

impl Chain<'_> {
    /// Reads AMD's extensions from the endorsement key's certificate.
    ///
    /// # Errors
    /// `SNP_CHAIN` when one is missing, malformed, or does not belong to this product or kind of key.
    pub(super) fn endorsed(&self) -> Result<Endorsed, Rejection> {
        extensions::read(&self.extensions, self.product, self.kind)
            .map_err(|error| broken("AMD's extensions in the key certificate", error.to_string()))
    }
}

fn sort<'a>(endorsements: &'a Endorsements, limit: &mut WorkLimit) -> Result<Sorted<'a>, Rejection> {
    let (mut leaves, mut intermediates, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    for der in &endorsements.certificates {
        limit.certificate()?;
        let certificate = Certificate::parse(der)
            .map_err(|error| broken("certificates as AMD issues them", error.to_string()))?;
        match certificate.key {
            PublicKey::P256(_) | PublicKey::Rsa2048(_) => {
                return Err(broken("certificates as AMD issues them", "a key of another kind"));
            }
            PublicKey::P384(_) => leaves.push(certificate),
            PublicKey::Rsa(_) if certificate.self_issued() => roots.push(certificate),
            PublicKey::Rsa(_) => intermediates.push(certificate),
        }
    }
    let found =
        format!("{} keys, {} intermediates, {} roots", leaves.len(), intermediates.len(), roots.len());
    let root = roots.pop();
    match (leaves.pop(), leaves.pop(), intermediates.pop(), intermediates.pop(), roots.pop()) {
        (Some(leaf), None, Some(intermediate), None, None) => Ok(Sorted { leaf, intermediate, root }),
        (None, None, _, None, None) => Err(Rejection::new(
            Code::SnpVekMissing,
            "endorsements",
            "the endorsement key's certificate",
            found,
        )),
        _ => Err(broken("one endorsement key, one intermediate, at most one root", found)),
    }
}

/// The trusted root that signed `intermediate`.
fn trusted_root<'a>(
    intermediate: &Certificate<'_>,
    root: Option<&Certificate<'_>>,
    anchors: &'a TrustAnchors,
    limit: &mut WorkLimit,
) -> Result<Root<'a>, Rejection> {
    let name = common_name(intermediate.issuer).unwrap_or("unnamed").chars().take(64).collect::<String>();
    for candidate in roots(anchors)? {
        if name.strip_prefix("ARK-") != Some(candidate.product.as_str()) {
            continue;
        }
        let signed = match root {
            // the supplied root already signed the intermediate, so its key decides
            Some(root) => root.key == candidate.key,
            None => intermediate.signed_by(&candidate.key, limit)?,
        };
        if signed {
            return Ok(candidate);
        }
    }
    Err(Rejection::new(
        Code::AttUntrustedRoot,
        "endorsements",
        "a chain to a trusted root",
        format!("issuer {name}"),
    ))
}

/// Every root the policy trusts; a key that is both the vendor's and named by the policy is the vendor's.
fn roots(anchors: &TrustAnchors) -> Result<Vec<Root<'_>>, Rejection> {
    let mut roots = Vec::new();
    if anchors.vendor {
        for (product, der) in AMD_ROOTS {
            let root = Certificate::parse(der).map_err(|error| unusable_root(&error.to_string()))?;
            roots.push(Root { product, anchor: Anchor::Vendor, key: root.key });
        }
    }
    for der in &anchors.simulated_roots {
        // the policy's roots are of every vendor: those of a virtual TPM or of Intel are not meant here
        let root = match Certificate::parse(der) {
            Ok(root) => root,
            Err(_) if Certificate::parse_vtpm(der).is_ok() => continue,
            Err(error) => return Err(unusable_root(&error.to_string())),
        };
        if matches!(root.key, PublicKey::P256(_)) {
            continue;
        }
        let name = common_name(root.subject).and_then(|name| name.strip_prefix("ARK-"));
        let product = Product::ALL.into_iter().find(|product| name == Some(product.as_str()));
        // another vendor's root, which the same list may name for other parts of the evidence
        let Some(product) = product else { continue };
        let vendors = |own: &[u8]| Certificate::parse(own).is_ok_and(|own| own.key == root.key);
        let vendor = AMD_ROOTS.iter().any(|(_, own)| vendors(own));
        let anchor = if vendor { Anchor::Vendor } else { Anchor::Simulated };
        roots.push(Root { product, anchor, key: root.key });
    }
    Ok(roots)
}

/// Whether `root` is, byte for byte, a certificate that is trusted for what it is.
fn is_anchor(root: &Certificate<'_>, anchors: &TrustAnchors) -> bool {
    let vendor = anchors.vendor && AMD_ROOTS.iter().any(|(_, der)| *der == root.der);
    vendor || anchors.simulated_roots.iter().any(|der| der == root.der)
}

/// Which kind of key an intermediate endorses, by the name the root signed for it.
fn endorses(intermediate: &Certificate<'_>, product: Product) -> Result<SigningKey, Rejection> {
    match common_name(intermediate.subject).and_then(extensions::issuer) {
        Some((kind, own)) if own == product => Ok(kind),
        _ => Err(broken(&format!("SEV-{product} or SEV-VLEK-{product}"), "an intermediate of another name")),
    }
}

fn broken(expected: &str, found: impl Into<String>) -> Rejection {
    Rejection::new(Code::SnpChain, "endorsements", expected, found)
}

fn unusable_root(found: &str) -> Rejection {
    Rejection::new(Code::PolInvalid, "policy.trust_anchors", "root certificates of AMD's shape", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_roots_sign_themselves() {
        for (product, der) in AMD_ROOTS {
            let root = Certificate::parse(der).expect("AMD's certificate");
            assert_eq!(common_name(root.subject), Some(format!("ARK-{product}").as_str()));
            assert!(root.authority && root.self_issued());
            assert_eq!(root.signed_by(&root.key, &mut WorkLimit::new()), Ok(true));
        }
    }
}
