//! What evidence says before anybody has checked it, for people who want to look. Nothing here is verified, nothing
//! here leads to a positive answer: an appraisal starts from the bytes again.

mod certificate;
mod snp_report;
mod tdx_quote;
mod hcl_report;

pub use certificate::{CertificateFacts, EndorsedKey, certificate};
pub use hcl_report::{HclHardware, HclReportFields, hcl_report};
pub use snp_report::{SNP_REPORT_BYTES, SnpReportFields, snp_report};
pub use tdx_quote::{MAX_TDX_QUOTE_BYTES, QuotingEnclaveFields, TdxQuoteFields, event_log, tdx_quote};
