//! What an Azure guest hands over in place of a bare report (`postern/1` section A5, "Azure bundle"): the paravisor's
//! blob, a TPM quote with what it hashes, and for TDX the quote the host made. Carried and bounded here, judged by
//! the platform.

use crate::cbor::{CborError, Key, Reader, Writer, present};
use crate::digest::Sha256;
use crate::evidence::MAX_CPU_EVIDENCE_BYTES;
use crate::rejection::{Code, Rejection};
use std::collections::BTreeMap;

/// Longest HCL blob, in bytes. Azure's non-volatile index has 2600.
pub const MAX_HCL_REPORT_BYTES: usize = 8 * 1024;

/// Longest `TPMS_ATTEST`, in bytes.
pub const MAX_TPM_QUOTE_BYTES: usize = 1024;

/// Bytes of an RSA-2048 signature.
pub const TPM_SIGNATURE_BYTES: usize = 256;

/// Platform configuration registers of one bank.
pub const PCRS: u8 = 24;

/// Longest TD quote, in bytes.
const MAX_TD_QUOTE_BYTES: usize = 32 * 1024;

const MAX_AK_CERTIFICATES: u64 = 3;
const MAX_AK_CERTIFICATE_BYTES: usize = 4 * 1024;

/// The evidence of an Azure guest, none of it believed.
///
/// CBOR: `{1: HCL blob, 2: TPMS_ATTEST, 3: signature, 4: {PCR: SHA-256 value, ...}}`, and where they are there
/// `5: [AK certificate, issuer, ...]` and `6: TD quote`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureEvidence {
    /// The blob from the TPM's index 0x01400001: hardware report and run-time data.
    pub hcl_report: Vec<u8>,
    /// `TPMS_ATTEST` of the quote, without its length.
    pub tpm_quote: Vec<u8>,
    /// The RSASSA signature over it: the 256 bytes inside the `TPMT_SIGNATURE`.
    pub tpm_signature: Vec<u8>,
    /// The SHA-256 registers the quote covers.
    pub pcrs: BTreeMap<u8, Sha256>,
    /// Certificate of the attestation key (DER) and its issuers, leaf first; may be empty.
    pub ak_certificates: Vec<Vec<u8>>,
    /// The TD quote over the report in the blob; `az-tdx` only.
    pub td_quote: Option<Vec<u8>>,
}

impl AzureEvidence {
    /// The bytes of the evidence document's `cpu` member.
    pub fn encode(&self) -> Vec<u8> {
        let optional = [!self.ak_certificates.is_empty(), self.td_quote.is_some()];
        let mut writer = Writer::new();
        writer.map(optional.into_iter().filter(|there| *there).count().saturating_add(4));
        for (key, bytes) in [(1, &self.hcl_report), (2, &self.tpm_quote), (3, &self.tpm_signature)] {
            writer.uint(key).bytes(bytes);
        }
        writer.uint(4).map(self.pcrs.len());
        for (index, value) in &self.pcrs {
            writer.uint(u64::from(*index)).bytes(value.as_bytes());
        }
        if !self.ak_certificates.is_empty() {
            writer.uint(5).array(self.ak_certificates.len());
            for certificate in &self.ak_certificates {
                writer.bytes(certificate);
            }
        }
        if let Some(quote) = &self.td_quote {
            writer.uint(6).bytes(quote);
        }
        writer.into_bytes()
    }

    /// Reads a bundle. Says nothing about whether it is true.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: not deterministic CBOR of this shape, or a part over its limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttMalformed, "cpu.azure"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_CPU_EVIDENCE_BYTES {
            return Err(CborError::TooLong(0));
        }
        let (mut hcl_report, mut tpm_quote, mut tpm_signature, mut pcrs) = (None, None, None, None);
        let (mut ak_certificates, mut td_quote) = (Vec::new(), None);
        let mut reader = Reader::new(bytes);
        reader.map(6, |key, value| {
            match key {
                Key::Uint(1) => hcl_report = Some(value.bytes(MAX_HCL_REPORT_BYTES)?.to_vec()),
                Key::Uint(2) => tpm_quote = Some(value.bytes(MAX_TPM_QUOTE_BYTES)?.to_vec()),
                Key::Uint(3) => tpm_signature = Some(value.array_of::<TPM_SIGNATURE_BYTES>()?.to_vec()),
                Key::Uint(4) => pcrs = Some(registers(value)?),
                Key::Uint(5) => ak_certificates = certificates(value)?,
                Key::Uint(6) => td_quote = Some(value.bytes(MAX_TD_QUOTE_BYTES)?.to_vec()),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self {
            hcl_report: present(hcl_report, 1)?,
            tpm_quote: present(tpm_quote, 2)?,
            tpm_signature: present(tpm_signature, 3)?,
            pcrs: present(pcrs, 4)?,
            ak_certificates,
            td_quote,
        })
    }
}

fn registers(value: &mut Reader<'_>) -> Result<BTreeMap<u8, Sha256>, CborError> {
    let mut registers = BTreeMap::new();
    value.map(u64::from(PCRS), |key, value| {
        let at = value.position();
        let index = match key {
            Key::Uint(index) => u8::try_from(index).ok().filter(|index| *index < PCRS),
            Key::Text(_) => None,
        };
        let index = index.ok_or(CborError::UnknownKey(at))?;
        registers.insert(index, Sha256::new(value.array_of()?));
        Ok::<_, CborError>(())
    })?;
    Ok(registers)
}

/// A list that is there is not empty, so that there is one encoding only.
fn certificates(value: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, CborError> {
    let at = value.position();
    let mut certificates = Vec::new();
    value.array(MAX_AK_CERTIFICATES, |item| {
        certificates.push(item.bytes(MAX_AK_CERTIFICATE_BYTES)?.to_vec());
        Ok::<_, CborError>(())
    })?;
    if certificates.is_empty() { Err(CborError::Value(at)) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn evidence() -> impl Strategy<Value = AzureEvidence> {
        let bytes = |length: usize| proptest::collection::vec(any::<u8>(), 0..length);
        (
            bytes(64),
            bytes(64),
            any::<[u8; 32]>(),
            proptest::collection::btree_map(0..PCRS, any::<[u8; 32]>().prop_map(Sha256::new), 0..24),
            proptest::collection::vec(bytes(40), 0..4),
            proptest::option::of(bytes(64)),
        )
            .prop_map(|(hcl_report, tpm_quote, half, pcrs, ak_certificates, td_quote)| {
                AzureEvidence {
                    hcl_report,
                    tpm_quote,
                    tpm_signature: half.repeat(8),
                    pcrs,
                    ak_certificates,
                    td_quote,
                }
            })
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(evidence in evidence()) {
            prop_assert_eq!(AzureEvidence::decode(&evidence.encode()), Ok(evidence));
        }

        #[test]
        fn has_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(evidence) = AzureEvidence::decode(&bytes) {
                prop_assert_eq!(evidence.encode(), bytes);
            }
        }
    }

    #[test]
    fn refuses_other_registers_lengths_and_keys() {
        let good = AzureEvidence {
            hcl_report: vec![1],
            tpm_quote: vec![2],
            tpm_signature: vec![3; 256],
            pcrs: [(23, Sha256::new([4; 32]))].into(),
            ak_certificates: vec![],
            td_quote: None,
        };
        let code = |evidence: &AzureEvidence| AzureEvidence::decode(&evidence.encode()).map_err(|e| e.code);
        assert_eq!(code(&good), Ok(good.clone()));
        for (name, wrong) in [
            ("register 24", AzureEvidence { pcrs: [(24, Sha256::new([4; 32]))].into(), ..good.clone() }),
            ("short signature", AzureEvidence { tpm_signature: vec![3; 255], ..good.clone() }),
            ("long blob", AzureEvidence { hcl_report: vec![1; MAX_HCL_REPORT_BYTES + 1], ..good.clone() }),
            ("four certificates", AzureEvidence { ak_certificates: vec![vec![0]; 4], ..good.clone() }),
        ] {
            assert_eq!(code(&wrong), Err(Code::AttMalformed), "{name}");
        }
        let trailing = [good.encode(), vec![0]].concat();
        assert!(AzureEvidence::decode(&trailing).is_err());
    }
}
