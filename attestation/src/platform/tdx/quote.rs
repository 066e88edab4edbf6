//! A TDX quote (Intel DCAP, `sgx_quote_4.h` and `sgx_quote_5.h`): version 4 with a TD 1.0 body, version 5 with a
//! TD 1.0 or 1.5 body, ECDSA P-256. Read exactly: every length must end where the next field begins.

use crate::claims::tdx::{Padding, TdAttributes, TdReport, Xfam};
use crate::digest::{Measurement, ReportData};
use crate::reader::{Cursor, Truncated};
use crate::rejection::{Code, Rejection};

/// Largest quote with its padding, in bytes.
pub(crate) const MAX_QUOTE_BYTES: usize = 64 * 1024;

/// Bytes of a header.
const HEADER_BYTES: usize = 48;
/// Bytes of a quoting enclave's report.
const QE_REPORT_BYTES: usize = 384;
/// Bytes of the authentication data that Intel's quoting enclave writes.
const AUTHENTICATION_BYTES: u16 = 32;

/// `tee_type` of a TD.
const TEE_TDX: u32 = 0x81;
/// Attestation key on P-256.
const KEY_ECDSA_P256: u16 = 2;
/// Intel's quoting enclave: 939a7233-f79c-4ca9-940a-0db3957f0607.
const INTEL_QE: [u8; 16] = 0x939a_7233_f79c_4ca9_940a_0db3_957f_0607_u128.to_be_bytes();

/// Body types of version 5 with their sizes.
const BODY_TD_1_0: (u16, u32) = (2, 584);
const BODY_TD_1_5: (u16, u32) = (3, 648);

/// Certification data: the quoting enclave's report, signature, and more certification data.
const CERTIFICATION_QE_REPORT: u16 = 6;
/// Certification data: PCK certificate chain in PEM.
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// Parts of a quote, none of them believed.
#[derive(Clone, Debug)]
pub(crate) struct Quote<'a> {
    /// 4 or 5.
    pub(crate) version: u16,
    /// The platform's QE id.
    pub(crate) user_data: [u8; 20],
    /// The body.
    pub(crate) report: TdReport,
    /// What the attestation key signed: header, body descriptor and body.
    pub(crate) signed: &'a [u8],
    /// `r` and `s`, big-endian.
    pub(crate) signature: [u8; 64],
    /// `x` and `y`, big-endian.
    pub(crate) attestation_key: [u8; 64],
    /// The quoting enclave's own report.
    pub(crate) qe_report: &'a [u8],
    /// `r` and `s` over the quoting enclave's report, by the PCK.
    pub(crate) qe_signature: [u8; 64],
    /// What the quoting enclave hashed together with the attestation key.
    pub(crate) authentication: &'a [u8],
    /// PCK certificate chain, PEM.
    pub(crate) chain: &'a [u8],
    /// Everything that vouches for the attestation key, and that key: the same in every quote of a boot.
    pub(crate) certification: &'a [u8],
    /// What follows.
    pub(crate) padding: Padding,
    /// The quote without its padding.
    pub(crate) unpadded: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Reads a quote.
    ///
    /// # Errors
    /// `ATT_TEE_TYPE` for an SGX quote, `TDX_HEADER` for a header that is not of a TDX quote this verifier knows,
    /// `ATT_MALFORMED` for a length that does not fit.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.len() > MAX_QUOTE_BYTES {
            return Err(malformed(&format!("at most {MAX_QUOTE_BYTES} bytes"), format!("{}", bytes.len())));
        }
        let mut cursor = Cursor::new(bytes);
        let header = Header::read(&mut cursor)?;
        let report = body(&mut cursor, header.version)?;
        let signed = cursor.since(0);
        let length = size(u32_le(&mut cursor)?);
        let authentication = take(&mut cursor, length)?;
        let unpadded = cursor.since(0);
        let rest = cursor.rest();
        let padding =
            if rest.iter().all(|byte| *byte == 0) { Padding::Zeros(rest.len()) } else { Padding::Garbage };
        let mut outer = Cursor::new(authentication);
        let signature = array(&mut outer)?;
        let vouching = outer.rest();
        let attestation_key = array(&mut outer)?;
        let certified = certification(&mut outer, CERTIFICATION_QE_REPORT)?;
        let mut inner = Cursor::new(certified);
        let qe_report = take(&mut inner, QE_REPORT_BYTES)?;
        let qe_signature = array(&mut inner)?;
        let authentication_length = u16_le(&mut inner)?;
        if authentication_length != AUTHENTICATION_BYTES {
            return Err(malformed("32 bytes of authentication data", authentication_length.to_string()));
        }
        let authentication = take(&mut inner, usize::from(authentication_length))?;
        let chain = certification(&mut inner, CERTIFICATION_PCK_CHAIN)?;
        Ok(Self {
            version: header.version,
            user_data: header.user_data,
            report,
            signed,
            signature,
            attestation_key,
            qe_report,
            qe_signature,
            authentication,
            chain,
            certification: vouching,
            padding,
            unpadded,
        })
    }
}

struct Header {
    version: u16,
    user_data: [u8; 20],
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Rejection> {
        let mut header = Cursor::new(take(cursor, HEADER_BYTES)?);
        let version = u16_le(&mut header)?;
        let key_type = u16_le(&mut header)?;
        let tee = u32_le(&mut header)?;
        // version 3 exists for SGX only, where the fourth to seventh byte are reserved
        if tee != TEE_TDX || version == 3 {
            let found = if tee == 0 || version == 3 { "sgx".to_owned() } else { format!("{tee:#x}") };
            return Err(Rejection::new(Code::AttTeeType, "cpu.quote.tee_type", "tdx", found));
        }
        if !matches!(version, 4 | 5) {
            return Err(Rejection::new(Code::TdxHeader, "cpu.quote.version", "4 or 5", version.to_string()));
        }
        if key_type != KEY_ECDSA_P256 {
            let found = key_type.to_string();
            return Err(Rejection::new(Code::TdxHeader, "cpu.quote.attestation_key_type", "2", found));
        }
        // security versions in version 3, reserved since; the signed reports have them
        u32_le(&mut header)?;
        let vendor: [u8; 16] = array(&mut header)?;
        if vendor != INTEL_QE {
            let spell = crate::digest::to_hex;
            let (expected, found) = (spell(&INTEL_QE), spell(&vendor));
            return Err(Rejection::new(Code::TdxHeader, "cpu.quote.qe_vendor", expected, found));
        }
        Ok(Self { version, user_data: array(&mut header)? })
    }
}

fn body(cursor: &mut Cursor<'_>, version: u16) -> Result<TdReport, Rejection> {
    let extended = if version == 4 {
        false
    } else {
        let described = (u16_le(cursor)?, u32_le(cursor)?);
        match described {
            BODY_TD_1_0 => false,
            BODY_TD_1_5 => true,
            (kind, size) => {
                let found = format!("type {kind} of {size} bytes");
                let expected = "type 2 of 584 bytes or type 3 of 648 bytes";
                return Err(Rejection::new(Code::TdxHeader, "cpu.quote.body", expected, found));
            }
        }
    };
    let mut report = td_1_0(cursor)?;
    if extended {
        report.tee_tcb_svn2 = Some(array(cursor)?);
        report.mr_service_td = Some(measurement(cursor)?);
    }
    Ok(report)
}

fn td_1_0(cursor: &mut Cursor<'_>) -> Result<TdReport, Rejection> {
    Ok(TdReport {
        tee_tcb_svn: array(cursor)?,
        mr_seam: measurement(cursor)?,
        mr_signer_seam: measurement(cursor)?,
        seam_attributes: u64_le(cursor)?,
        attributes: TdAttributes(u64_le(cursor)?),
        xfam: Xfam(u64_le(cursor)?),
        mr_td: measurement(cursor)?,
        mr_config_id: measurement(cursor)?,
        mr_owner: measurement(cursor)?,
        mr_owner_config: measurement(cursor)?,
        rtmr: [measurement(cursor)?, measurement(cursor)?, measurement(cursor)?, measurement(cursor)?],
        report_data: ReportData::new(array(cursor)?),
        tee_tcb_svn2: None,
        mr_service_td: None,
    })
}

/// The content of certification data of this type, which is the last thing in its buffer.
fn certification<'a>(cursor: &mut Cursor<'a>, wanted: u16) -> Result<&'a [u8], Rejection> {
    let kind = u16_le(cursor)?;
    if kind != wanted {
        let found = format!("type {kind}");
        return Err(Rejection::new(
            Code::TdxHeader,
            "cpu.quote.certification_data",
            format!("type {wanted}"),
            found,
        ));
    }
    let length = size(u32_le(cursor)?);
    let content = take(cursor, length)?;
    cursor.finish().map_err(truncated)?;
    Ok(content)
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn measurement(cursor: &mut Cursor<'_>) -> Result<Measurement, Rejection> {
    array(cursor).map(Measurement::new)
}

fn take<'a>(cursor: &mut Cursor<'a>, count: usize) -> Result<&'a [u8], Rejection> {
    cursor.take(count).map_err(truncated)
}

fn array<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], Rejection> {
    cursor.array().map_err(truncated)
}

fn u16_le(cursor: &mut Cursor<'_>) -> Result<u16, Rejection> {
    array(cursor).map(u16::from_le_bytes)
}

fn u32_le(cursor: &mut Cursor<'_>) -> Result<u32, Rejection> {
    array(cursor).map(u32::from_le_bytes)
}

fn u64_le(cursor: &mut Cursor<'_>) -> Result<u64, Rejection> {
    array(cursor).map(u64::from_le_bytes)
}

fn truncated(error: Truncated) -> Rejection {
    malformed("fields that end where the quote says", error.to_string())
}

fn malformed(expected: &str, found: String) -> Rejection {
    Rejection::new(Code::AttMalformed, "cpu.quote", expected, found)
}
