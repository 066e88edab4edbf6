//! Intel's certificate chains: PCK to root, collateral signers to the same root, and both revocation lists.
//! Trusts the compiled-in Intel SGX root and whatever roots the policy names, byte for byte; all else is hostile.

use crate::claims::Anchor;
use crate::der::DerError;
use crate::digest::UnixTime;
use crate::platform::tdx::pem;
use crate::policy::TrustAnchors;
use crate::rejection::{Code, Rejection};
use crate::work_limit::WorkLimit;
use crate::x509::{Certificate, RevocationList, Window, common_name};

/// Intel's root certificate; see `data/roots/README.md`.
pub(super) const INTEL_ROOT: &[u8] = include_bytes!("../../../data/roots/intel-sgx-root.der");

/// Field of the chain inside the quote.
const QUOTE_CHAIN: &str = "cpu.quote.chain";
/// Field of the collateral.
const COLLATERAL: &str = "endorsements.collateral";

/// Subjects of the certificates by what they may do.
const PCK_CAS: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];
const PCK: &str = "Intel SGX PCK Certificate";
const TCB_SIGNER: &str = "Intel SGX TCB Signing";

/// The root a chain ends in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<'a> {
    /// The certificate, DER.
    pub(super) der: &'a [u8],
    /// Whose it is.
    pub(super) anchor: Anchor,
}

/// The trusted root with exactly these bytes.
///
/// # Errors
/// `ATT_UNTRUSTED_ROOT`.
pub(super) fn root<'a>(der: &[u8], anchors: &'a TrustAnchors) -> Result<Root<'a>, Rejection> {
    let vendor = anchors.vendor.then_some((INTEL_ROOT, Anchor::Vendor)).into_iter();
    let simulated = anchors.simulated_roots.iter().map(|root| (root.as_slice(), Anchor::Simulated));
    let found = vendor.chain(simulated).find(|(known, _)| *known == der);
    found.map(|(der, anchor)| Root { der, anchor }).ok_or_else(|| {
        Rejection::new(Code::AttUntrustedRoot, QUOTE_CHAIN, "a trusted root", "another certificate")
    })
}

/// A verified path: leaf, the CA between if there is one, root.
pub(super) struct Path<'a> {
    /// The certificate whose key is used.
    pub(super) leaf: Certificate<'a>,
    /// The PCK CA.
    pub(super) authority: Certificate<'a>,
    /// The root.
    pub(super) root: Certificate<'a>,
}

impl<'a> Path<'a> {
    /// Verifies the PCK chain of a quote: three certificates, leaf first, whose last one is `root`.
    ///
    /// # Errors
    /// `TDX_CHAIN`.
    pub(super) fn of_quote(
        chain: &'a [Vec<u8>],
        root: &'a Root<'_>,
        now: UnixTime,
        limit: &mut WorkLimit,
    ) -> Result<Self, Rejection> {
        let [leaf, authority, _] = chain else {
            return Err(broken(QUOTE_CHAIN, "three certificates", format!("{}", chain.len())));
        };
        let path = Self {
            leaf: parse(leaf, QUOTE_CHAIN, limit)?,
            authority: parse(authority, QUOTE_CHAIN, limit)?,
            root: parse(root.der, QUOTE_CHAIN, limit)?,
        };
        let names = common_name(path.leaf.subject) == Some(PCK)
            && common_name(path.authority.subject).is_some_and(|name| PCK_CAS.contains(&name));
        let roles = !path.leaf.authority && path.authority.authority && path.root.authority;
        if !names || !roles {
            let expected = "a PCK certificate under a PCK CA under a root";
            return Err(broken(QUOTE_CHAIN, expected, "other roles".to_owned()));
        }
        // the root is the trusted one byte for byte, so its signature over itself would say nothing new
        let signed =
            path.authority.issued_by(&path.root, limit)? && path.leaf.issued_by(&path.authority, limit)?;
        if !signed {
            let expected = "every certificate signed by the next";
            return Err(broken(QUOTE_CHAIN, expected, "a signature that does not hold".to_owned()));
        }
        in_date([&path.leaf, &path.authority, &path.root], QUOTE_CHAIN, now)?;
        Ok(path)
    }

    /// When all of them are valid.
    pub(super) fn window(&self) -> Window {
        self.leaf.window().and(self.authority.window()).and(self.root.window())
    }
}

/// Verifies the chain of a collateral signer: one certificate issued by `root`, whose copy may follow.
///
/// # Errors
/// `TDX_COLLATERAL_MISSING` without a chain, `TDX_CHAIN` for everything else.
pub(super) fn signer_der(text: &str, root: &Root<'_>) -> Result<Vec<u8>, Rejection> {
    if text.is_empty() {
        return Err(Rejection::new(Code::TdxCollateralMissing, COLLATERAL, "an issuer chain", "none"));
    }
    let mut chain = pem::certificates(text.as_bytes(), 2, Code::TdxChain, COLLATERAL)?.into_iter();
    let signer = chain.next().unwrap_or_default();
    match chain.next() {
        Some(above) if above != root.der => {
            Err(broken(COLLATERAL, "the root of the quote's chain", "another certificate".to_owned()))
        }
        _ => Ok(signer),
    }
}

/// See [`signer_der`], whose result this verifies.
pub(super) fn signer<'a>(
    der: &'a [u8],
    root: &Certificate<'_>,
    now: UnixTime,
    limit: &mut WorkLimit,
) -> Result<Certificate<'a>, Rejection> {
    let signer = parse(der, COLLATERAL, limit)?;
    if signer.authority || common_name(signer.subject) != Some(TCB_SIGNER) {
        return Err(broken(COLLATERAL, "a TCB signing certificate", "another certificate".to_owned()));
    }
    if !signer.issued_by(root, limit)? {
        let expected = "a signer issued by the root";
        return Err(broken(COLLATERAL, expected, "a signature that does not hold".to_owned()));
    }
    in_date([&signer], COLLATERAL, now)?;
    Ok(signer)
}

/// Reads and verifies one revocation list.
///
/// # Errors
/// `TDX_CRL_MISSING` for an absent one or one that its issuer did not sign, `TDX_COLLATERAL_STALE` out of date.
pub(super) fn revocation_list<'a>(
    der: &'a [u8],
    issuer: &Certificate<'_>,
    now: UnixTime,
    limit: &mut WorkLimit,
) -> Result<RevocationList<'a>, Rejection> {
    let missing = |found: String| {
        Rejection::new(Code::TdxCrlMissing, COLLATERAL, "a revocation list signed by its issuer", found)
    };
    if der.is_empty() {
        return Err(missing("none".to_owned()));
    }
    limit.certificate()?;
    let list = RevocationList::parse(der).map_err(|error| missing(error.to_string()))?;
    if list.issuer != issuer.subject || !list.signed_by(&issuer.key, limit)? {
        return Err(missing("one that it did not sign".to_owned()));
    }
    if !list.window().contains(now) {
        let window = format!("{} to {}", list.this_update, list.next_update);
        return Err(Rejection::new(
            Code::TdxCollateralStale,
            COLLATERAL,
            format!("revocation lists valid at {now}"),
            window,
        ));
    }
    Ok(list)
}

fn in_date<const N: usize>(
    certificates: [&Certificate<'_>; N],
    field: &'static str,
    now: UnixTime,
) -> Result<(), Rejection> {
    match certificates.into_iter().find(|certificate| !certificate.valid_at(now)) {
        None => Ok(()),
        Some(certificate) => {
            let window = format!("{} to {}", certificate.not_before, certificate.not_after);
            Err(broken(field, &format!("certificates valid at {now}"), window))
        }
    }
}

fn parse<'a>(
    der: &'a [u8],
    field: &'static str,
    limit: &mut WorkLimit,
) -> Result<Certificate<'a>, Rejection> {
    limit.certificate()?;
    Certificate::parse(der)
        .map_err(|error: DerError| broken(field, "an X.509 certificate", error.to_string()))
}

fn broken(field: &'static str, expected: &str, found: String) -> Rejection {
    Rejection::new(Code::TdxChain, field, expected, found)
}
