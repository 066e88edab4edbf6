//! Intel's Provisioning Certification Service (API version 4), simulated: the four documents for one platform, with the
//! issuer chains that the real service sends in headers.

use serde_json::Value;

use crate::SimteeError;
use crate::tdx::platform::TdxEvidence;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The chain of the header, PEM; empty where the service sends none.
    pub issuer_chain: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The documents that endorse one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningService {
    /// `/tdx/certification/v4/tcb`, JSON.
    pub tcb_info: Document,
    /// `/tdx/certification/v4/qe/identity`, JSON.
    pub qe_identity: Document,
    /// `/sgx/certification/v4/pckcrl?ca=platform&encoding=der`.
    pub pck_crl: Document,
    /// `/IntelSGXRootCA.der` of the certificate host.
    pub root_crl: Document,
}

impl ProvisioningService {
    /// The service that serves the collateral of `evidence`.
    pub fn of(evidence: &TdxEvidence) -> Result<Self, SimteeError> {
        let wrong = |what: &str| SimteeError::Invalid(format!("collateral: {what}"));
        let set: Value =
            serde_json::from_slice(&evidence.collateral).map_err(|_| wrong("not a JSON object"))?;
        let text = |name: &str| set[name].as_str().map(str::to_owned).ok_or_else(|| wrong(name));
        let binary = |name: &str| hex::decode(text(name)?).map_err(|_| wrong(name));
        let signed = |member: &str, name: &str| -> Result<Document, SimteeError> {
            let (content, signature) = (text(name)?, text(&format!("{name}_signature"))?);
            Ok(Document {
                issuer_chain: text(&format!("{name}_issuer_chain"))?,
                body: format!("{{\"{member}\":{content},\"signature\":\"{signature}\"}}").into_bytes(),
            })
        };
        Ok(Self {
            tcb_info: signed("tcbInfo", "tcb_info")?,
            qe_identity: signed("enclaveIdentity", "qe_identity")?,
            pck_crl: Document { issuer_chain: text("pck_crl_issuer_chain")?, body: binary("pck_crl")? },
            root_crl: Document { issuer_chain: String::new(), body: binary("root_ca_crl")? },
        })
    }
}
