//! The request as one type: read once, with nothing unknown, nothing twice and nothing of another form in it.

use attestation::{Measurement, ReportData, TeeType, UnixTime};
use serde::{Deserialize, Deserializer};

use super::MAX_REQUEST_BYTES;
use super::malformed::{Malformed, MalformedCode};
use super::overrides::Overrides;
use super::profile::Profile;
use spelled::{Base64, HexBytes, Object, Pem, Registers, Spelled};

pub(super) mod spelled;

/// A request of format `postern.appraise/1`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    // only its presence and value count
    #[serde(rename = "format")]
    _format: Version,
    pub(super) platform: Platform,
    #[serde(default, deserialize_with = "present")]
    pub(super) evidence_b64: Option<Spelled<Base64>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) azure: Option<Object<Azure>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) event_log_b64: Option<Spelled<Base64>>,
    #[serde(default)]
    pub(super) endorsements: Object<Endorsements>,
    #[serde(default, deserialize_with = "present")]
    pub(super) trust_anchors_der_b64: Option<Vec<Spelled<Base64>>>,
    at: Spelled<UnixTime>,
    pub(super) expected: Object<Expected>,
    pub(super) policy: Object<PolicyRequest>,
}

#[derive(Debug, Deserialize)]
enum Version {
    #[serde(rename = "postern.appraise/1")]
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Platform {
    #[serde(rename = "snp")]
    Snp,
    #[serde(rename = "tdx")]
    Tdx,
    #[serde(rename = "az-snp")]
    AzureSnp,
    #[serde(rename = "az-tdx")]
    AzureTdx,
}

impl Platform {
    pub(super) const fn tee(self) -> TeeType {
        match self {
            Self::Snp => TeeType::Snp,
            Self::Tdx => TeeType::Tdx,
            Self::AzureSnp => TeeType::AzureSnp,
            Self::AzureTdx => TeeType::AzureTdx,
        }
    }

    pub(super) const fn azure(self) -> bool {
        matches!(self, Self::AzureSnp | Self::AzureTdx)
    }

    pub(super) const fn intel(self) -> bool {
        matches!(self, Self::Tdx | Self::AzureTdx)
    }
}

/// What an Azure guest hands over in place of a bare report.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Azure {
    pub(super) hcl_report_b64: Spelled<Base64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) td_quote_b64: Option<Spelled<Base64>>,
    pub(super) tpm_quote_msg_b64: Spelled<Base64>,
    pub(super) tpm_quote_sig_b64: Spelled<Base64>,
    pub(super) pcrs_sha256: Registers,
    #[serde(default)]
    pub(super) ak_certificates_der_b64: Vec<Spelled<Base64>>,
}

/// What vendors sign to support evidence. Material that a platform has no use for is left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Endorsements {
    pub(super) certificates_der_b64: Vec<Spelled<Base64>>,
    pub(super) certificates_pem: Vec<Spelled<Pem>>,
    pub(super) crls_der_b64: Vec<Spelled<Base64>>,
    #[serde(deserialize_with = "present")]
    pub(super) tdx_collateral: Option<Object<Collateral>>,
    #[serde(deserialize_with = "present")]
    pub(super) cert_table_b64: Option<Spelled<Base64>>,
}

/// Intel's collateral with the field names of dcap-qvl's JSON.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Collateral {
    pck_crl_issuer_chain: String,
    root_ca_crl: String,
    pck_crl: String,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: String,
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: String,
    // dcap-qvl would prefer it to the chain in the quote; here the quote's own chain is always used
    #[serde(skip_serializing)]
    pck_certificate_chain: Option<String>,
}

/// What the caller expects. Neither of the first two can be left out; `"any"` says that a value is not judged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
pub(super) struct Expected {
    pub(super) report_data_hex: AnyOr<Spelled<ReportData>>,
    pub(super) measurements_hex: AnyOr<Vec<Spelled<Measurement>>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) nonce_hex: Option<Spelled<HexBytes>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyRequest {
    pub(super) profile: Profile,
    #[serde(default, rename = "override")]
    pub(super) overrides: Object<Overrides>,
}

/// A value, or the word `any`.
#[derive(Clone, Debug)]
pub(super) enum AnyOr<T> {
    Any,
    These(T),
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// Anything but one JSON object of this format with known fields, each of them once.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_REQUEST_BYTES {
            let expected = format!("at most {MAX_REQUEST_BYTES} bytes");
            return Err(Malformed::new(MalformedCode::TooLarge, "request", expected, "more"));
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let Object(request) =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| Malformed::of_json(&error))?;
        reader.end().map_err(|error| {
            let found = format!("more at line {} column {}", error.line(), error.column());
            Malformed::new(MalformedCode::Syntax, "request", "one JSON object", found)
        })?;
        Ok(request)
    }

    /// The time that everything is judged at.
    pub const fn at(&self) -> UnixTime {
        self.at.0
    }
}

/// A field that may be absent; one that is there has a value, not `null`.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
