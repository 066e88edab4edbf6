//! Intel: TCB info, quoting enclave identity and both revocation lists, from the Provisioning Certification Service.

use attestation::endorsements::{Endorsements, TdxCollateral};
use attestation::inspect;
use link::{EndorsementQuery, IntelCa};

use super::ask;
use crate::host_link::{Fetched, HostLink};

/// Issuer of the PCK certificates of single-package parts.
const PROCESSOR_CA: &str = "Intel SGX PCK Processor CA";

/// What Intel's service needs to know; read from the certificate in our own quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    fmspc: [u8; 6],
    ca: IntelCa,
}

impl Platform {
    /// `None` for anything but a TDX quote with a PCK certificate.
    pub(super) fn of_quote(quote: &[u8]) -> Option<Self> {
        let quote = inspect::tdx_quote(quote).ok()?;
        let leaf = inspect::certificate(quote.certificates.first()?).ok()?;
        let processor = leaf.issuer.as_deref() == Some(PROCESSOR_CA);
        let ca = if processor { IntelCa::Processor } else { IntelCa::Platform };
        Some(Self { fmspc: leaf.pck?.fmspc.0, ca })
    }

    pub(super) async fn fetch(self, host: &HostLink) -> Endorsements {
        let collateral = self.collateral(host).await.map(|collateral| collateral.to_json());
        Endorsements { collateral: collateral.unwrap_or_default(), ..Endorsements::default() }
    }

    /// The whole set, or nothing: a client refuses half of one just the same.
    async fn collateral(self, host: &HostLink) -> Option<TdxCollateral> {
        let tcb_info = ask(host, EndorsementQuery::IntelTcbInfo { fmspc: self.fmspc }).await?;
        let qe_identity = ask(host, EndorsementQuery::IntelQeIdentity).await?;
        let pck_crl = ask(host, EndorsementQuery::IntelPckCrl { ca: self.ca }).await?;
        let root_crl = ask(host, EndorsementQuery::IntelRootCrl).await?;
        let info = signed_text(&tcb_info, "{\"tcbInfo\":")?;
        let identity = signed_text(&qe_identity, "{\"enclaveIdentity\":")?;
        Some(TdxCollateral {
            pck_crl_issuer_chain: String::from_utf8(pck_crl.issuer_chain).ok()?,
            root_ca_crl: root_crl.body,
            pck_crl: pck_crl.body,
            tcb_info_issuer_chain: info.issuer_chain,
            tcb_info: info.text,
            tcb_info_signature: info.signature,
            qe_identity_issuer_chain: identity.issuer_chain,
            qe_identity: identity.text,
            qe_identity_signature: identity.signature,
        })
    }
}

/// A text with its signature and the signer's chain.
struct SignedText {
    issuer_chain: String,
    text: String,
    signature: Vec<u8>,
}

/// Parts of an answer `{"name":TEXT,"signature":"hex"}` (PCS version 4). The signature is over the very bytes of TEXT, so it
/// is cut out and never parsed here.
fn signed_text(fetched: &Fetched, before: &str) -> Option<SignedText> {
    let body = std::str::from_utf8(&fetched.body).ok()?.trim_end();
    let (text, signature) =
        body.strip_prefix(before)?.strip_suffix("\"}")?.rsplit_once(",\"signature\":\"")?;
    Some(SignedText {
        issuer_chain: String::from_utf8(fetched.issuer_chain.clone()).ok()?,
        text: text.to_owned(),
        signature: attestation::digest::from_hex(&signature.to_ascii_lowercase(), SIGNATURE_BYTES).ok()?,
    })
}

/// `r` and `s` on P-256.
const SIGNATURE_BYTES: usize = 64;

#[cfg(test)]
mod tests;
