//! Azure's confidential guests: SEV-SNP or TDX hardware measures Microsoft's paravisor, which answers for a virtual
//! TPM, which quotes for the guest. The chain is hardware report, run-time data, attestation key, TPM quote; the
//! hardware underneath is judged by its own platform, and nothing of it twice.
//!
//! Whoever believes such evidence believes Microsoft: the claims say so.

use crate::azure_evidence::AzureEvidence;
use crate::checklist::{Checklist, Step};
use crate::claims::paravisor::{AkEndorsement, Paravisor, ParavisorClaims};
use crate::claims::{Anchor, Commitment, HardwareClaims};
use crate::digest::{ReportData, Sha256, UnixTime, to_hex};
use crate::evidence::TeeType;
use crate::platform::{Input, Platform, sev_snp, tdx};
use crate::policy::Policy;
use crate::reference_values::Voucher;
use crate::rejection::{Code, Rejection};
use crate::work_limit::WorkLimit;
use hcl::{Hardware, HclReport};
use runtime_data::RuntimeData;
use tpm_quote::TpmQuote;

mod steps;
pub(crate) mod hcl;
mod runtime_data;
mod tpm_quote;
mod td_report;
mod ak_chain;
mod judge;

/// SEV-SNP behind the paravisor.
pub(crate) const AZURE_SNP: Azure = Azure { tee: TeeType::AzureSnp, hardware: &sev_snp::SevSnp };

/// TDX behind the paravisor.
pub(crate) const AZURE_TDX: Azure = Azure { tee: TeeType::AzureTdx, hardware: &tdx::Tdx };

/// One kind of hardware behind the paravisor.
pub(crate) struct Azure {
    tee: TeeType,
    hardware: &'static dyn Platform,
}

impl Platform for Azure {
    fn tee(&self) -> TeeType {
        self.tee
    }

    fn steps(&self) -> Vec<Step> {
        [steps::BEFORE, &self.hardware.steps(), steps::AFTER].concat()
    }

    fn commitment(&self, evidence: &[u8]) -> Result<Commitment, Rejection> {
        let bundle = AzureEvidence::decode(evidence)?;
        let quote = TpmQuote::parse(&bundle.tpm_quote)?;
        Ok(Commitment::TpmExtra(quote.extra_data.to_vec()))
    }

    fn authenticate(
        &self,
        input: &Input<'_>,
        limit: &mut WorkLimit,
        list: &mut Checklist,
    ) -> Result<HardwareClaims, Rejection> {
        let bundle = AzureEvidence::decode(input.evidence);
        let bundle = list.yields(steps::BUNDLE, bundle, "an Azure bundle", |_| {
            format!("{} bytes", input.evidence.len())
        })?;
        let blob = HclReport::parse(&bundle.hcl_report);
        let blob =
            list.yields(steps::HCL, blob, "an HCL blob", |blob| format!("header version {}", blob.version))?;
        let evidence = self.underneath(&blob, &bundle).map_err(|error| list.failed(steps::RUNTIME, error))?;
        Self::bound(&blob, evidence, list)?;
        let runtime = RuntimeData::parse(blob.runtime_data);
        let runtime =
            list.yields(steps::KEY, runtime, "run-time data with HCLAkPub", |read| read.keys.join(", "))?;
        let endorsed = endorsed(&bundle, &runtime, input, limit);
        let endorsed = list.yields(steps::CERTIFICATE, endorsed, "none, or one that holds", |endorsed| {
            if endorsed.ak == AkEndorsement::RuntimeData {
                "none".to_owned()
            } else {
                "a chain that holds".to_owned()
            }
        })?;
        let quote = quoted(&bundle, &runtime, limit, list)?;
        // the hardware's own checks come last because they end in "authentic"
        let own = Input { evidence, ..*input };
        let claims = self.hardware.authenticate(&own, limit, list)?;
        Ok(HardwareClaims {
            tee: self.tee,
            anchor: if endorsed.anchor == Anchor::Simulated { Anchor::Simulated } else { claims.anchor },
            not_after: claims.not_after.min(endorsed.not_after),
            firmware: None,
            paravisor: Some(Box::new(ParavisorClaims {
                paravisor: Paravisor::Microsoft,
                header_version: blob.version,
                vm_configuration: runtime.vm_configuration,
                user_data: runtime.user_data,
                keys: runtime.keys,
                extra_data: quote.extra_data.to_vec(),
                pcrs: bundle.pcrs.clone(),
                clock: quote.clock,
                reset_count: quote.reset_count,
                restart_count: quote.restart_count,
                firmware_version: quote.firmware_version,
                ak: endorsed.ak,
            })),
            ..claims
        })
    }

    fn judge(
        &self,
        claims: &HardwareClaims,
        input: &Input<'_>,
        list: &mut Checklist,
    ) -> Result<(), Rejection> {
        let bundle = AzureEvidence::decode(input.evidence)?;
        let blob = HclReport::parse(&bundle.hcl_report)?;
        let evidence = self.underneath(&blob, &bundle)?;
        self.hardware.judge(claims, &Input { evidence, ..*input }, list)?;
        judge::guest(own(claims)?, &input.policy.azure, list)
    }

    fn release<'p>(
        &self,
        claims: &HardwareClaims,
        policy: &'p Policy,
        list: &mut Checklist,
    ) -> Result<&'p Voucher, Rejection> {
        let voucher = self.hardware.release(claims, policy, list)?;
        judge::release(own(claims)?, &policy.azure, list)?;
        Ok(voucher)
    }
}

impl Azure {
    /// What the hardware underneath is appraised by: the report in the blob, or the quote made of it.
    fn underneath<'a>(&self, blob: &HclReport<'a>, bundle: &'a AzureEvidence) -> Result<&'a [u8], Rejection> {
        let other = |expected: &str, found: &str| {
            Err(Rejection::new(Code::AzBinding, steps::HCL.field, expected, found))
        };
        match (self.tee, blob.hardware, &bundle.td_quote) {
            (TeeType::AzureSnp, Hardware::Snp(report), None) => Ok(report),
            (TeeType::AzureSnp, Hardware::Snp(_), Some(_)) => other("no TD quote", "one"),
            (TeeType::AzureTdx, Hardware::Tdx(_), Some(quote)) => Ok(quote),
            (TeeType::AzureTdx, Hardware::Tdx(_), None) => other("a TD quote", "none"),
            (_, Hardware::Snp(_), _) => other("a TD report", "a SEV-SNP report"),
            (_, Hardware::Tdx(_), _) => other("a SEV-SNP report", "a TD report"),
        }
    }

    /// TD quote, hardware report and run-time data belong together.
    fn bound(blob: &HclReport<'_>, evidence: &[u8], list: &mut Checklist) -> Result<(), Rejection> {
        let (stated, agrees) = match blob.hardware {
            Hardware::Snp(report) => (sev_snp::stated_report_data(report), Ok("one signed by itself")),
            Hardware::Tdx(report) => (
                tdx::with_quote(evidence, |quote| Ok(quote.report.report_data)),
                tdx::with_quote(evidence, |quote| td_report::agrees(report, quote)).map(|()| "that report"),
            ),
        };
        let stated = stated.map_err(|error| list.failed(steps::TD_REPORT, error))?;
        let spell = |found: &&str| (*found).to_owned();
        list.yields_or(steps::TD_REPORT, agrees, "the report the quote was made of", spell, "")?;
        let digest = digest_of(blob.runtime_data);
        list.holds(steps::RUNTIME, stated == digest, digest.to_hex(), stated.to_hex())
    }
}

/// Report data of a blob: the SHA-256 of its run-time data, and zeros.
fn digest_of(runtime_data: &[u8]) -> ReportData {
    let mut data = [0; 64];
    if let Some(half) = data.first_chunk_mut() {
        *half = *Sha256::of(runtime_data).as_bytes();
    }
    ReportData::new(data)
}

/// Who vouches for the attestation key, and until when.
struct Endorsed {
    ak: AkEndorsement,
    anchor: Anchor,
    not_after: UnixTime,
}

fn endorsed(
    bundle: &AzureEvidence,
    runtime: &RuntimeData,
    input: &Input<'_>,
    limit: &mut WorkLimit,
) -> Result<Endorsed, Rejection> {
    if bundle.ak_certificates.is_empty() {
        let not_after = UnixTime::from_seconds(u64::MAX);
        return Ok(Endorsed { ak: AkEndorsement::RuntimeData, anchor: Anchor::Vendor, not_after });
    }
    let anchors = &input.policy.trust_anchors;
    let chain = ak_chain::verify(&bundle.ak_certificates, &runtime.ak, anchors, input.now, limit)?;
    let ak = AkEndorsement::Certificate { names: chain.names };
    Ok(Endorsed { ak, anchor: chain.anchor, not_after: chain.not_after })
}

/// The quote, its signature and the registers it hashes.
fn quoted<'a>(
    bundle: &'a AzureEvidence,
    runtime: &RuntimeData,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<TpmQuote<'a>, Rejection> {
    let quote = TpmQuote::parse(&bundle.tpm_quote);
    let quote = list.yields(steps::QUOTE, quote, "a TPM quote", |quote| to_hex(quote.extra_data))?;
    limit.signature()?;
    let signed = tpm_quote::signed_by(&runtime.ak, &bundle.tpm_quote, &bundle.tpm_signature);
    let found = if signed { "signed by it" } else { "a signature that does not hold" };
    list.holds(steps::SIGNATURE, signed, "a signature by HCLAkPub", found)?;
    // values the quote does not cover would be anybody's
    let covered = bundle.pcrs.keys().copied().eq(quote.selected.iter().copied());
    let digest = tpm_quote::digest_of(&bundle.pcrs);
    let found = if covered { digest.to_hex() } else { "values of other registers".to_owned() };
    list.holds(steps::DIGEST, covered && digest == quote.pcr_digest, quote.pcr_digest.to_hex(), found)?;
    Ok(quote)
}

/// The claims this file made.
fn own(claims: &HardwareClaims) -> Result<&ParavisorClaims, Rejection> {
    claims
        .paravisor
        .as_deref()
        .ok_or_else(|| Rejection::new(Code::CheckSkipped, "cpu", "a paravisor's claims", "others"))
}
