//! Intel's collateral for a TDX quote, with the field names of dcap-qvl's JSON. Carried and bounded, not believed.

use crate::digest::{from_hex, to_hex};
use crate::rejection::{Code, Rejection};
use serde_json::Value;

/// Largest JSON text of a collateral set, in bytes.
pub const MAX_COLLATERAL_BYTES: usize = 128 * 1024;

/// Longest signature or revocation list inside, in bytes.
const MAX_BINARY_BYTES: usize = 64 * 1024;

/// TCB info, quoting enclave identity and revocation lists, as Intel's provisioning service serves them.
///
/// A `pck_certificate_chain`, which dcap-qvl would prefer to the one in the quote, is not read: the chain is
/// always the quote's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TdxCollateral {
    /// Issuer chain of the PCK revocation list, PEM. Kept for other readers: here the quote's chain must verify it.
    pub pck_crl_issuer_chain: String,
    /// Revocation list of the root, DER.
    pub root_ca_crl: Vec<u8>,
    /// Revocation list of the PCK CA, DER.
    pub pck_crl: Vec<u8>,
    /// Issuer chain of the TCB info, PEM.
    pub tcb_info_issuer_chain: String,
    /// TCB info, the exact signed text.
    pub tcb_info: String,
    /// `r` and `s` over the TCB info.
    pub tcb_info_signature: Vec<u8>,
    /// Issuer chain of the quoting enclave identity, PEM.
    pub qe_identity_issuer_chain: String,
    /// Quoting enclave identity, the exact signed text.
    pub qe_identity: String,
    /// `r` and `s` over the quoting enclave identity.
    pub qe_identity_signature: Vec<u8>,
}

impl TdxCollateral {
    /// Reads a JSON object. An absent field is an empty one, which rejects later with a code of its own; unknown
    /// fields are left alone.
    ///
    /// # Errors
    /// `TDX_COLLATERAL_MISSING` for an empty text, `TDX_COLLATERAL` for one that is too long, not a JSON object
    /// or has a field of another type.
    pub fn from_json(json: &[u8]) -> Result<Self, Rejection> {
        if json.is_empty() {
            return Err(Rejection::new(
                Code::TdxCollateralMissing,
                "endorsements.collateral",
                "collateral",
                "none",
            ));
        }
        if json.len() > MAX_COLLATERAL_BYTES {
            return Err(wrong(&format!("at most {MAX_COLLATERAL_BYTES} bytes"), format!("{}", json.len())));
        }
        let root: Value = serde_json::from_slice(json).map_err(|error| {
            wrong("a JSON object", format!("an error at line {} column {}", error.line(), error.column()))
        })?;
        if !root.is_object() {
            return Err(wrong("a JSON object", "another value".to_owned()));
        }
        Ok(Self {
            pck_crl_issuer_chain: text(&root, "pck_crl_issuer_chain")?.to_owned(),
            root_ca_crl: binary(&root, "root_ca_crl")?,
            pck_crl: binary(&root, "pck_crl")?,
            tcb_info_issuer_chain: text(&root, "tcb_info_issuer_chain")?.to_owned(),
            tcb_info: text(&root, "tcb_info")?.to_owned(),
            tcb_info_signature: binary(&root, "tcb_info_signature")?,
            qe_identity_issuer_chain: text(&root, "qe_identity_issuer_chain")?.to_owned(),
            qe_identity: text(&root, "qe_identity")?.to_owned(),
            qe_identity_signature: binary(&root, "qe_identity_signature")?,
        })
    }

    /// The JSON object that [`TdxCollateral::from_json`] and dcap-qvl read.
    pub fn to_json(&self) -> Vec<u8> {
        let object = serde_json::json!({
            "pck_crl_issuer_chain": self.pck_crl_issuer_chain,
            "root_ca_crl": to_hex(&self.root_ca_crl),
            "pck_crl": to_hex(&self.pck_crl),
            "tcb_info_issuer_chain": self.tcb_info_issuer_chain,
            "tcb_info": self.tcb_info,
            "tcb_info_signature": to_hex(&self.tcb_info_signature),
            "qe_identity_issuer_chain": self.qe_identity_issuer_chain,
            "qe_identity": self.qe_identity,
            "qe_identity_signature": to_hex(&self.qe_identity_signature),
        });
        object.to_string().into_bytes()
    }
}

fn text<'a>(root: &'a Value, name: &'static str) -> Result<&'a str, Rejection> {
    match root.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong(name, "another type".to_owned())),
    }
}

fn binary(root: &Value, name: &'static str) -> Result<Vec<u8>, Rejection> {
    let lower = text(root, name)?.to_ascii_lowercase();
    from_hex(&lower, MAX_BINARY_BYTES).map_err(|error| wrong(name, error.to_string()))
}

fn wrong(expected: &str, found: String) -> Rejection {
    Rejection::new(Code::TdxCollateral, "endorsements.collateral", expected, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let collateral = TdxCollateral {
            pck_crl: vec![1, 2, 255],
            tcb_info: "{\"id\":\"TDX\"}".to_owned(),
            tcb_info_signature: vec![7; 64],
            ..TdxCollateral::default()
        };
        assert_eq!(TdxCollateral::from_json(&collateral.to_json()), Ok(collateral));
    }

    #[test]
    fn refuses_other_shapes() {
        let code = |json: &[u8]| TdxCollateral::from_json(json).map_err(|error| error.code).err();
        assert_eq!(code(b""), Some(Code::TdxCollateralMissing));
        assert_eq!(code(b"{}"), None);
        assert_eq!(code(b"{\"pck_crl\":\"ABcd\",\"more\":1}"), None);
        for json in
            [&b"[]"[..], b"{", b"{\"tcb_info\":{}}", b"{\"pck_crl\":\"abc\"}", b"{\"pck_crl\":\"zz\"}"]
        {
            assert_eq!(code(json), Some(Code::TdxCollateral), "{}", String::from_utf8_lossy(json));
        }
        assert_eq!(code(&vec![b' '; MAX_COLLATERAL_BYTES + 1]), Some(Code::TdxCollateral));
    }
}
