//! What a certificate of a vendor's chain says, without asking whether its issuer said so.

use crate::claims::snp::{SigningKey, TcbVersion};
use crate::claims::tdx::PckIdentity;
use crate::digest::UnixTime;
use crate::platform::sev_snp::extensions;
use crate::platform::tdx;
use crate::rejection::{Code, Rejection};
use crate::x509::{Certificate, PublicKey, common_name};

/// A certificate of AMD's or Intel's. Nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Common name of the subject; none when it has no single one.
    pub subject: Option<String>,
    /// Common name of the issuer; none when it has no single one.
    pub issuer: Option<String>,
    /// Serial number without leading zeros.
    pub serial: Vec<u8>,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// Kind of key: `P-256`, `P-384` or `RSA-4096`.
    pub key: &'static str,
    /// AMD's extensions, in the certificate of an endorsement key.
    pub endorsed: Option<EndorsedKey>,
    /// Intel's extension, in a PCK certificate.
    pub pck: Option<PckIdentity>,
}

/// What AMD says about the key that signs reports (AMD 57230, table of certificate extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsedKey {
    /// VCEK or VLEK, by the name of the issuer.
    pub kind: SigningKey,
    /// Product name, for example `Genoa-B1`.
    pub product_name: String,
    /// TCB that the key is derived from.
    pub tcb: TcbVersion,
    /// Chip identity, in a VCEK's certificate.
    pub hardware_id: Option<Vec<u8>>,
    /// Cloud provider, in a VLEK's certificate.
    pub csp_id: Option<String>,
}

/// Reads a certificate (DER).
///
/// # Errors
/// `ATT_MALFORMED` for anything but a certificate as AMD or Intel issue them, or Azure for virtual TPMs.
pub fn certificate(der: &[u8]) -> Result<CertificateFacts, Rejection> {
    let own = Certificate::parse(der).or_else(|error| Certificate::parse_vtpm(der).map_err(|_| error));
    let own = own.map_err(|error| {
        let expected = "a certificate as AMD, Intel or Azure issue them";
        Rejection::new(Code::AttMalformed, "certificate", expected, error.to_string())
    })?;
    let name = |name: &[u8]| common_name(name).map(str::to_owned);
    Ok(CertificateFacts {
        subject: name(own.subject),
        issuer: name(own.issuer),
        serial: own.serial.to_vec(),
        not_before: own.not_before,
        not_after: own.not_after,
        key: match own.key {
            PublicKey::P256(_) => "P-256",
            PublicKey::P384(_) => "P-384",
            PublicKey::Rsa(_) => "RSA-4096",
            PublicKey::Rsa2048(_) => "RSA-2048",
        },
        endorsed: endorsed(&own),
        pck: tdx::pck::identity(&own).ok(),
    })
}

fn endorsed(own: &Certificate<'_>) -> Option<EndorsedKey> {
    let (kind, product) = common_name(own.issuer).and_then(extensions::issuer)?;
    let read = extensions::read(&own.extensions, product, kind).ok()?;
    Some(EndorsedKey {
        kind,
        product_name: read.product_name,
        tcb: read.tcb,
        hardware_id: read.hardware_id,
        csp_id: read.csp_id,
    })
}
