//! The platform: five keys, and evidence made from a specification.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

use crate::SimteeError;
use crate::keys::{Curve, VekKey};
use crate::tdx::fault::TdxFault;
use crate::tdx::pki::{Certificate, RevocationList, pem, raw_public, sign_fixed};
use crate::tdx::quote::{certification, signed_part};
use crate::tdx::spec::TdxSpec;

const ROOT: &str = "Intel SGX Root CA";
const CA: &str = "Intel SGX PCK Platform CA";
const PCK: &str = "Intel SGX PCK Certificate";

/// A quote and the JSON of its collateral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxEvidence {
    /// The quote, with its padding.
    pub quote: Vec<u8>,
    /// Collateral with the field names that verifiers share; empty when it is missing.
    pub collateral: Vec<u8>,
}

/// A throw-away copy of Intel's authorities with one platform.
#[derive(Debug)]
pub struct TdxAuthority {
    root: VekKey,
    ca: VekKey,
    signer: VekKey,
    pck: VekKey,
    attestation: VekKey,
    other: VekKey,
    root_certificate: Vec<u8>,
    other_root: Vec<u8>,
}

impl TdxAuthority {
    /// Makes the keys; they live in memory only.
    pub fn create() -> Result<Self, SimteeError> {
        let key = || VekKey::generate(Curve::P256);
        let (root, other) = (key()?, key()?);
        let (root_certificate, other_root) = (root_of(&root)?, root_of(&other)?);
        Ok(Self {
            root,
            ca: key()?,
            signer: key()?,
            pck: key()?,
            attestation: key()?,
            other,
            root_certificate,
            other_root,
        })
    }

    /// The root certificate in DER: what a policy names to accept this authority.
    pub fn root_certificate(&self) -> &[u8] {
        &self.root_certificate
    }

    /// Makes a quote and its collateral.
    pub fn evidence(&self, spec: &TdxSpec) -> Result<TdxEvidence, SimteeError> {
        let chain = self.pck_chain(spec)?;
        Ok(TdxEvidence { quote: self.quote(spec, &chain)?, collateral: self.collateral(spec, &chain)? })
    }

    fn is(spec: &TdxSpec, fault: TdxFault) -> bool {
        spec.fault == Some(fault)
    }

    fn top(&self, spec: &TdxSpec) -> (&VekKey, &[u8]) {
        if Self::is(spec, TdxFault::RootOther) {
            (&self.other, &self.other_root)
        } else {
            (&self.root, &self.root_certificate)
        }
    }

    /// Leaf, CA, root.
    fn pck_chain(&self, spec: &TdxSpec) -> Result<Vec<Vec<u8>>, SimteeError> {
        let (root, root_certificate) = self.top(spec);
        let ca = Certificate {
            serial: vec![0xca, 1],
            issuer: ROOT.to_owned(),
            subject: CA.to_owned(),
            not_before: spec.ca_validity.0,
            not_after: spec.ca_validity.1,
            public_info: self.ca.public_info().to_vec(),
            authority: !Self::is(spec, TdxFault::CaNotAuthority),
            platform: None,
        };
        let ca = ca.issue(if Self::is(spec, TdxFault::CaSignature) { &self.ca } else { root })?;
        let pck = Certificate {
            serial: vec![0x9c, 0xc0],
            issuer: CA.to_owned(),
            subject: PCK.to_owned(),
            not_before: spec.pck_validity.0,
            not_after: spec.pck_validity.1,
            public_info: self.pck.public_info().to_vec(),
            authority: false,
            platform: Some(spec.pck.clone()),
        };
        let pck = pck.issue(if Self::is(spec, TdxFault::PckSignature) { root } else { &self.ca })?;
        Ok(vec![pck, ca, root_certificate.to_vec()])
    }

    fn quote(&self, spec: &TdxSpec, chain: &[Vec<u8>]) -> Result<Vec<u8>, SimteeError> {
        let mut out = signed_part(&spec.header, &spec.body);
        let by = if Self::is(spec, TdxFault::QuoteSignature) { &self.pck } else { &self.attestation };
        let signature = sign_fixed(by, &out)?;
        let key = raw_public(&self.attestation);
        let hashed =
            if Self::is(spec, TdxFault::AttestationKeyOther) { raw_public(&self.other) } else { key };
        let authentication: [u8; 32] = std::array::from_fn(|index| index as u8);
        let mut report_data = [0; 64];
        report_data[..32]
            .copy_from_slice(digest(&SHA256, &[hashed.as_slice(), &authentication].concat()).as_ref());
        if Self::is(spec, TdxFault::BindingTail) {
            report_data[63] = 1;
        }
        let report = spec.qe.encode(&report_data);
        let by = if Self::is(spec, TdxFault::QeReportSignature) { &self.attestation } else { &self.pck };
        let report_signature = sign_fixed(by, &report)?;
        let mut listed = chain.to_vec();
        match spec.fault {
            Some(TdxFault::ChainExtra) => listed.push(self.other_root.clone()),
            Some(TdxFault::ChainOrder) => listed.swap(0, 1),
            Some(TdxFault::ChainShort) => listed.truncate(2),
            _ => {}
        }
        let mut text = pem(&listed).into_bytes();
        text.push(0);
        let kind = if Self::is(spec, TdxFault::CertificationType) { 3 } else { 5 };
        let mut certified = [report, report_signature.to_vec(), 32_u16.to_le_bytes().to_vec()].concat();
        certified.extend_from_slice(&authentication);
        certified.extend(certification(kind, &text));
        let mut data = [signature, key].concat();
        data.extend(certification(6, &certified));
        if Self::is(spec, TdxFault::NestedSlack) {
            data.push(0);
        }
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend(data);
        out.extend_from_slice(&spec.padding);
        Ok(out)
    }

    fn collateral(&self, spec: &TdxSpec, chain: &[Vec<u8>]) -> Result<Vec<u8>, SimteeError> {
        let is = |fault| Self::is(spec, fault);
        if is(TdxFault::CollateralMissing) {
            return Ok(Vec::new());
        }
        let (signer, issuers) = if is(TdxFault::SignerIsPck) {
            (&self.pck, vec![chain[0].clone(), self.top(spec).1.to_vec()])
        } else {
            (&self.signer, self.signer_chain(spec)?)
        };
        let mut tcb_info = spec.tcb_info.text();
        let qe_identity = spec.qe_identity.text();
        let by = if is(TdxFault::TcbInfoSignature) { &self.pck } else { signer };
        let tcb_info_signature = sign_fixed(by, tcb_info.as_bytes())?;
        let by = if is(TdxFault::QeIdentitySignature) { &self.pck } else { signer };
        let qe_identity_signature = sign_fixed(by, qe_identity.as_bytes())?;
        if is(TdxFault::TcbInfoMissing) {
            tcb_info.clear();
        }
        let tcb_issuers = if is(TdxFault::SignerMissing) { String::new() } else { pem(&issuers) };
        let (root_crl, pck_crl) = self.lists(spec)?;
        let set = json!({
            "pck_crl_issuer_chain": pem(&chain[1..]),
            "root_ca_crl": hex::encode(root_crl),
            "pck_crl": hex::encode(pck_crl),
            "tcb_info_issuer_chain": tcb_issuers,
            "tcb_info": tcb_info,
            "tcb_info_signature": hex::encode(tcb_info_signature),
            "qe_identity_issuer_chain": pem(&issuers),
            "qe_identity": qe_identity,
            "qe_identity_signature": hex::encode(qe_identity_signature),
        });
        Ok(set.to_string().into_bytes())
    }

    fn signer_chain(&self, spec: &TdxSpec) -> Result<Vec<Vec<u8>>, SimteeError> {
        let (root, root_certificate) = self.top(spec);
        let signer = Certificate {
            serial: vec![0x51, 6],
            issuer: ROOT.to_owned(),
            subject: spec.signer_name.clone(),
            not_before: spec.signer_validity.0,
            not_after: spec.signer_validity.1,
            public_info: self.signer.public_info().to_vec(),
            authority: false,
            platform: None,
        };
        Ok(vec![signer.issue(root)?, root_certificate.to_vec()])
    }

    fn lists(&self, spec: &TdxSpec) -> Result<(Vec<u8>, Vec<u8>), SimteeError> {
        let is = |fault| Self::is(spec, fault);
        let (root, _) = self.top(spec);
        let list = |issuer: &str, revoked: Vec<Vec<u8>>| RevocationList {
            issuer: issuer.to_owned(),
            this_update: spec.crl_validity.0,
            next_update: spec.crl_validity.1,
            revoked,
        };
        let mut by_root = vec![vec![7, 7]];
        if is(TdxFault::CaRevoked) {
            by_root.push(vec![0xca, 1]);
        }
        if is(TdxFault::SignerRevoked) {
            by_root.push(vec![0x51, 6]);
        }
        let by_ca = if is(TdxFault::PckRevoked) { vec![vec![0x9c, 0xc0]] } else { Vec::new() };
        let signer = if is(TdxFault::RootCrlOtherSigner) { &self.ca } else { root };
        let root_crl = list(ROOT, by_root).issue(signer)?;
        let signer = if is(TdxFault::PckCrlOtherSigner) { root } else { &self.ca };
        let pck_crl = list(CA, by_ca).issue(signer)?;
        let keep = |bytes: Vec<u8>, missing: bool| if missing { Vec::new() } else { bytes };
        Ok((keep(root_crl, is(TdxFault::RootCrlMissing)), keep(pck_crl, is(TdxFault::PckCrlMissing))))
    }
}

/// A self-signed root for `key`, with dates around every test.
fn root_of(key: &VekKey) -> Result<Vec<u8>, SimteeError> {
    let root = Certificate {
        serial: vec![1],
        issuer: ROOT.to_owned(),
        subject: ROOT.to_owned(),
        not_before: 1_526_899_510,
        not_after: 2_524_607_999,
        public_info: key.public_info().to_vec(),
        authority: true,
        platform: None,
    };
    root.issue(key)
}
