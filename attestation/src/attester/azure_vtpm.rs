//! Evidence of an Azure guest: the paravisor's blob and a quote, both from the virtual TPM; on TDX also the quote that
//! the host makes of the TD report in the blob. What the host does is the caller's: this file opens no connection.

use crate::attester::tpm::{self, TpmDevice};
use crate::attester::{Attester, AttesterError, Quote};
use crate::azure_evidence::AzureEvidence;
use crate::der::{Der, tag};
use crate::digest::{ReportData, Sha256};
use crate::enclave_claims::tpm_extra_data;
use crate::evidence::TeeType;
use crate::x509::Certificate;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Index of the paravisor's blob.
pub const HCL_INDEX: u32 = 0x0140_0001;
/// Handle of the attestation key.
pub const AK_HANDLE: u32 = 0x8100_0003;
/// Index of the attestation key's certificate, which not every guest has.
pub const AK_CERTIFICATE_INDEX: u32 = 0x01c1_01d0;
/// Bytes of a TD report.
pub const TD_REPORT_BYTES: usize = 1024;

/// Where the blob says which hardware reported, and that report begins.
const REPORT_TYPE_AT: std::ops::Range<usize> = 0x4c8..0x4cc;
const REPORT_AT: usize = 0x20;

/// How often a quote is made before giving up on registers that change meanwhile.
const ATTEMPTS: u32 = 3;

/// CAs that issue attestation keys' certificates; the TPM has the leaf only.
const KNOWN_CAS: [&[u8]; 1] = [include_bytes!("../../data/roots/azure-vtpm-ca-03.der")];

/// Has the host turn a TD report into a quote. Untrusted: a verifier compares the quote with the report.
pub type TdQuoter = Box<dyn Fn(&[u8; TD_REPORT_BYTES]) -> Result<Vec<u8>, AttesterError> + Send + Sync>;

/// Asks the virtual TPM of an Azure guest.
pub struct AzureVtpm {
    device: Mutex<Box<dyn TpmDevice>>,
    hardware: Hardware,
}

enum Hardware {
    Snp,
    Tdx(TdQuoter),
}

impl AzureVtpm {
    /// Reads the blob once to see whether this is an Azure guest, and on which hardware.
    ///
    /// # Errors
    /// `Unavailable` without the blob or with one of unknown hardware, or what the TPM answered.
    pub fn detect(mut device: Box<dyn TpmDevice>, quoter: TdQuoter) -> Result<Self, AttesterError> {
        let blob = blob(device.as_mut())?;
        let hardware = match blob.get(REPORT_TYPE_AT) {
            Some([2, 0, 0, 0]) => Hardware::Snp,
            Some([4, 0, 0, 0]) => Hardware::Tdx(quoter),
            _ => return Err(AttesterError::Unavailable("the paravisor's report is of unknown hardware")),
        };
        Ok(Self { device: Mutex::new(device), hardware })
    }
}

impl std::fmt::Debug for AzureVtpm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AzureVtpm").field("tee", &self.tee()).finish_non_exhaustive()
    }
}

impl Attester for AzureVtpm {
    fn tee(&self) -> TeeType {
        match self.hardware {
            Hardware::Snp => TeeType::AzureSnp,
            Hardware::Tdx(_) => TeeType::AzureTdx,
        }
    }

    fn quote(&self, report_data: &ReportData) -> Result<Quote, AttesterError> {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        let device = device.as_mut();
        let hcl_report = blob(device)?;
        let td_quote = match &self.hardware {
            Hardware::Snp => None,
            Hardware::Tdx(quoter) => Some(quoter(td_report(&hcl_report)?)?),
        };
        let (quote, pcrs) = settled(device, report_data)?;
        let evidence = AzureEvidence {
            hcl_report,
            tpm_quote: quote.attest,
            tpm_signature: quote.signature,
            pcrs,
            ak_certificates: certificates(device)?,
            td_quote,
        };
        let bytes = evidence.encode();
        // a part over its limit would be refused by every verifier: say so here
        AzureEvidence::decode(&bytes).map_err(|_| AttesterError::Malformed("a part over its limit"))?;
        Ok(Quote { bytes, auxiliary: Vec::new() })
    }
}

fn blob(device: &mut dyn TpmDevice) -> Result<Vec<u8>, AttesterError> {
    let missing = "this TPM has no paravisor's report: not an Azure confidential guest";
    tpm::read_index(device, HCL_INDEX)?.ok_or(AttesterError::Unavailable(missing))
}

fn td_report(blob: &[u8]) -> Result<&[u8; TD_REPORT_BYTES], AttesterError> {
    let report = blob.get(REPORT_AT..).and_then(|rest| rest.first_chunk());
    report.ok_or(AttesterError::Malformed("a blob without a TD report"))
}

/// A quote and the registers it is over: something may be measured between the two commands.
fn settled(
    device: &mut dyn TpmDevice,
    report_data: &ReportData,
) -> Result<(tpm::TpmQuote, BTreeMap<u8, Sha256>), AttesterError> {
    for _ in 0..ATTEMPTS {
        let quote = tpm::quote(device, AK_HANDLE, tpm_extra_data(report_data).as_bytes())?;
        let pcrs = tpm::read_pcrs(device)?;
        let values: Vec<u8> = pcrs.values().flat_map(|value| *value.as_bytes()).collect();
        // the digest is the last thing in the quote
        if quote.attest.ends_with(Sha256::of(&values).as_bytes()) {
            return Ok((quote, pcrs));
        }
    }
    Err(AttesterError::Busy)
}

/// The key's certificate and its CA's, if the TPM has one and the CA is known. Evidence is complete without.
fn certificates(device: &mut dyn TpmDevice) -> Result<Vec<Vec<u8>>, AttesterError> {
    let Some(padded) = tpm::read_index(device, AK_CERTIFICATE_INDEX)? else { return Ok(Vec::new()) };
    let issuer = |leaf: &[u8]| {
        let leaf = Certificate::parse_vtpm(leaf).ok()?;
        KNOWN_CAS.into_iter().find(|ca| Certificate::parse_vtpm(ca).is_ok_and(|ca| ca.subject == leaf.issuer))
    };
    let leaf = Der::new(&padded).whole(tag::SEQUENCE).unwrap_or_default();
    Ok(issuer(leaf).map_or_else(Vec::new, |ca| vec![leaf.to_vec(), ca.to_vec()]))
}
