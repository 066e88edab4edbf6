//! X.509 certificates as AMD writes them: names, algorithm parameters, extensions and their order.

use aws_lc_rs::digest::{SHA256, digest};

use crate::SimteeError;
use crate::der;
use crate::keys::RsaKey;
use crate::product::{Tcb, TcbLayout};

/// One day in seconds.
pub const DAY: u64 = 86_400;

const RSASSA_PSS: &[u32] = &[1, 2, 840, 113_549, 1, 1, 10];
const MGF1: &[u32] = &[1, 2, 840, 113_549, 1, 1, 8];
const SHA384: &[u32] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];
const SUBJECT_KEY_ID: &[u32] = &[2, 5, 29, 14];
const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
const CRL_DISTRIBUTION_POINTS: &[u32] = &[2, 5, 29, 31];
const AUTHORITY_KEY_ID: &[u32] = &[2, 5, 29, 35];
/// Prefix of AMD's own extensions.
const AMD: [u32; 8] = [1, 3, 6, 1, 4, 1, 3704, 1];

/// One X.509v3 extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Arcs of the object identifier.
    pub id: Vec<u32>,
    /// Whether a verifier that does not know it must refuse.
    pub critical: bool,
    /// The contents of the OCTET STRING.
    pub value: Vec<u8>,
}

impl Extension {
    /// An extension from its parts.
    pub fn new(id: &[u32], critical: bool, value: Vec<u8>) -> Self {
        Self { id: id.to_vec(), critical, value }
    }

    /// An extension below AMD's prefix 1.3.6.1.4.1.3704.1, never critical.
    pub fn amd(arcs: &[u32], value: Vec<u8>) -> Self {
        Self { id: [&AMD, arcs].concat(), critical: false, value }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let id = der::object_identifier(&self.id);
        let value = der::element(der::OCTET_STRING, &self.value);
        if self.critical {
            der::sequence(&[&id, &der::boolean_true(), &value])
        } else {
            der::sequence(&[&id, &value])
        }
    }
}

/// Everything in a certificate but its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSpec {
    /// Big-endian serial number.
    pub serial: Vec<u8>,
    /// Common name of the issuer; the rest of the name is AMD's.
    pub issuer: String,
    /// Common name of the subject; the rest of the name is AMD's.
    pub subject: String,
    /// Start of validity, unix seconds.
    pub not_before: u64,
    /// End of validity, unix seconds.
    pub not_after: u64,
    /// DER `SubjectPublicKeyInfo`.
    pub public_info: Vec<u8>,
    /// Extensions in the order they are written.
    pub extensions: Vec<Extension>,
    /// Whether the RSASSA-PSS parameters spell out the default trailer field: AMD's ARK, ASK and VLEK
    /// certificates do, its VCEK certificates and revocation lists do not.
    pub trailer: bool,
}

impl CertificateSpec {
    /// Signs the certificate; returns its DER.
    pub fn issue(&self, signer: &RsaKey) -> Result<Vec<u8>, SimteeError> {
        sign(signer, &self.to_be_signed(), &signature_algorithm(self.trailer))
    }

    /// The signed part of the certificate.
    pub fn to_be_signed(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::encode).collect();
        der::sequence(&[
            &der::explicit(0, &der::unsigned(&[2])),
            &der::unsigned(&self.serial),
            &signature_algorithm(self.trailer),
            &amd_name(&self.issuer),
            &der::sequence(&[&der::time(self.not_before), &der::time(self.not_after)]),
            &amd_name(&self.subject),
            &self.public_info,
            &der::explicit(3, &der::element(der::SEQUENCE, &extensions)),
        ])
    }
}

/// Wraps signed contents, algorithm and signature, as certificates and revocation lists do.
pub(crate) fn sign(signer: &RsaKey, to_be_signed: &[u8], algorithm: &[u8]) -> Result<Vec<u8>, SimteeError> {
    let signature = signer.sign(to_be_signed)?;
    Ok(der::sequence(&[to_be_signed, algorithm, &der::bit_string(&signature)]))
}

/// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and 48 bytes of salt.
pub(crate) fn signature_algorithm(trailer: bool) -> Vec<u8> {
    let sha384 = der::sequence(&[&der::object_identifier(SHA384), &der::null()]);
    let mgf1 = der::sequence(&[&der::object_identifier(MGF1), &sha384]);
    let mut parameters =
        [der::explicit(0, &sha384), der::explicit(1, &mgf1), der::explicit(2, &der::unsigned(&[48]))]
            .concat();
    if trailer {
        parameters.extend_from_slice(&der::explicit(3, &der::unsigned(&[1])));
    }
    der::sequence(&[&der::object_identifier(RSASSA_PSS), &der::element(der::SEQUENCE, &parameters)])
}

/// AMD's distinguished name with the given common name.
pub(crate) fn amd_name(common_name: &str) -> Vec<u8> {
    let part = |arc: u32, tag: u8, text: &str| {
        let pair =
            der::sequence(&[&der::object_identifier(&[2, 5, 4, arc]), &der::element(tag, text.as_bytes())]);
        der::constructed(der::SET, &[&pair])
    };
    der::sequence(&[
        &part(11, der::UTF8_STRING, "Engineering"),
        &part(6, der::PRINTABLE_STRING, "US"),
        &part(7, der::UTF8_STRING, "Santa Clara"),
        &part(8, der::UTF8_STRING, "CA"),
        &part(10, der::UTF8_STRING, "Advanced Micro Devices"),
        &part(3, der::UTF8_STRING, common_name),
    ])
}

/// The key identifier of a public key: the first 20 bytes of SHA-256 of its DER (RFC 7093, method 1).
pub(crate) fn key_id(public_info: &[u8]) -> Vec<u8> {
    digest(&SHA256, public_info).as_ref().iter().take(20).copied().collect()
}

pub(crate) fn authority_key_id(issuer_info: &[u8]) -> Extension {
    Extension::new(AUTHORITY_KEY_ID, false, der::sequence(&[&der::element(0x80, &key_id(issuer_info))]))
}

/// Extensions of a root certificate.
pub(crate) fn root_extensions(public_info: &[u8], crl_url: &str) -> Vec<Extension> {
    vec![
        // keyCertSign and cRLSign
        Extension::new(KEY_USAGE, true, vec![0x03, 0x02, 0x01, 0x06]),
        subject_key_id(public_info),
        Extension::new(BASIC_CONSTRAINTS, true, der::sequence(&[&der::boolean_true()])),
        crl_distribution_point(crl_url),
    ]
}

/// Extensions of an intermediate certificate (ASK, ASVK).
pub(crate) fn intermediate_extensions(
    public_info: &[u8],
    issuer_info: &[u8],
    crl_url: &str,
) -> Vec<Extension> {
    vec![
        subject_key_id(public_info),
        authority_key_id(issuer_info),
        Extension::new(BASIC_CONSTRAINTS, true, der::sequence(&[&der::boolean_true(), &der::unsigned(&[0])])),
        // keyCertSign
        Extension::new(KEY_USAGE, true, vec![0x03, 0x02, 0x02, 0x04]),
        crl_distribution_point(crl_url),
    ]
}

fn subject_key_id(public_info: &[u8]) -> Extension {
    Extension::new(SUBJECT_KEY_ID, false, der::element(der::OCTET_STRING, &key_id(public_info)))
}

fn crl_distribution_point(url: &str) -> Extension {
    let name = der::element(0x86, url.as_bytes());
    let point = der::sequence(&[&der::explicit(0, &der::explicit(0, &name))]);
    Extension::new(CRL_DISTRIBUTION_POINTS, false, der::sequence(&[&point]))
}

/// What identifies the holder of an endorsement key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// VCEK: the chip's hardware id, written raw into the extension.
    Chip(Vec<u8>),
    /// VLEK: the cloud provider's id, such as `CN=cc-us-east-2.amazonaws.com`.
    Provider(String),
}

/// Extensions of a VCEK or VLEK certificate, in AMD's order for the layout.
pub fn endorsement_extensions(
    structure_version: u8,
    product_name: &str,
    tcb: Tcb,
    layout: TcbLayout,
    holder: &Holder,
) -> Vec<Extension> {
    let spl = |arc: u32, value: u8| Extension::amd(&[3, arc], der::unsigned(&[value]));
    let mut extensions = vec![
        Extension::amd(&[1], der::unsigned(&[structure_version])),
        Extension::amd(&[2], der::element(der::IA5_STRING, product_name.as_bytes())),
    ];
    match layout {
        TcbLayout::Classic => extensions.extend([
            spl(1, tcb.bootloader),
            spl(2, tcb.tee),
            spl(4, 0),
            spl(5, 0),
            spl(6, 0),
            spl(7, 0),
            spl(3, tcb.snp),
            spl(8, tcb.microcode),
        ]),
        TcbLayout::Turin => extensions.extend([
            spl(9, tcb.fmc),
            spl(1, tcb.bootloader),
            spl(2, tcb.tee),
            spl(3, tcb.snp),
            spl(5, 0),
            spl(6, 0),
            spl(7, 0),
            spl(8, tcb.microcode),
        ]),
    }
    extensions.push(match holder {
        Holder::Chip(id) => Extension::amd(&[4], id.clone()),
        Holder::Provider(id) => Extension::amd(&[5], der::element(der::IA5_STRING, id.as_bytes())),
    });
    extensions
}
