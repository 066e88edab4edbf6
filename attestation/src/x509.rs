//! Vendor certificates and revocation lists (RFC 5280), read exactly and verified with four algorithm sets:
//! AMD's, RSASSA-PSS with SHA-384 by 4096-bit keys over P-384 subjects, Intel's, ECDSA on P-256 with SHA-256, and
//! Azure's for virtual TPMs, RSASSA-PKCS1-v1_5 by RSA keys over RSA subjects, Google's for firmware, RSASSA-PSS with
//! SHA-256 by 4096-bit keys. No chain mixes them.

use crate::der::{Der, DerError, tag};
use crate::digest::UnixTime;
use crate::rejection::Rejection;
use crate::signature::Algorithm;
use crate::work_limit::WorkLimit;

/// `AlgorithmIdentifier` of RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt of 48 bytes.
const PSS_SHA384: &[u8] = &[
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30,
];

/// The same with the default trailer field spelled out, as AMD's own roots do.
const PSS_SHA384_TRAILER: &[u8] = &[
    0x30, 0x46, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30, 0xa3,
    0x03, 0x02, 0x01, 0x01,
];

/// `AlgorithmIdentifier` of RSASSA-PSS, SHA-256, MGF1 with SHA-256, salt of 32 bytes.
const PSS_SHA256: &[u8] = &[
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20,
];

/// The same with the default trailer field spelled out.
const PSS_SHA256_TRAILER: &[u8] = &[
    0x30, 0x46, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20, 0xa3,
    0x03, 0x02, 0x01, 0x01,
];

/// `AlgorithmIdentifier` of ECDSA with SHA-256.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// `AlgorithmIdentifier` of RSASSA-PKCS1-v1_5 with SHA-256.
const PKCS1_SHA256: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// `AlgorithmIdentifier` of RSASSA-PKCS1-v1_5 with SHA-384.
const PKCS1_SHA384: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c, 0x05, 0x00];

/// Signature algorithms of AMD's and Intel's certificates.
const VENDORS: &[&[u8]] = &[PSS_SHA384, PSS_SHA384_TRAILER, ECDSA_SHA256];

/// Signature algorithms of Azure's certificates for virtual TPMs.
const VTPM: &[&[u8]] = &[PKCS1_SHA256, PKCS1_SHA384];

/// Signature algorithms of Google's certificates for firmware.
const GOOGLE: &[&[u8]] = &[PSS_SHA256, PSS_SHA256_TRAILER];

/// `AlgorithmIdentifier` of an RSA key.
const RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// `AlgorithmIdentifier` of a key on P-384.
const P384: &[u8] = &[
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22,
];

/// `AlgorithmIdentifier` of a key on P-256.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];

/// First byte of `KeyUsage`: bit 5, keyCertSign.
const KEY_CERT_SIGN: u8 = 0x04;

/// 4096-bit modulus and exponent in PKCS #1 form take this many bytes.
const RSA_4096_BYTES: std::ops::RangeInclusive<usize> = 522..=530;

/// The same for 2048 bits.
const RSA_2048_BYTES: std::ops::RangeInclusive<usize> = 266..=274;

/// Most extensions of one certificate.
const MAX_EXTENSIONS: usize = 32;

/// Most entries read from one revocation list.
const MAX_REVOKED: usize = 4096;

/// A public key of one of the kinds in a vendor chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey<'a> {
    /// Uncompressed point on P-256, 65 bytes.
    P256(&'a [u8]),
    /// Uncompressed point on P-384, 97 bytes.
    P384(&'a [u8]),
    /// PKCS #1 `RSAPublicKey` of 4096 bits.
    Rsa(&'a [u8]),
    /// PKCS #1 `RSAPublicKey` of 2048 bits; only below a virtual TPM's root.
    Rsa2048(&'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// Reads a `SubjectPublicKeyInfo`.
    pub(crate) fn from_spki(der: &'a [u8]) -> Result<Self, DerError> {
        let mut outer = Der::new(der);
        let mut spki = outer.inside(tag::SEQUENCE)?;
        outer.finish()?;
        let algorithm = spki.whole(tag::SEQUENCE)?;
        let key = spki.bits()?;
        spki.finish()?;
        match algorithm {
            P256 if key.len() == 65 && key.first() == Some(&4) => Ok(Self::P256(key)),
            P384 if key.len() == 97 && key.first() == Some(&4) => Ok(Self::P384(key)),
            RSA if RSA_4096_BYTES.contains(&key.len()) => Ok(Self::Rsa(key)),
            RSA if RSA_2048_BYTES.contains(&key.len()) => Ok(Self::Rsa2048(key)),
            _ => Err(DerError::Value("public key")),
        }
    }

    /// Whether this key signed `message`: RSASSA-PSS with SHA-384, or on P-256 ECDSA with SHA-256.
    pub(crate) fn signed(
        &self,
        message: &[u8],
        signature: &[u8],
        limit: &mut WorkLimit,
    ) -> Result<bool, Rejection> {
        limit.signature()?;
        match self {
            Self::P256(key) => Ok(Algorithm::P256Asn1.verifies(key, message, signature)),
            Self::P384(_) | Self::Rsa2048(_) => Ok(false),
            Self::Rsa(key) => Ok(Algorithm::RsaPss.verifies(key, message, signature)),
        }
    }
}

/// A stretch of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// First second.
    pub(crate) from: UnixTime,
    /// Last second.
    pub(crate) until: UnixTime,
}

impl Window {
    /// All of time.
    pub(crate) const ALWAYS: Self =
        Self { from: UnixTime::from_seconds(0), until: UnixTime::from_seconds(u64::MAX) };

    /// What both have.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    /// Whether `time` is in it.
    pub(crate) fn contains(self, time: UnixTime) -> bool {
        (self.from..=self.until).contains(&time)
    }
}

/// One extension, undecoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    /// Content of the object identifier.
    pub(crate) id: &'a [u8],
    /// Content of the octet string.
    pub(crate) value: &'a [u8],
}

/// A certificate, parsed but not verified.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    /// All of it.
    pub(crate) der: &'a [u8],
    tbs: &'a [u8],
    signature: &'a [u8],
    algorithm: &'a [u8],
    /// Serial number without leading zeros.
    pub(crate) serial: &'a [u8],
    /// Issuer name with its head.
    pub(crate) issuer: &'a [u8],
    /// Subject name with its head.
    pub(crate) subject: &'a [u8],
    /// First second of validity.
    pub(crate) not_before: UnixTime,
    /// Last second of validity.
    pub(crate) not_after: UnixTime,
    /// Subject's key.
    pub(crate) key: PublicKey<'a>,
    /// Whether it may issue certificates: basic constraints and key usage agree.
    pub(crate) authority: bool,
    /// Extensions this file does not know, none of them critical.
    pub(crate) extensions: Vec<Extension<'a>>,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate.
    ///
    /// # Errors
    /// Anything but a version 3 certificate with one of the two PSS encodings or ECDSA, a 4096-bit RSA, P-384 or
    /// P-256 key, no unknown critical extension, no extension twice, nothing left over.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, DerError> {
        let certificate = Self::parse_signed_with(der, VENDORS)?;
        match certificate.key {
            PublicKey::Rsa2048(_) => Err(DerError::Value("public key")),
            PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::Rsa(_) => Ok(certificate),
        }
    }

    /// Reads one certificate of a virtual TPM's chain.
    ///
    /// # Errors
    /// As [`Certificate::parse`], but with RSASSA-PKCS1-v1_5 (SHA-256 or SHA-384) and an RSA key of 2048 or 4096 bits.
    pub(crate) fn parse_vtpm(der: &'a [u8]) -> Result<Self, DerError> {
        let certificate = Self::parse_signed_with(der, VTPM)?;
        match certificate.key {
            PublicKey::Rsa(_) | PublicKey::Rsa2048(_) => Ok(certificate),
            PublicKey::P256(_) | PublicKey::P384(_) => Err(DerError::Value("public key")),
        }
    }

    /// Reads one certificate of Google's chain for firmware.
    ///
    /// # Errors
    /// As [`Certificate::parse`], but with RSASSA-PSS with SHA-256 and an RSA key of 4096 bits.
    pub(crate) fn parse_google(der: &'a [u8]) -> Result<Self, DerError> {
        let certificate = Self::parse_signed_with(der, GOOGLE)?;
        match certificate.key {
            PublicKey::Rsa(_) => Ok(certificate),
            PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::Rsa2048(_) => {
                Err(DerError::Value("public key"))
            }
        }
    }

    fn parse_signed_with(der: &'a [u8], algorithms: &[&[u8]]) -> Result<Self, DerError> {
        let (tbs, signature, algorithm) = signed(der, algorithms)?;
        let mut fields = Der::new(tbs).inside(tag::SEQUENCE)?;
        let mut version = fields.inside(tag::CONTEXT_0)?;
        if version.byte()? != 2 {
            return Err(DerError::Value("certificate version"));
        }
        version.finish()?;
        let serial = fields.unsigned()?;
        if fields.whole(tag::SEQUENCE)? != algorithm {
            return Err(DerError::Value("signature algorithm"));
        }
        let issuer = fields.whole(tag::SEQUENCE)?;
        let mut validity = fields.inside(tag::SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        validity.finish()?;
        let subject = fields.whole(tag::SEQUENCE)?;
        let key = PublicKey::from_spki(fields.whole(tag::SEQUENCE)?)?;
        let mut known = KnownExtensions::default();
        if !fields.is_empty() {
            let mut outer = fields.inside(tag::CONTEXT_3)?;
            known = KnownExtensions::parse(outer.inside(tag::SEQUENCE)?)?;
            outer.finish()?;
        }
        fields.finish()?;
        Ok(Self {
            der,
            tbs,
            signature,
            algorithm,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            authority: known.authority && known.may_sign_certificates,
            extensions: known.others,
        })
    }

    /// Whether `issuer` is named as issuer and its key signed this certificate.
    pub(crate) fn issued_by(
        &self,
        issuer: &Certificate<'_>,
        limit: &mut WorkLimit,
    ) -> Result<bool, Rejection> {
        Ok(self.issuer == issuer.subject && self.signed_by(&issuer.key, limit)?)
    }

    /// Whether `key` signed this certificate.
    pub(crate) fn signed_by(&self, key: &PublicKey<'_>, limit: &mut WorkLimit) -> Result<bool, Rejection> {
        let rsa = match self.algorithm {
            PSS_SHA256 | PSS_SHA256_TRAILER => Algorithm::RsaPssSha256,
            PKCS1_SHA256 => Algorithm::RsaPkcs1Sha256,
            PKCS1_SHA384 => Algorithm::RsaPkcs1Sha384,
            _ => return key.signed(self.tbs, self.signature, limit),
        };
        limit.signature()?;
        match key {
            PublicKey::Rsa(key) | PublicKey::Rsa2048(key) => Ok(rsa.verifies(key, self.tbs, self.signature)),
            PublicKey::P256(_) | PublicKey::P384(_) => Ok(false),
        }
    }

    /// Its dates.
    pub(crate) const fn window(&self) -> Window {
        Window { from: self.not_before, until: self.not_after }
    }

    /// Whether `now` is within its dates, both included.
    pub(crate) fn valid_at(&self, now: UnixTime) -> bool {
        self.window().contains(now)
    }

    /// Whether it names itself as issuer.
    pub(crate) fn self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// A revocation list, parsed but not verified.
#[derive(Clone, Debug)]
pub(crate) struct RevocationList<'a> {
    tbs: &'a [u8],
    signature: &'a [u8],
    /// Issuer name with its head.
    pub(crate) issuer: &'a [u8],
    /// When it was issued.
    pub(crate) this_update: UnixTime,
    /// When the next one must be there.
    pub(crate) next_update: UnixTime,
    revoked: Vec<&'a [u8]>,
}

impl<'a> RevocationList<'a> {
    /// Reads one list.
    ///
    /// # Errors
    /// Anything but a complete version 2 list with dates, at most 4096 entries and no critical extension.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, DerError> {
        let (tbs, signature, algorithm) = signed(der, VENDORS)?;
        let mut fields = Der::new(tbs).inside(tag::SEQUENCE)?;
        if fields.byte()? != 1 || fields.whole(tag::SEQUENCE)? != algorithm {
            return Err(DerError::Value("list version or algorithm"));
        }
        let issuer = fields.whole(tag::SEQUENCE)?;
        let (this_update, next_update) = (fields.time()?, fields.time()?);
        let mut revoked = Vec::new();
        if fields.peek() == Some(tag::SEQUENCE) {
            let mut entries = fields.inside(tag::SEQUENCE)?;
            while !entries.is_empty() {
                if revoked.len() >= MAX_REVOKED {
                    return Err(DerError::Value("number of revoked certificates"));
                }
                let mut entry = entries.inside(tag::SEQUENCE)?;
                revoked.push(entry.unsigned()?);
                entry.time()?;
                if !entry.is_empty() {
                    KnownExtensions::parse(entry.inside(tag::SEQUENCE)?)?;
                }
                entry.finish()?;
            }
        }
        if !fields.is_empty() {
            let mut outer = fields.inside(tag::CONTEXT_0)?;
            let known = KnownExtensions::parse(outer.inside(tag::SEQUENCE)?)?;
            outer.finish()?;
            if known.others.iter().any(|extension| extension.id == ISSUING_DISTRIBUTION_POINT) {
                return Err(DerError::Value("partial revocation list"));
            }
        }
        fields.finish()?;
        Ok(Self { tbs, signature, issuer, this_update, next_update, revoked })
    }

    /// Whether `key` signed this list.
    pub(crate) fn signed_by(&self, key: &PublicKey<'_>, limit: &mut WorkLimit) -> Result<bool, Rejection> {
        key.signed(self.tbs, self.signature, limit)
    }

    /// Its dates.
    pub(crate) const fn window(&self) -> Window {
        Window { from: self.this_update, until: self.next_update }
    }

    /// Whether this serial number is on the list.
    pub(crate) fn lists(&self, serial: &[u8]) -> bool {
        self.revoked.contains(&serial)
    }
}

/// The common name of a name, if it has exactly one.
pub(crate) fn common_name(name: &[u8]) -> Option<&str> {
    let mut parts = Der::new(name).inside(tag::SEQUENCE).ok()?;
    let mut found = None;
    while !parts.is_empty() {
        let mut set = parts.inside(tag::SET).ok()?;
        let mut attribute = set.inside(tag::SEQUENCE).ok()?;
        let id = attribute.element(tag::OID).ok()?;
        let (kind, value) = attribute.any().ok()?;
        if id == COMMON_NAME {
            let text = matches!(kind, tag::UTF8_STRING | tag::PRINTABLE_STRING).then_some(value)?;
            if found.replace(std::str::from_utf8(text).ok()?).is_some() {
                return None;
            }
        }
    }
    found
}

/// The signed part, the signature and its algorithm.
type SignedParts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn signed<'a>(der: &'a [u8], algorithms: &[&[u8]]) -> Result<SignedParts<'a>, DerError> {
    let mut outer = Der::new(der);
    let mut parts = outer.inside(tag::SEQUENCE)?;
    outer.finish()?;
    let tbs = parts.whole(tag::SEQUENCE)?;
    let algorithm = parts.whole(tag::SEQUENCE)?;
    let signature = parts.bits()?;
    parts.finish()?;
    if algorithms.contains(&algorithm) {
        Ok((tbs, signature, algorithm))
    } else {
        Err(DerError::Value("signature algorithm"))
    }
}

#[derive(Default)]
struct KnownExtensions<'a> {
    authority: bool,
    may_sign_certificates: bool,
    others: Vec<Extension<'a>>,
}

impl<'a> KnownExtensions<'a> {
    fn parse(mut list: Der<'a>) -> Result<Self, DerError> {
        let mut known = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let mut fields = list.inside(tag::SEQUENCE)?;
            let id = fields.element(tag::OID)?;
            if seen.contains(&id) || seen.len() >= MAX_EXTENSIONS {
                return Err(DerError::Value("repeated extension"));
            }
            seen.push(id);
            // DER leaves out the default, so a criticality that is there must be true
            let critical = fields.peek() == Some(tag::BOOLEAN);
            if critical && !fields.boolean()? {
                return Err(DerError::Value("criticality"));
            }
            let value = fields.element(tag::OCTET_STRING)?;
            fields.finish()?;
            match id {
                BASIC_CONSTRAINTS => known.authority = basic_constraints(value)?,
                KEY_USAGE => known.may_sign_certificates = key_usage(value)? & KEY_CERT_SIGN != 0,
                _ if critical => return Err(DerError::Value("critical extension")),
                _ => known.others.push(Extension { id, value }),
            }
        }
        Ok(known)
    }
}

fn basic_constraints(value: &[u8]) -> Result<bool, DerError> {
    let mut outer = Der::new(value);
    let mut fields = outer.inside(tag::SEQUENCE)?;
    outer.finish()?;
    let authority = fields.peek() == Some(tag::BOOLEAN) && fields.boolean()?;
    if !fields.is_empty() {
        fields.byte()?;
    }
    fields.finish()?;
    Ok(authority)
}

fn key_usage(value: &[u8]) -> Result<u8, DerError> {
    let mut outer = Der::new(value);
    let usage = outer.element(tag::BIT_STRING)?;
    outer.finish()?;
    match usage {
        [0..=7, first, ..] => Ok(*first),
        _ => Err(DerError::Value("key usage")),
    }
}
