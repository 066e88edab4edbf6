//! The fields of a TDX quote and of the enclave that signed it, as they stand there.

use crate::claims::tdx::{LogEvent, Padding, TdReport};
use crate::platform::tdx::{enclave, event_log as log, pem, quote};
use crate::rejection::{Code, Rejection};

/// Longest quote that is read, with its padding, in bytes.
pub const MAX_TDX_QUOTE_BYTES: usize = quote::MAX_QUOTE_BYTES;

/// Certificates read from a quote.
const MAX_CERTIFICATES: usize = 8;

/// A quote of version 4 or 5 (Intel DCAP, `sgx_quote_4.h`, `sgx_quote_5.h`). Nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxQuoteFields {
    /// 4 or 5.
    pub version: u16,
    /// What the quoting enclave wrote into the header: the platform's QE id.
    pub user_data: [u8; 20],
    /// The body.
    pub report: TdReport,
    /// `r` and `s` over header and body, by the attestation key.
    pub signature: [u8; 64],
    /// The attestation key, `x` and `y` on P-256.
    pub attestation_key: [u8; 64],
    /// The quoting enclave.
    pub quoting_enclave: QuotingEnclaveFields,
    /// `r` and `s` over the quoting enclave's report, by the PCK.
    pub quoting_enclave_signature: [u8; 64],
    /// What the quoting enclave hashed together with the attestation key.
    pub authentication: Vec<u8>,
    /// The PCK certificate chain, DER, leaf first.
    pub certificates: Vec<Vec<u8>>,
    /// Bytes of the quote without its padding.
    pub length: usize,
    /// What follows it.
    pub padding: Padding,
}

/// The fields of the quoting enclave's report that a verifier judges (Intel SDM 3D, table 38-21, REPORT).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Intel's names")]
pub struct QuotingEnclaveFields {
    pub miscselect: [u8; 4],
    pub attributes: [u8; 16],
    pub mr_signer: [u8; 32],
    pub isv_prod_id: u16,
    pub isv_svn: u16,
    pub report_data: [u8; 64],
}

/// Reads a quote.
///
/// # Errors
/// `ATT_TEE_TYPE` for an SGX quote, `TDX_HEADER` for one this verifier does not know, `TDX_CHAIN` for certification
/// data without PEM certificates, `ATT_MALFORMED` for a length that does not fit.
pub fn tdx_quote(bytes: &[u8]) -> Result<TdxQuoteFields, Rejection> {
    let quote = quote::Quote::parse(bytes)?;
    let enclave = enclave::EnclaveReport::read(quote.qe_report).map_err(|error| {
        Rejection::new(Code::AttMalformed, "cpu.quote.qe_report", "384 bytes", error.to_string())
    })?;
    Ok(TdxQuoteFields {
        version: quote.version,
        user_data: quote.user_data,
        certificates: pem::certificates(
            quote.chain,
            MAX_CERTIFICATES,
            Code::TdxChain,
            "cpu.quote.certificates",
        )?,
        report: quote.report,
        signature: quote.signature,
        attestation_key: quote.attestation_key,
        quoting_enclave: QuotingEnclaveFields {
            miscselect: enclave.miscselect,
            attributes: enclave.attributes,
            mr_signer: enclave.mr_signer,
            isv_prod_id: enclave.isv_prod_id,
            isv_svn: enclave.isv_svn,
            report_data: enclave.report_data,
        },
        quoting_enclave_signature: quote.qe_signature,
        authentication: quote.authentication.to_vec(),
        length: quote.unpadded.len(),
        padding: quote.padding,
    })
}

/// Reads an event log: firmware's, or the JSON array of dstack guests.
///
/// # Errors
/// `TDX_EVENT_LOG`.
pub fn event_log(bytes: &[u8]) -> Result<Vec<LogEvent>, Rejection> {
    log::parse(bytes)
        .map_err(|expected| Rejection::new(Code::TdxEventLog, "event_log", expected, "something else"))
}
