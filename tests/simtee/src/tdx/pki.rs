//! Certificates and revocation lists as Intel's SGX authorities write them: ECDSA on P-256 with SHA-256.

use crate::SimteeError;
use crate::certificate::Extension;
use crate::der;
use crate::keys::VekKey;

const ECDSA_SHA256: &[u32] = &[1, 2, 840, 10045, 4, 3, 2];
const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
const CRL_NUMBER: &[u32] = &[2, 5, 29, 20];
/// Prefix of Intel's SGX extension.
const SGX: [u32; 7] = [1, 2, 840, 113_741, 1, 13, 1];

/// Everything in a certificate but its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Big-endian serial number.
    pub serial: Vec<u8>,
    /// Common name of the issuer; the rest of the name is Intel's.
    pub issuer: String,
    /// Common name of the subject; the rest of the name is Intel's.
    pub subject: String,
    /// Start of validity, unix seconds.
    pub not_before: u64,
    /// End of validity, unix seconds.
    pub not_after: u64,
    /// DER `SubjectPublicKeyInfo`.
    pub public_info: Vec<u8>,
    /// Whether it may issue certificates.
    pub authority: bool,
    /// The platform, in a PCK certificate.
    pub platform: Option<PckPlatform>,
}

impl Certificate {
    /// Signs; returns DER.
    pub fn issue(&self, signer: &VekKey) -> Result<Vec<u8>, SimteeError> {
        // keyCertSign and cRLSign, or digitalSignature and nonRepudiation
        let usage = if self.authority { [3, 2, 1, 6] } else { [3, 2, 6, 0xc0] };
        let constraints = if self.authority { der::boolean_true() } else { Vec::new() };
        let mut extensions = vec![
            Extension::new(KEY_USAGE, true, usage.to_vec()),
            Extension::new(BASIC_CONSTRAINTS, true, der::sequence(&[&constraints])),
        ];
        extensions.extend(self.platform.as_ref().map(PckPlatform::extension));
        let extensions: Vec<u8> = extensions.iter().flat_map(Extension::encode).collect();
        let to_be_signed = der::sequence(&[
            &der::explicit(0, &der::unsigned(&[2])),
            &der::unsigned(&self.serial),
            &algorithm(),
            &name(&self.issuer),
            &der::sequence(&[&der::time(self.not_before), &der::time(self.not_after)]),
            &name(&self.subject),
            &self.public_info,
            &der::explicit(3, &der::element(der::SEQUENCE, &extensions)),
        ]);
        sign(signer, &to_be_signed)
    }
}

/// Everything in a revocation list but its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// Common name of the issuer.
    pub issuer: String,
    /// Unix seconds.
    pub this_update: u64,
    /// Unix seconds.
    pub next_update: u64,
    /// Big-endian serial numbers.
    pub revoked: Vec<Vec<u8>>,
}

impl RevocationList {
    /// Signs; returns DER.
    pub fn issue(&self, signer: &VekKey) -> Result<Vec<u8>, SimteeError> {
        let since = der::time(self.this_update);
        let entry = |serial: &Vec<u8>| der::sequence(&[&der::unsigned(serial), &since]);
        let entries: Vec<u8> = self.revoked.iter().flat_map(entry).collect();
        let entries = if entries.is_empty() { entries } else { der::element(der::SEQUENCE, &entries) };
        let number = Extension::new(CRL_NUMBER, false, der::unsigned(&[1])).encode();
        let to_be_signed = der::sequence(&[
            &der::unsigned(&[1]),
            &algorithm(),
            &name(&self.issuer),
            &since,
            &der::time(self.next_update),
            &entries,
            &der::explicit(0, &der::element(der::SEQUENCE, &number)),
        ]);
        sign(signer, &to_be_signed)
    }
}

/// What a PCK certificate says about its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PckPlatform {
    /// Platform provisioning id.
    pub ppid: [u8; 16],
    /// Versions of the sixteen components.
    pub components: [u8; 16],
    /// CPUSVN.
    pub cpu_svn: [u8; 16],
    /// PCESVN.
    pub pce_svn: u16,
    /// PCE id.
    pub pce_id: [u8; 2],
    /// Platform family.
    pub fmspc: [u8; 6],
    /// Platform instance id.
    pub platform_instance_id: [u8; 16],
    /// Whether simultaneous multithreading is on.
    pub smt: bool,
}

impl PckPlatform {
    fn extension(&self) -> Extension {
        let entry = |arcs: &[u32], value: &[u8]| {
            der::sequence(&[&der::object_identifier(&[&SGX, arcs].concat()), value])
        };
        let octets = |bytes: &[u8]| der::element(der::OCTET_STRING, bytes);
        let boolean = |value: bool| vec![0x01, 0x01, if value { 0xff } else { 0 }];
        let mut tcb = Vec::new();
        for (index, component) in (1_u32..).zip(self.components) {
            tcb.extend(entry(&[2, index], &der::unsigned(&[component])));
        }
        tcb.extend(entry(&[2, 17], &der::unsigned(&self.pce_svn.to_be_bytes())));
        tcb.extend(entry(&[2, 18], &octets(&self.cpu_svn)));
        let flags = [(1, true), (2, true), (3, self.smt)];
        let flags: Vec<u8> =
            flags.iter().flat_map(|(arc, flag)| entry(&[7, *arc], &boolean(*flag))).collect();
        let value = der::sequence(&[
            &entry(&[1], &octets(&self.ppid)),
            &entry(&[2], &der::element(der::SEQUENCE, &tcb)),
            &entry(&[3], &octets(&self.pce_id)),
            &entry(&[4], &octets(&self.fmspc)),
            &entry(&[5], &[0x0a, 0x01, 0x01]),
            &entry(&[6], &octets(&self.platform_instance_id)),
            &entry(&[7], &der::element(der::SEQUENCE, &flags)),
        ]);
        Extension::new(&SGX, false, value)
    }
}

/// PEM as Intel's tools write it: 64 columns, a newline at the end.
pub fn pem(certificates: &[Vec<u8>]) -> String {
    let mut out = String::new();
    for der in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = base64(der);
        for line in text.as_bytes().chunks(64) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

/// A signature as the two numbers of 32 bytes each.
pub fn sign_fixed(signer: &VekKey, message: &[u8]) -> Result<[u8; 64], SimteeError> {
    let (r, s) = signer.sign(message)?;
    [r, s].concat().try_into().map_err(|_| SimteeError::Crypto("sign on P-256"))
}

/// The raw public key: both coordinates, 32 bytes each.
pub fn raw_public(key: &VekKey) -> [u8; 64] {
    let info = key.public_info();
    let mut raw = [0; 64];
    raw.copy_from_slice(&info[info.len() - 64..]);
    raw
}

fn sign(signer: &VekKey, to_be_signed: &[u8]) -> Result<Vec<u8>, SimteeError> {
    let (r, s) = signer.sign(to_be_signed)?;
    let signature = der::sequence(&[&der::unsigned(&r), &der::unsigned(&s)]);
    Ok(der::sequence(&[to_be_signed, &algorithm(), &der::bit_string(&signature)]))
}

fn algorithm() -> Vec<u8> {
    der::sequence(&[&der::object_identifier(ECDSA_SHA256)])
}

fn name(common_name: &str) -> Vec<u8> {
    let part = |arc: u32, tag: u8, text: &str| {
        let pair =
            der::sequence(&[&der::object_identifier(&[2, 5, 4, arc]), &der::element(tag, text.as_bytes())]);
        der::constructed(der::SET, &[&pair])
    };
    der::sequence(&[
        &part(3, der::UTF8_STRING, common_name),
        &part(10, der::UTF8_STRING, "Intel Corporation"),
        &part(7, der::UTF8_STRING, "Santa Clara"),
        &part(8, der::UTF8_STRING, "CA"),
        &part(6, der::PRINTABLE_STRING, "US"),
    ])
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(value >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
