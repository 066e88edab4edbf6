//! What is judged, out of the request: evidence and endorsements in the forms that the verifier reads.

use attestation::endorsements::{Endorsements, MAX_ENDORSEMENTS_BYTES};
use attestation::{AzureEvidence, TeeType};

use super::malformed::{Malformed, MalformedCode};
use super::profile;
use super::request::spelled::{Base64, Spelled};
use super::request::{Azure, Platform, Request};

/// Evidence with its endorsements.
pub(super) struct Material {
    pub(super) tee: TeeType,
    /// Raw report or quote, or the encoded bundle of an Azure guest.
    pub(super) evidence: Vec<u8>,
    /// Encoded endorsements.
    pub(super) endorsements: Vec<u8>,
    /// The certificates among them.
    pub(super) certificates: Vec<Vec<u8>>,
    /// The hardware's own report or quote, for what only its bytes say.
    pub(super) hardware: Vec<u8>,
}

pub(super) fn of(request: &Request) -> Result<Material, Malformed> {
    let platform = request.platform;
    profile::nonce_applies(platform, request)?;
    if request.event_log_b64.is_some() && !platform.intel() {
        return Err(Malformed::not_applicable("event_log_b64", "tdx and az-tdx"));
    }
    let (evidence, hardware) = evidence(request)?;
    let endorsements = endorsements(request)?;
    let encoded = endorsements.encode();
    if encoded.len() > MAX_ENDORSEMENTS_BYTES {
        let expected = format!("at most {MAX_ENDORSEMENTS_BYTES} bytes with the event log");
        return Err(Malformed::new(MalformedCode::TooLarge, "endorsements", expected, "more"));
    }
    Ok(Material {
        tee: platform.tee(),
        evidence,
        endorsements: encoded,
        certificates: endorsements.certificates,
        hardware,
    })
}

/// What is judged, and the hardware's own part of it.
fn evidence(request: &Request) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let platform = request.platform;
    match (&request.evidence_b64, &request.azure) {
        (Some(_), _) if platform.azure() => Err(Malformed::not_applicable("evidence_b64", "snp and tdx")),
        (_, Some(_)) if !platform.azure() => Err(Malformed::not_applicable("azure", "az-snp and az-tdx")),
        (Some(evidence), _) => Ok((evidence.0.0.clone(), evidence.0.0.clone())),
        (None, Some(azure)) => bundle(platform, azure),
        (None, None) => {
            let (field, expected) = if platform.azure() {
                ("azure", "the paravisor's blob, and the quote of the virtual TPM")
            } else {
                ("evidence_b64", "the raw report or quote")
            };
            Err(Malformed::missing(field, expected))
        }
    }
}

fn bundle(platform: Platform, azure: &Azure) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    if azure.td_quote_b64.is_some() && !platform.intel() {
        return Err(Malformed::not_applicable("azure.td_quote_b64", "az-tdx"));
    }
    let bundle = AzureEvidence {
        hcl_report: azure.hcl_report_b64.0.0.clone(),
        tpm_quote: azure.tpm_quote_msg_b64.0.0.clone(),
        tpm_signature: azure.tpm_quote_sig_b64.0.0.clone(),
        pcrs: azure.pcrs_sha256.0.clone(),
        ak_certificates: bytes(&azure.ak_certificates_der_b64),
        td_quote: azure.td_quote_b64.as_ref().map(|quote| quote.0.0.clone()),
    };
    let hardware = match &bundle.td_quote {
        Some(quote) => quote.clone(),
        None => bundle.hcl_report.get(HCL_REPORT).unwrap_or_default().to_vec(),
    };
    Ok((bundle.encode(), hardware))
}

/// Certificates and lists from every place where the request may have them. One that an earlier place has as well counts
/// once; one that a single place has twice is left for the verifier to refuse.
fn endorsements(request: &Request) -> Result<Endorsements, Malformed> {
    let given = &request.endorsements;
    let mut read = match &given.cert_table_b64 {
        None => Endorsements::default(),
        Some(table) => Endorsements::from_snp_certificate_table(&table.0.0).map_err(|error| {
            let field = "endorsements.cert_table_b64";
            Malformed::new(MalformedCode::Value, field, error.expected, error.found)
        })?,
    };
    let pem = given.certificates_pem.iter().flat_map(|pem| pem.0.0.iter().cloned());
    for place in [bytes(&given.certificates_der_b64), pem.collect()] {
        let earlier = read.certificates.clone();
        read.certificates.extend(place.into_iter().filter(|own| !earlier.contains(own)));
    }
    let earlier = read.crls.clone();
    read.crls.extend(bytes(&given.crls_der_b64).into_iter().filter(|own| !earlier.contains(own)));
    if let Some(collateral) = &given.tdx_collateral {
        read.collateral = serde_json::to_vec(&collateral.0).map_err(|_| {
            Malformed::new(MalformedCode::Value, "endorsements.tdx_collateral", "texts", "another value")
        })?;
    }
    if let Some(log) = &request.event_log_b64 {
        read.event_log = used(&log.0.0).to_vec();
    }
    Ok(read)
}

/// A firmware log without most of its buffer's unused rest, which is longer than all that an appraisal reads. What is
/// left of the rest is left to be judged.
fn used(log: &[u8]) -> &[u8] {
    let rest = match log.last() {
        Some(fill @ (0 | 0xff)) => log.iter().rev().take_while(|byte| *byte == fill).count(),
        _ => 0,
    };
    log.get(..log.len() - rest.saturating_sub(UNUSED_LEFT)).unwrap_or(log)
}

fn bytes(list: &[Spelled<Base64>]) -> Vec<Vec<u8>> {
    list.iter().map(|item| item.0.0.clone()).collect()
}

/// Bytes of an unused rest that stay.
const UNUSED_LEFT: usize = 4096;

/// Where the paravisor's blob has the hardware report.
const HCL_REPORT: std::ops::Range<usize> = 0x20..0x20 + attestation::inspect::SNP_REPORT_BYTES;
