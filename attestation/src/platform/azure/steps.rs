//! The checks made above those of the hardware, in the order in which they are made: part B's vTPM row.

use crate::checklist::Step;
use crate::rejection::Code;

pub(super) const BUNDLE: Step = Step::new("az.bundle", Code::AttMalformed, "cpu.azure");
pub(super) const HCL: Step = Step::new("az.hcl_report", Code::AttMalformed, "cpu.azure.hcl_report");
pub(super) const RUNTIME: Step =
    Step::new("az.runtime_data", Code::AzBinding, "cpu.azure.hcl_report.runtime_data");
pub(super) const TD_REPORT: Step = Step::new("az.td_report", Code::AzBinding, "cpu.azure.td_quote");
pub(super) const KEY: Step = Step::new("az.attestation_key", Code::AzAk, "cpu.azure.hcl_report.runtime_data");
pub(super) const CERTIFICATE: Step = Step::new("az.ak_certificate", Code::AzAk, "cpu.azure.ak_certificates");
pub(super) const QUOTE: Step = Step::new("az.quote", Code::AzQuote, "cpu.azure.tpm_quote");
pub(super) const SIGNATURE: Step = Step::new("az.quote_signature", Code::AzQuote, "cpu.azure.tpm_signature");
pub(super) const DIGEST: Step = Step::new("az.pcr_digest", Code::AzPcr, "cpu.azure.pcrs");

pub(super) const NONCE: Step = Step::new("az.extra_data", Code::AttNonce, "cpu.azure.tpm_quote.extra_data");
pub(super) const AK_RULE: Step = Step::new("az.ak_rule", Code::AzAk, "cpu.azure.ak_certificates");
pub(super) const MANDATORY: Step = Step::new("az.mandatory_pcrs", Code::AzPcr, "cpu.azure.pcrs");

pub(super) const RELEASE: Step = Step::new("az.pcr_values", Code::AzPcr, "cpu.azure.pcrs");

/// What is checked before the hardware's own evidence.
pub(super) const BEFORE: &[Step] =
    &[BUNDLE, HCL, TD_REPORT, RUNTIME, KEY, CERTIFICATE, QUOTE, SIGNATURE, DIGEST];

/// What is checked after it.
pub(super) const AFTER: &[Step] = &[NONCE, AK_RULE, MANDATORY, RELEASE];
