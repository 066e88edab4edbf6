//! A guest behind the paravisor, with everything a verifier gets of it.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::SimteeError;
use crate::azure::blob::{HclSpec, runtime_text};
use crate::azure::pki::Certificate;
use crate::azure::td_report;
use crate::azure::virtual_tpm::{AK_CERTIFICATE_INDEX, HCL_INDEX, VirtualTpm};
use crate::certificate::DAY;
use crate::keys::RsaKey;
use crate::processor::Processor;
use crate::tdx::{TdxAuthority, TdxSpec};

const ROOT: &str = "Simulated Azure Virtual TPM Root";
const CA: &str = "Simulated Global Virtual TPM CA";
const LEAF: &str = "simulated.ConfidentialVM.Azure.windows.net";

/// What is done by the wrong hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzureFault {
    /// The quote is signed by a key that the run-time data does not name.
    AkOther,
    /// The CA's certificate is signed by itself.
    CaSignature,
    /// The CA may not issue certificates.
    CaNotAuthority,
    /// The certificate is of another key.
    CertificateOther,
    /// The certificate is signed by its own key.
    CertificateSignature,
    /// The chain ends in a root nobody knows.
    RootOther,
}

/// Everything about a guest that can be chosen. [`AzureSpec::new`] gives good values.
#[derive(Clone, Debug)]
pub struct AzureSpec {
    /// Unix seconds that certificates are dated around.
    pub now: u64,
    /// The blob around report and text.
    pub hcl: HclSpec,
    /// A last change to the text before it is hashed.
    pub runtime_edit: fn(String) -> String,
    /// A last change to the report data before the hardware signs them.
    pub report_data_edit: fn(&mut [u8; 64]),
    /// A last change to the TD report, which nothing here signs.
    pub td_report_edit: fn(&mut [u8]),
    /// The SHA-256 bank.
    pub pcrs: [[u8; 32]; 24],
    /// Which registers are quoted and handed over, one bit each.
    pub selection: u32,
    /// What the guest has the TPM sign.
    pub extra_data: Vec<u8>,
    /// A last change to `TPMS_ATTEST` before it is signed.
    pub attest_edit: fn(&mut Vec<u8>),
    /// Whether the key's certificate and its CA's come along.
    pub certified: bool,
    /// First and last second of the key's certificate.
    pub certificate_validity: (u64, u64),
    /// What is done by the wrong hand, if anything.
    pub fault: Option<AzureFault>,
}

impl AzureSpec {
    /// A guest as Azure has it: certified key, all registers quoted.
    pub fn new(now: u64) -> Self {
        Self {
            now,
            hcl: HclSpec::good(),
            runtime_edit: |text| text,
            report_data_edit: |_| {},
            td_report_edit: |_| {},
            pcrs: std::array::from_fn(|index| [index as u8; 32]),
            selection: 0x00ff_ffff,
            extra_data: vec![0xed; 32],
            attest_edit: |_| {},
            certified: true,
            certificate_validity: (now - DAY, now + 300 * DAY),
            fault: None,
        }
    }
}

/// What a verifier gets of a guest, and what endorses the hardware under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureEvidence {
    /// The blob.
    pub hcl_report: Vec<u8>,
    /// `TPMS_ATTEST`.
    pub tpm_quote: Vec<u8>,
    /// The signature's 256 bytes.
    pub tpm_signature: Vec<u8>,
    /// The quoted registers.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// Leaf and CA, or nothing.
    pub ak_certificates: Vec<Vec<u8>>,
    /// The TD quote, on TDX.
    pub td_quote: Option<Vec<u8>>,
    /// SEV-SNP's certificate table, or Intel's collateral.
    pub endorsements: Vec<u8>,
}

/// A throw-away copy of Azure's authorities with the keys of one virtual TPM.
#[derive(Debug)]
pub struct AzureAuthority {
    root: RsaKey,
    ca: RsaKey,
    ak: RsaKey,
    ek: RsaKey,
    other: RsaKey,
    root_certificate: Vec<u8>,
}

impl AzureAuthority {
    /// Makes the keys; they live in memory only. Takes about a second.
    pub fn create() -> Result<Self, SimteeError> {
        let root = RsaKey::generate()?;
        let certificate = Certificate {
            serial: vec![1],
            issuer: ROOT.to_owned(),
            subject: ROOT.to_owned(),
            not_before: 1_526_899_510,
            not_after: 2_524_607_999,
            public_info: root.public_info().to_vec(),
            authority: true,
        };
        let root_certificate = certificate.issue(&root)?;
        let [ca, ak, ek, other] = [0; 4].map(|_| RsaKey::generate_2048());
        Ok(Self { root, ca: ca?, ak: ak?, ek: ek?, other: other?, root_certificate })
    }

    /// The root certificate in DER: what a policy names to accept this authority's certificates.
    pub fn root_certificate(&self) -> &[u8] {
        &self.root_certificate
    }

    /// A guest whose paravisor runs on `processor`.
    pub fn on_snp(&self, processor: &Processor, spec: &AzureSpec) -> Result<AzureEvidence, SimteeError> {
        let (text, report_data) = self.runtime(spec);
        let quote = processor.quote(&report_data)?;
        let blob = spec.hcl.encode(&quote.report, 2, &text);
        self.guest(spec, blob, None, quote.certificate_table)
    }

    /// A guest whose paravisor runs in a trust domain.
    pub fn on_tdx(
        &self,
        authority: &TdxAuthority,
        tdx: &TdxSpec,
        spec: &AzureSpec,
    ) -> Result<AzureEvidence, SimteeError> {
        let (text, report_data) = self.runtime(spec);
        let mut tdx = tdx.clone();
        tdx.body.report_data = report_data;
        let mut report = td_report::of_body(&tdx.body);
        (spec.td_report_edit)(&mut report);
        let evidence = authority.evidence(&tdx)?;
        let blob = spec.hcl.encode(&report, 4, &text);
        self.guest(spec, blob, Some(evidence.quote), evidence.collateral)
    }

    /// The guest's TPM with this blob and, if the key is certified, its certificate padded as Azure pads it.
    pub fn tpm(&self, spec: &AzureSpec, blob: Vec<u8>) -> Result<VirtualTpm<'_>, SimteeError> {
        let mut indexes = BTreeMap::from([(HCL_INDEX, blob)]);
        if let Some(mut leaf) = self.certificates(spec)?.into_iter().next() {
            leaf.resize(4096, 0);
            indexes.insert(AK_CERTIFICATE_INDEX, leaf);
        }
        let ak = if spec.fault == Some(AzureFault::AkOther) { &self.other } else { &self.ak };
        Ok(VirtualTpm { ak, pcrs: spec.pcrs, indexes, refusals: Vec::new(), extend_after_quote: None })
    }

    /// Text and report data.
    fn runtime(&self, spec: &AzureSpec) -> (Vec<u8>, [u8; 64]) {
        let text = (spec.runtime_edit)(runtime_text(self.ak.modulus_2048(), self.ek.modulus_2048()));
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        (spec.report_data_edit)(&mut report_data);
        (text.into_bytes(), report_data)
    }

    fn guest(
        &self,
        spec: &AzureSpec,
        blob: Vec<u8>,
        td_quote: Option<Vec<u8>>,
        endorsements: Vec<u8>,
    ) -> Result<AzureEvidence, SimteeError> {
        let tpm = self.tpm(spec, blob.clone())?;
        let mut attest = tpm.attest(&spec.extra_data, spec.selection);
        (spec.attest_edit)(&mut attest);
        let quoted = (0..24_u8).filter(|index| spec.selection & 1 << index != 0);
        Ok(AzureEvidence {
            hcl_report: blob,
            tpm_signature: tpm.ak.sign_pkcs1_sha256(&attest)?,
            tpm_quote: attest,
            pcrs: quoted.map(|index| (index, spec.pcrs[usize::from(index)])).collect(),
            ak_certificates: self.certificates(spec)?,
            td_quote,
            endorsements,
        })
    }

    /// Leaf and CA.
    fn certificates(&self, spec: &AzureSpec) -> Result<Vec<Vec<u8>>, SimteeError> {
        if !spec.certified {
            return Ok(Vec::new());
        }
        let is = |fault| spec.fault == Some(fault);
        let ca = Certificate {
            serial: vec![0xca, 1],
            issuer: if is(AzureFault::RootOther) { "Another Root" } else { ROOT }.to_owned(),
            subject: CA.to_owned(),
            not_before: spec.now - DAY,
            not_after: spec.now + 300 * DAY,
            public_info: self.ca.public_info().to_vec(),
            authority: !is(AzureFault::CaNotAuthority),
        };
        let ca = ca.issue(if is(AzureFault::CaSignature) { &self.ca } else { &self.root })?;
        let key = if is(AzureFault::CertificateOther) { &self.other } else { &self.ak };
        let leaf = Certificate {
            serial: vec![0xa1],
            issuer: CA.to_owned(),
            subject: LEAF.to_owned(),
            not_before: spec.certificate_validity.0,
            not_after: spec.certificate_validity.1,
            public_info: key.public_info().to_vec(),
            authority: false,
        };
        let leaf = leaf.issue(if is(AzureFault::CertificateSignature) { &self.ak } else { &self.ca })?;
        Ok(vec![leaf, ca])
    }
}
